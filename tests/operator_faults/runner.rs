//! Plays what a node does with the pods of Jobs: each hands in its report as the real runner does, with a token that
//! is bound to it, and ends well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use memorybank::delivery::AUDIENCE;
use memorybank::domain::{Outcome, RunReport, RunSpec, ScopeReport, TaskReport, Verdict, Work};
use memorybank::runner::{Delivered, Remote, RemoteExchange};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::reports;

/// How long a report is offered.
const PATIENCE: Duration = Duration::from_mins(3);
/// Banks of which the reports tell of damage have this in their name.
pub const DAMAGED: &str = "damaged";

/// What became of the pods so far.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The pods of each run, by uid.
    pub pods: BTreeMap<String, BTreeSet<String>>,
    /// How often the report of each run was new to the operator.
    pub stored: BTreeMap<String, usize>,
    /// What went wrong.
    pub failed: Vec<String>,
}

/// Plays every pod of a namespace until it is dropped.
pub struct Runner {
    played: Arc<Mutex<Played>>,
    task: JoinHandle<()>,
}

impl Runner {
    pub fn start(client: &Client, namespace: &str, folder: &Path) -> Self {
        let played = Arc::new(Mutex::new(Played::default()));
        let task = tokio::spawn(watch(client.clone(), namespace.to_owned(), folder.to_owned(), Arc::clone(&played)));
        Self { played, task }
    }

    pub fn played(&self) -> Played {
        self.played.lock().unwrap().clone()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(client: Client, namespace: String, folder: PathBuf, played: Arc<Mutex<Played>>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let mut changes = std::pin::pin!(watcher(pods, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        let pod = match changes.try_next().await {
            Ok(Some(pod)) => pod,
            Ok(None) => return,
            Err(error) => {
                played.lock().unwrap().failed.push(format!("pods are not watched: {error}"));
                continue;
            }
        };
        let annotations = pod.metadata.annotations.clone().unwrap_or_default();
        let Some(spec) = annotations.get("memorybank.dev/run-spec") else { continue };
        let spec: RunSpec = serde_json::from_str(spec).unwrap();
        let uid = pod.metadata.uid.clone().unwrap();
        if !played.lock().unwrap().pods.entry(spec.run.clone()).or_default().insert(uid) {
            continue;
        }
        let (client, folder, played) = (client.clone(), folder.clone(), Arc::clone(&played));
        tokio::spawn(async move {
            let run = spec.run.clone();
            match play(&client, &folder, &pod, &spec).await {
                Ok(Delivered::Stored) => *played.lock().unwrap().stored.entry(run).or_default() += 1,
                Ok(Delivered::Duplicate) => {}
                Err(why) => played.lock().unwrap().failed.push(format!("{run}: {why}")),
            }
        });
    }
}

async fn play(client: &Client, folder: &Path, pod: &Pod, spec: &RunSpec) -> Result<Delivered, String> {
    let name = pod.metadata.name.clone().unwrap();
    let token = folder.join(&name);
    std::fs::write(&token, bound_token(client, &spec.namespace, pod).await?).unwrap();
    let arguments = pod.spec.as_ref().unwrap().containers[0].args.clone().unwrap_or_default();
    let argument = |flag: &str| arguments.iter().find_map(|argument| argument.strip_prefix(flag)).unwrap().to_owned();
    let remote = Remote {
        ingest: argument("--ingest="),
        ca: pod.metadata.annotations.as_ref().unwrap()["memorybank.dev/ingest-ca"].clone(),
        token,
        namespace: spec.namespace.clone(),
        run: spec.run.clone(),
    };
    let exchange = RemoteExchange::new(remote).map_err(|error| error.to_string())?;
    let report = report(&argument("--uid="), spec);
    let until = Instant::now() + PATIENCE;
    let delivered = exchange.deliver(&report, until).await.map_err(|error| error.to_string())?;
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    let container = json!({
        "name": "runner", "image": "memorybank:test", "imageID": "", "ready": false, "restartCount": 0, "state": ended,
    });
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [container]}});
    let pods: Api<Pod> = Api::namespaced(client.clone(), &spec.namespace);
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .map_err(|error| error.to_string())?;
    Ok(delivered)
}

/// A token as the kubelet projects it.
async fn bound_token(client: &Client, namespace: &str, pod: &Pod) -> Result<String, String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let spec = TokenRequestSpec {
        audiences: vec![AUDIENCE.to_owned()],
        bound_object_ref: Some(bound),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let issued = accounts.create_token_request("default", &PostParams::default(), &request).await;
    Ok(issued.map_err(|error| error.to_string())?.status.unwrap().token)
}

/// A report of all that was asked for; of a damaged bank the checks tell of one damage, always the same.
fn report(uid: &str, spec: &RunSpec) -> RunReport {
    let now = Timestamp::now();
    let task = |task: &memorybank::domain::Task| {
        let scopes: Vec<&str> = match &task.work {
            Work::IntegrityCheck { scopes, .. } => scopes.iter().map(|scope| scope.name()).collect(),
            Work::SecurityAudit { scopes } => scopes.iter().map(|scope| scope.name()).collect(),
            other => panic!("nobody asked for {other:?}"),
        };
        let scope =
            |scope: &str| ScopeReport { scope: scope.to_owned(), outcome: Outcome::Succeeded, message: String::new() };
        let damaged = spec.bank.name.contains(DAMAGED) && matches!(task.work, Work::IntegrityCheck { .. });
        let verdict = if damaged { Verdict::Failed } else { Verdict::Passed };
        TaskReport {
            name: task.name.clone(),
            scopes: scopes.into_iter().map(scope).collect(),
            checks: vec![reports::check("sqlite.pages", verdict)],
            corruption: damaged.then(|| reports::damage("sqlite.pages", "memories")).into_iter().collect(),
            ..reports::task(task.work.kind(), "")
        }
    };
    RunReport {
        uid: uid.to_owned(),
        namespace: spec.namespace.clone(),
        run: spec.run.clone(),
        bank: spec.bank.name.clone(),
        runner_version: "test".to_owned(),
        started: now,
        finished: now,
        tasks: spec.tasks.iter().map(task).collect(),
    }
}
