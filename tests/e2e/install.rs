//! `helm install` with the values that a new user has, in a namespace that enforces the restricted standard.

use serde_json::Value;

use crate::banks;
use crate::cluster::{Cluster, REPOSITORY, TAG};

pub const NAMESPACE: &str = "guardian";
pub const RELEASE: &str = "memorybank-operator";
pub const CHART: &str = "charts/memorybank-operator";

/// The values that differ from the chart's: where the image is.
pub fn image() -> Vec<String> {
    ["--set".to_owned(), format!("image.repository={REPOSITORY},image.tag={TAG}")].into()
}

/// install or upgrade, with further values.
pub fn helm(cluster: &Cluster, verb: &str, chart: &str, values: &[&str]) -> String {
    let image = image();
    let image = image.iter().map(String::as_str);
    let arguments = [verb, RELEASE, chart, "--namespace", NAMESPACE].into_iter();
    cluster.helm(&arguments.chain(image).chain(values.iter().copied()).collect::<Vec<_>>())
}

pub fn installed(cluster: &Cluster) {
    banks::namespace(cluster, NAMESPACE, "restricted");
    banks::namespace(cluster, banks::NAMESPACE, "restricted");
    banks::volume(cluster, NAMESPACE, &format!("{RELEASE}-data"), 5);
    let notes = helm(cluster, "install", CHART, &[]);
    // The two commands that the notes tell; the second is the next step's.
    let commands: Vec<_> = notes.lines().filter_map(|line| line.trim().strip_prefix("kubectl ")).collect();
    assert_eq!(commands.len(), 2, "{notes}");
    let told: Vec<_> = commands[0].split(' ').chain(["--timeout=120s"]).collect();
    cluster.kubectl(&told);
    assert!(
        commands[1].starts_with("apply -f examples/kubernetes/quickstart.yaml && kubectl get mbank,mpol,mrun"),
        "{notes}"
    );
    let pod = pod(cluster);
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// The operator's pod; there must be one.
pub fn pod(cluster: &Cluster) -> Value {
    let mut pods = cluster.list(NAMESPACE, "pods", &format!("app.kubernetes.io/instance={RELEASE}"));
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(pods.len(), 1, "{pods:?}");
    pods.remove(0)
}

/// What the operator counts and tells, through its Service.
pub fn metrics(cluster: &Cluster) -> String {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:http/proxy/metrics");
    cluster.kubectl(&["get", "--raw", &path])
}
