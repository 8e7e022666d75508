//! Keeps the writers of a bank away while a recovery changes it: its workload is scaled to none, and put back.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::Context;
use super::error::ReconcileError;
use super::key::Key;
use super::labels;
use super::ledger::{Kind, Record, Scaled};
use super::run::{Tracked, controls, job_finished};
use super::standing::Note;
use super::told::Told;
use crate::domain::Reason;
use crate::plan::{EventDraft, EventReason, HeldReason};
use crate::resources::{LabelSelector, ValidBank};

/// Workloads, or pods, of one page of a list.
const PAGE: u32 = 200;
/// How many workloads one bank may have.
const MAX_WORKLOADS: usize = 32;
/// How long their pods may take to end, and a run that is over to leave the bank.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How often it is looked whether they have.
const POLL: SignedDuration = SignedDuration::from_secs(2);
/// Who owns the replicas.
const MANAGER: &str = "memorybank.dev/operator";

/// Where the workload of a bank stands.
pub enum Away {
    /// No pod of it is left.
    Gone,
    /// It is scaled down, and pods are ending: why it is not gone yet.
    Waits(String),
    /// It is not scaled down, and cannot be now: why.
    Cannot(String),
    /// It was scaled down in vain.
    Failed(Note),
}

/// A workload of the bank, with what its scale says.
struct Workload {
    kind: Kind,
    name: String,
    uid: String,
    scale: Scale,
}

impl Workload {
    fn replicas(&self) -> i32 {
        self.scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default()
    }
}

/// Scales the workload of a recovery's bank to none, after it was written down what it had. Called again until it is
/// gone: then the run's Job may be made.
pub async fn away(
    cx: &Context,
    bank: &ValidBank,
    run: &Tracked,
    recovery: &str,
    now: Timestamp,
) -> Result<Away, ReconcileError> {
    let (namespace, uid) = (run.entry.id.key.namespace.as_str(), run.entry.id.uid.as_str());
    let known = cx.ledger.get(namespace, uid);
    let failed = |message: String| Away::Failed(Note::new(Reason::TaskFailed, message));
    let stop = |message: String| match known {
        // What was scaled down for it is put back.
        Some(_) => failed(message),
        None => Away::Cannot(message),
    };
    // Before anything that may fail: what was scaled down is put back then, and must not be scaled down again.
    if known.as_ref().is_some_and(|record| now.duration_since(record.since) > PATIENCE) {
        let message = format!("{}, which did not come within {} minutes", run.view.message, PATIENCE.as_mins());
        return Ok(Away::Failed(Note::new(Reason::DeadlineExceeded, message)));
    }
    let workloads = match workloads(cx, namespace, bank.workload.as_ref()).await? {
        Ok(workloads) => workloads,
        Err(why) => return Ok(stop(why)),
    };
    let mut record = known.clone().unwrap_or_else(|| Record {
        bank: bank.meta.name.clone(),
        run: run.view.name.clone(),
        recovery: recovery.to_owned(),
        since: now,
        workloads: Vec::new(),
    });
    let up: Vec<&Workload> = workloads.iter().filter(|workload| workload.replicas() > 0).collect();
    for workload in &up {
        note(&mut record, workload);
    }
    // Those that are at none as well: it may be another run that has them there.
    let selected: Vec<&str> = workloads.iter().map(|workload| workload.uid.as_str()).collect();
    let theirs = |(other, workload): (String, String)| {
        stop(format!("{workload} is scaled down for the run {other}: waits until that is over"))
    };
    if !HeldReason::Quiescing.holds(&run.view) {
        // From then on it has the bank, and what fails halfway goes on instead of back.
        let taken = cx.ledger.taken(namespace, uid, &selected).map(theirs);
        return Ok(taken.unwrap_or_else(|| Away::Waits("its workload is about to be scaled down".to_owned())));
    }
    let taken = if known.as_ref() == Some(&record) {
        cx.ledger.taken(namespace, uid, &selected)
    } else {
        cx.ledger.write(&cx.store, namespace, uid, &selected, record.clone()).await?
    };
    if let Some(taken) = taken {
        return Ok(theirs(taken));
    }
    for workload in &up {
        let had = workload.replicas();
        match scale(cx, namespace, workload.kind, &workload.name, &workload.scale, 0).await {
            Ok(()) => {}
            // It is not any more as it was noted: the next look notes it anew.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => continue,
            // Others may be at none by now: to wait for leave would keep them there.
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Ok(failed(format!("{}: {}", right(namespace), status.message)));
            }
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                let of = format!("{} {}", workload.kind.name(), workload.name);
                return Ok(failed(format!("{of} may not be scaled: {}", status.message)));
            }
            Err(error) => return Err(unscaled(workload.kind, &workload.name)(error)),
        }
        let message =
            format!("{} {} was scaled from {had} to 0 for {}", workload.kind.name(), workload.name, record.run);
        tell(cx, namespace, &record, EventReason::ScaledDown, message);
    }
    let left = left(cx, namespace, &workloads).await?;
    if up.is_empty() && left.is_none() {
        return Ok(Away::Gone);
    }
    let shown: Vec<_> =
        workloads.iter().map(|workload| format!("{} {}", workload.kind.name(), workload.name)).collect();
    let waits =
        format!("scaled down: {}; waits for the end of {}", shown.join(", "), left.as_deref().unwrap_or("their pods"));
    Ok(Away::Waits(waits))
}

