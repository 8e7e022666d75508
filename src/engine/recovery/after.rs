//! Whether a recovery did what it was to do.

use crate::domain::{Check, CorruptionEvent, CorruptionType, RecoveryStep, RepairAction, Severity, Verdict};
use crate::engine::consistency::MODEL;
use crate::engine::integrity::vectors::check;

/// What checks said of a bank at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// The damage.
    pub events: Vec<CorruptionEvent>,
}

impl Seen {
    /// For people: how many checks passed, and what did not.
    pub fn told(&self) -> String {
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        format!(
            "{} checks passed, {} failed, {} unknown; {} damages",
            count(Verdict::Passed),
            count(Verdict::Failed),
            count(Verdict::Unknown),
            self.events.len()
        )
    }

    /// The event of the same damage.
    pub fn find(&self, event: &CorruptionEvent) -> Option<&CorruptionEvent> {
        self.events.iter().find(|other| same(other, event))
    }

    /// Whether it was known that this damage was not there. How points differ from their rows is not where no point could be
    /// read, though the comparison was made.
    fn knew(&self, event: &CorruptionEvent) -> bool {
        let of_points = matches!(event.invariant.as_deref(), Some("I4" | "I5" | "I6"));
        let unread =
            of_points && self.find_check(check::COLLECTION).is_some() && self.find_check(check::READ).is_none();
        self.measured(&event.check, &event.component) && !unread
    }

