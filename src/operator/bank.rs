//! One bank: observe, validate, plan, apply, status. Its runs, checks and audits are looked at with it, for they
//! share its queue.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::context::{Context, Newest};
use super::entry::{Audit, Bank, Check, Identity, Policy, Read, Run};
use super::error::ReconcileError;
use super::key::Key;
use super::labels;
use super::run::{Tracked, free, lost, settle, show};
use super::standing::Note;
use super::start::start;
use super::told::{Told, transitions};
use super::write::{self, Made};
use crate::domain::{Outcome, Phase, Reason};
use crate::plan::{
    Asks, AuditAsk, BankPlan, CheckAsk, ConditionReason, EventDraft, EventReason, HeldReason, Measured, Observed,
    PlannedRun, PolicyAsk, Refusal, RunOwner, RunTold, plan_audit, plan_bank, plan_check, refused, refused_conditions,
};
use crate::resources::{
    Condition, IntegrityCheckStatus, MaintenanceRun, MaintenanceRunSpec, MemoryBankStatus, SecurityAuditStatus, Time,
    ValidBank, VolumeSource,
};

/// The conditions of a check or an audit.
const ASKED: [&str; 3] = ["Ready", "Succeeded", "Passed"];

/// All that is known of one bank.
struct Seen {
    bank: Option<Arc<Bank>>,
    policies: Vec<Arc<Policy>>,
    checks: Vec<Arc<Check>>,
    audits: Vec<Arc<Audit>>,
    runs: Vec<Tracked>,
}

impl Seen {
    fn of(cx: &Context, key: &Key) -> Self {
        let world = &cx.world;
        let bank = world.banks.get(key).filter(|bank| !bank.id.deleting);
        let labels = bank.as_ref().and_then(|bank| bank.valid.as_ref().ok()).map(|valid| &valid.meta.labels);
        let runs = world.runs.of_bank(key).into_iter().filter(|run| !run.id.deleting);
        Self {
            policies: labels.map(|labels| world.policies_of(&key.namespace, labels)).unwrap_or_default(),
            checks: world.checks.of_bank(key),
            audits: world.audits.of_bank(key),
            runs: runs.filter_map(|run| Tracked::of(run, bank.as_deref())).collect(),
            bank,
        }
    }
}

/// Looks at one bank. When to look again though nothing happens.
pub async fn reconcile(cx: &Context, key: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
    let mut seen = Seen::of(cx, key);
    let mut looks = Vec::new();
    for run in &mut seen.runs {
        looks.push(settle(cx, key, run, now).await?);
    }
    refuse_broken_runs(cx, key, now).await?;
    let Some(bank) = seen.bank.clone() else {
        orphaned(cx, &mut seen, now).await?;
        show_asked(cx, key, &seen, Ok(None), now).await?;
        cx.store.forget_reach(&key.namespace, &key.name).await?;
        cx.forget(key);
        return Ok(None);
    };
    match usable(cx, &bank) {
        Ok(valid) => {
            looks.push(Box::pin(planned(cx, &bank, valid, &mut seen, now)).await?);
            looks.push(show_asked(cx, key, &seen, Ok(Some(valid)), now).await?);
        }
        Err(refusal) => {
            let status = refused(bank.status.as_ref(), bank.id.generation, &refusal, now);
            write_status(cx, &bank, &status).await?;
            for run in seen.runs.iter_mut().filter(|run| run.view.phase.waiting()) {
                free(cx, &run.entry.id.key);
                hold(cx, run, HeldReason::Refused, "the bank's spec cannot be used: see its condition Ready", now)
                    .await?;
            }
            let why = format!("the spec of its bank cannot be used: {}", refusal.message);
            show_asked(cx, key, &seen, Err(&why), now).await?;
        }
    }
    Ok(looks.into_iter().flatten().min())
}

/// A bank's spec, or why it cannot be used here.
fn usable<'a>(cx: &Context, bank: &'a Bank) -> Result<&'a ValidBank, Refusal> {
    let valid = bank
        .valid
        .as_ref()
        .map_err(|wrong| Refusal { reason: ConditionReason::InvalidSpec, message: wrong.clone() })?;
    for volume in &valid.volumes {
        if let VolumeSource::Folder { path, .. } = &volume.source
            && !host_path_allowed(path, &cx.host_paths)
        {
            let allowed = if cx.host_paths.is_empty() { "none is".to_owned() } else { cx.host_paths.join(", ") };
            let message = format!(
                "the volume {} is the folder {path} of a node, and only what is below --allow-host-path may be: {allowed}",
                volume.name
            );
            return Err(Refusal { reason: ConditionReason::HostPathForbidden, message });
        }
    }
    Ok(valid)
}

