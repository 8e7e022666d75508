use jiff::Timestamp;

use super::bank::BankPlan;
use super::conditions::Judged;
use super::event::{EventDraft, EventReason};
use super::row::{Row, requested};
use super::view::{RunOwner, RunView};
use super::wake::Wake;
use crate::domain::{NetworkPart, Phase, Reason};
use crate::engine::schedule::{ConcurrencyPolicy, admits, next_admission};
use crate::resources::{ConditionName, ValidBank};

/// Why a run waits: a closed set, used in status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // docs/scheduling.md explains each.
pub enum HeldReason {
    Suspended,
    OutsideWindow,
    Condition,
    EarlierRun,
    Locked,
    /// As many Jobs as there may be are active: the front end that counts them holds the run.
    JobLimit,
    /// The bank's spec cannot be used.
    Refused,
    Unreachable,
    /// Its bank's workload is being scaled down for it: the front end that does so holds the run, which has the bank
    /// already.
    Quiescing,
    /// The same front end cannot do so now. The run is tried again, and keeps nobody else from the bank meanwhile.
    CannotScale,
}

impl HeldReason {
    /// The form in documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::OutsideWindow => "OutsideWindow",
            Self::Condition => "Condition",
            Self::EarlierRun => "EarlierRun",
            Self::Locked => "Locked",
            Self::JobLimit => "JobLimit",
            Self::Refused => "Refused",
            Self::Unreachable => "Unreachable",
            Self::Quiescing => "Quiescing",
            Self::CannotScale => "CannotScale",
        }
    }

    /// Whether this is why a run waits.
    pub fn holds(self, run: &RunView) -> bool {
        run.phase == Phase::Held && run.reason == self.name()
    }
}

const LOCKED: &str = "waits for other runs of this bank: it, or one of them, needs the bank alone";

/// What the queue of one bank goes by.
pub struct Queue<'a> {
    pub bank: &'a ValidBank,
    pub rows: &'a [Row<'a>],
    /// Owners that exist beside the rows: checks and audits.
    pub owners: &'a [(RunOwner, bool)],
    pub judged: &'a [(ConditionName, Judged)],
    /// Parts that are known not to answer over the network.
    pub missed: &'a [NetworkPart],
    pub now: Timestamp,
}

/// Who holds the bank, or is before others in the queue for it.
#[derive(Default)]
struct Lock {
    shared: bool,
    exclusive: bool,
}

impl Lock {
    const fn take(&mut self, run: &RunView) {
        if run.exclusive {
            self.exclusive = true;
        } else {
            self.shared = true;
        }
    }

    const fn refuses(&self, run: &RunView) -> bool {
        self.exclusive || (run.exclusive && self.shared)
    }
}

