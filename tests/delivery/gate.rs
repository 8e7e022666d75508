//! The gate of the cluster against an API server that answers from a list, with what goes wrong on the way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::{Body, Client};
use memorybank::delivery::{Admitted, Gate as _, Refusal};
use memorybank::operator::gate::ClusterGate;
use serde_json::{Value, json};

const REVIEW: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const POD: &str = "/api/v1/namespaces/team-a/pods/run-1-abcde";
const JOB: &str = "/apis/batch/v1/namespaces/team-a/jobs/run-1";
const RUN: &str = "/apis/memorybank.dev/v1alpha1/namespaces/team-a/maintenanceruns/run-1";

/// Status and body by path; what is not in it is 404.
type Answers = BTreeMap<&'static str, (u16, Value)>;

fn owned(api_version: &str, kind: &str, uid: &str) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": "run-1", "uid": uid, "controller": true}])
}

fn good() -> Answers {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
        "status": {
            "authenticated": true, "audiences": ["memorybank-ingest"],
            "user": {"username": "system:serviceaccount:team-a:default", "extra": {
                "authentication.kubernetes.io/pod-name": ["run-1-abcde"],
                "authentication.kubernetes.io/pod-uid": ["p-1"],
            }},
        },
    });
    let pod =
        json!({"metadata": {"name": "run-1-abcde", "uid": "p-1", "ownerReferences": owned("batch/v1", "Job", "j-1")}});
    let job = json!({"metadata": {
        "name": "run-1", "uid": "j-1", "labels": {"memorybank.dev/bank": "assistant"},
        "ownerReferences": owned("memorybank.dev/v1alpha1", "MaintenanceRun", "r-1"),
    }});
    let run = json!({
        "apiVersion": "memorybank.dev/v1alpha1", "kind": "MaintenanceRun",
        "metadata": {"name": "run-1", "namespace": "team-a", "uid": "r-1"},
        "spec": {"bankName": "assistant", "tasks": []},
    });
    BTreeMap::from([(REVIEW, (201, review)), (POD, (200, pod)), (JOB, (200, job)), (RUN, (200, run))])
}

/// What the gate says, and what it asked: the review's body first.
async fn admit(answers: Answers) -> (Result<Admitted, Refusal>, Vec<String>, Value) {
    let asked = Arc::new(Mutex::new((Vec::new(), Value::Null)));
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answers, log) = (answers.clone(), Arc::clone(&log));
        async move {
            let path = request.uri().path().to_owned();
            let (status, body) = answers.get(path.as_str()).cloned().unwrap_or((404, json!({})));
            let sent = request.into_body().collect_bytes().await.unwrap();
            let mut log = log.lock().unwrap();
            if path == REVIEW {
                log.1 = serde_json::from_slice(&sent).unwrap();
            }
            log.0.push(path);
            let reason = if status == 404 { "NotFound" } else { "" };
            let failed = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": "x",
            });
            let body = if status < 300 { body } else { failed };
            Ok::<_, Infallible>(
                Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    let gate = ClusterGate::new(Client::new(service, "default"));
    let admitted = gate.admit("the-token", "team-a", "run-1").await;
    let (paths, review) = asked.lock().unwrap().clone();
    (admitted, paths, review)
}

#[tokio::test]
async fn a_pod_of_the_runs_job_is_admitted() {
    let (admitted, paths, review) = admit(good()).await;
    assert_eq!(admitted, Ok(Admitted { uid: "r-1".to_owned(), bank: "assistant".to_owned() }));
    assert_eq!(paths, [REVIEW, POD, JOB, RUN]);
    assert_eq!(review["spec"], json!({"audiences": ["memorybank-ingest"], "token": "the-token"}));
}

#[tokio::test]
async fn what_is_gone_is_no_way_in() {
    for (path, unknown) in [(POD, false), (JOB, false), (RUN, true)] {
        let mut answers = good();
        answers.remove(path);
        let (refused, paths, _) = admit(answers).await;
        match refused {
            Err(Refusal::UnknownRun(_)) => assert!(unknown, "{path}"),
            Err(Refusal::Forbidden(_)) => assert!(!unknown, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
        assert_eq!(paths.last().map(String::as_str), Some(path), "nothing is asked after it");
    }
}

#[tokio::test]
async fn an_api_server_that_fails_or_forbids_is_unavailable_and_never_a_verdict() {
    for path in [REVIEW, POD, JOB, RUN] {
        for status in [403, 409, 500] {
            let mut answers = good();
            answers.insert(path, (status, json!({})));
            let (refused, ..) = admit(answers).await;
            assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{path} {status}: {refused:?}");
        }
    }
    let mut answers = good();
    answers.remove(REVIEW);
    assert!(matches!(admit(answers).await.0, Err(Refusal::Unavailable(_))));
}

#[tokio::test]
async fn nothing_is_looked_up_for_a_token_that_is_refused() {
    let mut answers = good();
    answers.insert(REVIEW, (201, json!({"spec": {}, "status": {"authenticated": false, "error": "expired"}})));
    let (refused, paths, _) = admit(answers).await;
    assert!(matches!(refused, Err(Refusal::Unauthenticated(_))), "{refused:?}");
    assert_eq!(paths, [REVIEW]);
}
