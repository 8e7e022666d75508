use jiff::Timestamp;

use super::bank::Asks;
use super::run::{RunOwner, RunView};
use crate::domain::{Phase, Reason};
use crate::engine::schedule::{admits, next_admission};
use crate::resources::{Condition, Hold, ValidPolicy};

/// Why a run waits though its slot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// Outside the windows of its policy, or on a blackout day.
    Window,
    /// A condition that its policy names.
    Condition,
    /// Another run has the bank.
    Lock,
    /// The bank is suspended.
    Suspended,
}

impl HoldReason {
    /// The form in metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => "Window",
            Self::Condition => "Condition",
            Self::Lock => "Lock",
            Self::Suspended => "Suspended",
        }
    }
}

/// A run that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub run: String,
    /// Why.
    pub reason: HoldReason,
    /// For people.
    pub message: String,
}

/// Which waiting runs may start.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub start: Vec<String>,
    pub held: Vec<Held>,
    pub skip: Vec<(String, Reason, String)>,
    pub next: Option<Timestamp>,
}

/// Goes through the waiting runs in the order of their slots. A bank is locked exclusively by runs that
/// write or need stillness, else shared; nobody overtakes a run that waits for the lock.
pub(super) fn queue(
    asks: &Asks<'_>,
    suspended: bool,
    conditions: &[Condition],
    runs: &[RunView],
    now: Timestamp,
) -> Queue {
    let mut queue = Queue::default();
    let mut shared = runs.iter().any(|run| run.phase == Phase::Running && !run.exclusive);
    let mut exclusive = runs.iter().any(|run| run.phase == Phase::Running && run.exclusive);
    let mut waits_for_lock = false;
    let mut waiting: Vec<&RunView> = runs.iter().filter(|run| run.phase.waiting()).collect();
    waiting.sort_by_key(|run| (run.slot.unwrap_or(run.created), run.name.clone()));
    for run in waiting {
        if let Some(owner) = gone(asks, &run.owner) {
            queue.skip.push((run.name.clone(), Reason::PolicyDeleted, format!("{owner} is gone")));
            continue;
        }
        if suspended {
            queue.hold(run, HoldReason::Suspended, "the bank is suspended".to_owned());
            continue;
        }
        if let Some(policy) = policy_of(asks, run) {
            if run.slot.is_some() && !admits(&policy.windows, &policy.blackouts, &policy.time_zone, now) {
                let opening = next_admission(&policy.windows, &policy.blackouts, &policy.time_zone, now);
                queue.next = [queue.next, opening].into_iter().flatten().min();
                let until =
                    opening.map_or_else(|| "no opening in two years".to_owned(), |time| format!("opens {time}"));
                queue.hold(
                    run,
                    HoldReason::Window,
                    format!("outside the windows of policy {}: {until}", policy.meta.name),
                );
                continue;
            }
            if let Some(hold) = policy.hold_while.iter().find(|hold| holds(hold, conditions)) {
                let message = format!("{} is {}", hold.condition.name(), hold.status.name());
                queue.hold(run, HoldReason::Condition, message);
                continue;
            }
        }
        if waits_for_lock || exclusive || (run.exclusive && shared) {
            waits_for_lock = true;
            queue.hold(run, HoldReason::Lock, "another run has the bank".to_owned());
            continue;
        }
        exclusive |= run.exclusive;
        shared |= !run.exclusive;
        queue.start.push(run.name.clone());
    }
    queue
}

impl Queue {
    fn hold(&mut self, run: &RunView, reason: HoldReason, message: String) {
        self.held.push(Held { run: run.name.clone(), reason, message });
    }
}

fn policy_of<'a>(asks: &Asks<'a>, run: &RunView) -> Option<&'a ValidPolicy> {
    let RunOwner::Policy { policy, .. } = &run.owner else { return None };
    asks.policies.iter().copied().find(|known| known.meta.name == *policy)
}

/// The owner that is no longer there, for people.
fn gone(asks: &Asks<'_>, owner: &RunOwner) -> Option<String> {
    match owner {
        RunOwner::Policy { policy, schedule } => {
            let known = asks.policies.iter().find(|known| known.meta.name == *policy);
            let there = known.is_some_and(|known| known.schedules.iter().any(|s| s.name == *schedule));
            (!there).then(|| format!("schedule {schedule} of policy {policy}"))
        }
        RunOwner::Check { check } => {
            (!asks.checks.iter().any(|known| known.meta.name == *check)).then(|| format!("check {check}"))
        }
        RunOwner::Audit { audit } => {
            (!asks.audits.iter().any(|known| known.meta.name == *audit)).then(|| format!("audit {audit}"))
        }
        RunOwner::Hand => None,
    }
}

fn holds(hold: &Hold, conditions: &[Condition]) -> bool {
    conditions.iter().any(|c| c.type_ == hold.condition.name() && c.status == hold.status.name())
}
