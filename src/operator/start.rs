//! Starts a run: what it needs is there, its place on a node is found, its Job is made.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::context::Context;
use super::entry::{Claim, JobEntry, Read};
use super::error::ReconcileError;
use super::job::{JobOrder, job};
use super::key::Key;
use super::labels;
use super::needs;
use super::queue::backoff;
use super::quiesce::{Away, away, look_again};
use super::run::{Tracked, free, hold, lost, show};
use super::seen::recovery_ask;
use super::standing::Note;
use super::told::Told;
use super::write::{self, Made};
use crate::domain::{Consent, Outcome, Phase, Pruning, Reason, RunSpec, Task, Work};
use crate::plan::{EventReason, HeldReason, RunOwner, RunTold, consent, run_spec};
use crate::resources::{Quiesce, ValidBank, VolumeSource};
use crate::store::{Begin, RunRecord};

/// Pods of one page of a list.
const PAGE: u32 = 500;
/// How often it is looked whether a workload may be scaled by now.
const CANNOT_SCALE: SignedDuration = SignedDuration::from_mins(1);
/// What selects the pods that still have their claims.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Starts a run, which keeps of the bank and its sets what its policies say. When to try again, where its Job was refused for now.
pub async fn start(
    cx: &Context,
    bank: &ValidBank,
    tracked: &mut Tracked,
    pruning: &Pruning,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    let Ok(mut valid) = tracked.entry.valid.clone() else { return Ok(None) };
    let mut scaled_down = None;
    if let RunOwner::Recovery(recovery) = &tracked.view.owner {
        let recovery = Key::new(tracked.entry.id.key.namespace.as_str(), recovery.as_str());
        match recover(cx, bank, &recovery, tracked).await? {
            Ok((task, quiesce)) => {
                let changes = !matches!(task.work, Work::Recover { consent: Consent::None, .. });
                scaled_down = (changes && quiesce == Quiesce::ScaleDown).then_some(recovery.name);
                valid.tasks = vec![task];
            }
            Err(why) => {
                let note = Note::new(Reason::TaskFailed, why);
                lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
                return Ok(None);
            }
        }
    }
    let Some(authority) = cx.authority.borrow().clone() else {
        // Without it no report could be handed in. It comes within seconds, or readiness says why not.
        free(cx, &tracked.entry.id.key);
        return Ok(now.checked_add(SignedDuration::from_secs(2)).ok());
    };
    if let Some(recovery) = &scaled_down
        && let Some(next) = Box::pin(quiesced(cx, bank, tracked, recovery, now)).await?
    {
        return Ok(Some(next));
    }
    if tracked.view.phase.finished() {
        return Ok(None);
    }
    let key = tracked.entry.id.key.clone();
    let deadline = valid.active_deadline_seconds;
    let spec = run_spec(&key.namespace, &key.name, &bank.bank, &valid.tasks, deadline, pruning);
    let node = match node(cx, bank, &spec).await? {
        Ok(node) => node,
        Err(note) => {
            lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
            return Ok(None);
        }
    };
    let uid = tracked.entry.id.uid.clone();
    let order = JobOrder {
        settings: &cx.jobs,
        bank,
        spec: &spec,
        run_uid: &uid,
        ingest_ca: authority.ca(),
        node: node.as_deref(),
    };
    let job = match job(&order) {
        Ok(job) => job,
        Err(error) => {
            let note = Note::new(Reason::TaskFailed, error.to_string());
            lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
            return Ok(None);
        }
    };
    // First the record: the order of runs decides whose report is the newest.
    note_begin(cx, tracked, &spec, now).await?;
    match write::create(&cx.client, &job, &uid).await? {
        Made::Ours(made) => {
            cx.world.jobs.put(JobEntry::read(kube::core::DeserializeGuard(Ok(made))));
            tracked.view.phase = Phase::Running;
            tracked.view.started = Some(now);
            tracked.view.reason.clear();
            tracked.view.message.clear();
            let told = RunTold { job_name: Some(key.name.clone()), ..RunTold::default() };
            show(cx, tracked, told, now).await?;
            let told = Told {
                warning: false,
                reason: EventReason::RunStarted.name().to_owned(),
                action: "Start".to_owned(),
                note: format!("made the Job {}", key.name),
            };
            cx.teller.tell("MaintenanceRun", &tracked.entry.id, &[told]);
            Ok(None)
        }
        Made::Theirs => {
            let note =
                Note::new(Reason::TaskFailed, "a Job of its name exists and is somebody else's: rename that one");
            lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
            Ok(None)
        }
        Made::Invalid(why) => {
            let note = Note::new(Reason::PodForbidden, format!("its Job is refused; look at spec.jobTemplate: {why}"));
            lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
            Ok(None)
        }
        Made::Forbidden(why) => forbidden(cx, tracked, scaled_down.is_some(), &why, now).await,
    }
}

