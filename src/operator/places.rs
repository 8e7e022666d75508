use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::key::Key;

/// The order in which runs wait for a place: by slot, then by when they were made.
type Turn = (Timestamp, Timestamp, Key);

/// How many Jobs may be active at once, and which runs wait for a place: the oldest slot first, whatever its bank.
#[derive(Debug)]
pub struct Places {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    active: BTreeSet<Key>,
    waiting: BTreeMap<Key, (Turn, Key)>,
    turns: BTreeMap<Turn, Key>,
}

impl Places {
    /// So many places, all free.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run has a Job already.
    pub fn occupy(&self, run: &Key) {
        let mut state = self.state();
        state.leave(run);
        state.active.insert(run.clone());
    }

    /// Whether a run may start now; else it waits for its turn.
    pub fn claim(&self, run: &Key, bank: &Key, slot: Timestamp, created: Timestamp) -> bool {
        let mut state = self.state();
        if state.active.contains(run) {
            return true;
        }
        state.wait(run, bank, (slot, created, run.clone()));
        let free = self.limit.saturating_sub(state.active.len());
        let mine = state.turns.values().take(free).any(|next| next == run);
        if mine {
            state.leave(run);
            state.active.insert(run.clone());
        }
        mine
    }

    /// A run ended, or will not start now. The banks of those whose turn it is.
    pub fn release(&self, run: &Key) -> Vec<Key> {
        let mut state = self.state();
        let freed = state.active.remove(run);
        let waited = state.leave(run);
        if !(freed || waited) {
            return Vec::new();
        }
        let free = self.limit.saturating_sub(state.active.len());
        let next = state.turns.values().take(free);
        let banks: BTreeSet<Key> =
            next.filter_map(|run| state.waiting.get(run).map(|(_, bank)| bank.clone())).collect();
        banks.into_iter().collect()
    }

    /// The runs that have a place or wait for one.
    pub fn known(&self) -> Vec<Key> {
        let state = self.state();
        state.active.iter().chain(state.waiting.keys()).cloned().collect()
    }

    /// How many there may be.
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl State {
    fn wait(&mut self, run: &Key, bank: &Key, turn: Turn) {
        self.leave(run);
        self.turns.insert(turn.clone(), run.clone());
        self.waiting.insert(run.clone(), (turn, bank.clone()));
    }

    fn leave(&mut self, run: &Key) -> bool {
        let Some((turn, _)) = self.waiting.remove(run) else { return false };
        self.turns.remove(&turn);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_oldest_slot_gets_the_next_place() {
        let places = Places::new(1);
        let claim = |run: &str, slot| places.claim(&key(run), &key(&format!("bank-{run}")), at(slot), at(0));
        assert!(claim("a", 10));
        assert!(claim("a", 10), "a place is claimed once");
        assert!(!claim("c", 30));
        assert!(!claim("b", 20));
        assert_eq!(places.release(&key("a")), [key("bank-b")]);
        assert!(!claim("c", 30), "it is not its turn");
        assert!(claim("b", 20));
        assert_eq!(places.release(&key("b")), [key("bank-c")]);
        assert!(claim("c", 30));
        assert_eq!(places.release(&key("c")), []);
    }

    #[test]
    fn who_gives_up_waiting_lets_the_next_pass() {
        let places = Places::new(2);
        let claim = |run: &str, slot| places.claim(&key(run), &key(run), at(slot), at(0));
        assert!(claim("a", 1) && claim("b", 2));
        assert!(!claim("c", 3) && !claim("d", 4));
        assert_eq!(places.release(&key("c")), [], "nothing is free");
        assert_eq!(places.release(&key("a")), [key("d")]);
        places.occupy(&key("x"));
        assert!(!claim("d", 4), "a Job that was found takes the place");
        assert_eq!(places.release(&key("nobody")), []);
        assert_eq!(places.release(&key("x")), [key("d")]);
        assert!(!claim("e", 5), "it is not its turn");
        assert_eq!(places.release(&key("d")), [key("e")]);
    }
}
