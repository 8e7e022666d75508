use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// Failures of a look that count: the last waits are of half a minute to a whole one, so that all is looked at soon after
/// what was in the way has ended, though events made many looks fail meanwhile.
const FAILURES: u32 = 7;

/// Keys to look at: each at most once in the queue, and never by two workers at once. What comes while a key is
/// being looked at is looked at again afterwards. Bounded by the number of objects.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// What must not wait for all of `ready`, which must not wait for all of this either.
    first: VecDeque<K>,
    /// Whether the last look was for one of `first`.
    was_first: bool,
    /// What is in one of the two.
    queued: HashSet<K>,
    active: HashSet<K>,
    /// Came while active.
    again: HashSet<K>,
    /// Of those, what comes before all that wait.
    urgent: HashSet<K>,
    /// The one moment at which each key is due.
    due: HashMap<K, Instant>,
    timers: BTreeSet<(Instant, K)>,
    failures: HashMap<K, u32>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            first: VecDeque::new(),
            was_first: false,
            queued: HashSet::new(),
            active: HashSet::new(),
            again: HashSet::new(),
            urgent: HashSet::new(),
            due: HashMap::new(),
            timers: BTreeSet::new(),
            failures: HashMap::new(),
        };
        Self { state: Mutex::new(state), wake: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be looked at now.
    pub fn add(&self, key: K) {
        self.state().add(key);
        self.wake.notify_one();
    }

    /// To be looked at soon, however many wait: every other look is for these.
    pub fn add_first(&self, key: K) {
        self.state().add_first(key);
        self.wake.notify_one();
    }

    /// To be looked at then, or earlier where that was asked for before.
    pub fn add_at(&self, key: K, when: Instant) {
        let mut state = self.state();
        if state.due.get(&key).is_none_or(|known| *known > when) {
            state.set_timer(key, Some(when));
            self.wake.notify_one();
        }
    }

    /// The next key; to be given back by [`Self::done`] or [`Self::failed`].
    pub async fn next(&self) -> K {
        loop {
            let woken = self.wake.notified();
            let next = {
                let mut state = self.state();
                state.ripen(Instant::now());
                if let Some(key) = state.pop() {
                    state.queued.remove(&key);
                    state.active.insert(key.clone());
                    if !state.queued.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                state.timers.first().map(|(when, _)| *when)
            };
            match next {
                Some(when) => tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(when) => {}
                },
                None => woken.await,
            }
        }
    }

    /// A key was looked at; `next` is when to look again though nothing happens.
    pub fn done(&self, key: &K, next: Option<Instant>) {
        let mut state = self.state();
        state.failures.remove(key);
        // A timer that is there now was set meanwhile.
        let next = next.into_iter().chain(state.due.get(key).copied()).min();
        state.set_timer(key.clone(), next);
        state.finish(key);
        drop(state);
        self.wake.notify_one();
    }

    /// Looking at a key failed: it is looked at again, later each time. When.
    pub fn failed(&self, key: &K) -> Duration {
        let mut state = self.state();
        let failures = state.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1).min(FAILURES);
        let wait = backoff(*failures);
        state.active.remove(key);
        state.again.remove(key);
        state.urgent.remove(key);
        state.set_timer(key.clone(), Some(Instant::now() + wait));
        drop(state);
        self.wake.notify_one();
        wait
    }

    /// How many keys wait to be looked at now.
    pub fn depth(&self) -> usize {
        let mut state = self.state();
        state.ripen(Instant::now());
        state.queued.len()
    }
}

/// Doubles with each failure, up to five minutes; half to whole of it, so that what failed together does not come
/// back together.
pub fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF.1);
    doubled.mul_f64(rand::random_range(0.5..1.0))
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K) {
        self.set_timer(key.clone(), None);
        if self.active.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<K> {
        let first = if self.was_first && !self.ready.is_empty() { None } else { self.first.pop_front() };
        self.was_first = first.is_some();
        first.or_else(|| self.ready.pop_front())
    }

    fn add_first(&mut self, key: K) {
        self.add(key.clone());
        if let Some(at) = self.ready.iter().rposition(|known| *known == key) {
            self.ready.remove(at);
            self.first.push_back(key);
        } else if self.again.contains(&key) {
            self.urgent.insert(key);
        }
    }

    fn finish(&mut self, key: &K) {
        self.active.remove(key);
        let urgent = self.urgent.remove(key);
        if self.again.remove(key) {
            if urgent {
                self.add_first(key.clone());
            } else {
                self.add(key.clone());
            }
        }
    }

    fn set_timer(&mut self, key: K, when: Option<Instant>) {
        if let Some(known) = self.due.remove(&key) {
            self.timers.remove(&(known, key.clone()));
        }
        if let Some(when) = when {
            self.due.insert(key.clone(), when);
            self.timers.insert((when, key));
        }
    }

    /// Moves what is due to the queue.
    fn ripen(&mut self, now: Instant) {
        while let Some((when, key)) = self.timers.first().cloned()
            && when <= now
        {
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_queued_once_and_never_in_two_hands() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.depth(), 1);
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert_eq!(queue.depth(), 0, "it is in a worker's hands");
        queue.done(&"a", None);
        assert_eq!(queue.next().await, "a");
        queue.done(&"a", None);
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test]
    async fn what_is_urgent_gets_every_other_look() {
        let queue = Queue::default();
        for key in ["a", "b", "c", "d", "e"] {
            queue.add(key);
        }
        queue.add_first("d");
        queue.add_first("e");
        let mut order = vec![queue.next().await];
        queue.add_first("d");
        assert_eq!((order[0], queue.depth()), ("d", 4), "it is in a worker's hands");
        queue.done(&"d", None);
        while queue.depth() > 0 {
            order.push(queue.next().await);
        }
        assert_eq!(order, ["d", "a", "e", "b", "d", "c"]);
    }

    #[test]
    fn the_earliest_moment_counts_and_an_event_comes_before_it() {
        let queue = Queue::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        queue.add_at("late", after(60));
        queue.add_at("late", after(90));
        queue.add_at("early", after(10));
        let mut state = queue.state();
        let ripe = |state: &mut State<&'static str>, seconds| {
            state.ripen(after(seconds));
            state.queued.clear();
            state.ready.drain(..).collect::<Vec<_>>()
        };
        assert_eq!(ripe(&mut state, 9), [""; 0]);
        assert_eq!(ripe(&mut state, 10), ["early"]);
        state.add("late");
        assert_eq!(ripe(&mut state, 11), ["late"]);
        assert_eq!(ripe(&mut state, 600), [""; 0], "the event took its timer with it");
    }

    #[tokio::test]
    async fn failures_wait_longer_each_time_up_to_a_cap_and_success_forgets_them() {
        let queue = Queue::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            queue.add("a");
            let key = queue.next().await;
            waits.push(queue.failed(&key));
        }
        assert!(waits[0] <= Duration::from_secs(1) && waits[11] >= Duration::from_secs(32), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(64)), "{waits:?}");
        queue.add("a");
        let key = queue.next().await;
        queue.done(&key, None);
        queue.add("a");
        let key = queue.next().await;
        assert!(queue.failed(&key) <= Duration::from_secs(1));
    }
}
