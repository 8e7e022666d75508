//! A bank that all goes well with: runs, Jobs, reports, conditions, Events, and then silence.

use std::time::{Duration, Instant};

use memorybank::domain::{AuditScope, IntegrityScope, Level, Work};
use memorybank::engine::schedule::request_name;
use serde_json::{Value, json};

use crate::bed::{Bed, wait_for};
use crate::guardian::condition;
use crate::kubelet::name;

/// A bank, its claim, and a policy that is due once a year, with a request to run now.
pub const BANK: &str = r"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: assistant-data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: assistant, labels: {tier: gold}}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: assistant-data}}
";

pub const POLICY: &str = r#"
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard, annotations: {memorybank.dev/run-now: first}}
spec:
  bankSelector: {matchLabels: {tier: gold}}
  schedules:
  - name: yearly
    cron: "30 3 1 1 *"
    tasks: [{task: IntegrityCheck, level: Quick}]
"#;

const ASKED: &str = r"
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {name: thorough}
spec: {bankName: assistant, level: Full}
---
apiVersion: memorybank.dev/v1alpha1
kind: SecurityAudit
metadata: {name: leaks}
spec: {bankName: assistant, scopes: [Leaks]}
";

/// Requests that RBAC did not allow.
pub const FORBIDDEN: &str = "memorybank_operator_api_requests_total{code=\"403\"";

/// The run that the policy's request makes.
pub fn requested(token: &str) -> String {
    request_name("standard", "assistant", "yearly", token)
}

/// Who controls an object: kind, name and uid.
fn controller(object: &Value) -> (&str, &str, &str) {
    let owners = object["metadata"]["ownerReferences"].as_array().unwrap();
    let owner = owners.iter().find(|owner| owner["controller"] == true).unwrap();
    let text = |field: &str| owner[field].as_str().unwrap();
    (text("kind"), text("name"), text("uid"))
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap()
}

/// The one run that an object controls.
async fn run_of(bed: &Bed<'_>, kind: &str, owner: &str) -> String {
    wait_for(&format!("a run of {kind} {owner}"), async || {
        let runs = bed.list("MaintenanceRun").await;
        let own: Vec<_> = runs.iter().filter(|run| controller(run).0 == kind && controller(run).1 == owner).collect();
        assert!(own.len() <= 1, "{own:#?}");
        own.first().map(|run| name(run).to_owned())
    })
    .await
}

fn volume<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let volumes = pod["volumes"].as_array().unwrap();
    volumes.iter().find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("{name} in {volumes:#?}"))
}