/// A run whose Job may not be made. When it is tried again; not where its bank's workload was scaled down for it, which
/// would go down and up each time.
async fn forbidden(
    cx: &Context,
    tracked: &mut Tracked,
    scaled_down: bool,
    why: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    if scaled_down {
        let message = format!("its Job may not be made, and its bank's workload is put back: {why}");
        let note = Note::new(Reason::PodForbidden, message);
        lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
        return Ok(None);
    }
    let attempts = tracked.refused().map_or(0, |(attempts, _)| attempts).saturating_add(1);
    let wait = SignedDuration::try_from(backoff(attempts)).unwrap_or(SignedDuration::ZERO);
    let next = now.checked_add(wait).unwrap_or(now);
    tracked.view.phase = Phase::Pending;
    Reason::PodForbidden.name().clone_into(&mut tracked.view.reason);
    tracked.view.message = format!("its Job may not be made, and is tried again: {why}");
    free(cx, &tracked.entry.id.key);
    show(cx, tracked, RunTold { refused: Some((attempts, next)), ..RunTold::default() }, now).await?;
    Ok(Some(next))
}

/// Whether the workload of a run's bank is away, so that the run may begin: then none. Else when to look again; of a run
/// that ended over it, none as well.
async fn quiesced(
    cx: &Context,
    bank: &ValidBank,
    tracked: &mut Tracked,
    recovery: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    match away(cx, bank, tracked, recovery, now).await? {
        Away::Gone => Ok(None),
        Away::Waits(message) => {
            hold(cx, tracked, HeldReason::Quiescing, &message, now).await?;
            Ok(look_again(now))
        }
        Away::Cannot(message) => {
            free(cx, &tracked.entry.id.key);
            // Others of its bank were kept waiting for it until now.
            let wait = if HeldReason::CannotScale.holds(&tracked.view) { CANNOT_SCALE } else { SignedDuration::ZERO };
            hold(cx, tracked, HeldReason::CannotScale, &message, now).await?;
            Ok(Some(now.checked_add(wait).unwrap_or(now)))
        }
        Away::Failed(note) => {
            lost(cx, tracked, Outcome::Failed, &note, RunTold::default(), now).await?;
            Ok(None)
        }
    }
}

/// The task of a recovery's run, with what the recovery allows it now, and how writers are kept away; or why it may not
/// be started.
async fn recover(
    cx: &Context,
    bank: &ValidBank,
    recovery: &Key,
    run: &Tracked,
) -> Result<Result<(Task, Quiesce), String>, ReconcileError> {
    let there = cx.world.recoveries.get(recovery).filter(|there| {
        let owner = run.entry.id.owner.as_ref();
        !there.id.deleting && owner.is_some_and(|owner| owner.uid == there.id.uid)
    });
    let usable = there.as_deref().and_then(|there| Some(recovery_ask(there, there.valid.as_ref().ok()?)));
    let Some(ask) = usable else {
        return Ok(Err(format!("its Recovery {} is gone, or cannot be used", recovery.name)));
    };
    let facts = cx.facts(&Key::new(recovery.namespace.as_str(), bank.meta.name.as_str())).await?;
    let work = consent(&ask, bank, &run.view.name, &facts.corruption.top);
    let task = |work| Task { name: "recover".to_owned(), work, active_deadline_seconds: None };
    Ok(work.map(|work| (task(work), ask.recovery.quiesce)))
}

async fn note_begin(cx: &Context, tracked: &Tracked, spec: &RunSpec, now: Timestamp) -> Result<(), ReconcileError> {
    let id = &tracked.entry.id;
    let record = RunRecord {
        uid: id.uid.clone(),
        namespace: id.key.namespace.clone(),
        bank: spec.bank.name.clone(),
        name: id.key.name.clone(),
        owner: json!({"owner": tracked.view.owner, "slot": tracked.view.slot}),
        spec: serde_json::to_value(spec).unwrap_or(Value::Null),
        phase: Phase::Running,
        reason: String::new(),
        message: String::new(),
        created: id.created,
        started: Some(now),
        finished: None,
        report: None,
    };
    match cx.store.begin_run(&record).await? {
        Begin::New => {}
        // Begun before, and its Job was not made.
        Begin::Exists(known) if known.uid == id.uid => {
            cx.store.mark_started(&id.uid, now).await?;
        }
        Begin::Exists(known) => {
            // A run of this name that was deleted: what it reported stays, its row makes place.
            cx.store.delete_runs(&[known.uid]).await?;
            cx.store.begin_run(&record).await?;
        }
    }
    Ok(())
}

