use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;

use crate::delivery::{AUDIENCE, Admitted, Refusal};
use crate::resources::MaintenanceRun;

/// What a token that is bound to a pod says of it.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The label that names the bank of a Job.
const BANK: &str = "memorybank.dev/bank";

/// The pod whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub pod: String,
    pub uid: String,
}

/// What owns an object as its controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub name: String,
    pub uid: String,
}

fn forbidden<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Forbidden(why.into()))
}

/// Whose token it is, by what the API server says of it.
pub(super) fn caller(review: &TokenReviewStatus) -> Result<Caller, Refusal> {
    if review.authenticated != Some(true) {
        let why = review.error.as_deref().filter(|error| !error.is_empty());
        return Err(Refusal::Unauthenticated(why.unwrap_or("the API server does not know it").to_owned()));
    }
    // A server that does not know of audiences names none, and then the token may be for anything.
    if !review.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
        return Err(Refusal::Unauthenticated(format!("it is not for the audience {AUDIENCE}")));
    }
    let extra = review.user.as_ref().and_then(|user| user.extra.as_ref());
    let only = |key| match extra.and_then(|extra| extra.get(key)).map(Vec::as_slice) {
        Some([one]) if !one.is_empty() => Some(one.clone()),
        _ => None,
    };
    match (only(POD_NAME), only(POD_UID)) {
        (Some(pod), Some(uid)) => Ok(Caller { pod, uid }),
        _ => forbidden("the token is not bound to a pod"),
    }
}

/// The Job of the caller's pod.
pub(super) fn job_of(pod: &Pod, caller: &Caller) -> Result<Owner, Refusal> {
    if pod.metadata.uid.as_deref() != Some(caller.uid.as_str()) {
        return forbidden(format!("pod {} is another one than that of the token", caller.pod));
    }
    match controller(&pod.metadata) {
        Some(owner) if owner.kind == "Job" && group(owner) == "batch" => Ok(named(owner)),
        _ => forbidden(format!("pod {} belongs to no Job", caller.pod)),
    }
}

/// The run of a Job that must be the run of this name.
pub(super) fn run_of(job: &Job, expected: &Owner, run: &str) -> Result<Admitted, Refusal> {
    let name = &expected.name;
    if job.metadata.uid.as_ref() != Some(&expected.uid) {
        return forbidden(format!("Job {name} is another one than that of the pod"));
    }
    if name != run {
        return forbidden(format!("it is a pod of Job {name}"));
    }
    let owner = match controller(&job.metadata) {
        Some(owner) if owner.kind == MaintenanceRun::kind(&()) && group(owner) == MaintenanceRun::group(&()) => owner,
        _ => return forbidden(format!("Job {name} belongs to no MaintenanceRun")),
    };
    if owner.name != run {
        return forbidden(format!("Job {name} belongs to MaintenanceRun {}", owner.name));
    }
    let bank = job.metadata.labels.as_ref().and_then(|labels| labels.get(BANK));
    match bank {
        Some(bank) if !bank.is_empty() => Ok(Admitted { uid: owner.uid.clone(), bank: bank.clone() }),
        _ => forbidden(format!("Job {name} has no label {BANK}")),
    }
}