/// When to look again at a workload that goes.
pub fn look_again(now: Timestamp) -> Option<Timestamp> {
    now.checked_add(POLL).ok()
}

/// Notes what a workload has, which may be another number than at the last look. Pure.
fn note(record: &mut Record, workload: &Workload) {
    record.workloads.retain(|known| known.uid != workload.uid);
    record.workloads.push(Scaled {
        kind: workload.kind,
        name: workload.name.clone(),
        uid: workload.uid.clone(),
        replicas: workload.replicas(),
    });
}

/// The workloads of a bank: those whose pods would have its labels; or why none is scaled.
async fn workloads(
    cx: &Context,
    namespace: &str,
    selector: Option<&LabelSelector>,
) -> Result<Result<Vec<Workload>, String>, ReconcileError> {
    let Some(selector) = selector else { return Ok(Err("its bank does not say what is scaled down".to_owned())) };
    let found = async {
        let of = |deployment: &Deployment| deployment.spec.as_ref().map(|spec| spec.template.clone());
        let mut found = selected(cx, namespace, selector, Kind::Deployment, of).await?;
        let of = |set: &StatefulSet| set.spec.as_ref().map(|spec| spec.template.clone());
        found.extend(selected(cx, namespace, selector, Kind::StatefulSet, of).await?);
        let mut workloads = Vec::new();
        for (kind, name, uid) in found.into_iter().take(MAX_WORKLOADS + 1) {
            if let Some(scale) = scale_of(cx, namespace, kind, &name).await? {
                workloads.push(Workload { kind, name, uid, scale });
            }
        }
        Ok::<_, kube::Error>(workloads)
    };
    let workloads = match found.await {
        Ok(workloads) => workloads,
        Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(Err(right(namespace))),
        Err(error) => return Err(ReconcileError::api(format!("the workloads of {namespace} are not read"))(error)),
    };
    if let Some(own) = workloads.iter().find(|one| namespace == cx.world.own && is_own(&cx.identity, &one.name)) {
        return Ok(Err(format!(
            "spec.workload.selector of the bank selects {} {} too, which is the operator itself: name labels that only \
             the bank's pods have",
            own.kind.name(),
            own.name
        )));
    }
    Ok(match workloads.len() {
        0 => Err("no Deployment or StatefulSet of the namespace has a pod template with the labels of the bank's \
                  spec.workload.selector: correct that, or use spec.quiesce Wait"
            .to_owned()),
        1..=MAX_WORKLOADS => Ok(workloads),
        _ => Err(format!(
            "spec.workload.selector of the bank selects more than {MAX_WORKLOADS} workloads: name labels that only the \
             bank's pods have"
        )),
    })
}

/// Whether a workload is the operator's own: its pods have its name and, of a Deployment, two words more. Pure.
fn is_own(identity: &str, workload: &str) -> bool {
    identity.rsplitn(3, '-').nth(2) == Some(workload)
}

/// What the operator lacks.
fn right(namespace: &str) -> String {
    format!(
        "the operator may not scale workloads in {namespace} (list deployments and statefulsets, get and patch their \
         scale): name the namespace in rbac.scale.namespaces of the chart, or use spec.quiesce Wait"
    )
}

/// Kind, name and uid of each workload whose pods would have the labels.
async fn selected<K>(
    cx: &Context,
    namespace: &str,
    selector: &LabelSelector,
    kind: Kind,
    template: impl Fn(&K) -> Option<PodTemplateSpec>,
) -> Result<Vec<(Kind, String, String)>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cx.client.clone(), namespace);
    let mut params = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        for object in page.items {
            let labels = template(&object).and_then(|template| template.metadata).and_then(|meta| meta.labels);
            if selector.matches(&labels.unwrap_or_default()) {
                let meta = object.meta();
                found.push((kind, meta.name.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default()));
            }
        }
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else { return Ok(found) };
        params = ListParams::default().limit(PAGE).continue_token(&token);
    }
}

