use jiff::Timestamp;

use super::asked::{Asked, Decision, time};
use super::conditions::{Judged, written};
use super::event::{EventDraft, EventReason};
use super::measure::Measured;
use super::reason::ConditionReason;
use super::view::{CheckAsk, RunView};
use super::wake::{Wake, second};
use crate::domain::{CorruptionEvent, CorruptionSummary, Outcome, Severity, Verdict};
use crate::resources::{CheckCounts, CheckEvent, Condition, IntegrityCheckStatus, ReportRef, Time, ValidBank};

/// How many events a status lists.
const MAX_EVENTS: usize = 20;
/// How long the evidence of one may be there, in characters: twenty stay below 8 KiB.
const MAX_DETAIL: usize = 200;

/// What is to be told of a check. Its runs are made by the plan of its bank.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckPlan {
    /// The whole status; to be written only where it differs.
    pub status: IntegrityCheckStatus,
    /// What to tell.
    pub events: Vec<EventDraft>,
    /// When to look again though nothing happens.
    pub next: Option<Timestamp>,
}

/// Plans the status of a check. `bank` is none where it does not exist; `runs` are the bank's runs, after those
/// that its plan asked for were made; `newest` is the newest execution of this check; `open` knows the record
/// ids of open damage.
pub fn plan_check(
    ask: &CheckAsk<'_>,
    bank: Option<&ValidBank>,
    runs: &[RunView],
    newest: Option<&Measured<'_>>,
    open: &CorruptionSummary,
    now: Timestamp,
) -> CheckPlan {
    let now = second(now);
    let mut wake = Wake::new(now);
    let asked = Asked::check(ask);
    let decision = asked.decide(bank.map(|bank| (&bank.bank, bank.suspend)), runs, now, &mut wake);
    let old = ask.status.cloned().unwrap_or_default();
    let damaged =
        newest.map(|m| m.task.omitted > 0 || m.task.corruption.iter().any(|e| e.severity >= Severity::Medium));
    let passed = match (newest, damaged) {
        (Some(_), Some(true)) => {
            Judged::bad(ConditionReason::Damaged, "damage was found: status.events lists the worst")
        }
        (Some(m), _) if m.task.outcome == Outcome::Succeeded => Judged::good("no damage was found"),
        (Some(m), _) => Judged::unknown(ConditionReason::NotMeasured, m.task.message.clone()),
        (None, _) => Judged::unknown(ConditionReason::NotRun, "no run of this check has ended yet"),
    };
    let verdict = newest.map(|_| verdict(&passed));
    let mut status = IntegrityCheckStatus {
        observed_generation: Some(asked.generation),
        conditions: conditions(&asked, &decision, bank, runs, newest, passed, &old.conditions, now),
        verdict: verdict.map(str::to_owned).or(old.verdict),
        next_slot_time: decision.next_slot.map(Time),
        last_run_now_token: decision.token,
        last_check_time: old.last_check_time,
        coverage_percent: old.coverage_percent,
        checks: old.checks,
        events: old.events,
        report: old.report,
    };
    if let Some(newest) = newest {
        let count = |verdict| newest.task.checks.iter().filter(|check| check.verdict == verdict).count() as u64;
        status.last_check_time = time(status.last_check_time.as_ref()).max(Some(newest.finished)).map(Time);
        status.coverage_percent = newest.task.coverage_percent;
        status.checks = Some(CheckCounts {
            passed: Some(count(Verdict::Passed)),
            failed: Some(count(Verdict::Failed)),
            unknown: Some(count(Verdict::Unknown)),
        });
        status.events = events(&newest.task.corruption, open);
        status.report = newest.report.map(|digest| ReportRef { sha256: Some(digest.to_string()) });
    }
    CheckPlan { status, events: missed(&asked, decision.missed), next: wake.next() }
}

const fn verdict(passed: &Judged) -> &'static str {
    match passed.reason {
        ConditionReason::AsExpected => "Intact",
        ConditionReason::Damaged => "Damaged",
        _ => "Unknown",
    }
}

