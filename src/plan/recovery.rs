//! When a recovery runs, and what is told of it.
//!
//! One run shows the plan, with no consent to anything. Under `OnApproval` another carries it out once the approval
//! names that plan; under `Auto` a single run carries out what loses nothing. What is remembered stands in the
//! recovery's own status: a phase that is an end, and the digest of the plan. Names of runs say what a run may do, so
//! that nobody can give a run more than its recovery gives.

use jiff::Timestamp;

use super::asked::generation;
use super::conditions::{Judged, written};
use super::measure::Measured;
use super::queue::HeldReason;
use super::reason::ConditionReason;
use super::view::{RecoveryAsk, RunOwner, RunView};
use super::wake::second;
use crate::domain::{Consent, CorruptionEvent, Digest, Phase, RecoveryReport, RecoveryState, Work};
use crate::engine::schedule::request_name;
use crate::resources::{Lost, Quiesce, RecoveryMode, RecoveryStatus, RecoveryStep, ValidBank, ValidRecovery};

/// Deadline of a run of a recovery, in seconds: a day.
pub(super) const DEADLINE_SECONDS: u32 = 86_400;
/// How long the words of one step may be, in characters: twenty stay below 8 KiB.
const MAX_DETAIL: usize = 300;
/// The phases that are an end.
const ENDS: [&str; 4] = ["Succeeded", "RolledBack", "Failed", "Unknown"];
const AWAITING: &str = "AwaitingApproval";

/// The run that a recovery asks for now, with what it is to do; none where none is due. `open` is the open damage of the
/// bank by its ids.
pub(super) fn wanted_run(
    ask: &RecoveryAsk<'_>,
    bank: &ValidBank,
    open: &[(String, CorruptionEvent)],
    runs: &[RunView],
) -> Option<(String, Work)> {
    let consent = due(ask, bank)?;
    let bank = &bank.meta.name;
    let name = run_name(ask, bank, consent);
    if runs.iter().any(|run| run.name == name) {
        return None;
    }
    let work = work(ask.recovery, bank, consent, open).ok()?;
    Some((name, work))
}

/// What a run of a recovery is to do, by its name: the recovery as it is now, never what the run says, gives consent.
/// For people why it may do nothing.
pub fn consent(
    ask: &RecoveryAsk<'_>,
    bank: &ValidBank,
    run: &str,
    open: &[(String, CorruptionEvent)],
) -> Result<Work, String> {
    keep_away(ask, bank).map_err(|(_, why)| why)?;
    let bank = &bank.meta.name;
    let given = match (ask.recovery.mode, ask.recovery.approval) {
        (RecoveryMode::Auto, _) => Some(Consent::Lossless),
        (RecoveryMode::OnApproval, Some(digest)) => Some(Consent::Plan(digest)),
        _ => None,
    };
    let consent = [Some(Consent::None), given].into_iter().flatten().find(|given| run_name(ask, bank, *given) == run);
    let consent = consent.ok_or("its Recovery asks for no run of this name (any more)")?;
    work(ask.recovery, bank, consent, open)
}

fn work(
    recovery: &ValidRecovery,
    bank: &str,
    consent: Consent,
    open: &[(String, CorruptionEvent)],
) -> Result<Work, String> {
    let key = |id: &String| {
        let event = open.iter().find(|(known, _)| known == id).map(|(_, event)| event);
        event.map(|event| event.key(&recovery.meta.namespace, bank)).ok_or_else(|| unknown_event(id))
    };
    let events = recovery.events.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Work::Recover { events, set: recovery.backup_name.clone(), consent })
}

fn unknown_event(id: &str) -> String {
    format!("no damage with the id {id} is open: see status.events of the checks, or leave spec.events out")
}

/// The name of the run that may do so much.
fn run_name(ask: &RecoveryAsk<'_>, bank: &str, consent: Consent) -> String {
    let stage = match consent {
        Consent::None => "plan".to_owned(),
        Consent::Plan(digest) => format!("approved {digest}"),
        Consent::Lossless => "lossless".to_owned(),
    };
    let recovery = ask.recovery;
    request_name("Recovery", bank, &recovery.meta.name, &format!("{} {stage}", recovery.identity))
}

