use jiff::Timestamp;

use super::bank::Observed;
use super::conditions::set_condition;
use super::reason::ConditionReason;
use super::run::{PlannedRun, RunOwner, RunView, at_once_name};
use super::spec::run_spec;
use crate::domain::{Digest, Outcome, RunReport, Severity, Task, Verdict};
use crate::engine::schedule::{CronSchedule, Rule, Since, asked, due, run_name};
use crate::resources::{
    CheckCounts, CheckEvent, Condition, IntegrityCheckStatus, Meta, ReportRef, RunNow, Time, ValidBank, ValidCheck,
};

/// A status lists no more events than this.
const MAX_EVENTS: usize = 20;
/// And a detail of them no more characters than this, so that the list stays within 8 KiB.
const MAX_DETAIL: usize = 240;

/// The newest report of a check or an audit.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The report.
    pub report: RunReport,
    /// Its digest.
    pub digest: Option<Digest>,
}

/// What is to be done about an IntegrityCheck.
#[derive(Clone, Debug, Default)]
pub struct CheckPlan {
    /// Runs to make.
    pub create: Vec<PlannedRun>,
    /// Its status once they are made.
    pub status: IntegrityCheckStatus,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// What makes the runs of a check or an audit, the same for both.
pub(super) struct Own<'a> {
    pub meta: &'a Meta,
    pub owner: RunOwner,
    pub task: &'a Task,
    pub schedule: Option<&'a CronSchedule>,
    pub run_now: Option<&'a RunNow>,
    pub suspended: bool,
    pub active_deadline_seconds: u32,
    /// Of the status before: the generation, the next slot, the newest token that was handled.
    pub observed_generation: Option<i64>,
    pub next_slot: Option<Timestamp>,
    pub handled_token: Option<&'a str>,
}

/// The runs to make, the next slot, the token that is now handled, and when to look again.
pub(super) struct OwnPlan {
    pub create: Vec<PlannedRun>,
    pub next_slot: Option<Timestamp>,
    pub handled_token: Option<String>,
    pub next: Option<Timestamp>,
}

impl Own<'_> {
    /// Without a schedule one run per generation, with one a run per slot, and one per run-now token.
    pub fn plan(&self, bank: &ValidBank, runs: &[RunView], now: Timestamp) -> OwnPlan {
        let token = self.run_now.map(|request| request.token.as_str());
        let mut plan = OwnPlan {
            create: Vec::new(),
            next_slot: None,
            handled_token: token.or(self.handled_token).map(str::to_owned),
            next: None,
        };
        if self.suspended {
            return plan;
        }
        let ours: Vec<&RunView> = runs.iter().filter(|run| run.owner == self.owner).collect();
        let unfinished = ours.iter().any(|run| !run.phase.finished());
        let (kind, name) = match &self.owner {
            RunOwner::Audit { audit } => ("SecurityAudit", audit),
            RunOwner::Check { check } => ("IntegrityCheck", check),
            RunOwner::Policy { .. } | RunOwner::Hand => return plan,
        };
        let mut wanted = Vec::new();
        if let Some(cron) = self.schedule {
            let changed = self.observed_generation != self.meta.generation;
            let since = self.next_slot.filter(|_| !changed).unwrap_or(now);
            let handled = ours.iter().filter_map(|run| run.slot).max();
            let rule = Rule { cron, starting_deadline_seconds: None, offset_seconds: 0 };
            let found = due(rule, Since { since, handled }, now);
            // A run that has not ended stands for the slots that come meanwhile.
            if let (Some(slot), false) = (found.run, unfinished) {
                wanted.push((run_name(kind, &bank.meta.name, name, slot), Some(slot)));
            }
            plan.next_slot = cron.next_after(now);
            plan.next = found.next;
        } else {
            let generation = format!("generation {}", self.meta.generation.unwrap_or_default());
            let once = at_once_name(kind, &bank.meta.name, name, &generation);
            // Once a generation was observed with its run made, history may delete the run.
            if self.observed_generation != self.meta.generation {
                wanted.push((once, None));
            }
        }
        if let Some(token) = token
            && asked(token, None, "", self.handled_token)
        {
            // The first run of a generation answers a request that comes with it.
            if wanted.is_empty() {
                wanted.push((at_once_name(kind, &bank.meta.name, name, token), None));
            }
        }
        wanted.retain(|(name, _)| !ours.iter().any(|run| run.name == *name));
        plan.create = wanted
            .into_iter()
            .map(|(name, slot)| {
                let spec = run_spec(bank, name, std::slice::from_ref(self.task), self.active_deadline_seconds);
                PlannedRun::new(spec, self.owner.clone(), slot)
            })
            .collect();
        plan
    }
}