/// The scale of a workload; none where it is gone.
async fn scale_of(cx: &Context, namespace: &str, kind: Kind, name: &str) -> Result<Option<Scale>, kube::Error> {
    let client = cx.client.clone();
    let found = match kind {
        Kind::Deployment => Api::<Deployment>::namespaced(client, namespace).get_scale(name).await,
        Kind::StatefulSet => Api::<StatefulSet>::namespaced(client, namespace).get_scale(name).await,
    };
    match found {
        Ok(scale) => Ok(Some(scale)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Scales a workload that is as `known` says.
async fn scale(
    cx: &Context,
    namespace: &str,
    kind: Kind,
    name: &str,
    known: &Scale,
    replicas: i32,
) -> Result<(), kube::Error> {
    let meta = json!({"resourceVersion": known.metadata.resource_version});
    let patch = Patch::Merge(json!({"metadata": meta, "spec": {"replicas": replicas}}));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let client = cx.client.clone();
    let scaled = match kind {
        Kind::Deployment => Api::<Deployment>::namespaced(client, namespace).patch_scale(name, &params, &patch).await,
        Kind::StatefulSet => Api::<StatefulSet>::namespaced(client, namespace).patch_scale(name, &params, &patch).await,
    };
    scaled.map(drop)
}

fn unscaled(kind: Kind, name: &str) -> impl FnOnce(kube::Error) -> ReconcileError {
    ReconcileError::api(format!("{} {name} is not scaled", kind.name()))
}

/// For people: pods of the workloads that have not ended; none where there is none.
async fn left(cx: &Context, namespace: &str, workloads: &[Workload]) -> Result<Option<String>, ReconcileError> {
    let pods: Api<Pod> = Api::namespaced(cx.client.clone(), namespace);
    for workload in workloads {
        let status = workload.scale.status.as_ref();
        let Some(selector) = status.and_then(|status| status.selector.as_deref()).filter(|text| !text.is_empty())
        else {
            return Ok(Some(format!("the pods of {}, whose scale does not tell them", workload.name)));
        };
        let params = ListParams::default().labels(selector).limit(PAGE);
        let what = || format!("the pods of {} are not read", workload.name);
        let page = pods.list(&params).await.map_err(ReconcileError::api(what()))?;
        let names: Vec<_> =
            page.items.iter().filter(|pod| lives(pod)).filter_map(|pod| pod.metadata.name.as_deref()).collect();
        let more = page.metadata.continue_.is_some_and(|token| !token.is_empty());
        match names.as_slice() {
            [] if more => {
                return Ok(Some(format!("the pods of {}, of which there are more than {PAGE}", workload.name)));
            }
            [] => {}
            [one] => return Ok(Some(format!("the pod {one}"))),
            [one, others @ ..] => return Ok(Some(format!("the pod {one} and {} more", others.len()))),
        }
    }
    Ok(None)
}

/// Whether a pod of a workload may still write; those of Jobs of ours are none. Pure.
fn lives(pod: &Pod) -> bool {
    let ours = pod.metadata.labels.as_ref().is_some_and(|known| known.contains_key(labels::RUN));
    !ours && unfinished(pod)
}

/// Whether a pod may still write. Pure.
fn unfinished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Puts back what was scaled down for runs of a bank that are over, whatever became of them. When to look again.
pub async fn put_back(cx: &Context, bank: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
    let (mut look, mut failed) = (None, None);
    for (uid, record) in cx.ledger.of_bank(bank) {
        let run = cx.world.runs.get(&Key::new(bank.namespace.as_str(), record.run.as_str()));
        let run = run.filter(|run| run.id.uid == uid && !run.id.deleting).and_then(|run| Tracked::of(run, None));
        let makes_pods = makes_pods(cx, bank, &uid, &record);
        if run.is_some_and(|run| goes_on(&run, &record, makes_pods, now)) {
            cx.ledger.goes_on(&bank.namespace, &uid);
            continue;
        }
        let over = cx.ledger.over(&bank.namespace, &uid);
        let lives = |run: &str| cx.world.pods_of(bank, run).iter().any(|pod| unfinished(&pod.object));
        if (makes_pods || lives(&record.run)) && over < PATIENCE.unsigned_abs() {
            look = look_again(now);
            continue;
        }
        let nowhere = !cx.world.namespaces.all().is_empty()
            && cx.world.namespaces.get(&Key::new("", bank.namespace.as_str())).is_none();
        // One that cannot be put back keeps no other one down.
        let mut left = None;
        for workload in record.workloads.iter().filter(|_| !nowhere) {
            if let Err(error) = put_one_back(cx, &bank.namespace, &record, workload).await {
                // Somebody else wrote in that moment: the next look knows what.
                if error.reason() != "Conflict" {
                    let message = format!("{error}: scale it to {} yourself, or wait", workload.replicas);
                    tell(cx, &bank.namespace, &record, EventReason::NotPutBack, message);
                }
                left = Some(error);
            }
        }
        match left {
            None => cx.ledger.forget(&cx.store, &bank.namespace, &uid).await?,
            Some(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(look), Err)
}

/// Whether a run has its workload away for good reason: it waits for the end of pods, or has a Job. Pure.
fn goes_on(run: &Tracked, record: &Record, makes_pods: bool, now: Timestamp) -> bool {
    let named = run.entry.status.as_ref().is_some_and(|status| status.job_name.is_some());
    // Who waits longer does so for something else.
    let waits = HeldReason::Quiescing.holds(&run.view) && now.duration_since(record.since) <= PATIENCE;
    !run.view.phase.finished() && (named || waits || makes_pods)
}

/// Whether a run's Job may still make pods that write to the bank.
fn makes_pods(cx: &Context, bank: &Key, uid: &str, record: &Record) -> bool {
    let job = cx.world.jobs.get(&Key::new(bank.namespace.as_str(), record.run.as_str()));
    job.is_some_and(|job| controls(uid, &job) && !job_finished(&job.object))
}

/// Puts a workload back, unless it is another one by now or somebody else has scaled it.
async fn put_one_back(cx: &Context, namespace: &str, record: &Record, workload: &Scaled) -> Result<(), ReconcileError> {
    let Scaled { kind, name, uid, replicas } = workload;
    let Some(known) = scale_of(cx, namespace, *kind, name).await.map_err(unscaled(*kind, name))? else { return Ok(()) };
    let has = known.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
    if known.metadata.uid.as_ref() != Some(uid) || has != 0 {
        return Ok(());
    }
    scale(cx, namespace, *kind, name, &known, *replicas).await.map_err(unscaled(*kind, name))?;
    let message = format!("{} {name} was put back to {replicas} after {}", kind.name(), record.run);
    tell(cx, namespace, record, EventReason::PutBack, message);
    Ok(())
}

/// Tells of the recovery, or of the bank where that is gone.
fn tell(cx: &Context, namespace: &str, record: &Record, reason: EventReason, message: String) {
    tracing::info!(namespace, run = record.run, reason = reason.name(), "{message}");
    let told = [Told::of(&EventDraft::new(reason, message))];
    let key = |name: &str| Key::new(namespace, name);
    if let Some(recovery) = cx.world.recoveries.get(&key(&record.recovery)) {
        cx.teller.tell("Recovery", &recovery.id, &told);
    } else if let Some(bank) = cx.world.banks.get(&key(&record.bank)) {
        cx.teller.tell("MemoryBank", &bank.id, &told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_does_not_scale_itself_down() {
        assert!(is_own("memorybank-operator-7f9c-x2x4z", "memorybank-operator"));
        assert!(!is_own("memorybank-operator-7f9c-x2x4z", "memory"));
        assert!(!is_own("memorybank-operator-7f9c-x2x4z", "memorybank"));
        assert!(!is_own("operator-0", "operator-0"));
    }

    #[test]
    fn what_a_workload_has_is_noted_as_it_is_at_the_last_look() {
        let workload = |name: &str, replicas| Workload {
            kind: Kind::Deployment,
            name: name.to_owned(),
            uid: format!("uid of {name}"),
            scale: serde_json::from_value(json!({"metadata": {}, "spec": {"replicas": replicas}})).unwrap(),
        };
        let mut record = Record {
            bank: "b".to_owned(),
            run: "r".to_owned(),
            recovery: "m".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            workloads: Vec::new(),
        };
        for (name, replicas) in [("api", 2), ("ui", 1), ("api", 5)] {
            note(&mut record, &workload(name, replicas));
        }
        let noted: Vec<_> = record.workloads.iter().map(|one| (one.name.as_str(), one.replicas)).collect();
        assert_eq!(noted, [("ui", 1), ("api", 5)]);
    }
}
