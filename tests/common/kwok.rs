//! KWOK plays a node and what runs on it: a pod of a Job is Running at once and Succeeded some seconds later.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of benches.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::control_plane::{ControlPlane, cluster_home};

/// The node that it plays.
const NODE: &str = "played";
/// Pods that are bound at once.
const AT_ONCE: usize = 8;

/// What it does with nodes and pods. A pod runs for 2 to 4 seconds.
const STAGES: &str = r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector: {matchExpressions: [{key: .status.phase, operator: NotIn, values: [Running]}]}
  next:
    statusTemplate: |
      phase: Running
      allocatable: {cpu: 1k, memory: 1Ti, pods: 1M}
      capacity: {cpu: 1k, memory: 1Ti, pods: 1M}
      conditions:
      - {type: Ready, status: "True", reason: Played, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: run}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.phase, operator: In, values: [Pending]}
  next:
    statusTemplate: |
      phase: Running
      startTime: {{ Now | Quote }}
      conditions:
      - {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        imageID: ""
        ready: true
        restartCount: 0
        state: {running: {startedAt: {{ Now | Quote }}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: succeed}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.phase, operator: In, values: [Running]}
  delay: {durationMilliseconds: 2000, jitterDurationMilliseconds: 4000}
  next:
    statusTemplate: |
      phase: Succeeded
      conditions:
      - {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - name: {{ .name | Quote }}
        image: {{ .image | Quote }}
        imageID: ""
        ready: false
        restartCount: 0
        state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: delete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector: {matchExpressions: [{key: .metadata.deletionTimestamp, operator: Exists}]}
  next: {delete: true}
"#;

/// The running KWOK.
pub struct Kwok {
    child: Child,
    _folder: TempDir,
}

impl Kwok {
    /// Starts it, with its one node. None where it is not built: the reason is printed.
    pub async fn start(plane: &ControlPlane) -> Option<Self> {
        let program = cluster_home().join("bin/kwok");
        if !program.is_file() {
            eprintln!("skipped: no {}; `make cluster` builds it", program.display());
            return None;
        }
        let nodes: Api<Node> = Api::all(plane.client().await);
        let metadata = ObjectMeta { name: Some(NODE.to_owned()), ..ObjectMeta::default() };
        nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await.unwrap();
        let folder = tempfile::Builder::new().prefix("kwok-").tempdir().unwrap();
        let stages = folder.path().join("stages.yaml");
        fs::write(&stages, STAGES).unwrap();
        let log = File::create(folder.path().join("kwok.log")).unwrap();
        let child = Command::new(program)
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .arg("--config")
            .arg(stages)
            .args(["--manage-all-nodes", "--node-lease-duration-seconds=40"])
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        // It ends with the control plane, also where this process is killed.
        fs::write(plane.folder().join("kwok.pid"), child.id().to_string()).unwrap();
        Some(Self { child, _folder: folder })
    }
}

impl Drop for Kwok {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Puts every pod on the node, for ever: there is no scheduler. Tells of each change of a pod.
pub async fn place(client: Client, seen: impl Fn(&Pod)) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let pods: Api<Pod> = Api::all(client.clone());
    let mut changes = std::pin::pin!(watcher(pods, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        let pod = match changes.try_next().await {
            Ok(Some(pod)) => pod,
            Ok(None) => return,
            Err(error) => {
                eprintln!("pods are not watched: {error}");
                continue;
            }
        };
        seen(&pod);
        if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_some()) || pod.meta().deletion_timestamp.is_some() {
            continue;
        }
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let client = client.clone();
        tokio::spawn(async move {
            let _turn = turn;
            let (namespace, name) = (pod.metadata.namespace.unwrap(), pod.metadata.name.unwrap());
            let target = ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(NODE.to_owned()),
                ..ObjectReference::default()
            };
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            let binding = Binding { metadata, target };
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let bound = pods.create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding).await;
            // A pod that changed meanwhile is told of again.
            if let Err(error) = bound {
                eprintln!("the pod {name} is not placed: {error}");
            }
        });
    }
}
