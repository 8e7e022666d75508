//! A memory's state and how it came to it (I12).

use super::cell::{Defect, STATES};
use super::directory::{Directory, Part};
use super::tally::Rule;
use crate::domain::Severity;

/// A status history that ends elsewhere than its memory (I12), of object `memories.state`.
pub const BROKEN_CHAIN: Rule = Rule {
    check: "sqlite-states",
    invariant: Some("I12"),
    severity: Severity::Low,
    what: "the status history ends in another state",
    advice: "Set the state that the history ends in, or leave it: nothing is lost.",
};

/// A state as a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u8);

impl State {
    /// Deleted.
    pub const DELETED: Self = Self(1 << 3);

    /// Reads a state's name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        STATES.iter().position(|name| name.as_bytes() == text).map(|at| Self(1 << at))
    }
}

/// The time that a row's state asks for and that is not set: the defect, and its column.
pub fn times(state: &[u8], archived: bool, deleted: bool) -> Option<(Defect, &'static str)> {
    match state {
        b"deleted" if !deleted => Some((Defect::DeletedWithoutTime, "deleted_at")),
        b"archived" if !archived => Some((Defect::ArchivedWithoutTime, "archived_at")),
        _ => None,
    }
}

/// A memory's state, and what its status history ends in.
#[derive(Clone, Copy, Debug)]
struct End {
    state: State,
    latest: i64,
    /// The states of all changes at the latest time: two in one transaction may have the same.
    at_latest: u8,
    /// The state of the change that was stored last: a clock may have been put back.
    stored_last: u8,
}

impl End {
    /// Whether neither the latest nor the last stored change led to the state that the memory has. A
    /// memory without any change was made by an import.
    const fn broken(self) -> bool {
        let known = self.at_latest | self.stored_last;
        known != 0 && known & self.state.0 == 0
    }
}

/// The memories of one part with the ends of their status histories.
///
/// Only the end is judged, for healthy banks have breaks within: creation is recorded as a change from
/// deleted to active, and deletion through MCP as one from active, whatever the state was.
#[derive(Debug)]
pub struct Chains {
    ends: Directory<End>,
}

impl Chains {
    /// For about so many memories in all parts together.
    pub fn new(part: Part, rows: u64) -> Self {
        Self { ends: Directory::new(part, rows) }
    }

    /// Takes a memory. All of them come before the first change.
    pub fn memory(&mut self, id: u128, state: State) {
        self.ends.insert(id, End { state, latest: i64::MIN, at_latest: 0, stored_last: 0 });
    }

    /// Takes a change of a memory's state, in the order in which they are stored.
    pub fn change(&mut self, memory: u128, to: State, at: i64) {
        let Some(end) = self.ends.get_mut(memory) else { return };
        end.stored_last = to.0;
        if at > end.latest {
            end.latest = at;
            end.at_latest = 0;
        }
        if at == end.latest {
            end.at_latest |= to.0;
        }
    }

    /// Whether any history ends elsewhere than its memory.
    pub fn any_broken(&self) -> bool {
        self.ends.values().any(|end| end.broken())
    }

    /// Whether the history of this memory does.
    pub fn broken(&mut self, memory: u128) -> bool {
        self.ends.get_mut(memory).is_some_and(|end| end.broken())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(ends_in: &str, changes: &[(&str, i64)]) -> bool {
        let state = |name: &str| State::parse(name.as_bytes()).unwrap();
        let mut chains = Chains::new(Part::all(1).next().unwrap(), 1);
        chains.memory(7, state(ends_in));
        for (to, at) in changes {
            chains.change(7, state(to), *at);
            chains.change(8, state("deleted"), i64::MAX);
        }
        assert_eq!(chains.any_broken(), chains.broken(7));
        chains.broken(7)
    }

    #[test]
    fn a_history_must_end_in_the_state() {
        assert!(!broken("paused", &[("active", 1), ("paused", 2)]));
        assert!(broken("active", &[("active", 1), ("paused", 2)]));
        assert!(broken("deleted", &[("active", 1)]));
    }

    #[test]
    fn imports_ties_and_clocks_put_back_are_no_damage() {
        assert!(!broken("paused", &[]), "no history at all");
        assert!(!broken("active", &[("active", 5), ("paused", 5)]), "two changes at one time");
        assert!(!broken("paused", &[("active", 9), ("paused", 2)]), "the clock went back");
        assert!(!broken("paused", &[("paused", 9), ("active", 2)]), "an import stored the older change last");
    }

    #[test]
    fn deleted_and_archived_have_times() {
        assert_eq!(times(b"deleted", true, false), Some((Defect::DeletedWithoutTime, "deleted_at")));
        assert_eq!(times(b"archived", false, true), Some((Defect::ArchivedWithoutTime, "archived_at")));
        assert_eq!(times(b"archived", true, false), None);
        assert_eq!(times(b"active", true, true), None, "a memory that came back keeps its times");
    }
}
