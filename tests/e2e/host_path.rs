//! A bank in a folder of the node: forbidden by default, allowed by a value, where the namespace admits it too.

use crate::banks::{self, NAMESPACE, ends};
use crate::cluster::Cluster;
use crate::guardian::condition;
use crate::install;

pub fn forbidden_and_allowed(cluster: &Cluster) {
    banks::namespace(cluster, "folders", "privileged");
    let folder = cluster.volume_folder("folders");
    std::fs::create_dir_all(&folder).unwrap();
    banks::sample(cluster, &folder);
    let path = folder.display();
    let bank = format!(
        "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: folder}}
spec:
  database: {{sqlite: {{volume: data, path: openmemory.db}}}}
  volumes: [{{name: data, folder: {{path: {path}}}}}]
"
    );
    let check = "{task: IntegrityCheck, level: Quick}";
    for namespace in ["folders", NAMESPACE] {
        cluster.apply(namespace, &bank);
    }
    banks::run(cluster, "folders", "folder", "folder-run", check);
    let refused = cluster.until("the refusal", 60, || {
        cluster.get("folders", "mbank", "folder").filter(|bank| condition(bank, "Ready").0 == "False")
    });
    assert_eq!(condition(&refused, "Ready").1, "HostPathForbidden");
    cluster.until("the run is held", 60, || {
        cluster.get("folders", "maintenancerun", "folder-run").filter(|run| run["status"]["phase"] == "Held")
    });
    assert!(cluster.get("folders", "job", "folder-run").is_none());

    let allowed = format!("allowHostPaths={{{}}}", folder.parent().unwrap().display());
    install::helm(cluster, "upgrade", install::CHART, &["--set", &allowed]);
    cluster.rolled_out(install::NAMESPACE, install::RELEASE);
    ends(cluster, "folders", "folder-run", "Succeeded", "Completed", "");
    // The restricted standard has the last word.
    banks::run(cluster, NAMESPACE, "folder", "folder-restricted", check);
    ends(cluster, NAMESPACE, "folder-restricted", "Failed", "PodForbidden", "restricted");
}