fn events(found: &[CorruptionEvent], open: &CorruptionSummary) -> Vec<CheckEvent> {
    let mut worst: Vec<_> = found.iter().collect();
    worst.sort_by_key(|event| std::cmp::Reverse(event.severity));
    let id = |event: &CorruptionEvent| open.top.iter().find(|(_, other)| same(event, other)).map(|(id, _)| id.clone());
    let listed = worst.into_iter().take(MAX_EVENTS).map(|event| CheckEvent {
        id: id(event),
        type_: Some(event.corruption_type.name().to_owned()),
        component: Some(event.component.clone()),
        object: Some(event.object.clone()),
        detail: Some(event.evidence.chars().take(MAX_DETAIL).collect()),
    });
    listed.collect()
}

/// Two sightings of one damage: what makes up [`CorruptionEvent::key`].
fn same(a: &CorruptionEvent, b: &CorruptionEvent) -> bool {
    (&a.check, &a.component, a.corruption_type, &a.invariant, &a.object)
        == (&b.check, &b.component, b.corruption_type, &b.invariant, &b.object)
}

/// What missed slots of a check or an audit are told as.
pub fn missed(asked: &Asked<'_>, missed: u64) -> Vec<EventDraft> {
    let told = (missed > 0)
        .then(|| EventDraft::new(EventReason::SlotMissed, format!("{missed} slots of {} were missed", asked.shown())));
    told.into_iter().collect()
}

/// The conditions of a check or an audit: Ready, Succeeded, Passed.
#[allow(clippy::too_many_arguments)] // Shared by both kinds, which have no type in common.
pub fn conditions(
    asked: &Asked<'_>,
    decision: &Decision,
    bank: Option<&ValidBank>,
    runs: &[RunView],
    newest: Option<&Measured<'_>>,
    passed: Judged,
    old: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let suspended = asked.suspend || bank.is_some_and(|bank| bank.suspend);
    let ready = match bank {
        None => Judged::bad(ConditionReason::BankNotFound, "spec.bankName names no MemoryBank of this namespace"),
        Some(_) if suspended => Judged::unknown(ConditionReason::Suspended, "it, or its bank, is suspended"),
        Some(_) => Judged::good("its bank exists"),
    };
    let once =
        bank.filter(|_| asked.schedule.is_none() && decision.planned).map(|bank| asked.once_name(&bank.meta.name));
    // The run of this generation is there and has not ended: what an earlier one said is of another spec.
    let pending = runs.iter().any(|run| Some(&run.name) == once.as_ref() && !run.phase.finished());
    let ended =
        runs.iter().filter(|run| run.owner == asked.owner && run.phase.finished()).max_by_key(|run| run.finished);
    let unplanned = asked.schedule.is_none() && !decision.planned;
    let succeeded = match newest.filter(|_| !unplanned) {
        _ if pending => Judged::unknown(ConditionReason::RunPlanned, "its run was planned and has not ended"),
        Some(m) => match m.task.outcome {
            Outcome::Succeeded => Judged::good(format!("run {} measured all", m.run)),
            Outcome::Failed => Judged::bad(ConditionReason::TaskFailed, m.task.message.clone()),
            Outcome::Unknown | Outcome::Skipped => {
                Judged::unknown(ConditionReason::NotMeasured, m.task.message.clone())
            }
        },
        None => match ended.filter(|_| !unplanned) {
            Some(run) => Judged::unknown(
                ConditionReason::NotMeasured,
                format!("run {} ended without a report: {} {}", run.name, run.reason, run.message),
            ),
            None if decision.planned => {
                Judged::unknown(ConditionReason::RunPlanned, "its run was planned and has not ended")
            }
            None => match bank {
                None => Judged::unknown(ConditionReason::BankNotFound, "there is no bank to run on"),
                Some(_) if suspended => Judged::unknown(ConditionReason::Suspended, "nothing is run"),
                Some(_) => Judged::unknown(ConditionReason::NotRun, "no run was due yet"),
            },
        },
    };
    let generation = Some(asked.generation);
    let all = [("Ready", ready), ("Succeeded", succeeded), ("Passed", passed)];
    all.into_iter().map(|(type_, judged)| written(type_, judged, old, generation, now)).collect()
}
