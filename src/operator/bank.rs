//! One bank: observe, validate, plan, apply, status. Its runs, checks and audits are looked at with it, for they
//! share its queue.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::core::PartialObjectMeta;

use super::asked::show_asked;
use super::context::Context;
use super::entry::Bank;
use super::error::ReconcileError;
use super::key::Key;
use super::made::{make, make_recovery};
use super::quiesce::put_back;
use super::run::{Tracked, controls, free, hold, lost, settle};
use super::seen::{Seen, asks, by_policy, find};
use super::standing::Note;
use super::start::start;
use super::told::{Told, transitions};
use super::write;
use crate::domain::{Outcome, Phase, Reason};
use crate::plan::{
    BankPlan, ConditionReason, HeldReason, Observed, Refusal, RunTold, plan_bank, refused, refused_conditions,
};
use crate::resources::{
    MaintenanceRun, MaintenanceRunStatus, MemoryBank, MemoryBankStatus, Recovery, ValidBank, VolumeSource,
};

/// How long a mirror may be behind what the API server has.
const BEHIND: SignedDuration = SignedDuration::from_secs(1);
/// When to try again to make a recovery that was refused.
const REFUSED: SignedDuration = SignedDuration::from_mins(1);
/// How long a run waits for a place before that is told: most get one sooner, and each telling is a write.
const UNTOLD: SignedDuration = SignedDuration::from_secs(5);

/// Looks at one bank. When to look again though nothing happens.
pub async fn reconcile(cx: &Context, key: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
    let looked = Box::pin(look_at(cx, key, now)).await;
    // Whatever came of it: nothing stays scaled down because something else fails.
    let put_back = Box::pin(put_back(cx, key, now)).await;
    Ok([looked?, put_back?].into_iter().flatten().min())
}

async fn look_at(cx: &Context, key: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
    let mut seen = Seen::of(cx, key);
    let mut looks = Vec::new();
    for run in &mut seen.runs {
        looks.push(settle(cx, key, run, now).await?);
    }
    refuse_broken_runs(cx, key, now).await?;
    let Some(bank) = seen.bank.clone() else {
        if seen.runs.iter().any(|run| !run.view.phase.finished()) {
            if there(cx, key).await? {
                return Ok(now.checked_add(BEHIND).ok());
            }
            orphaned(cx, &mut seen, now).await?;
        }
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

/// Whether there is such a bank, though the mirror has none: each kind is watched by itself, so that a run may be known
/// before its bank.
async fn there(cx: &Context, key: &Key) -> Result<bool, ReconcileError> {
    let banks: Api<PartialObjectMeta<MemoryBank>> = Api::namespaced(cx.client.clone(), &key.namespace);
    let found = banks.get_metadata_opt(&key.name).await;
    let found = found.map_err(ReconcileError::api(format!("the MemoryBank {key} is not read")))?;
    Ok(found.is_some_and(|bank| bank.metadata.deletion_timestamp.is_none()))
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
    let asked = asks(seen);
    let pruning = asked.pruning();
    let plan = plan_bank(valid, &asked, &observed, now);
    // Without `..`: a part of the plan that nobody carries out does not compile.
    let BankPlan { create, start: startable, held, skip, cancel, delete, recover, forget, status, mut events, next } =
        plan;
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
            looks.push(Some(now));
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
        if let Some((_, next)) = run.refused().filter(|(_, next)| *next > now) {
            free(cx, &run.entry.id.key);
            looks.push(Some(next));
            continue;
        }
        if cx.places.claim(&run.entry.id.key, key, run.due(), run.view.created) {
            let started = Box::pin(start(cx, valid, run, &pruning, now)).await;
            if started.is_err() && cx.world.jobs.get(&run.entry.id.key).is_none() {
                // Others do not wait for a run that cannot be started now.
                free(cx, &run.entry.id.key);
            }
            looks.push(started?);
            // One that ended at once is not in the status yet that was just planned.
            looks.push(run.view.phase.finished().then_some(now));
        } else if let Some(told) = run.view.created.checked_add(UNTOLD).ok().filter(|told| *told > now) {
            looks.push(Some(told));
        } else {
            let message = format!("waits for a free place: {} Jobs may be active at once", cx.places.limit());
            hold(cx, run, HeldReason::JobLimit, &message, now).await?;
        }
    }
    if let Some((recovery, event)) = recover {
        let again = match make_recovery(cx, bank, recovery).await? {
            // What was made here is not told again by the watch.
            Ok(()) => {
                events.push(event);
                now
            }
            Err(refused) => {
                events.push(refused);
                now.checked_add(REFUSED).unwrap_or(now)
            }
        };
        looks.push(Some(again));
    }
    for recovery in seen.recoveries.iter().filter(|one| by_policy(one) && forget.contains(&one.id.key.name)) {
        write::delete::<Recovery>(&cx.client, &recovery.id).await?;
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

/// Ends a run whose place another takes.
async fn cancelled(cx: &Context, run: &mut Tracked, now: Timestamp) -> Result<(), ReconcileError> {
    if let Some(job) = cx.world.jobs.get(&run.entry.id.key).filter(|job| controls(&run.entry.id.uid, job)) {
        write::delete::<Job>(&cx.client, &job.id).await?;
    }
    let job_name = run.entry.status.as_ref().and_then(|status| status.job_name.clone());
    let note = Note::new(Reason::Cancelled, "the run of the next slot replaces it");
    lost(cx, run, Outcome::Unknown, &note, RunTold { job_name, ..RunTold::default() }, now).await
}

/// The runs of a bank that is not there. Those that the bank owned go with it.
async fn orphaned(cx: &Context, seen: &mut Seen, now: Timestamp) -> Result<(), ReconcileError> {
    for run in seen.runs.iter_mut().filter(|run| !run.view.phase.finished()) {
        let job = cx.world.jobs.get(&run.entry.id.key);
        if let Some(job) = job.filter(|job| controls(&run.entry.id.uid, job)) {
            write::delete::<Job>(&cx.client, &job.id).await?;
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
        let conditions = refused_conditions(&["Succeeded"], &old.conditions, run.id.generation, wrong, now);
        let status = MaintenanceRunStatus {
            observed_generation: run.id.generation,
            completion_time: conditions.first().map(|condition| condition.last_transition_time.clone()),
            conditions,
            phase: Some(Phase::Failed.name().to_owned()),
            ..old.clone()
        };
        if status != old {
            write::status(&cx.client, &cx.world.runs, &run.id, &status).await?;
        }
    }
    Ok(())
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