impl Queue<'_> {
    /// Decides of every run that waits: skipped, started, or held and why. Slot order; who waits for the lock
    /// alone keeps later ones from overtaking it, who waits for anything else does not.
    pub fn decide(&self, runs: &[RunView], plan: &mut BankPlan, wake: &mut Wake) {
        let mut ordered: Vec<_> = runs.iter().collect();
        // Nobody comes before a run for which a workload is away.
        let away = |run: &RunView| HeldReason::Quiescing.holds(run);
        ordered.sort_by_key(|run| (!away(run), run.slot.unwrap_or(run.created), run.created, &run.name));
        let in_order = ordered.into_iter();
        let running: Vec<_> = in_order.clone().filter(|run| run.phase == Phase::Running).collect();
        let waiting: Vec<_> = in_order.filter(|run| run.phase.waiting()).collect();
        let mut lock = Lock::default();
        for run in &running {
            lock.take(run);
        }
        let mut started: Vec<&RunView> = Vec::new();
        for run in &waiting {
            if let Some((reason, message)) = self.skip(run, &waiting, plan) {
                plan.skip.push((run.name.clone(), reason, message));
                continue;
            }
            let busy = running.iter().chain(&started).find(|other| other.owner == run.owner);
            let held = self
                .closed(run, wake)
                .or_else(|| self.beside(run, busy.copied()?, plan))
                .or_else(|| lock.refuses(run).then(|| (HeldReason::Locked, LOCKED.to_owned())));
            match held {
                None => {
                    plan.start.push(run.name.clone());
                    if !HeldReason::CannotScale.holds(run) {
                        started.push(run);
                        lock.take(run);
                    }
                }
                Some((reason, message)) => {
                    if reason == HeldReason::Locked {
                        lock.take(run);
                    }
                    let known = run.phase == Phase::Held && run.reason == reason.name() && run.message == message;
                    if !known {
                        plan.held.push((run.name.clone(), reason, message));
                    }
                }
            }
        }
    }

    fn row(&self, owner: &RunOwner) -> Option<&Row<'_>> {
        self.rows.iter().find(|row| row.owner() == *owner)
    }

    /// A run that nobody asks for any more, or whose next slot has come.
    fn skip(&self, run: &RunView, waiting: &[&RunView], plan: &mut BankPlan) -> Option<(Reason, String)> {
        match &run.owner {
            RunOwner::Hand => return None,
            RunOwner::Policy { policy, schedule } if self.row(&run.owner).is_none() => {
                let message = format!("the schedule {policy}/{schedule} does not apply to this bank any more");
                return Some((Reason::PolicyDeleted, message));
            }
            RunOwner::Check(name) | RunOwner::Audit(name)
                if self.owners.iter().all(|(other, _)| *other != run.owner) =>
            {
                return Some((Reason::PolicyDeleted, format!("{name}, which asked for this run, was deleted")));
            }
            _ => {}
        }
        // Somebody asked for it, now: no slot replaces it.
        let asked_for = requested(run, &self.bank.meta.name);
        let newer =
            waiting.iter().find(|other| other.owner == run.owner && other.slot > run.slot && other.slot.is_some());
        let newer = newer.filter(|_| !asked_for)?;
        let message = format!("the next slot came before it could start: {}", newer.name);
        plan.events.push(EventDraft::new(EventReason::RunSuperseded, format!("{}: {message}", run.name)));
        Some((Reason::Superseded, message))
    }

    /// What keeps a run from starting even were it alone.
    fn closed(&self, run: &RunView, wake: &mut Wake) -> Option<(HeldReason, String)> {
        if self.bank.suspend {
            return Some((HeldReason::Suspended, "the bank is suspended".to_owned()));
        }
        if self.owners.iter().any(|(owner, suspended)| *suspended && *owner == run.owner) {
            return Some((HeldReason::Suspended, "what asked for this run is suspended".to_owned()));
        }
        if let Some(part) = self.missed.iter().find(|part| run.needs.contains(part)) {
            let message = format!("waits until {} answers: Reachable tells what is wrong with it", part.name());
            return Some((HeldReason::Unreachable, message));
        }
        let row = self.row(&run.owner);
        if let Some(row) = row {
            let policy = row.policy;
            if policy.suspend {
                return Some((HeldReason::Suspended, format!("the policy {} is suspended", policy.meta.name)));
            }
            let open = admits(&policy.windows, &policy.blackouts, &policy.time_zone, self.now);
            if !open && !requested(run, &self.bank.meta.name) {
                let next = next_admission(&policy.windows, &policy.blackouts, &policy.time_zone, self.now);
                wake.at(next);
                let when = next.map_or_else(
                    || "none opens within two years".to_owned(),
                    |next| format!("the next opens at {next}"),
                );
                return Some((
                    HeldReason::OutsideWindow,
                    format!("outside the windows of {}: {when}", policy.meta.name),
                ));
            }
            let blocks = |name, status: &str| {
                self.judged.iter().any(|(other, judged)| *other == name && judged.status.name() == status)
            };
            if let Some(hold) = policy.hold_while.iter().find(|hold| blocks(hold.condition, hold.status.name())) {
                let (name, status) = (hold.condition.name(), hold.status.name());
                return Some((HeldReason::Condition, format!("held by {}: {name} is {status}", policy.meta.name)));
            }
        }
        None
    }

    /// Whether an earlier run of the same owner keeps it waiting. One whose place it takes is cancelled: only now,
    /// where nothing else keeps it from starting.
    fn beside(&self, run: &RunView, busy: &RunView, plan: &mut BankPlan) -> Option<(HeldReason, String)> {
        let concurrency = self.row(&run.owner).map(|row| row.schedule.concurrency);
        if run.owner == RunOwner::Hand || concurrency == Some(ConcurrencyPolicy::Allow) {
            return None;
        }
        // What a person asked for is waited for.
        let replaced = concurrency == Some(ConcurrencyPolicy::Replace) && !requested(busy, &self.bank.meta.name);
        if replaced && run.slot > busy.slot && !plan.cancel.contains(&busy.name) {
            plan.cancel.push(busy.name.clone());
        }
        Some((HeldReason::EarlierRun, format!("waits until {} has ended", busy.name)))
    }
}
