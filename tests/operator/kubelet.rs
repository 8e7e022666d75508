//! What a node would do: it starts pods, ends them, and what runs in them reports.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use memorybank::delivery::{AUDIENCE, client_config};
use memorybank::domain::{Outcome, Reason, RunReport, RunSpec, ScopeReport, TaskReport, Work};
use serde_json::{Value, json};

use crate::bed::{Bed, wait_for};
use crate::replica::Replica;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);

impl Bed<'_> {
    /// Waits for the pod of a run that is none of these.
    pub async fn next_pod(&self, run: &str, known: &[&str]) -> Value {
        wait_for(&format!("a pod of {run}"), async || {
            let pods = self.list("Pod").await;
            pods.into_iter().find(|pod| {
                pod["metadata"]["labels"]["memorybank.dev/run"] == run
                    && pod["metadata"]["deletionTimestamp"].is_null()
                    && !known.contains(&pod["metadata"]["name"].as_str().unwrap())
            })
        })
        .await
    }

    /// Waits for the pod of a run.
    pub async fn pod(&self, run: &str) -> Value {
        self.next_pod(run, &[]).await
    }

    /// Says what a pod's container is at: `state` as in the API.
    pub async fn container(&self, pod: &Value, phase: &str, state: Value) {
        let container = json!({
            "name": "runner", "state": state, "image": "localhost/memorybank:test", "imageID": "", "ready": false,
            "restartCount": 0,
        });
        let status = json!({
            "phase": phase,
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [container],
        });
        self.set_status("Pod", name(pod), status).await;
    }

    /// The pod's container runs.
    pub async fn begin(&self, pod: &Value) {
        self.container(pod, "Running", json!({"running": {"startedAt": Timestamp::now()}})).await;
    }

    /// The pod's container ended.
    pub async fn exit(&self, pod: &Value, code: i32, reason: &str, message: &str) {
        let now = Timestamp::now();
        let ended = json!({
            "exitCode": code, "reason": reason, "message": message, "startedAt": now, "finishedAt": now,
        });
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.container(pod, phase, json!({"terminated": ended})).await;
    }

    /// The work order in a pod.
    pub fn spec(pod: &Value) -> RunSpec {
        serde_json::from_str(pod["metadata"]["annotations"]["memorybank.dev/run-spec"].as_str().unwrap()).unwrap()
    }

    /// A report of a pod's run that did all and found nothing.
    pub async fn report(&self, pod: &Value) -> RunReport {
        let spec = Self::spec(pod);
        let run = self.get("MaintenanceRun", &spec.run).await.unwrap();
        let finished = Timestamp::now();
        RunReport {
            uid: run["metadata"]["uid"].as_str().unwrap().to_owned(),
            namespace: spec.namespace,
            run: spec.run,
            bank: spec.bank.name,
            runner_version: "0.1.0".to_owned(),
            started: finished - SignedDuration::from_secs(1),
            finished,
            tasks: spec.tasks.into_iter().map(|task| done(task.name, &task.work)).collect(),
        }
    }

    /// A token as the kubelet gives it to a pod.
    pub async fn token(&self, pod: &Value) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name(pod).to_owned()),
            uid: Some(pod["metadata"]["uid"].as_str().unwrap().to_owned()),
        };
        let spec = TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            bound_object_ref: Some(bound),
            expiration_seconds: Some(3600),
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let issued = accounts.create_token_request("default", &PostParams::default(), &request).await.unwrap();
        issued.status.unwrap().token
    }

    /// Sends a report to a replica, as the runner in a pod does; the status of the answer.
    pub async fn send(&self, replica: &Replica, token: &str, report: &RunReport, pod: &Value) -> u16 {
        let ca = pod["metadata"]["annotations"]["memorybank.dev/ingest-ca"].as_str().unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(ca).unwrap())
            .no_proxy()
            .timeout(REQUEST)
            .build()
            .unwrap();
        let (address, namespace, run) = (replica.ingest, &self.namespace, &report.run);
        let url = format!("https://{address}/ingest/v1/namespaces/{namespace}/runs/{run}/report");
        let answer = client.put(url).bearer_auth(token).json(report).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Plays the rest of a pod: it reports, and ends well.
    pub async fn play_on(&self, replica: &Replica, pod: &Value) {
        let (token, report) = (self.token(pod).await, self.report(pod).await);
        assert_eq!(self.send(replica, &token, &report, pod).await, 201);
        self.exit(pod, 0, "Completed", "").await;
    }

    /// Plays the whole pod of a run.
    pub async fn play(&self, replica: &Replica, run: &str) {
        let pod = self.pod(run).await;
        self.begin(&pod).await;
        self.play_on(replica, &pod).await;
    }
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A task that measured all that was asked for.
fn done(name: String, work: &Work) -> TaskReport {
    let (level, scopes): (_, Vec<_>) = match work {
        Work::IntegrityCheck { level, scopes, .. } => (Some(*level), scopes.iter().map(|scope| scope.name()).collect()),
        Work::SecurityAudit { scopes } => (None, scopes.iter().map(|scope| scope.name()).collect()),
        _ => (None, Vec::new()),
    };
    let scope =
        |scope: &str| ScopeReport { scope: scope.to_owned(), outcome: Outcome::Succeeded, message: String::new() };
    TaskReport {
        name,
        task: work.kind(),
        level,
        outcome: Outcome::Succeeded,
        reason: Reason::Completed,
        message: String::new(),
        duration_milliseconds: 5,
        scopes: scopes.into_iter().map(scope).collect(),
        coverage_percent: None,
        checks: Vec::new(),
        corruption: Vec::new(),
        findings: Vec::new(),
        omitted: 0,
        samples: Vec::new(),
        outputs: Vec::new(),
        recovery: None,
    }
}