/// The node on which a run must be executed, if any; or why it cannot be executed at all.
async fn node(cx: &Context, bank: &ValidBank, spec: &RunSpec) -> Result<Result<Option<String>, Note>, ReconcileError> {
    let mounted = needs::volumes(&spec.bank, &spec.tasks);
    let sqlite = needs::sqlite(&spec.bank, &spec.tasks);
    let mut bound = BTreeSet::new();
    let mut exclusive = BTreeSet::new();
    for volume in bank.volumes.iter().filter(|volume| mounted.contains(&volume.name)) {
        let VolumeSource::Claim(name) = &volume.source else { continue };
        let Some(claim) = cx.world.claims.get(&Key::new(spec.namespace.as_str(), name)) else {
            let message = format!("there is no PersistentVolumeClaim {name}, which the volume {} names", volume.name);
            return Ok(Err(Note::new(Reason::VolumeNotFound, message)));
        };
        if one_node(&claim) || sqlite.contains(&volume.name) {
            bound.insert(name.clone());
        }
        if claim.access_modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            exclusive.insert(name.clone());
        }
    }
    if bound.is_empty() {
        return Ok(Ok(None));
    }
    let pods: Api<Pod> = Api::namespaced(cx.client.clone(), &spec.namespace);
    // From what the API server has at hand: it may give more than a page of it.
    let mut params = ListParams::default().match_any().fields(NOT_ENDED).limit(PAGE);
    let mut users = Vec::new();
    loop {
        let page = pods.list(&params).await.map_err(ReconcileError::api("pods that use the bank's claims"))?;
        users.extend(page.items.into_iter().filter(|pod| claims(pod).any(|claim| bound.contains(claim))));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else { break };
        params = ListParams::default().fields(NOT_ENDED).limit(PAGE).continue_token(&token);
    }
    Ok(place(&users, &bound, &exclusive, &spec.run))
}

/// The names of the claims that a pod mounts.
fn claims(pod: &Pod) -> impl Iterator<Item = &String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let sources = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    sources.map(|source| &source.claim_name)
}

/// Whether a claim can be used on one node at a time.
fn one_node(claim: &Claim) -> bool {
    !claim.access_modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

/// The node of the pods that have the claims. Pure.
fn place(
    pods: &[Pod],
    bound: &BTreeSet<String>,
    exclusive: &BTreeSet<String>,
    run: &str,
) -> Result<Option<String>, Note> {
    let mut nodes = BTreeSet::new();
    for pod in pods {
        let own = pod.metadata.labels.as_ref().and_then(|known| known.get(labels::RUN)).is_some_and(|of| of == run);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let Some(spec) = pod.spec.as_ref().filter(|_| !own && !matches!(phase, "Succeeded" | "Failed")) else {
            continue;
        };
        let claims: Vec<&String> = claims(pod).filter(|claim| bound.contains(*claim)).collect();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if let Some(claim) = claims.iter().find(|claim| exclusive.contains(**claim)) {
            let message = format!("the claim {claim} is ReadWriteOncePod, and the pod {name} has it: no other pod can");
            return Err(Note::new(Reason::VolumeExclusive, message));
        }
        if let Some(node) = spec.node_name.as_ref().filter(|_| !claims.is_empty()) {
            nodes.insert(node.clone());
        }
    }
    if nodes.len() > 1 {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let message =
            format!("its claims are in use on several nodes ({}): no pod can have them all", nodes.join(", "));
        return Err(Note::new(Reason::VolumesApart, message));
    }
    Ok(nodes.into_iter().next())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, node: Option<&str>, claim: &str, phase: &str, run: Option<&str>) -> Pod {
        let labels: Value = run.map_or(json!({}), |run| json!({labels::RUN: run}));
        let pod = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": node,
                "containers": [],
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}],
            },
            "status": {"phase": phase},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn claims(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_run_goes_to_the_node_of_the_pod_that_has_the_claim() {
        let bank = pod("bank", Some("n1"), "data", "Running", None);
        let ended = pod("ended", Some("n2"), "data", "Succeeded", None);
        let own = pod("own", Some("n3"), "data", "Running", Some("run"));
        let pending = pod("pending", None, "data", "Pending", None);
        let other = pod("other", Some("n4"), "else", "Running", None);
        let pods = [bank, ended, own, pending, other];
        let none = claims(&[]);
        assert_eq!(place(&pods, &claims(&["data"]), &none, "run"), Ok(Some("n1".to_owned())));
        assert_eq!(place(&pods, &claims(&["nobody"]), &none, "run"), Ok(None));
        let apart = place(&pods, &claims(&["data", "else"]), &none, "run").unwrap_err();
        assert_eq!(apart.reason, Reason::VolumesApart);
        let exclusive = place(&pods, &claims(&["data"]), &claims(&["data"]), "run").unwrap_err();
        assert_eq!(exclusive.reason, Reason::VolumeExclusive);
    }
}