/// Whether its status is of another spec: of a file that was rewritten.
fn is_other(ask: &RecoveryAsk<'_>) -> bool {
    let observed = ask.status.and_then(|status| status.observed_generation);
    ask.recovery.approval.is_none() && observed.is_some_and(|seen| seen != generation(&ask.recovery.meta))
}

fn known<'a>(ask: &RecoveryAsk<'a>) -> Option<&'a RecoveryStatus> {
    ask.status.filter(|_| !is_other(ask))
}

/// Whether it came to an end, whatever that was: one that awaits its approval did not.
pub(super) fn over(ask: &RecoveryAsk<'_>) -> bool {
    let phase = known(ask).and_then(|status| status.phase.as_deref());
    phase.is_some_and(|phase| ENDS.contains(&phase))
}

/// Whether writers are kept away as the recovery wants it; else the phase that tells it, and why for people.
fn keep_away(ask: &RecoveryAsk<'_>, bank: &ValidBank) -> Result<(), (&'static str, String)> {
    let (phase, why) = match (ask.recovery.quiesce, &bank.workload) {
        (Quiesce::Wait, _) => return Ok(()),
        (Quiesce::Guard, _) => (
            "Unknown",
            "this version has no guard that could make a bank read-only: use spec.quiesce ScaleDown, or Wait and stop \
             the writers yourself",
        ),
        (Quiesce::ScaleDown, _) if !ask.scales => (
            "Unknown",
            "containers are not stopped from here: use spec.quiesce Wait, and `docker compose stop SERVICE`",
        ),
        (Quiesce::ScaleDown, Some(selector)) if selector.names_any() => return Ok(()),
        // The bank may come to say it.
        (Quiesce::ScaleDown, Some(_)) => (
            "Held",
            "spec.workload.selector of the bank selects pods by what they lack, which nothing is scaled down by: name \
             labels that the pods of its workload have, and no others",
        ),
        (Quiesce::ScaleDown, None) => (
            "Held",
            "the bank does not say what is scaled down: declare the labels of its pods as spec.workload.selector, or \
             use spec.quiesce Wait",
        ),
    };
    Err((phase, why.to_owned()))
}

/// What may be done now, if anything is to be.
fn due(ask: &RecoveryAsk<'_>, bank: &ValidBank) -> Option<Consent> {
    let recovery = ask.recovery;
    let status = known(ask);
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    if ENDS.contains(&phase) || keep_away(ask, bank).is_err() {
        return None;
    }
    match recovery.mode {
        RecoveryMode::Auto => Some(Consent::Lossless),
        RecoveryMode::DryRun => Some(Consent::None),
        RecoveryMode::OnApproval => match status.and_then(|status| status.plan_digest.as_ref()) {
            None => Some(Consent::None),
            Some(shown) => recovery.approval.filter(|given| ValidRecovery::shown(given) == *shown).map(Consent::Plan),
        },
    }
}

/// The status of a recovery, to be written only where it differs; its runs are made by the plan of its bank. `bank` is none where it does not exist; `runs` are the bank's runs, after those that
/// its plan asked for were made; `newest` is the newest report of this recovery.
pub fn plan_recovery(
    ask: &RecoveryAsk<'_>,
    bank: Option<&ValidBank>,
    runs: &[RunView],
    newest: Option<&Measured<'_>>,
    open: &[(String, CorruptionEvent)],
    now: Timestamp,
) -> RecoveryStatus {
    let now = second(now);
    let old = known(ask).cloned().unwrap_or_default();
    let (phase, judged, report) = stand(ask, bank, runs, newest, open, &old);
    let conditions = ask.status.map_or(&[][..], |status| &status.conditions);
    let of = generation(&ask.recovery.meta);
    let mut status = RecoveryStatus {
        observed_generation: Some(of),
        conditions: vec![written("Succeeded", judged, conditions, Some(of), now)],
        phase: Some(phase.to_owned()),
        ..old
    };
    if let Some(report) = report {
        take(&mut status, report);
    }
    status
}

