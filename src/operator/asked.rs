//! The checks, audits and recoveries of a bank: what is told of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::context::{Context, Newest};
use super::entry::Identity;
use super::error::ReconcileError;
use super::key::Key;
use super::run::Tracked;
use super::seen::{Seen, recovery_ask};
use super::told::{Told, transitions};
use super::write;
use crate::plan::{
    AuditAsk, CheckAsk, EventDraft, Measured, RunOwner, plan_audit, plan_check, plan_recovery, refused_conditions,
};
use crate::resources::{Condition, IntegrityCheckStatus, RecoveryStatus, SecurityAuditStatus, ValidBank};

/// The conditions of a check or an audit.
const ASKED: [&str; 3] = ["Ready", "Succeeded", "Passed"];
/// The condition of a recovery.
const RECOVERY: [&str; 1] = ["Succeeded"];

/// Plans and writes the status of the bank's checks, audits and recoveries; of a bank that cannot be used, why.
pub async fn show_asked(
    cx: &Context,
    key: &Key,
    seen: &Seen,
    bank: Result<Option<&ValidBank>, &String>,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    if seen.checks.is_empty() && seen.audits.is_empty() && seen.recoveries.is_empty() {
        return Ok(None);
    }
    let facts = cx.facts(key).await?;
    let runs: Vec<_> = seen.runs.iter().map(|run| run.view.clone()).collect();
    let mut looks = Vec::new();
    for check in &seen.checks {
        let (status, told) = match bank.and_then(|bank| Ok((bank, check.valid.as_ref()?))) {
            Ok((bank, valid)) => {
                let newest = newest(cx, key, seen, &RunOwner::Check(check.id.key.name.clone())).await?;
                let ask = CheckAsk { check: valid, status: check.status.as_ref() };
                let plan = plan_check(
                    &ask,
                    bank,
                    &runs,
                    newest.as_deref().and_then(measured).as_ref(),
                    &facts.corruption,
                    now,
                );
                looks.push(plan.next);
                (plan.status, plan.events)
            }
            Err(wrong) => {
                let old = check.status.clone().unwrap_or_default();
                let conditions = refused_conditions(&ASKED, &old.conditions, check.id.generation, wrong, now);
                (IntegrityCheckStatus { observed_generation: check.id.generation, conditions, ..old }, Vec::new())
            }
        };
        if check.status.as_ref() != Some(&status) {
            let before = check.status.as_ref().map_or(&[][..], |status| &status.conditions);
            write::status(&cx.client, &cx.world.checks, &check.id, &status).await?;
            tell(cx, "IntegrityCheck", &check.id, before, &status.conditions, &told);
        }
    }
    for audit in &seen.audits {
        let (status, told) = match bank.and_then(|bank| Ok((bank, audit.valid.as_ref()?))) {
            Ok((bank, valid)) => {
                let newest = newest(cx, key, seen, &RunOwner::Audit(audit.id.key.name.clone())).await?;
                let ask = AuditAsk { audit: valid, status: audit.status.as_ref() };
                let state = |fingerprint: &str| {
                    let mut top = facts.findings.top.iter();
                    top.find(|(_, finding)| finding.fingerprint == fingerprint).map(|(state, _)| *state)
                };
                let plan = plan_audit(&ask, bank, &runs, newest.as_deref().and_then(measured).as_ref(), state, now);
                looks.push(plan.next);
                (plan.status, plan.events)
            }
            Err(wrong) => {
                let old = audit.status.clone().unwrap_or_default();
                let conditions = refused_conditions(&ASKED, &old.conditions, audit.id.generation, wrong, now);
                (SecurityAuditStatus { observed_generation: audit.id.generation, conditions, ..old }, Vec::new())
            }
        };
        if audit.status.as_ref() != Some(&status) {
            let before = audit.status.as_ref().map_or(&[][..], |status| &status.conditions);
            write::status(&cx.client, &cx.world.audits, &audit.id, &status).await?;
            tell(cx, "SecurityAudit", &audit.id, before, &status.conditions, &told);
        }
    }
    for recovery in &seen.recoveries {
        let id = &recovery.id;
        let status = match bank.and_then(|bank| Ok((bank, recovery.valid.as_ref()?))) {
            Ok((bank, valid)) => {
                let newest = newest(cx, key, seen, &RunOwner::Recovery(id.key.name.clone())).await?;
                let measured = newest.as_deref().and_then(measured);
                let ask = recovery_ask(recovery, valid);
                plan_recovery(&ask, bank, &runs, measured.as_ref(), &facts.corruption.top, now)
            }
            Err(wrong) => {
                let old = recovery.status.clone().unwrap_or_default();
                let conditions = refused_conditions(&RECOVERY, &old.conditions, id.generation, wrong, now);
                RecoveryStatus { observed_generation: id.generation, conditions, ..old }
            }
        };
        if recovery.status.as_ref() != Some(&status) {
            write::status(&cx.client, &cx.world.recoveries, id, &status).await?;
            cx.teller.tell("Recovery", id, &steps(recovery.status.as_ref(), &status));
        }
    }
    Ok(looks.into_iter().flatten().min())
}

/// What a recovery is told to have come to: each new phase, and a condition that became False.
fn steps(before: Option<&RecoveryStatus>, now: &RecoveryStatus) -> Vec<Told> {
    let mut told = transitions(before.map_or(&[][..], |before| &before.conditions), &now.conditions);
    let moved = before.and_then(|before| before.phase.as_ref()) != now.phase.as_ref();
    if let Some(condition) = now.conditions.first().filter(|condition| moved && condition.status != "False") {
        told.push(Told {
            warning: false,
            reason: condition.reason.clone(),
            action: "Recover".to_owned(),
            note: format!("{}: {}", now.phase.as_deref().unwrap_or_default(), condition.message),
        });
    }
    told
}

fn tell(cx: &Context, kind: &str, id: &Identity, before: &[Condition], now: &[Condition], told: &[EventDraft]) {
    let mut all = transitions(before, now);
    all.extend(told.iter().map(Told::of));
    cx.teller.tell(kind, id, &all);
}

/// The newest report of a check or an audit.
async fn newest(cx: &Context, key: &Key, seen: &Seen, owner: &RunOwner) -> Result<Option<Arc<Newest>>, ReconcileError> {
    let reported = |run: &&Tracked| {
        let report = run.entry.status.as_ref().and_then(|status| status.report.as_ref());
        run.view.owner == *owner && report.is_some_and(|report| report.sha256.is_some())
    };
    let newest = seen.runs.iter().filter(reported).max_by_key(|run| run.view.finished);
    let report = newest.and_then(|run| run.entry.status.as_ref()).and_then(|status| status.report.as_ref());
    let digest = report.and_then(|report| report.sha256.as_ref()).and_then(|digest| digest.parse().ok());
    match digest {
        Some(digest) => Ok(cx.report(key, owner, digest).await?),
        None => Ok(None),
    }
}

/// As planning takes it. The runs of these have one task.
fn measured(newest: &Newest) -> Option<Measured<'_>> {
    Some(Measured {
        run: &newest.report.run,
        finished: newest.report.finished,
        report: Some(newest.digest),
        task: newest.report.tasks.first()?,
    })
}