/// Whether the run is the one that the Job was made for.
pub(super) fn same_run(run: &MaintenanceRun, admitted: &Admitted) -> Result<(), Refusal> {
    let name = run.metadata.name.as_deref().unwrap_or_default();
    if run.metadata.uid.as_ref() != Some(&admitted.uid) {
        return forbidden(format!("MaintenanceRun {name} is another one than that of the Job"));
    }
    if run.spec.bank_name != admitted.bank {
        return forbidden(format!("MaintenanceRun {name} is of bank {}, its Job of another", run.spec.bank_name));
    }
    Ok(())
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn group(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

fn named(owner: &OwnerReference) -> Owner {
    Owner { name: owner.name.clone(), uid: owner.uid.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn review(status: Value) -> Result<Caller, Refusal> {
        caller(&serde_json::from_value(status).unwrap())
    }

    fn bound(name: &Value, uid: &Value) -> Value {
        json!({
            "authenticated": true,
            "audiences": ["memorybank-ingest"],
            "user": {"username": "system:serviceaccount:team-a:default", "extra": {POD_NAME: name, POD_UID: uid}},
        })
    }

    #[test]
    fn a_token_of_a_pod_for_this_audience_is_that_pods() {
        let expected = Caller { pod: "run-1-abcde".to_owned(), uid: "p-1".to_owned() };
        assert_eq!(review(bound(&json!(["run-1-abcde"]), &json!(["p-1"]))), Ok(expected));
    }

    #[test]
    fn a_token_that_is_not_authenticated_or_for_another_audience_is_refused_as_such() {
        let mut others = vec![
            json!({}),
            json!({"authenticated": false, "error": "token has expired"}),
            json!({"authenticated": true}),
            json!({"authenticated": true, "audiences": []}),
        ];
        let good = bound(&json!(["run-1-abcde"]), &json!(["p-1"]));
        for (field, value) in [
            ("authenticated", json!(false)),
            ("authenticated", json!(null)),
            ("audiences", json!(["https://kubernetes.default.svc"])),
            ("audiences", json!(["memorybank-ingest-2"])),
            ("audiences", json!(null)),
        ] {
            let mut other = good.clone();
            other[field] = value;
            others.push(other);
        }
        for status in others {
            assert!(matches!(review(status.clone()), Err(Refusal::Unauthenticated(_))), "{status}");
        }
        let Err(refusal) = review(json!({"error": "token has expired"})) else { panic!("admitted") };
        assert!(refusal.to_string().contains("token has expired"), "{refusal}");
    }

    #[test]
    fn a_token_that_is_bound_to_no_one_pod_is_forbidden() {
        for (name, uid) in [
            (json!([]), json!(["p-1"])),
            (json!(["a"]), json!([])),
            (json!([""]), json!(["p-1"])),
            (json!(["a", "b"]), json!(["p-1"])),
            (json!(["a"]), json!(["p-1", "p-2"])),
        ] {
            assert!(matches!(review(bound(&name, &uid)), Err(Refusal::Forbidden(_))), "{name} {uid}");
        }
        let nobody = json!({"authenticated": true, "audiences": ["memorybank-ingest"], "user": {"username": "ada"}});
        assert!(matches!(review(nobody), Err(Refusal::Forbidden(_))));
    }

    fn pod(owners: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "run-1-abcde", "uid": "p-1", "ownerReferences": owners}}))
            .unwrap()
    }

    fn owner(api_version: &str, kind: &str, name: &str, uid: &str, controller: bool) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": controller})
    }

    #[test]
    fn a_pod_is_of_the_job_that_controls_it() {
        let caller = Caller { pod: "run-1-abcde".to_owned(), uid: "p-1".to_owned() };
        let job = owner("batch/v1", "Job", "run-1", "j-1", true);
        let other = owner("v1", "ConfigMap", "x", "c-1", false);
        let found = job_of(&pod(&json!([other, job])), &caller).unwrap();
        assert_eq!(found, Owner { name: "run-1".to_owned(), uid: "j-1".to_owned() });
        for owners in [
            json!(null),
            json!([]),
            json!([owner("batch/v1", "Job", "run-1", "j-1", false)]),
            json!([owner("apps/v1", "ReplicaSet", "run-1", "j-1", true)]),
            json!([owner("fake.dev/v1", "Job", "run-1", "j-1", true)]),
            json!([owner("v1", "Job", "run-1", "j-1", true)]),
        ] {
            assert!(matches!(job_of(&pod(&owners), &caller), Err(Refusal::Forbidden(_))), "{owners}");
        }
        let earlier = Caller { uid: "p-0".to_owned(), ..caller };
        assert!(matches!(job_of(&pod(&json!([job])), &earlier), Err(Refusal::Forbidden(_))));
        assert!(matches!(job_of(&Pod::default(), &earlier), Err(Refusal::Forbidden(_))));
    }

    fn job(name: &str, labels: &Value, owners: &Value) -> Job {
        let metadata = json!({"name": name, "uid": "j-1", "labels": labels, "ownerReferences": owners});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn a_job_is_of_the_run_that_controls_it_and_has_its_name() {
        let of = |name: &str| Owner { name: name.to_owned(), uid: "j-1".to_owned() };
        let run = |name| json!([owner("memorybank.dev/v1alpha1", "MaintenanceRun", name, "r-1", true)]);
        let labels = json!({"memorybank.dev/bank": "assistant"});
        let good = job("run-1", &labels, &run("run-1"));
        let expected = Admitted { uid: "r-1".to_owned(), bank: "assistant".to_owned() };
        assert_eq!(run_of(&good, &of("run-1"), "run-1"), Ok(expected));
        assert!(run_of(&good, &of("run-1"), "run-2").is_err(), "a pod of run-1 speaks for run-2");
        let replaced = Owner { uid: "j-0".to_owned(), ..of("run-1") };
        assert!(run_of(&good, &replaced, "run-1").is_err(), "a Job that was made again");
        for (labels, owners) in [
            (json!(null), run("run-1")),
            (json!({"memorybank.dev/bank": ""}), run("run-1")),
            (labels.clone(), run("run-2")),
            (labels.clone(), json!([])),
            (labels.clone(), json!([owner("batch/v1", "CronJob", "run-1", "r-1", true)])),
            (labels.clone(), json!([owner("other.dev/v1", "MaintenanceRun", "run-1", "r-1", true)])),
            (labels.clone(), json!([owner("memorybank.dev/v1alpha1", "MaintenanceRun", "run-1", "r-1", false)])),
        ] {
            let told = format!("{labels} {owners}");
            let judged = run_of(&job("run-1", &labels, &owners), &of("run-1"), "run-1");
            assert!(matches!(judged, Err(Refusal::Forbidden(_))), "{told}");
        }
    }

    #[test]
    fn the_run_must_be_the_one_of_the_job_and_of_its_bank() {
        let run = |uid: Value, bank: &str| -> MaintenanceRun {
            serde_json::from_value(json!({
                "apiVersion": "memorybank.dev/v1alpha1", "kind": "MaintenanceRun",
                "metadata": {"name": "run-1", "namespace": "team-a", "uid": uid},
                "spec": {"bankName": bank, "tasks": []},
            }))
            .unwrap()
        };
        let admitted = Admitted { uid: "r-1".to_owned(), bank: "assistant".to_owned() };
        assert_eq!(same_run(&run(json!("r-1"), "assistant"), &admitted), Ok(()));
        for (uid, bank) in [(json!("r-2"), "assistant"), (json!(null), "assistant"), (json!("r-1"), "other")] {
            let judged = same_run(&run(uid.clone(), bank), &admitted);
            assert!(matches!(judged, Err(Refusal::Forbidden(_))), "{uid} {bank}");
        }
    }
}
