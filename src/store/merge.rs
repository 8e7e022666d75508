//! What a report changes about what is open: pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{RunReport, Verdict};

/// A check of a component: (`Check::id`, `Check::component`).
pub(super) type Subject = (String, String);

/// An open record, as far as merging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// The record's id.
    pub id: String,
    /// What it was seen by.
    pub subject: Subject,
    /// The place in the order of runs of the one that last saw it.
    pub last_seen: i64,
}

/// What a report may change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// Its run's place in the order of runs: what a later one saw is not changed.
    pub seq: i64,
    /// What it may close ([`judged`]).
    pub judged: BTreeSet<Subject>,
    /// What a newer report has judged already: of that, nothing changes.
    pub settled: BTreeSet<Subject>,
}

/// What a report changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes<'a, T> {
    /// What it saw for the first time, or again after it was gone.
    pub new: Vec<&'a T>,
    /// What it saw again, with the id of the open record.
    pub again: Vec<(&'a str, &'a T)>,
    /// The ids of what it looked for and did not see.
    pub gone: Vec<String>,
}

/// What the checks of a report may close: those that came to a verdict in a task that told all it saw.
/// Where a task left events out, what it does not tell may still be there.
pub(super) fn judged(report: &RunReport) -> BTreeSet<Subject> {
    let complete = report.tasks.iter().filter(|task| task.omitted == 0);
    complete
        .flat_map(|task| &task.checks)
        .filter(|check| check.verdict != Verdict::Unknown)
        .map(|check| (check.id.clone(), check.component.clone()))
        .collect()
}

/// Compares what is open with what a report saw. Reports may come in any order: what is open in the end
/// is the same.
pub(super) fn changes<'a, K: Ord, T>(
    open: &'a BTreeMap<K, Open>,
    seen: &BTreeMap<K, &'a T>,
    subject: impl Fn(&T) -> Subject,
    scope: &Scope,
) -> Changes<'a, T> {
    let mut changes = Changes { new: Vec::new(), again: Vec::new(), gone: Vec::new() };
    for (key, &item) in seen {
        match open.get(key) {
            _ if scope.settled.contains(&subject(item)) => {}
            Some(open) if open.last_seen > scope.seq => {}
            Some(open) => changes.again.push((&open.id, item)),
            None => changes.new.push(item),
        }
    }
    let closable = |open: &Open| {
        open.last_seen <= scope.seq && scope.judged.contains(&open.subject) && !scope.settled.contains(&open.subject)
    };
    changes.gone = open
        .iter()
        .filter(|(key, open)| !seen.contains_key(key) && closable(open))
        .map(|(_, open)| open.id.clone())
        .collect();
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(number: u8) -> Subject {
        (format!("check-{number}"), "database".to_owned())
    }

    proptest! {
        /// Items are numbers; the check that sees one is its last digit.
        #[test]
        fn only_what_was_looked_for_is_closed_and_nothing_is_told_twice(
            open in prop::collection::btree_set(0u8..60, 0..40),
            seen in prop::collection::btree_set(0u8..60, 0..40),
            judged in prop::collection::btree_set(0u8..10, 0..10),
            settled in prop::collection::btree_set(0u8..10, 0..5),
        ) {
            let rows: BTreeMap<u8, Open> =
                open.iter().map(|n| (*n, Open { id: n.to_string(), subject: subject(n % 10), last_seen: i64::from(*n) })).collect();
            let items: BTreeMap<u8, &u8> = seen.iter().map(|n| (*n, n)).collect();
            let subjects = |numbers: &BTreeSet<u8>| numbers.iter().copied().map(subject).collect();
            let scope = Scope { seq: 40, judged: subjects(&judged), settled: subjects(&settled) };
            let changes = changes(&rows, &items, |n| subject(n % 10), &scope);

            let new: BTreeSet<u8> = changes.new.iter().map(|n| **n).collect();
            let again: BTreeSet<u8> = changes.again.iter().map(|(_, n)| **n).collect();
            let gone: BTreeSet<u8> = changes.gone.iter().map(|id| id.parse().unwrap()).collect();
            for n in 0u8..60 {
                let (was, is) = (open.contains(&n), seen.contains(&n));
                let free = !settled.contains(&(n % 10));
                let older = n <= 40;
                prop_assert_eq!(new.contains(&n), is && !was && free);
                prop_assert_eq!(again.contains(&n), is && was && free && older);
                prop_assert_eq!(gone.contains(&n), was && !is && free && older && judged.contains(&(n % 10)));
            }
        }
    }
}
