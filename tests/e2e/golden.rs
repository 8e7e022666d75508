//! The same documents and the same bank, in the cluster and by `memorybank local`: the same RunSpec byte for byte, the
//! same findings, the same conditions.

use std::fs;
use std::path::Path;

use memorybank::domain::RunSpec;
use serde_json::Value;

use crate::banks::{self, NAMESPACE};
use crate::cluster::Cluster;
use crate::guardian::{memorybank, query, text};
use crate::install;

const BANK: &str = "golden";
/// Read by both: `--claim` says where the claim is, locally.
const DOCUMENTS: &str = r#"
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: golden, namespace: banks, labels: {tier: golden}}
spec:
  database: {sqlite: {volume: data, path: openmemory.db}}
  history: {volume: data, path: .mem0/history.db}
  volumes: [{name: data, persistentVolumeClaim: {claimName: golden}}]
  files: [{name: uploads, volume: data, path: uploads, mutable: Append}]
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: golden, namespace: banks, annotations: {memorybank.dev/run-now: golden}}
spec:
  bankSelector: {matchLabels: {tier: golden}}
  schedules:
  - name: yearly
    cron: "0 3 1 2 *"
    tasks: [{task: IntegrityCheck, level: Full}, {task: SecurityAudit, scopes: [Leaks, Erasure]}]
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: golden-by-hand, namespace: banks}
spec:
  bankName: golden
  tasks: [{task: IntegrityCheck, level: Quick, scopes: [Database]}]
"#;

pub fn same_as_local(cluster: &Cluster) {
    let folder = banks::claim(cluster, NAMESPACE, "golden");
    banks::sample(cluster, &folder);
    cluster.apply(NAMESPACE, DOCUMENTS);
    cluster.kubectl(&["-n", NAMESPACE, "wait", "mrun/golden-by-hand", "--for=condition=Succeeded", "--timeout=120s"]);
    cluster.kubectl(&[
        "-n",
        NAMESPACE,
        "wait",
        "mpol/golden",
        "--for=jsonpath={.status.lastRunNowToken}=golden",
        "--timeout=60s",
    ]);
    let runs = cluster.until("both runs", 60, || {
        let mut runs = cluster.list(NAMESPACE, "maintenanceruns", "");
        runs.retain(|run| run["spec"]["bankName"] == BANK && run["status"]["phase"] == "Succeeded");
        (runs.len() == 2).then_some(runs)
    });

    let place = cluster.scratch.path().join("local");
    let (config, data) = (place.join("config"), place.join("data"));
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("golden.yaml"), DOCUMENTS).unwrap();
    let mut local = memorybank();
    local.args(["local", "--once", "--claim", &format!("golden={}", folder.display())]);
    let output = local.arg("--config").arg(&config).arg("--data").arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));

    let records = data.join("memorybank.db");
    // Read beside the operator, which keeps it open.
    let theirs =
        cluster.volume_folder(&format!("{}-{}-data", install::NAMESPACE, install::RELEASE)).join("memorybank.db");
    for run in runs {
        let name = run["metadata"]["name"].as_str().unwrap();
        let job = cluster.get(NAMESPACE, "job", name).unwrap();
        let of_job = job["spec"]["template"]["metadata"]["annotations"]["memorybank.dev/run-spec"].as_str().unwrap();
        let recorded = format!("SELECT spec FROM runs WHERE name = '{name}'");
        let of_local = query(&records, &recorded);
        assert_eq!(of_local, query(&theirs, &recorded), "{name}");
        // A record has its fields in the order of their names; what a runner gets is written from the same.
        let spec: RunSpec = serde_json::from_str(&of_local[0][0]).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), of_job, "the RunSpec of {name}");
    }
    let (ours, theirs) = (found(&records), found(&theirs));
    assert!(ours.len() > 20, "{ours:?}");
    assert_eq!(ours, theirs);

    let bank = cluster.until("the bank's conditions", 60, || {
        let bank = cluster.get(NAMESPACE, "mbank", BANK)?;
        told(&bank).iter().any(|condition| condition.starts_with("Intact False")).then_some(bank)
    });
    let output = memorybank().args(["get", "mbank", BANK, "--output", "json", "--data"]).arg(&data).output().unwrap();
    let local: Value = serde_json::from_slice(&output.stdout).unwrap();
    let local = local.get("items").map_or(&local, |items| &items[0]);
    assert_eq!(told(&bank), told(local));
    for field in ["findings", "health", "activeAlerts"] {
        assert_eq!(bank["status"][field], local["status"][field], "{field}");
    }
    assert_eq!(bank["status"]["corruption"]["open"], local["status"]["corruption"]["open"]);
}

/// Findings and damage that are open: all but what is of one record alone. Fingerprints are under a key of its own.
fn found(records: &Path) -> Vec<Vec<String>> {
    let findings = "SELECT check_id, event_type, severity, source_component, description, \
        coalesce(json_extract(metadata, '$.rule'), ''), coalesce(json_extract(metadata, '$.place'), '') \
        FROM security_events WHERE bank = 'golden' AND fixed_timestamp IS NULL ORDER BY 1, 2, 3, 4, 5, 6, 7";
    let damage = "SELECT check_id, corruption_type, severity, affected_component, object, CAST(item_count AS TEXT), evidence \
        FROM corruption_events WHERE bank = 'golden' AND resolved_timestamp IS NULL ORDER BY 1, 2, 3, 4, 5, 6, 7";
    [query(records, findings), query(records, damage)].concat()
}

fn told(bank: &Value) -> Vec<String> {
    let conditions = bank["status"]["conditions"].as_array().unwrap().iter();
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap().to_owned();
    conditions.map(|c| ["type", "status", "reason", "message"].map(|field| text(c, field)).join(" ")).collect()
}
