//! Many rows with the same fault are one event: faults are counted by column, with a few rows as proof.

use std::collections::BTreeMap;

use super::cell::Defect;
use crate::domain::{CorruptionEvent, CorruptionType, Severity};

/// How many rows an event names.
pub const EXAMPLES: usize = 5;

/// Some of many rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many there are.
    pub count: u64,
    /// The first [`EXAMPLES`] of them: ids, or row numbers where the id is broken too.
    pub examples: Vec<String>,
}

impl Rows {
    /// Counts a row; names it only as long as names are kept.
    pub fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(name());
        }
    }

    /// `3 rows: ID, ID, ID`.
    pub fn evidence(&self) -> String {
        let noun = if self.count == 1 { "row" } else { "rows" };
        let more = if self.count > self.examples.len() as u64 { ", ..." } else { "" };
        format!("{} {noun}: {}{more}", self.count, self.examples.join(", "))
    }
}

/// The faults of a database by column.
#[derive(Debug, Default)]
pub struct Tally {
    found: BTreeMap<(Defect, String), Rows>,
}

/// What a fault is called, how bad it is, and what to do about it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The check that sees it.
    pub check: &'static str,
    /// The invariant of a bank that it breaks.
    pub invariant: Option<&'static str>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for people.
    pub what: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl Rule {
    /// The event of all rows of an object with this fault.
    pub fn event(&self, component: &str, object: impl Into<String>, rows: &Rows) -> CorruptionEvent {
        CorruptionEvent {
            check: self.check.to_owned(),
            component: component.to_owned(),
            corruption_type: CorruptionType::DataInconsistency,
            invariant: self.invariant.map(str::to_owned),
            severity: self.severity,
            object: object.into(),
            count: rows.count,
            evidence: format!("{}; {}", self.what, rows.evidence()),
            advice: self.advice.to_owned(),
        }
    }
}

impl Tally {
    /// Counts a fault.
    pub fn see(&mut self, defect: Defect, table: &str, column: &str, row: impl FnOnce() -> String) {
        self.found.entry((defect, format!("{table}.{column}"))).or_default().add(row);
    }

    /// One event per fault and column.
    pub fn events(self, component: &str) -> Vec<CorruptionEvent> {
        self.found.into_iter().map(|((defect, object), rows)| defect.rule().event(component, object, &rows)).collect()
    }
}

impl Defect {
    /// Severities: what makes OpenMemory answer with an error for the row, or for every listing that
    /// touches it, is `High` or `Critical`; what only misleads is `Medium`; I12 is `Low`.
    const fn rule(self) -> Rule {
        const RESTORE: &str = "Restore these rows from a verified backup, or correct them by hand.";
        const SET: &str = "Set the column to one of its values, as the row's history tells.";
        match self {
            Self::NotText => rule("sqlite-text", Severity::High, "bytes that are no text in its encoding", RESTORE),
            Self::Nul => rule("sqlite-text", Severity::Medium, "a text with a NUL in it", RESTORE),
            Self::Blob => rule("sqlite-text", Severity::Medium, "bytes where a text belongs", RESTORE),
            Self::NotJson => rule("sqlite-json", Severity::High, "malformed JSON", RESTORE),
            Self::NotDate => rule("sqlite-dates", Severity::High, "not a date that can be read", RESTORE),
            Self::OtherAge => {
                rule("sqlite-dates", Severity::Medium, "a date before 2000 or more than a year ahead", RESTORE)
            }
            Self::NotUuid => Rule {
                invariant: Some("I14"),
                ..rule(
                    "sqlite-uuids",
                    Severity::Critical,
                    "not an id of 32 hex digits (a number, if SQLite took it for one): OpenMemory fails on each list that has it",
                    "Write the id as text; the true one stands in the vector store and in mem0's history.",
                )
            },
            Self::NotState => Rule {
                invariant: Some("I12"),
                ..rule("sqlite-states", Severity::High, "not a state of a memory: OpenMemory fails on it", SET)
            },
            Self::NotEvent => rule("sqlite-states", Severity::Medium, "not an event of mem0's history", SET),
            Self::NotBoolean => rule("sqlite-states", Severity::Medium, "neither 0 nor 1", SET),
            Self::NotInteger => rule("sqlite-states", Severity::Medium, "not an integer", SET),
            Self::DeletedWithoutTime => Rule {
                invariant: Some("I12"),
                ..rule("sqlite-states", Severity::Low, "deleted, but no time of it", "Set deleted_at to updated_at.")
            },
            Self::ArchivedWithoutTime => Rule {
                invariant: Some("I12"),
                ..rule("sqlite-states", Severity::Low, "archived, but no time of it", "Set archived_at to updated_at.")
            },
        }
    }
}

const fn rule(check: &'static str, severity: Severity, what: &'static str, advice: &'static str) -> Rule {
    Rule { check, invariant: None, severity, what, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_one_event_with_five_names() {
        let mut tally = Tally::default();
        for row in 0..1_000_000 {
            tally.see(Defect::NotUuid, "memories", "id", || format!("row {row}"));
        }
        tally.see(Defect::Nul, "memories", "content", || "row 7".to_owned());
        let events = tally.events("database");
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].check.as_str(), events[0].object.as_str()), ("sqlite-text", "memories.content"));
        assert!(events[0].evidence.ends_with("1 row: row 7"), "{}", events[0].evidence);
        assert_eq!((events[1].count, events[1].invariant.as_deref()), (1_000_000, Some("I14")));
        assert!(events[1].evidence.ends_with("row 0, row 1, row 2, row 3, row 4, ..."), "{}", events[1].evidence);
    }
}