/// Plans an IntegrityCheck of a bank.
pub fn plan_check(
    check: &ValidCheck,
    bank: &ValidBank,
    before: Option<&IntegrityCheckStatus>,
    observed: Observed<'_>,
    newest: Option<&Newest>,
    now: Timestamp,
) -> CheckPlan {
    let own = Own {
        meta: &check.meta,
        owner: RunOwner::Check { check: check.meta.name.clone() },
        task: &check.task,
        schedule: check.schedule.as_ref(),
        run_now: check.run_now.as_ref(),
        suspended: check.suspend || bank.suspend,
        active_deadline_seconds: check.active_deadline_seconds,
        observed_generation: before.and_then(|status| status.observed_generation),
        next_slot: before.and_then(|status| status.next_slot_time.as_ref()).map(|time| time.0),
        handled_token: before.and_then(|status| status.last_run_now_token.as_deref()),
    };
    let plan = own.plan(bank, observed.runs, now);
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = check.meta.generation;
    status.next_slot_time = plan.next_slot.map(Time);
    status.last_run_now_token = plan.handled_token;
    match newest {
        Some(newest) => take(&mut status, newest, check.meta.generation, now),
        None => not_measured(&mut status.conditions, check.meta.generation, now),
    }
    set_condition(
        &mut status.conditions,
        "Ready",
        ("True", ConditionReason::AsExpected, "the check is planned"),
        check.meta.generation,
        now,
    );
    CheckPlan { create: plan.create, status, next: plan.next }
}

/// What both kinds say before their first run ended.
pub(super) fn not_measured(conditions: &mut Vec<Condition>, generation: Option<i64>, now: Timestamp) {
    for name in ["Succeeded", "Passed"] {
        if !conditions.iter().any(|condition| condition.type_ == name) {
            let state = ("Unknown", ConditionReason::NotChecked, "no run has ended yet");
            set_condition(conditions, name, state, generation, now);
        }
    }
}

/// Whether the newest run did all of its work.
pub(super) fn succeeded(conditions: &mut Vec<Condition>, report: &RunReport, generation: Option<i64>, now: Timestamp) {
    let (outcome, _) = report.outcome();
    let first = report.tasks.iter().find(|task| task.outcome == outcome);
    let message = first.map_or("", |task| task.message.as_str());
    let state = match outcome {
        Outcome::Succeeded => ("True", ConditionReason::AsExpected, message),
        Outcome::Failed => ("False", ConditionReason::RunFailed, message),
        Outcome::Unknown | Outcome::Skipped => ("Unknown", ConditionReason::NotMeasured, message),
    };
    set_condition(conditions, "Succeeded", state, generation, now);
}

/// Takes the result of the newest run into the status.
fn take(into: &mut IntegrityCheckStatus, newest: &Newest, generation: Option<i64>, now: Timestamp) {
    let report = &newest.report;
    let count = |verdict| {
        let checks = report.tasks.iter().flat_map(|task| &task.checks);
        Some(checks.filter(|check| check.verdict == verdict).count() as u64)
    };
    let events: Vec<_> = report.tasks.iter().flat_map(|task| &task.corruption).collect();
    let damaged = events.iter().any(|event| event.severity >= Severity::Medium);
    let measured = report.outcome().0 == Outcome::Succeeded;
    let (verdict, status, reason) = match (damaged, measured) {
        (true, _) => ("Damaged", "False", ConditionReason::DataInconsistency),
        (false, true) => ("Intact", "True", ConditionReason::AsExpected),
        (false, false) => ("Unknown", "Unknown", ConditionReason::CheckIncomplete),
    };
    into.verdict = Some(verdict.to_owned());
    into.last_check_time = Some(Time(report.finished));
    into.coverage_percent = report.tasks.iter().filter_map(|task| task.coverage_percent).min();
    into.checks = Some(CheckCounts {
        passed: count(Verdict::Passed),
        failed: count(Verdict::Failed),
        unknown: count(Verdict::Unknown),
    });
    into.events = events
        .iter()
        .take(MAX_EVENTS)
        .map(|event| CheckEvent {
            id: Some(event.key(&report.namespace, &report.bank).to_string()[..16].to_owned()),
            type_: Some(event.corruption_type.name().to_owned()),
            component: Some(event.component.clone()),
            object: Some(cut(&event.object)),
            detail: Some(cut(&event.evidence)),
        })
        .collect();
    into.report = newest.digest.map(|digest| ReportRef { sha256: Some(digest.to_string()) });
    succeeded(&mut into.conditions, report, generation, now);
    let message = format!("{verdict}: {} damages in the newest run", events.len());
    set_condition(&mut into.conditions, "Passed", (status, reason, &message), generation, now);
}

/// Cuts a text for a status.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}
