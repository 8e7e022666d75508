//! From an earlier chart to this one, and away again.

use std::fs;
use std::process::Command;

use crate::banks::{self, NAMESPACE, ends};
use crate::cluster::{Cluster, repository};
use crate::install::{self, CHART, RELEASE};

const FIELD: &str = "sampling";

/// Whether the definition of banks that the API server has knows the field.
fn known(cluster: &Cluster) -> bool {
    let crd = cluster.get("default", "crd", "memorybanks.memorybank.dev").unwrap();
    !crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][FIELD].is_null()
}

/// Today's chart as an earlier one could have been: an older number, and a definition that lacks a field.
fn earlier(cluster: &Cluster) -> String {
    let folder = cluster.scratch.path().join("earlier");
    let copied = Command::new("cp").arg("-r").arg(repository(CHART)).arg(&folder).status().unwrap();
    assert!(copied.success());
    let numbered = fs::read_to_string(folder.join("Chart.yaml")).unwrap();
    fs::write(folder.join("Chart.yaml"), numbered.replace("version: 0.1.0", "version: 0.0.9")).unwrap();
    let path = folder.join("files/crds/memorybanks.yaml");
    let mut crd: serde_json::Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert!(spec.as_object_mut().unwrap().remove(FIELD).is_some());
    fs::write(&path, crd.to_string()).unwrap();
    folder.to_str().unwrap().to_owned()
}

pub fn upgraded_and_uninstalled(cluster: &Cluster) {
    install::helm(cluster, "upgrade", &earlier(cluster), &[]);
    cluster.rolled_out(install::NAMESPACE, RELEASE);
    assert!(!known(cluster));
    let uid =
        |kind: &str, name: &str| cluster.get(NAMESPACE, kind, name).map(|object| object["metadata"]["uid"].clone());
    let before = [uid("mbank", "golden"), uid("maintenancepolicy", "golden"), uid("maintenancerun", "golden-by-hand")];
    assert!(before.iter().all(Option::is_some));

    install::helm(cluster, "upgrade", CHART, &["--reset-then-reuse-values"]);
    cluster.rolled_out(install::NAMESPACE, RELEASE);
    assert!(known(cluster));
    cluster.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "mbank",
        "golden",
        "--type=merge",
        "--patch",
        r#"{"spec":{"sampling":{"intervalSeconds":600}}}"#,
    ]);
    banks::run(cluster, NAMESPACE, "golden", "after-upgrade", "{task: IntegrityCheck, level: Quick}");
    ends(cluster, NAMESPACE, "after-upgrade", "Succeeded", "Completed", "");
    let after = [uid("mbank", "golden"), uid("maintenancepolicy", "golden"), uid("maintenancerun", "golden-by-hand")];
    assert_eq!(before, after);

    cluster.helm(&["uninstall", RELEASE, "--namespace", install::NAMESPACE, "--wait"]);
    let still = [uid("mbank", "golden"), uid("maintenancepolicy", "golden"), uid("maintenancerun", "after-upgrade")];
    assert!(still.iter().all(Option::is_some), "{still:?}");
    let left = cluster.until("the end of pods and claims", 60, || {
        let left = left(cluster);
        (!left.iter().any(|name| name.starts_with("pod/") || name.starts_with("persistentvolumeclaim/")))
            .then_some(left)
    });
    // What Kubernetes makes in every namespace, and what people are told there.
    let foreign = |name: &&String| {
        !["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(&name.as_str()) && !name.contains("event")
    };
    let ours: Vec<_> = left.iter().filter(foreign).collect();
    assert!(ours.is_empty(), "{ours:?}");
    let of_cluster = cluster_wide(cluster);
    let definitions = of_cluster.iter().filter(|name| name.starts_with("customresourcedefinition")).count();
    assert!(definitions == 6 && of_cluster.len() == 6, "{of_cluster:?}");
}

fn names(cluster: &Cluster, namespaced: bool, arguments: &[&str]) -> Vec<String> {
    let namespaced = format!("--namespaced={namespaced}");
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", &namespaced, "--output=name"]);
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let get = [&["get", &kinds, "--output=name", "--ignore-not-found"], arguments].concat();
    cluster.kubectl(&get).lines().map(str::to_owned).collect()
}

/// All that is in the operator's namespace.
fn left(cluster: &Cluster) -> Vec<String> {
    names(cluster, true, &["-n", install::NAMESPACE])
}

/// All of ours that is in no namespace.
pub fn cluster_wide(cluster: &Cluster) -> Vec<String> {
    names(cluster, false, &["--selector", "app.kubernetes.io/name=memorybank-operator"])
}
