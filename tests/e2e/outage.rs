//! Parts of the cluster that are killed while runs are executed.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::banks::{self, NAMESPACE, ends};
use crate::cluster::Cluster;
use crate::faults::{begin_endless, running};
use crate::install;
use crate::watch::Watch;

const QUICK: &str = "{task: IntegrityCheck, level: Quick}, {task: SecurityAudit, scopes: [Leaks]}";

fn quick(cluster: &Cluster, name: &str) {
    banks::run(cluster, NAMESPACE, "golden", name, QUICK);
}

fn good(cluster: &Cluster, name: &str) {
    let run = ends(cluster, NAMESPACE, name, "Succeeded", "Completed", "");
    assert_eq!(run["status"]["report"]["source"], "Ingest", "{name}");
    let jobs = cluster.list(NAMESPACE, "jobs", &format!("memorybank.dev/run={name}"));
    assert_eq!(jobs.len(), 1, "{name}");
}

pub fn parts_killed(cluster: &Cluster) {
    // The operator, while a Job is there: its report waits for whoever comes next.
    quick(cluster, "killed-operator");
    cluster.until("the Job", 60, || cluster.get(NAMESPACE, "job", "killed-operator"));
    let pod = install::pod(cluster);
    let pod = pod["metadata"]["name"].as_str().unwrap();
    cluster.kubectl(&["-n", install::NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force"]);
    good(cluster, "killed-operator");
    cluster.rolled_out(install::NAMESPACE, install::RELEASE);

    quick(cluster, "killed-apiserver");
    cluster.until("the Job", 60, || cluster.get(NAMESPACE, "job", "killed-apiserver"));
    cluster.kill("apiserver");
    cluster.mend();
    good(cluster, "killed-apiserver");

    quick(cluster, "killed-containerd");
    cluster.until("the Job", 60, || cluster.get(NAMESPACE, "job", "killed-containerd"));
    cluster.kill("containerd");
    cluster.mend();
    good(cluster, "killed-containerd");
    quick(cluster, "after-all");
    good(cluster, "after-all");
}

/// The kubelet dies: first the node does not answer, then its pod is given up; when it is back, another pod executes
/// the run.
pub fn node_lost(cluster: &Cluster) {
    let name = "endless-lost";
    let pod = begin_endless(cluster, name);
    let watch = Watch::run(cluster, NAMESPACE, name);
    beside_another_node(cluster, || {
        cluster.kill("kubelet");
        watch.until(cluster, "Running NodeLost", "its node does not answer", 90);
        watch.until(cluster, "Running NodeLost", &format!("the node of the pod {pod} was lost"), 60);
        cluster.mend();
    });
    running(cluster, name, &pod);
    cluster.rolled_out(install::NAMESPACE, install::RELEASE);
    cluster.kubectl(&["-n", NAMESPACE, "delete", "mrun", name, "--timeout=60s"]);
    cluster.until("the end of its Job", 60, || cluster.get(NAMESPACE, "job", name).is_none().then_some(()));
    quick(cluster, "node-back");
    good(cluster, "node-back");
}

/// How often the other node tells that it is alive; it is given up after 50 s.
const BEAT: Duration = Duration::from_secs(5);
const OTHER: &str = "other";

/// Does something while there is another node that answers, on which nothing runs: where no node answers Kubernetes
/// takes itself to be cut off, and gives up no pod.
fn beside_another_node(cluster: &Cluster, work: impl FnOnce()) {
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}, "spec": {"unschedulable": true}});
    cluster.apply(NAMESPACE, &node.to_string());
    std::thread::scope(|scope| {
        let (at_work, over) = channel::<()>();
        scope.spawn(move || {
            while over.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                beat(cluster);
            }
        });
        beat(cluster);
        work();
        drop(at_work);
    });
    cluster.kubectl(&["delete", "node", OTHER, "--timeout=60s"]);
}

fn beat(cluster: &Cluster) {
    let now = Timestamp::now().to_string();
    let ready = json!({"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": now});
    let status = json!({"status": {"conditions": [ready]}}).to_string();
    cluster.kubectl(&["patch", "node", OTHER, "--subresource=status", "--type=merge", "--patch", &status]);
}
