//! The install without Helm, with the overlay that docs/install.md has, in its own namespace.

use std::fs;

use crate::banks::{self, NAMESPACE, ends};
use crate::cluster::{Cluster, REPOSITORY, TAG, repository, text_of};

const OWN: &str = "memorybank";
const OPERATOR: &str = "memorybank-operator";

pub fn installed(cluster: &Cluster) {
    banks::volume(cluster, OWN, &format!("{OPERATOR}-data"), 5);
    let folder = cluster.scratch.path().join("plain");
    fs::create_dir_all(folder.join("overlay")).unwrap();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(repository("config")).arg(folder.join("config")).status();
    assert!(copied.unwrap().success());
    let guide = text_of("docs/install.md");
    let overlay = guide.lines().skip_while(|line| !line.contains("resources: [../memorybank/config]"));
    let overlay: Vec<_> =
        overlay.take_while(|line| !line.is_empty()).map(|line| line.strip_prefix("    ").unwrap()).collect();
    let overlay = overlay.join("\n");
    let overlay = overlay
        .replace("../memorybank/config", "../config")
        .replace("REGISTRY/memorybank:0.1.0", &format!("{REPOSITORY}:{TAG}"));
    fs::write(folder.join("overlay/kustomization.yaml"), overlay).unwrap();
    cluster.kubectl(&["apply", "-k", folder.join("overlay").to_str().unwrap()]);
    cluster.rolled_out(OWN, OPERATOR);
    // The banks of before are looked after at once.
    banks::run(cluster, NAMESPACE, "golden", "plain-run", "{task: IntegrityCheck, level: Quick}");
    ends(cluster, NAMESPACE, "plain-run", "Succeeded", "Completed", "");
    cluster.kubectl(&["delete", "-f", "config/operator.yaml"]);
    assert!(cluster.get(NAMESPACE, "mbank", "golden").is_some());
}