/// A Job is as the API server keeps it: restricted, without rights, with what its run needs and no more.
fn judge_job(job: &Value, run: &Value) {
    assert_eq!(controller(job), ("MaintenanceRun", name(run), uid(run)));
    let spec = &job["spec"];
    let (labels, pod) = (&spec["template"]["metadata"]["labels"], &spec["template"]["spec"]);
    for of in [labels, &job["metadata"]["labels"]] {
        assert_eq!(of["memorybank.dev/bank"], "assistant");
        assert_eq!(of["memorybank.dev/run"], *name(run));
        assert_eq!(of["app.kubernetes.io/name"], "memorybank");
        assert_eq!(of["app.kubernetes.io/managed-by"], "memorybank-operator");
        assert_eq!(of["app.kubernetes.io/component"], "runner");
    }
    assert_eq!((&spec["backoffLimit"], &spec["podReplacementPolicy"]), (&json!(1), &json!("Failed")));
    assert!(spec["activeDeadlineSeconds"].as_u64() > run["spec"]["activeDeadlineSeconds"].as_u64());
    assert!(spec["ttlSecondsAfterFinished"].as_u64().unwrap() > 0);
    let rules = &spec["podFailurePolicy"]["rules"];
    assert_eq!((&rules[0]["action"], &rules[1]["action"]), (&json!("Ignore"), &json!("FailJob")), "{rules}");
    assert_eq!(rules[0]["onPodConditions"][0]["type"], "DisruptionTarget");
    assert_eq!(rules[1]["onExitCodes"]["values"], json!([2, 3]));

    assert_eq!((&pod["restartPolicy"], &pod["automountServiceAccountToken"]), (&json!("Never"), &json!(false)));
    let security = &pod["securityContext"];
    assert_eq!((&security["runAsNonRoot"], &security["runAsUser"]), (&json!(true), &json!(65532)));
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert!(security["fsGroup"].is_null(), "the bank's files keep their group");
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!((containers.len(), &containers[0]["image"]), (1, &json!("localhost/memorybank:test")));
    let security = &containers[0]["securityContext"];
    assert_eq!(
        (&security["allowPrivilegeEscalation"], &security["readOnlyRootFilesystem"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    let arguments = containers[0]["args"].as_array().unwrap();
    for argument in [format!("--uid={}", uid(run)), "--volume=data=/volumes/data".to_owned()] {
        assert!(arguments.contains(&json!(argument)), "{argument} in {arguments:?}");
    }

    assert_eq!(
        volume(pod, "b-data")["persistentVolumeClaim"],
        json!({"claimName": "assistant-data", "readOnly": true})
    );
    let mounts = containers[0]["volumeMounts"].as_array().unwrap();
    let writable = |mount: &&Value| mount["readOnly"] != true;
    assert_eq!(mounts.iter().filter(writable).map(|m| &m["mountPath"]).collect::<Vec<_>>(), ["/scratch"]);
    let token = &volume(pod, "mb-token")["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!((&token["audience"], &token["path"]), (&json!("memorybank-ingest"), &json!("token")));
    let setup = volume(pod, "mb-setup")["downwardAPI"]["items"].as_array().unwrap();
    assert_eq!(setup.iter().map(|item| &item["path"]).collect::<Vec<_>>(), ["spec.json", "ca.crt"]);
}

#[tokio::test]
async fn a_bank_is_run_reported_on_and_judged_once() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(POLICY).await;
    bed.apply(ASKED).await;

    let of_policy = requested("first");
    bed.until("MaintenanceRun", &of_policy, "there", |_| true).await;
    let of_check = run_of(&bed, "IntegrityCheck", "thorough").await;
    let of_audit = run_of(&bed, "SecurityAudit", "leaks").await;
    let bank = bed.get("MemoryBank", "assistant").await.unwrap();
    for (run, kind, owner, task) in [
        (
            &of_policy,
            "MemoryBank",
            "assistant",
            json!([{"name": "integritycheck", "task": "IntegrityCheck", "level": "Quick"}]),
        ),
        (&of_check, "IntegrityCheck", "thorough", json!(null)),
        (&of_audit, "SecurityAudit", "leaks", json!(null)),
    ] {
        let found = bed.run(run, "Running", "Running").await;
        let asked = bed.get(kind, owner).await.unwrap();
        assert_eq!(controller(&found), (kind, owner, uid(&asked)));
        assert_eq!(found["spec"]["bankName"], "assistant");
        if task.is_array() {
            assert_eq!(found["spec"]["policyName"], "standard");
            assert_eq!(found["spec"]["tasks"][0]["task"], task[0]["task"]);
        }
        assert_eq!(found["status"]["jobName"], **run);
        judge_job(&bed.get("Job", run).await.unwrap(), &found);
    }
    assert_eq!(bed.names("Job").await.len(), 3);

    let mut pods = Vec::new();
    for run in [&of_policy, &of_check, &of_audit] {
        let pod = bed.pod(run).await;
        let spec = Bed::spec(&pod);
        assert_eq!((&spec.namespace, &spec.run, spec.bank.name.as_str()), (&bed.namespace, run, "assistant"));
        bed.begin(&pod).await;
        pods.push((pod, spec));
    }
    let works: Vec<_> = pods.iter().map(|(_, spec)| spec.tasks[0].work.clone()).collect();
    let database = vec![IntegrityScope::Database];
    assert!(matches!(&works[0], Work::IntegrityCheck { level: Level::Quick, scopes, .. } if *scopes == database));
    assert!(matches!(&works[1], Work::IntegrityCheck { level: Level::Full, .. }), "{:?}", works[1]);
    assert_eq!(works[2], Work::SecurityAudit { scopes: vec![AuditScope::Leaks] });

    // The token of one pod does not speak for another, and without a pod's token nobody speaks.
    let report = bed.report(&pods[0].0).await;
    let token = bed.token(&pods[0].0).await;
    let other = bed.token(&pods[1].0).await;
    assert_eq!(bed.send(&operator, &other, &report, &pods[0].0).await, 403);
    assert_eq!(bed.send(&operator, "nonsense", &report, &pods[0].0).await, 401);
    assert_eq!(bed.send(&operator, &token, &report, &pods[0].0).await, 201);
    let ended = bed.run(&of_policy, "Succeeded", "Completed").await;
    assert_eq!(ended["status"]["report"]["source"], "Ingest");
    assert_eq!(ended["status"]["tasks"][0]["outcome"], "Succeeded");
    let digest = ended["status"]["report"]["sha256"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    bed.exit(&pods[0].0, 0, "Completed", "").await;
    for (pod, spec) in &pods[1..] {
        bed.play_on(&operator, pod).await;
        bed.run(&spec.run, "Succeeded", "Completed").await;
    }

    bed.condition("MemoryBank", "assistant", "Intact", ("True", "AsExpected")).await;
    let shown = bed.condition("MemoryBank", "assistant", "Secure", ("True", "AsExpected")).await;
    assert_eq!(shown["status"]["corruption"]["open"], 0);
    assert_eq!(shown["status"]["findings"]["high"], 0);
    assert_eq!(condition(&shown, "OnSchedule"), ("True".to_owned(), "AsExpected".to_owned()));
    let row = &shown["status"]["schedules"][0];
    assert_eq!((&row["policy"], &row["lastRunName"]), (&json!("standard"), &json!(of_policy)));
    bed.condition("IntegrityCheck", "thorough", "Passed", ("True", "AsExpected")).await;
    bed.condition("SecurityAudit", "leaks", "Passed", ("True", "AsExpected")).await;
    bed.until("MaintenancePolicy", "standard", "its request echoed", |p| p["status"]["lastRunNowToken"] == "first")
        .await;
    for (about, reason) in [("assistant", "RunCreated"), (&of_policy, "RunStarted"), (&of_policy, "Completed")] {
        let event = bed.event(about, reason).await;
        assert_eq!(
            (&event["type"], &event["reportingController"]),
            (&json!("Normal"), &json!("memorybank.dev/operator"))
        );
        assert_eq!(event["reportingInstance"], operator.name);
    }

    // The same report again is taken, and changes nothing.
    let before = bed.get("MaintenanceRun", &of_policy).await.unwrap();
    assert_eq!(bed.send(&operator, &token, &report, &pods[0].0).await, 200);
    assert_eq!(operator.number("memorybank_ingest_reports_total{result=\"duplicate\"}"), 1);
    assert_eq!(bed.get("MaintenanceRun", &of_policy).await.unwrap(), before);
    assert_eq!(uid(&bed.get("MemoryBank", "assistant").await.unwrap()), uid(&bank));

    quiet(&bed, &operator).await;
    assert_eq!(operator.number(FORBIDDEN), 0, "the chart's rights do not suffice");
}

/// With no slot due nothing is written, though the policy counts every thirty seconds and all is looked at.
async fn quiet(bed: &Bed<'_>, operator: &crate::replica::Replica) {
    // Longer than the longest pause between two counts of a policy.
    const SILENCE: Duration = Duration::from_secs(35);
    let versions = async || {
        let mut all = Vec::new();
        for kind in ["MemoryBank", "MaintenancePolicy", "MaintenanceRun", "IntegrityCheck", "SecurityAudit", "Event"] {
            let objects = bed.list(kind).await;
            let ours = |o: &&Value| kind != "Event" || o["reportingController"] == "memorybank.dev/operator";
            all.extend(
                objects.iter().filter(ours).map(|o| (name(o).to_owned(), o["metadata"]["resourceVersion"].to_string())),
            );
        }
        all
    };
    // The Jobs end, and the policy counts what is new to it.
    wait_for("the ends of the Jobs", async || {
        bed.list("Job").await.iter().all(|job| job["status"]["succeeded"] == 1).then_some(())
    })
    .await;
    bed.until("MaintenancePolicy", "standard", "its bank counted", |p| {
        p["status"]["banks"] == 1 && p["status"]["onTime"] == 1
    })
    .await;
    let mut known = (versions().await, operator.others_writes());
    let mut since = Instant::now();
    wait_for("silence", async || {
        let fresh = (versions().await, operator.others_writes());
        if fresh != known {
            (known, since) = (fresh, Instant::now());
        }
        (since.elapsed() >= SILENCE).then_some(())
    })
    .await;
    assert_eq!(operator.number("memorybank_operator_leader"), 1);
}
