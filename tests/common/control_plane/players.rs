//! Nodes and pods without machines: kube-scheduler binds pods to nodes that KWOK plays, which reports them as
//! running and, where a Job owns them, as completed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::{ControlPlane, POLL, START, binary, free_port, lock, or_skip};

/// A node is ready at once, and has room for everything.
const NODES: &str = r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      conditions:
      - {type: Ready, status: "True", reason: Played, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}
      allocatable: {cpu: "10000", memory: 10Ti, pods: "100000"}
      capacity: {cpu: "10000", memory: 10Ti, pods: "100000"}
"#;

/// A pod that is bound runs at once; that of a Job completes after a while. One that is deleted is gone.
const PODS: &str = r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-running}
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
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, restartCount: 0, state: {running: {startedAt: {{ Now | Quote }}}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-complete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.phase, operator: In, values: [Running]}
    - {key: '.metadata.ownerReferences.[].kind', operator: In, values: [Job]}
  delay: {durationMilliseconds: SHORTEST, jitterDurationMilliseconds: LONGEST}
  next:
    statusTemplate: |
      phase: Succeeded
      containerStatuses:
      {{ range .spec.containers }}
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, restartCount: 0, state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}}
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-gone}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: Exists}
  next: {delete: true}
"#;

impl ControlPlane {
    /// From now on pods run, on so many nodes that are not there, and those of Jobs complete after the shortest to the
    /// longest time. Tells why where it cannot be done, as [`Self::start`] does.
    pub async fn play_pods(&self, nodes: usize, (shortest, longest): (Duration, Duration)) -> Option<()> {
        let (scheduler, kwok) =
            or_skip(binary("kube-scheduler").and_then(|scheduler| Ok((scheduler, binary("kwok")?))))?;
        let kubeconfig = self.kubeconfig().display().to_string();
        let stages = self.folder.join("stages.yaml");
        let pods = PODS.replace("SHORTEST", &shortest.as_millis().to_string());
        let pods = pods.replace("LONGEST", &longest.as_millis().to_string());
        fs::write(&stages, format!("{NODES}---{pods}")).unwrap();
        let mut command = Command::new(scheduler);
        command.args([
            &format!("--kubeconfig={kubeconfig}"),
            &format!("--authentication-kubeconfig={kubeconfig}"),
            &format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1",
            &format!("--secure-port={}", free_port()),
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]);
        lock(&self.players).push(self.spawn("scheduler", &mut command));
        let mut command = Command::new(kwok);
        command.args(["--kubeconfig", &kubeconfig, "--manage-all-nodes=true"]);
        command.args(["--server-address", &format!("127.0.0.1:{}", free_port())]);
        command.arg("--config").arg(&stages).arg("--node-lease-duration-seconds=40");
        lock(&self.players).push(self.spawn("kwok", &mut command));
        let api: Api<Node> = Api::all(self.client().await);
        for index in 0..nodes {
            let node = json!({
                "metadata": {
                    "name": format!("node-{index}"),
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                    "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": format!("node-{index}")},
                },
            });
            api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        }
        let begun = Instant::now();
        loop {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            let ready = all.iter().filter(|node| is_ready(node)).count();
            if ready == nodes {
                return Some(());
            }
            let ended = lock(&self.players).iter_mut().any(|child| child.try_wait().unwrap().is_some());
            assert!(!ended && begun.elapsed() < START, "{ready} of {nodes} nodes are ready: {}", self.log("kwok"));
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Ready, and with no taint that keeps pods away until the node's controller saw it.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let tainted = node.spec.as_ref().is_some_and(|spec| spec.taints.as_ref().is_some_and(|taints| !taints.is_empty()));
    !tainted && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}