/// Whether a path of a node lies below an allowed one. Pure.
fn host_path_allowed(path: &str, allowed: &[String]) -> bool {
    let steps = |path: &str| path.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let wanted = steps(path);
    let plain = path.starts_with('/') && wanted.iter().all(|step| step != ".." && step != ".");
    plain && allowed.iter().map(|prefix| steps(prefix)).any(|prefix| wanted.starts_with(&prefix))
}

/// Plans a bank and carries the plan out, in the order that a crash in between does not hurt.
async fn planned(
    cx: &Context,
    bank: &Bank,
    valid: &ValidBank,
    seen: &mut Seen,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    let key = &bank.id.key;
    let mut facts = cx.facts(key).await?.as_ref().clone();
    if !valid.bank.network_parts().is_empty() {
        // Samples come too often to be told of: the newest are read where they are needed.
        facts.reach = cx.store.reach(&key.namespace, &key.name).await?;
    }
    let observed = Observed {
        status: bank.status.clone(),
        runs: seen.runs.iter().map(|run| run.view.clone()).collect(),
        facts,
        missing: missing(cx, valid),
    };
    let plan = plan_bank(valid, &asks(seen), &observed, now);
    // Without `..`: a part of the plan that nobody carries out does not compile.
    let BankPlan { create, start: startable, held, skip, cancel, delete, status, mut events, next } = plan;
    for run in create {
        events.extend(make(cx, bank, seen, run).await?);
    }
    let mut looks = vec![next];
    for (name, reason, message) in skip {
        if let Some(run) = find(seen, &name) {
            free(cx, &run.entry.id.key);
            lost(cx, run, Outcome::Skipped, &Note::new(reason, message), RunTold::default(), now).await?;
        }
    }
    for name in cancel {
        if let Some(run) = find(seen, &name) {
            cancelled(cx, run, now).await?;
        }
    }
    for (name, reason, message) in held {
        if let Some(run) = find(seen, &name) {
            free(cx, &run.entry.id.key);
            hold(cx, run, reason, &message, now).await?;
        }
    }
    for name in startable {
        let Some(run) = find(seen, &name) else { continue };
        if cx.places.claim(&run.entry.id.key, key, run.view.slot.unwrap_or(run.view.created), run.view.created) {
            looks.push(Box::pin(start(cx, valid, run, now)).await?);
        } else {
            let message = format!("waits for a free place: {} Jobs may be active at once", cx.places.limit());
            hold(cx, run, HeldReason::JobLimit, &message, now).await?;
        }
    }
    for name in delete {
        if let Some(run) = find(seen, &name) {
            write::delete::<MaintenanceRun>(&cx.client, &run.entry.id).await?;
            cx.store.delete_runs(std::slice::from_ref(&run.entry.id.uid)).await?;
        }
    }
    write_status(cx, bank, &status).await?;
    let told: Vec<Told> = events.iter().map(Told::of).collect();
    cx.teller.tell("MemoryBank", &bank.id, &told);
    Ok(looks.into_iter().flatten().min())
}

fn find<'a>(seen: &'a mut Seen, name: &str) -> Option<&'a mut Tracked> {
    seen.runs.iter_mut().find(|run| run.view.name == name)
}

/// All that asks for work on the bank. Runs made by hand are objects already: they are among its runs.
fn asks(seen: &Seen) -> Asks<'_> {
    Asks {
        policies: seen
            .policies
            .iter()
            .filter_map(|policy| {
                let echoed = policy.status.as_ref().and_then(|status| status.last_run_now_token.as_deref());
                Some(PolicyAsk { policy: policy.valid.as_ref().ok()?, echoed })
            })
            .collect(),
        checks: seen
            .checks
            .iter()
            .filter_map(|check| Some(CheckAsk { check: check.valid.as_ref().ok()?, status: check.status.as_ref() }))
            .collect(),
        audits: seen
            .audits
            .iter()
            .filter_map(|audit| Some(AuditAsk { audit: audit.valid.as_ref().ok()?, status: audit.status.as_ref() }))
            .collect(),
        hand: Vec::new(),
    }
}

