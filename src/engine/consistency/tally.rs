use super::fault::{Fault, Faults};
use super::repair::advice;
use crate::domain::{CorruptionEvent, PointId};
use crate::engine::integrity::sqlite::tally::{EXAMPLES, Rows};

/// Of how many the faults are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Memories that are not deleted, in the whole database.
    pub live: u64,
    /// Rows whose id is none (I14).
    pub broken: u64,
}

/// Faults by kind, with a few ids as proof, and the length of the texts that they concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    found: [(Rows, u64); Fault::ALL.len()],
}

impl Tally {
    /// Counts the faults of an id, with the length of its text in bytes.
    pub fn see(&mut self, id: PointId, faults: Faults, bytes: u64) {
        for fault in faults.iter() {
            let (rows, total) = &mut self.found[fault as usize];
            rows.add(|| id.to_string());
            *total += bytes;
        }
    }

    /// Takes what another pass counted.
    pub fn add(&mut self, other: &Self) {
        for ((rows, total), (other, bytes)) in self.found.iter_mut().zip(&other.found) {
            rows.count += other.count;
            let room = EXAMPLES.saturating_sub(rows.examples.len());
            rows.examples.extend(other.examples.iter().take(room).cloned());
            *total += bytes;
        }
    }

    /// How many ids have it.
    pub fn count(&self, fault: Fault) -> u64 {
        self.found[fault as usize].0.count
    }

    /// The length of all texts that it concerns.
    pub fn bytes(&self, fault: Fault) -> u64 {
        self.found[fault as usize].1
    }

    /// One event for each fault that was seen.
    pub fn events(&self, totals: Totals) -> Vec<CorruptionEvent> {
        let seen = Fault::ALL.into_iter().filter(|fault| self.count(*fault) > 0);
        seen.map(|fault| {
            let rows = &self.found[fault as usize].0;
            CorruptionEvent {
                check: fault.check().to_owned(),
                component: fault.component().to_owned(),
                corruption_type: fault.corruption_type(),
                invariant: fault.invariant().map(str::to_owned),
                severity: fault.severity(rows.count, totals.live),
                object: fault.object().to_owned(),
                count: rows.count,
                evidence: format!("{}; {}", fault.what(), rows.evidence()),
                advice: advice(fault, self, totals),
            }
        })
        .collect()
    }
}