    fn find_check(&self, id: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    fn measured(&self, id: &str, component: &str) -> bool {
        let of = |check: &&Check| check.id == id && check.component == component;
        self.checks.iter().find(of).is_some_and(|check| check.verdict != Verdict::Unknown)
    }
}

fn same(a: &CorruptionEvent, b: &CorruptionEvent) -> bool {
    (&a.check, &a.component, a.corruption_type, &a.invariant, &a.object)
        == (&b.check, &b.component, b.corruption_type, &b.invariant, &b.object)
}

/// Whether a damage is gone. Of one that is in rows or points, it is enough that fewer have it: what the set never had is
/// told, and stays.
pub fn is_gone(before: &CorruptionEvent, after: &Seen) -> bool {
    after
        .find(before)
        .is_none_or(|left| before.corruption_type == CorruptionType::DataInconsistency && left.count < before.count)
}

/// Why the bank is to be put back as it was; none where every damage that was planned for is gone, all that was measured
/// before is measured again, and no new damage came but what the plan said.
pub fn why_back(before: &Seen, planned: &[&CorruptionEvent], steps: &[&RecoveryStep], after: &Seen) -> Option<String> {
    if let Some(event) = planned.iter().find(|event| !is_gone(event, after)) {
        return Some(format!("{} of {} is still damaged", event.object, event.component));
    }
    // What is drawn at random may differ between two looks at the same bank.
    let drawn = |id: &str| id == MODEL;
    let lost = |check: &&Check| {
        check.verdict != Verdict::Unknown && !drawn(&check.id) && !after.measured(&check.id, &check.component)
    };
    if let Some(check) = before.checks.iter().find(lost) {
        // A table that is gone takes its own checks along; those of the file itself are always made.
        let again = after.checks.iter().find(|other| other.id == check.id && other.component == check.component);
        if let Some(again) = again {
            return Some(format!("{} of {} can no longer be measured: {}", check.id, check.component, again.detail));
        }
    }
    let new = |event: &&CorruptionEvent| {
        event.severity >= Severity::Medium
            && !drawn(&event.check)
            && before.knew(event)
            && before.find(event).is_none_or(|known| event.count > known.count)
            && !expected(event, before, steps)
    };
    after
        .events
        .iter()
        .find(new)
        .map(|event| format!("{} of {} came to be damaged: {}", event.object, event.component, event.evidence))
}

/// Whether the plan said so: rows or points that it loses leave their other side alone, and a collection that is put back
/// has points of rows that were removed since.
fn expected(event: &CorruptionEvent, before: &Seen, steps: &[&RecoveryStep]) -> bool {
    let restores = [RepairAction::RestoreDatabase, RepairAction::SalvageDatabase, RepairAction::RestoreCollection];
    let lost: u64 = steps.iter().filter(|s| restores.contains(&s.action)).map(|step| step.lost_memories).sum();
    let known = before.find(event).map_or(0, |known| known.count);
    match event.invariant.as_deref() {
        Some("I3") if steps.iter().any(|step| step.action == RepairAction::RestoreCollection) => true,
        Some("I1" | "I3" | "I4" | "I11") => event.count.saturating_sub(known) <= lost,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(check: &str, invariant: Option<&str>, kind: CorruptionType, count: u64) -> CorruptionEvent {
        CorruptionEvent {
            check: check.to_owned(),
            component: "vectors".to_owned(),
            corruption_type: kind,
            invariant: invariant.map(str::to_owned),
            severity: Severity::High,
            object: "points".to_owned(),
            count,
            evidence: "it is so".to_owned(),
            advice: String::new(),
        }
    }

    fn seen(events: &[CorruptionEvent], unknown: bool) -> Seen {
        let check = |id: &str| {
            if unknown { Check::unknown(id, "vectors", "away") } else { Check::passed(id, "vectors", "") }
        };
        Seen { checks: ["a", "b"].map(check).to_vec(), events: events.to_vec() }
    }

    fn step(action: RepairAction, lost_memories: u64) -> RecoveryStep {
        RecoveryStep {
            action,
            target: "vectors".to_owned(),
            items: 1,
            lossless: lost_memories == 0,
            lost_memories,
            lost_rows: lost_memories,
            estimated_seconds: None,
            detail: String::new(),
        }
    }

    #[test]
    fn what_is_left_or_came_new_is_a_reason_to_go_back() {
        use CorruptionType::{DataInconsistency, FileCorruption};
        let broken = event("a", Some("I9"), FileCorruption, 3);
        let missing = |count| event("b", Some("I1"), DataInconsistency, count);
        let none = step(RepairAction::RestoreCollection, 0);
        let some = step(RepairAction::RestoreCollection, 2);
        let back = |before: &[CorruptionEvent], steps: &RecoveryStep, after: &Seen| {
            let planned: Vec<_> = before.iter().collect();
            why_back(&seen(before, false), &planned, &[steps], after)
        };
        let before = [broken.clone()];
        assert_eq!(back(&before, &none, &seen(&[], false)), None);
        let fewer = event("a", Some("I9"), FileCorruption, 2);
        assert!(back(&before, &none, &seen(&[fewer], false)).unwrap().contains("still damaged"));
        assert!(back(&before, &none, &seen(&[], true)).unwrap().contains("no longer be measured"));
        assert!(back(&before, &none, &seen(&[missing(1)], false)).unwrap().contains("came to be damaged"));
        assert_eq!(back(&before, &some, &seen(&[missing(2)], false)), None, "as the plan said");
        assert!(back(&before, &some, &seen(&[missing(3)], false)).is_some());
        assert_eq!(back(&[missing(9)], &none, &seen(&[missing(2)], false)), None, "fewer than before");
        assert!(back(&[missing(9)], &none, &seen(&[missing(9)], false)).is_some());
        // Nor is what a store had whose collection is gone by now: how its points differ from their rows.
        let unhashed = event("b", Some("I5"), DataInconsistency, 4);
        let gone = event(check::COLLECTION, None, FileCorruption, 1);
        let mut before = seen(std::slice::from_ref(&gone), false);
        let new = |before: &Seen| why_back(before, &[&gone], &[&none], &seen(std::slice::from_ref(&unhashed), false));
        assert!(new(&before).is_some());
        before.checks.push(Check::failed(check::COLLECTION, "vectors", "it is gone"));
        assert_eq!(new(&before), None);
        before.checks.push(Check::passed(check::READ, "vectors", ""));
        assert!(new(&before).is_some());
        // What could not be seen before is not new.
        let blind = seen(&[], true);
        assert_eq!(why_back(&blind, &[], &[&none], &seen(&[missing(5)], false)), None);
    }
}