/// The claims that a bank names and that are not there.
fn missing(cx: &Context, bank: &ValidBank) -> Option<String> {
    let absent: Vec<_> = bank
        .volumes
        .iter()
        .filter_map(|volume| match &volume.source {
            VolumeSource::Claim(claim) => {
                let key = Key::new(bank.meta.namespace.as_str(), claim);
                cx.world.claims.get(&key).is_none().then_some(claim.as_str())
            }
            VolumeSource::Folder { .. } => None,
        })
        .collect();
    let shown = absent.join(", ");
    (!absent.is_empty()).then(|| format!("there is no PersistentVolumeClaim of this name in the namespace: {shown}"))
}

/// Makes a run, once by its name. What is to be told of it.
async fn make(
    cx: &Context,
    bank: &Bank,
    seen: &mut Seen,
    planned: PlannedRun,
) -> Result<Vec<EventDraft>, ReconcileError> {
    let Some(owner) = owner_reference(bank, seen, &planned.owner) else { return Ok(Vec::new()) };
    let run = run_object(bank, &planned, owner.clone());
    match write::create(&cx.client, &run, &owner.uid).await? {
        Made::Ours(made) => {
            cx.world.runs.put(Run::read(kube::core::DeserializeGuard(Ok(made))));
            let key = Key::new(bank.id.key.namespace.as_str(), planned.name.as_str());
            let made = cx.world.runs.get(&key).and_then(|run| Tracked::of(run, Some(bank)));
            seen.runs.extend(made);
            Ok(Vec::new())
        }
        Made::Theirs => {
            let message = format!("a run named {} was made by somebody else: this slot is not run", planned.name);
            Ok(vec![EventDraft { reason: EventReason::NameCollision, message }])
        }
        Made::Invalid(why) | Made::Forbidden(why) => {
            Err(ReconcileError::Refused { what: format!("the MaintenanceRun {}", planned.name), why })
        }
    }
}

