use kube::core::DeserializeGuard;

use super::super::entry::{Bank, Read};
use super::super::needs;
use super::*;
use crate::domain::{IntegrityScope, Level, Pruning, Purge, Task, Work};
use crate::plan::run_spec;
use crate::resources::MemoryBank;

const BANK: &str = r#"
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: gold, namespace: stores, uid: bank-uid}
spec:
  api: {url: "https://openmemory:8765", tokenSecretRef: {name: api, key: token}, tls: {caSecretRef: {name: api, key: ca.crt}}}
  database: {sqlite: {volume: db, path: openmemory.db}}
  history: {volume: db, path: .mem0/history.db}
  volumes:
  - {name: db, persistentVolumeClaim: {claimName: openmemory-db}}
  - {name: uploads, folder: {path: /srv/banks/gold}}
  - {name: unused, persistentVolumeClaim: {claimName: unused}}
  files:
  - {name: uploads, volume: uploads, path: ""}
  jobTemplate:
    labels: {team: memory, app.kubernetes.io/name: mine}
    annotations: {note: kept}
    resources: {limits: {memory: 2Gi}, requests: {cpu: 1}}
    nodeSelector: {disk: fast}
    tolerations: [{key: dedicated, operator: Exists}]
    affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
      {matchExpressions: [{key: zone, operator: In, values: [a]}]}, {matchExpressions: [{key: zone, operator: In, values: [b]}]}]}}}
    env: [{name: LEVEL, value: debug}]
    volumes: [{name: extra, mountPath: /extra, configMap: {name: extra}}]
    podSecurity: {runAsUser: 1000, runAsGroup: 1000}
    scratch: {size: 20Gi, storageClassName: fast}
"#;
const TASKS: &str = r#"[
    {"name": "check", "task": "IntegrityCheck", "level": "Quick", "scopes": ["Database", "Files"], "share_percent": 10},
    {"name": "probe", "task": "Probe"}
]"#;

fn bank(yaml: &str) -> ValidBank {
    let bank: MemoryBank = serde_saphyr::from_str(yaml).unwrap();
    Bank::read(DeserializeGuard(Ok(bank))).valid.unwrap()
}

fn settings() -> JobSettings {
    JobSettings {
        image: "registry/memorybank@sha256:0".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        ingest_url: "https://memorybank.operators.svc:9443".to_owned(),
    }
}

fn spec(bank: &ValidBank) -> RunSpec {
    let tasks = TASKS.replace("share_percent", "sharePercent");
    let tasks: Vec<crate::domain::Task> = serde_json::from_str(&tasks).unwrap();
    run_spec("stores", "gold-daily-1", &bank.bank, &tasks, 3600, &Pruning::default())
}

fn build(bank: &ValidBank, spec: &RunSpec, node: Option<&str>) -> Result<Job, JobError> {
    job(&JobOrder { settings: &settings(), bank, spec, run_uid: "run-uid", ingest_ca: "PEM", node })
}

#[test]
fn a_job_as_it_is_sent() {
    let bank = bank(BANK);
    insta::assert_yaml_snapshot!(build(&bank, &spec(&bank), Some("node-7")).unwrap());
}

#[test]
fn a_plain_bank_gets_a_restricted_pod_and_no_more_than_it_needs() {
    let plain = BANK.split("  jobTemplate:").next().unwrap();
    let bank = bank(plain);
    let spec = spec(&bank);
    let job = build(&bank, &spec, None).unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    let security = pod.security_context.unwrap();
    assert_eq!((security.run_as_user, security.run_as_non_root, security.fs_group), (Some(UID), Some(true), None));
    assert_eq!(pod.affinity, None);
    assert_eq!(pod.automount_service_account_token, Some(false));
    let names: Vec<_> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(names, ["mb-setup", "mb-token", "mb-secrets", "mb-scratch", "b-db", "b-uploads"]);
}

#[test]
fn backup_and_prune_alone_write_and_to_the_repository_alone() {
    let text =
        BANK.replace("  files:\n", "  repository: {folder: {volume: sets, path: memorybank}}\n  files:\n").replace(
            "  - {name: unused,",
            "  - {name: sets, persistentVolumeClaim: {claimName: sets}}\n  - {name: unused,",
        );
    let bank = bank(&text);
    let all = ["b-db", "b-sets", "b-uploads"].as_slice();
    let sets = ["b-sets"].as_slice();
    for (task, mounted, expected) in [("Backup", all, sets), ("VerifyBackup", all, &[]), ("Prune", sets, sets)] {
        let tasks = format!(r#"[{{"name": "task", "task": "{task}"}}]"#);
        let tasks: Vec<crate::domain::Task> = serde_json::from_str(&tasks).unwrap();
        let spec = run_spec("stores", "gold-daily-1", &bank.bank, &tasks, 3600, &Pruning::default());
        let pod = build(&bank, &spec, None).unwrap().spec.unwrap().template.spec.unwrap();
        let mounts = pod.containers[0].volume_mounts.clone().unwrap();
        let of_bank = mounts.iter().filter(|mount| mount.name.starts_with("b-"));
        let names: Vec<_> = of_bank.clone().map(|mount| mount.name.as_str()).collect();
        assert_eq!(names, mounted, "{task}");
        let written: Vec<_> = of_bank.filter(|m| m.read_only == Some(false)).map(|m| m.name.as_str()).collect();
        assert_eq!(written, expected, "{task}");
        let claims = pod.volumes.unwrap().into_iter().filter(|volume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(false))
        });
        assert_eq!(claims.map(|volume| volume.name).collect::<Vec<_>>(), expected, "{task}");
    }
}

