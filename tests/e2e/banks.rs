//! Namespaces, volumes, banks and runs of the steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::guardian::{condition, memorybank, text};

/// Who runs operator and Jobs.
const UID: u32 = 65532;
/// Where the banks of the steps are.
pub const NAMESPACE: &str = "banks";

/// A namespace that enforces a level of the Pod Security Standards.
pub fn namespace(cluster: &Cluster, name: &str, level: &str) {
    let labels = format!("{{pod-security.kubernetes.io/enforce: {level}}}");
    cluster.apply(
        "default",
        &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}"),
    );
}

/// A volume for one claim: a folder of this machine. Its owner is who runs the pods, since the kubelet does not give
/// folders of a node to a group.
pub fn volume(cluster: &Cluster, namespace: &str, claim: &str, gibibytes: u32) -> PathBuf {
    let name = format!("{namespace}-{claim}");
    let folder = cluster.volume_folder(&name);
    fs::create_dir_all(&folder).unwrap();
    own(&folder);
    let path = folder.display();
    cluster.apply(
        "default",
        &format!(
            "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: {gibibytes}Gi}}
  accessModes: [ReadWriteOnce]
  claimRef: {{namespace: {namespace}, name: {claim}}}
  hostPath: {{path: {path}, type: Directory}}
"
        ),
    );
    folder
}

/// A claim and its volume.
pub fn claim(cluster: &Cluster, namespace: &str, claim: &str) -> PathBuf {
    let folder = volume(cluster, namespace, claim, 1);
    cluster.apply(
        namespace,
        &format!(
            "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {claim}}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ''
  resources: {{requests: {{storage: 1Gi}}}}
"
        ),
    );
    folder
}

/// A sample bank, with all damage.
pub fn sample(cluster: &Cluster, folder: &Path) {
    let made = cluster.scratch.path().join("sample");
    let output = memorybank().args(["sample", "--damage", "all", "--out"]).arg(&made).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let copied = Command::new("cp").arg("-a").arg(made.join("bank/.")).arg(folder).status().unwrap();
    assert!(copied.success());
    own(folder);
}

/// Gives a folder and all in it to whom the pods run as.
pub fn own(path: &Path) {
    std::os::unix::fs::lchown(path, Some(UID), Some(UID)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}

/// A run that a person writes.
pub fn run(cluster: &Cluster, namespace: &str, bank: &str, name: &str, tasks: &str) {
    cluster.apply(
        namespace,
        &format!(
            "
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {{name: {name}}}
spec: {{bankName: {bank}, tasks: [{tasks}]}}
"
        ),
    );
}

/// Waits for the end of a run, which must be this.
pub fn ends(cluster: &Cluster, namespace: &str, run: &str, phase: &str, reason: &str, words: &str) -> Value {
    let ended = cluster.until(&format!("the end of {run}"), 120, || {
        cluster.get(namespace, "maintenancerun", run).filter(|run| run["status"]["completionTime"].is_string())
    });
    let told = &ended["status"]["conditions"][0];
    let message = told["message"].as_str().unwrap();
    let status = match phase {
        "Succeeded" => "True",
        "Unknown" => "Unknown",
        _ => "False",
    };
    let found = (ended["status"]["phase"].as_str().unwrap().to_owned(), condition(&ended, "Succeeded"));
    assert_eq!(found, (phase.to_owned(), (status.to_owned(), reason.to_owned())), "{run}: {message}");
    assert!(message.contains(words), "{run}: {message:?} lacks {words:?}");
    ended
}