fn owner_reference(bank: &Bank, seen: &Seen, owner: &RunOwner) -> Option<OwnerReference> {
    let of = |kind: &str, id: &Identity| OwnerReference {
        api_version: "memorybank.dev/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        name: id.key.name.clone(),
        uid: id.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    match owner {
        RunOwner::Policy { .. } => Some(of("MemoryBank", &bank.id)),
        RunOwner::Check(name) => {
            let check = seen.checks.iter().find(|check| check.id.key.name == *name)?;
            Some(of("IntegrityCheck", &check.id))
        }
        RunOwner::Audit(name) => {
            let audit = seen.audits.iter().find(|audit| audit.id.key.name == *name)?;
            Some(of("SecurityAudit", &audit.id))
        }
        RunOwner::Hand => None,
    }
}

/// The MaintenanceRun of a planned run. Pure.
fn run_object(bank: &Bank, planned: &PlannedRun, owner: OwnerReference) -> MaintenanceRun {
    let (policy_name, schedule_name) = match &planned.owner {
        RunOwner::Policy { policy, schedule } => (Some(policy.clone()), Some(schedule.clone())),
        _ => (None, None),
    };
    let of_policy = policy_name.is_some();
    let annotation = planned.slot.filter(|_| !of_policy).map(|slot| (labels::SLOT.to_owned(), slot.to_string()));
    let tasks = planned.spec.tasks.iter().map(Into::into).collect();
    MaintenanceRun {
        metadata: ObjectMeta {
            name: Some(planned.name.clone()),
            namespace: Some(bank.id.key.namespace.clone()),
            labels: Some(labels::of_run(&bank.id.key.name, &planned.name).into()),
            annotations: annotation.map(|annotation| [annotation].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: MaintenanceRunSpec {
            bank_name: bank.id.key.name.clone(),
            tasks,
            policy_name,
            schedule_name,
            slot_time: planned.slot.filter(|_| of_policy).map(Time),
            active_deadline_seconds: planned.spec.active_deadline_seconds,
            ttl_seconds_after_finished: planned.ttl_seconds_after_finished,
        },
        status: None,
    }
}

async fn hold(
    cx: &Context,
    run: &mut Tracked,
    reason: HeldReason,
    message: &str,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    run.view.phase = Phase::Held;
    reason.name().clone_into(&mut run.view.reason);
    message.clone_into(&mut run.view.message);
    show(cx, run, RunTold::default(), now).await
}

/// Ends a run whose place another takes.
async fn cancelled(cx: &Context, run: &mut Tracked, now: Timestamp) -> Result<(), ReconcileError> {
    if let Some(job) = cx.world.jobs.get(&run.entry.id.key).filter(|job| super::run::controls(&run.entry.id.uid, job)) {
        write::delete::<k8s_openapi::api::batch::v1::Job>(&cx.client, &job.id).await?;
    }
    let job_name = run.entry.status.as_ref().and_then(|status| status.job_name.clone());
    let note = Note::new(Reason::Cancelled, "the run of the next slot replaces it");
    lost(cx, run, Outcome::Unknown, &note, RunTold { job_name, ..RunTold::default() }, now).await
}

/// The runs of a bank that is not there. Those that the bank owned go with it.
async fn orphaned(cx: &Context, seen: &mut Seen, now: Timestamp) -> Result<(), ReconcileError> {
    for run in seen.runs.iter_mut().filter(|run| !run.view.phase.finished()) {
        let job = cx.world.jobs.get(&run.entry.id.key);
        if let Some(job) = job.filter(|job| super::run::controls(&run.entry.id.uid, job)) {
            write::delete::<k8s_openapi::api::batch::v1::Job>(&cx.client, &job.id).await?;
        }
        let begun = run.view.phase == Phase::Running;
        let outcome = if begun { Outcome::Failed } else { Outcome::Skipped };
        let note = Note::new(Reason::BankNotFound, "spec.bankName names no MemoryBank of this namespace");
        lost(cx, run, outcome, &note, RunTold::default(), now).await?;
    }
    Ok(())
}

/// Tells of the runs whose spec cannot be used.
async fn refuse_broken_runs(cx: &Context, key: &Key, now: Timestamp) -> Result<(), ReconcileError> {
    for run in cx.world.runs.of_bank(key) {
        let Err(wrong) = &run.valid else { continue };
        let old = run.status.clone().unwrap_or_default();
        let status = crate::resources::MaintenanceRunStatus {
            observed_generation: run.id.generation,
            conditions: refused_conditions(&["Succeeded"], &old.conditions, run.id.generation, wrong, now),
            phase: Some(Phase::Failed.name().to_owned()),
            ..old.clone()
        };
        if status != old {
            write::status(&cx.client, &cx.world.runs, &run.id, &status).await?;
        }
    }
    Ok(())
}

/// Plans and writes the status of the bank's checks and audits; of a bank that cannot be used, why.
async fn show_asked(
    cx: &Context,
    key: &Key,
    seen: &Seen,
    bank: Result<Option<&ValidBank>, &String>,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    if seen.checks.is_empty() && seen.audits.is_empty() {
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
    Ok(looks.into_iter().flatten().min())
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

/// As planning takes it. The runs of checks and audits have one task.
fn measured(newest: &Newest) -> Option<Measured<'_>> {
    Some(Measured {
        run: &newest.report.run,
        finished: newest.report.finished,
        report: Some(newest.digest),
        task: newest.report.tasks.first()?,
    })
}

/// Writes a bank's status where it changed, and tells what broke and what is mended.
async fn write_status(cx: &Context, bank: &Bank, status: &MemoryBankStatus) -> Result<(), ReconcileError> {
    if bank.status.as_ref() == Some(status) {
        return Ok(());
    }
    write::status(&cx.client, &cx.world.banks, &bank.id, status).await?;
    let before = bank.status.as_ref().map_or(&[][..], |before| &before.conditions);
    cx.teller.tell("MemoryBank", &bank.id, &transitions(before, &status.conditions));
    cx.bank_shown(&bank.id.key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_compared_step_by_step() {
        let allowed = ["/srv/banks/".to_owned()];
        for path in ["/srv/banks", "/srv/banks/a", "/srv//banks/a"] {
            assert!(host_path_allowed(path, &allowed), "{path}");
        }
        for path in ["/srv/banks2", "/srv", "/srv/banks/../x", "srv/banks/a", "/", "./srv/banks", "/srv/./banks"] {
            assert!(!host_path_allowed(path, &allowed), "{path}");
        }
        assert!(!host_path_allowed("/srv", &[]));
    }
}