#[test]
fn what_opens_a_bucket_is_mounted_and_no_volume_is_written_to() {
    let s3 = "  repository: {s3: {bucket: sets, credentialsSecretRef: {name: keys}}}\n  files:\n";
    let bank = bank(&BANK.replace("  files:\n", s3));
    let tasks: Vec<Task> = serde_json::from_str(r#"[{"name": "backup", "task": "Backup"}]"#).unwrap();
    assert_eq!(needs::written(&bank.bank, &tasks).len(), 0);
    let spec = run_spec("stores", "gold-daily-1", &bank.bank, &tasks, 3600, &Pruning::default());
    let sent = serde_json::to_string(&spec).unwrap();
    assert!(sent.contains(r#""s3":{"bucket":"sets","prefix":"","credentials":"keys""#), "{sent}");
    let pod = build(&bank, &spec, None).unwrap().spec.unwrap().template.spec.unwrap();
    let secrets = pod.volumes.unwrap().into_iter().find(|volume| volume.name == "mb-secrets").unwrap();
    let sources = secrets.projected.unwrap().sources.unwrap().into_iter().filter_map(|source| source.secret);
    let paths = sources.flat_map(|secret| secret.items.unwrap()).map(|item| item.path);
    let paths: Vec<_> = paths.filter(|path| path.starts_with("keys/")).collect();
    assert_eq!(paths, ["keys/AWS_ACCESS_KEY_ID", "keys/AWS_SECRET_ACCESS_KEY"]);
}

#[test]
fn a_purge_writes_to_the_databases() {
    let bank = bank(BANK);
    let purge = Purge {
        deleted_after_seconds: Some(3_600),
        access_log_after_seconds: None,
        history_after_seconds: None,
        backup_max_age_seconds: 60,
    };
    for (purge, written) in [(None, &[][..]), (Some(purge), &["db"])] {
        let work = Work::Prune(Pruning { retention: Vec::new(), purge });
        let tasks = [Task { name: "prune".to_owned(), work, active_deadline_seconds: None }];
        assert!(needs::written(&bank.bank, &tasks).iter().eq(written));
        assert!(needs::sqlite(&bank.bank, &tasks).iter().eq(written));
    }
}

#[test]
fn a_comparison_gets_the_database_and_its_node() {
    let bank = bank(BANK);
    for work in [Work::ConsistencyCheck, of_scope(IntegrityScope::Consistency)] {
        let tasks = [Task { name: "compare".to_owned(), work, active_deadline_seconds: None }];
        assert!(needs::volumes(&bank.bank, &tasks).iter().eq(["db"]));
        assert!(needs::sqlite(&bank.bank, &tasks).iter().eq(["db"]));
    }
    let tasks = [Task {
        name: "vectors".to_owned(),
        work: of_scope(IntegrityScope::VectorStore),
        active_deadline_seconds: None,
    }];
    assert!(needs::volumes(&bank.bank, &tasks).is_empty(), "it is asked over the network");
}

fn of_scope(scope: IntegrityScope) -> Work {
    Work::IntegrityCheck { level: Level::Full, scopes: vec![scope], share_percent: 100 }
}

#[test]
fn root_is_asked_for_by_name_alone() {
    let bank = bank(&BANK.replace("runAsUser: 1000", "runAsUser: 0"));
    let job = build(&bank, &spec(&bank), None).unwrap();
    let security = job.spec.unwrap().template.spec.unwrap().security_context.unwrap();
    assert_eq!((security.run_as_user, security.run_as_non_root), (Some(0), Some(false)));
}

#[test]
fn what_cannot_be_a_job_is_told() {
    let bank = bank(BANK);
    let mut large = spec(&bank);
    large.bank.volumes = (0..8000).map(|index| format!("volume-{index}")).collect();
    assert!(matches!(build(&bank, &large, None), Err(JobError::TooLarge(size)) if size > MAX_SPEC));
    let odd = self::bank(
        &BANK
            .replace("{nodeAffinity: {required", "{nodeAffinity: [{required")
            .replace("values: [b]}]}]}}}", "values: [b]}]}]}}]}"),
    );
    assert!(matches!(build(&odd, &spec(&odd), None), Err(JobError::Affinity(_))));
}