/// The phase of a recovery, its condition, and the report that tells more, where that is new.
fn stand<'a>(
    ask: &RecoveryAsk<'_>,
    bank: Option<&ValidBank>,
    runs: &[RunView],
    newest: Option<&Measured<'a>>,
    open: &[(String, CorruptionEvent)],
    old: &RecoveryStatus,
) -> (&'static str, Judged, Option<&'a RecoveryReport>) {
    let Some(bank) = bank else {
        let message = "spec.bankName names no MemoryBank of this namespace";
        return ("Held", Judged::bad(ConditionReason::BankNotFound, message), None);
    };
    let refused = keep_away(ask, bank).err();
    if let Some(("Unknown", why)) = refused {
        return ("Unknown", Judged::bad(ConditionReason::InvalidSpec, why), None);
    }
    let name = &bank.meta.name;
    let owner = RunOwner::Recovery(ask.recovery.meta.name.clone());
    let plan_name = run_name(ask, name, Consent::None);
    let approved = ask.recovery.approval.map(|digest| run_name(ask, name, Consent::Plan(digest)));
    let lossless = run_name(ask, name, Consent::Lossless);
    let own = |run: &&RunView| {
        let named = [Some(&plan_name), approved.as_ref(), Some(&lossless)];
        run.owner == owner && named.contains(&Some(&run.name))
    };
    let run = runs.iter().filter(own).max_by_key(|run| run.created);
    if let Some(run) = run.filter(|run| !run.phase.finished()) {
        let working = if run.name == plan_name { "Planning" } else { "Running" };
        return match run.phase {
            Phase::Held if HeldReason::Quiescing.holds(run) => {
                ("Held", Judged::unknown(ConditionReason::Quiescing, run.message.clone()), None)
            }
            Phase::Held => ("Held", Judged::unknown(ConditionReason::Held, run.message.clone()), None),
            Phase::Running => {
                (working, Judged::unknown(ConditionReason::RunPlanned, format!("run {} is at work", run.name)), None)
            }
            _ => ("Planning", Judged::unknown(ConditionReason::RunPlanned, format!("run {} waits", run.name)), None),
        };
    }
    if let Some(run) = run {
        let report = newest.filter(|measured| measured.run == run.name);
        if let Some(report) = report.and_then(|measured| measured.task.recovery.as_ref()) {
            let (phase, judged) = ended(ask, report, run.name == plan_name);
            return match refused {
                Some((held, why)) if phase == AWAITING => {
                    (held, Judged::bad(ConditionReason::InvalidSpec, why), Some(report))
                }
                _ => (phase, judged, Some(report)),
            };
        }
        let message = match report {
            Some(measured) => measured.task.message.clone(),
            None => format!("run {} ended without a report: {} {}", run.name, run.reason, run.message),
        };
        return ("Unknown", Judged::unknown(ConditionReason::NotMeasured, message), None);
    }
    let before = old.phase.as_deref().unwrap_or_default();
    // Its runs were deleted: what they said stays.
    let kept_phase = ENDS.into_iter().chain(refused.is_none().then_some(AWAITING)).find(|known| *known == before);
    if let Some(phase) = kept_phase {
        return (phase, kept(old), None);
    }
    if let Some((held, why)) = refused {
        return (held, Judged::bad(ConditionReason::InvalidSpec, why), None);
    }
    if bank.suspend {
        return ("Held", Judged::unknown(ConditionReason::Suspended, "its bank is suspended"), None);
    }
    match work(ask.recovery, name, Consent::None, open) {
        Err(why) => ("Held", Judged::unknown(ConditionReason::ReferenceNotFound, why), None),
        Ok(_) => ("Planning", Judged::unknown(ConditionReason::NotRun, "its run is about to be made"), None),
    }
}

/// The condition as it was, for one whose runs are gone.
fn kept(old: &RecoveryStatus) -> Judged {
    let before = old.conditions.iter().find(|condition| condition.type_ == "Succeeded");
    let message = before.map(|before| before.message.clone()).unwrap_or_default();
    match before.map(|before| (before.status.as_str(), before.reason.as_str())) {
        Some(("True", "PlanShown")) => Judged { reason: ConditionReason::PlanShown, ..Judged::good(message) },
        Some(("True", _)) => Judged::good(message),
        Some((_, "RolledBack")) => Judged::bad(ConditionReason::RolledBack, message),
        Some(("False", _)) => Judged::bad(ConditionReason::TaskFailed, message),
        Some((_, "AwaitingApproval")) => Judged::unknown(ConditionReason::AwaitingApproval, message),
        _ => Judged::unknown(ConditionReason::NotMeasured, message),
    }
}

