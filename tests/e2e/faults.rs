//! What can go wrong with one Job: each ends in a state and in words of its own.

use std::fs::File;

use serde_json::Value;

use crate::banks::{self, NAMESPACE, ends};
use crate::cluster::{Cluster, HOST};
use crate::guardian::condition;
use crate::install;
use crate::standin::StandIn;
use crate::watch::Watch;

const CHECK: &str = "{task: IntegrityCheck, level: Full, scopes: [Files]}";

/// A bank whose one file takes hours to read.
pub fn endless(cluster: &Cluster) {
    let folder = banks::claim(cluster, NAMESPACE, "endless");
    std::fs::create_dir_all(folder.join("uploads")).unwrap();
    File::create(folder.join("uploads/huge.bin")).unwrap().set_len(4 << 40).unwrap();
    banks::own(&folder);
    bank(
        cluster,
        "endless",
        "endless",
        "resources: {limits: {cpu: 200m, memory: 256Mi}}, tolerations: [\
        {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}, \
        {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}]",
    );
}

fn bank(cluster: &Cluster, name: &str, claim: &str, job_template: &str) {
    cluster.apply(
        NAMESPACE,
        &format!(
            "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: {name}}}
spec:
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]
  files: [{{name: uploads, volume: data, path: uploads}}]
  jobTemplate: {{{job_template}}}
"
        ),
    );
}

/// Starts a run that goes on until it is ended; gives its pod.
pub fn begin_endless(cluster: &Cluster, name: &str) -> String {
    banks::run(cluster, NAMESPACE, "endless", name, CHECK);
    running(cluster, name, "")
}

/// Waits for the pod of a run that is not `other`.
pub fn running(cluster: &Cluster, name: &str, other: &str) -> String {
    cluster.until(&format!("a running pod of {name}"), 90, || {
        let pods = cluster.list(NAMESPACE, "pods", &format!("memorybank.dev/run={name}"));
        let pod =
            pods.into_iter().find(|pod| pod["metadata"]["name"] != other && pod["status"]["phase"] == "Running")?;
        Some(pod["metadata"]["name"].as_str()?.to_owned())
    })
}

pub fn disrupted(cluster: &Cluster) {
    endless(cluster);
    let name = "endless-evicted";
    let pod = begin_endless(cluster, name);
    let watch = Watch::run(cluster, NAMESPACE, name);
    let eviction = cluster.scratch.path().join("eviction.json");
    let body = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}","namespace":"{NAMESPACE}"}}}}"#
    );
    std::fs::write(&eviction, body).unwrap();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
    cluster.kubectl(&["create", "--raw", &path, "-f", eviction.to_str().unwrap()]);
    watch.until(cluster, "Running Evicted", &format!("the pod {pod} was evicted"), 60);
    // The eviction does not count: another pod executes the run.
    running(cluster, name, &pod);
    cluster.kubectl(&["-n", NAMESPACE, "delete", "job", name, "--wait=false"]);
    ends(cluster, NAMESPACE, name, "Failed", "JobDeleted", "its Job was deleted before it had ended");
}

pub fn out_of_memory(cluster: &Cluster) {
    let folder = banks::claim(cluster, NAMESPACE, "cramped");
    banks::sample(cluster, &folder);
    bank(cluster, "cramped", "cramped", "resources: {requests: {memory: 12Mi}, limits: {memory: 12Mi}}");
    banks::run(cluster, NAMESPACE, "cramped", "cramped-run", "{task: SecurityAudit, scopes: [Leaks]}");
    ends(cluster, NAMESPACE, "cramped-run", "Failed", "OutOfMemory", "raise spec.jobTemplate.resources of the bank");
}

pub fn volume_missing(cluster: &Cluster) {
    bank(cluster, "homeless", "nowhere", "");
    banks::run(cluster, NAMESPACE, "homeless", "homeless-run", CHECK);
    ends(cluster, NAMESPACE, "homeless-run", "Failed", "VolumeNotFound", "nowhere");
    let told = cluster.until("the bank's condition", 30, || {
        cluster.get(NAMESPACE, "mbank", "homeless").filter(|bank| condition(bank, "Ready").0 == "False")
    });
    assert_eq!(condition(&told, "Ready").1, "ReferenceNotFound", "{told:#}");
}

/// A Secret that is not there, then is, then changes: each run has what there is when its pod starts.
pub fn secrets(cluster: &Cluster) {
    let api = StandIn::at(format!("{HOST}:0").parse().unwrap());
    api.require("authorization: Bearer first");
    let url = format!("http://{}", api.address());
    cluster.apply(
        NAMESPACE,
        &format!(
            "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: probed}}
spec:
  api: {{url: '{url}', userId: default_user, tokenSecretRef: {{name: api, key: token}}}}
"
        ),
    );
    let secret = |token: &str| {
        cluster.apply(
            NAMESPACE,
            &format!("{{apiVersion: v1, kind: Secret, metadata: {{name: api}}, stringData: {{token: {token}}}}}"),
        );
    };
    let probe = |name: &str| banks::run(cluster, NAMESPACE, "probed", name, "{task: Probe}");
    probe("probed-without");
    ends(cluster, NAMESPACE, "probed-without", "Unknown", "SecretNotFound", "api");
    secret("first");
    probe("probed-with");
    ends(cluster, NAMESPACE, "probed-with", "Succeeded", "Completed", "");
    api.require("authorization: Bearer second");
    probe("probed-stale");
    let stale = ends(cluster, NAMESPACE, "probed-stale", "Succeeded", "Completed", "");
    assert_eq!(counts(&stale), "0 checks passed, 1 failed");
    secret("second");
    probe("probed-changed");
    let changed = ends(cluster, NAMESPACE, "probed-changed", "Succeeded", "Completed", "");
    assert_eq!(counts(&changed), "1 checks passed, 0 failed");
}

/// How many checks of a run's one task passed.
fn counts(run: &Value) -> &str {
    run["status"]["tasks"][0]["message"].as_str().unwrap().split(';').next().unwrap()
}

pub fn image_wrong(cluster: &Cluster) {
    let patch = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/args/1", "value": "--image=localhost/absent:1"}]"#;
    let deployment = format!("deployment/{}", install::RELEASE);
    cluster.kubectl(&["-n", install::NAMESPACE, "patch", &deployment, "--type=json", "--patch", patch]);
    cluster.rolled_out(install::NAMESPACE, install::RELEASE);
    banks::run(cluster, NAMESPACE, "golden", "golden-image", "{task: IntegrityCheck, level: Quick}");
    ends(cluster, NAMESPACE, "golden-image", "Failed", "ImagePullFailed", "localhost/absent:1");
    // Helm takes back what was changed by hand.
    install::helm(cluster, "upgrade", install::CHART, &["--force-conflicts"]);
    cluster.rolled_out(install::NAMESPACE, install::RELEASE);
}