/// How a report ends a recovery, or what it waits for.
fn ended(ask: &RecoveryAsk<'_>, report: &RecoveryReport, of_plan: bool) -> (&'static str, Judged) {
    let shown = ValidRecovery::shown(&report.plan_digest);
    let approve = format!("approve it with spec.approval.planDigest {shown}");
    let asks = ask.recovery.mode == RecoveryMode::OnApproval;
    match report.state {
        RecoveryState::Nothing => {
            let left = report.plan.unmended.len();
            match report.plan.unmended.first() {
                None => ("Succeeded", Judged::good("nothing is damaged: there is nothing to recover")),
                Some(first) => (
                    "Failed",
                    Judged::bad(
                        ConditionReason::Damaged,
                        format!("{left} damages cannot be mended by a recovery: {first}"),
                    ),
                ),
            }
        }
        RecoveryState::Planned if asks => {
            let steps = report.plan.steps.len();
            (
                AWAITING,
                Judged::unknown(ConditionReason::AwaitingApproval, format!("a plan of {steps} steps: {approve}")),
            )
        }
        RecoveryState::Planned => {
            let message = format!("a plan of {} steps; nothing was changed", report.plan.steps.len());
            ("Succeeded", Judged { reason: ConditionReason::PlanShown, ..Judged::good(message) })
        }
        RecoveryState::Refused if asks && !of_plan && ask.recovery.approval != Some(report.plan_digest) => {
            let message = format!("the damage is not what was approved any more; look at the plan and {approve}");
            (AWAITING, Judged::unknown(ConditionReason::AwaitingApproval, message))
        }
        RecoveryState::Refused if ask.recovery.mode == RecoveryMode::Auto => {
            let message = "no step of the plan is lossless: approve it in a Recovery of mode OnApproval";
            ("Failed", Judged::bad(ConditionReason::Damaged, message))
        }
        RecoveryState::Refused => {
            ("Unknown", Judged::unknown(ConditionReason::NotMeasured, report.verified_before.clone()))
        }
        RecoveryState::Succeeded => {
            let after = report.verified_after.clone().unwrap_or_default();
            ("Succeeded", Judged::good(after))
        }
        RecoveryState::RolledBack => {
            let after = report.verified_after.clone().unwrap_or_default();
            ("RolledBack", Judged::bad(ConditionReason::RolledBack, after))
        }
        RecoveryState::Failed => {
            let after = report.verified_after.clone().unwrap_or_default();
            ("Failed", Judged::bad(ConditionReason::TaskFailed, after))
        }
    }
}

/// Takes what a report tells into a status.
fn take(status: &mut RecoveryStatus, report: &RecoveryReport) {
    let digest: &Digest = &report.plan_digest;
    status.plan_digest = Some(ValidRecovery::shown(digest));
    let step = |(index, step): (usize, &crate::domain::RecoveryStep)| RecoveryStep {
        step: Some(index as u64 + 1),
        action: Some(step.action.name().to_owned()),
        target: Some(step.target.clone()),
        items: Some(step.items),
        lossless: Some(step.lossless),
        estimated_seconds: step.estimated_seconds,
        detail: Some(step.detail.chars().take(MAX_DETAIL).collect()),
    };
    let steps = report.plan.steps.iter().take(crate::domain::RecoveryPlan::MAX_STEPS);
    status.plan = steps.enumerate().map(step).collect();
    status.verified_before = Some(report.verified_before.clone());
    status.verified_after.clone_from(&report.verified_after);
    status.quarantine.clone_from(&report.quarantine);
    // Of a plan: what it would cost.
    let planned = report.plan.steps.iter().map(|step| step.lost_memories).sum();
    status.lost = Some(Lost { memories: Some(report.lost_memories.unwrap_or(planned)) });
}
