//! A bank's workload is away while a recovery changes it, and is put back whatever happens.

use memorybank::domain::{Consent, RecoveryState};
use serde_json::{Value, json};

use crate::bed::{Bed, message, wait_for};
use crate::ends::by_hand;
use crate::kubelet::name;
use crate::recoveries::{consent_of, next, plan, play, report};
use crate::wholesome::BANK;

const WORKLOADS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: openmemory}
spec:
  replicas: 2
  selector: {matchLabels: {app: openmemory}}
  template:
    metadata: {labels: {app: openmemory, bank: assistant}}
    spec: {containers: [{name: api, image: localhost/openmemory}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
spec:
  replicas: 1
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: api, image: localhost/other}]}
";

fn recovery(name: &str, mode: &str) -> String {
    format!(
        "
apiVersion: memorybank.dev/v1alpha1
kind: Recovery
metadata: {{name: {name}}}
spec: {{bankName: assistant, mode: {mode}, quiesce: ScaleDown}}
"
    )
}

async fn replicas(bed: &Bed<'_>, deployment: &str) -> i64 {
    bed.get("Deployment", deployment).await.unwrap()["spec"]["replicas"].as_i64().unwrap()
}

async fn until_replicas(bed: &Bed<'_>, wanted: i64) {
    wait_for(&format!("{wanted} replicas"), async || (replicas(bed, "openmemory").await == wanted).then_some(())).await;
}

async fn pods(bed: &Bed<'_>) -> Vec<Value> {
    let mut pods = bed.list("Pod").await;
    pods.retain(|pod| pod["metadata"]["labels"]["app"] == "openmemory");
    pods
}

/// Keeps one of the workload's pods from going, as one that takes long to end.
async fn keep_one(bed: &Bed<'_>) -> String {
    let pod = wait_for("both pods of the workload", async || {
        let pods = pods(bed).await;
        (pods.len() == 2 && pods.iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_null()))
            .then(|| name(&pods[0]).to_owned())
    })
    .await;
    bed.change("Pod", &pod, json!({"metadata": {"finalizers": ["memorybank.dev/slow"]}})).await;
    pod
}

async fn let_go(bed: &Bed<'_>, pod: &str) {
    bed.change("Pod", pod, json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test]
async fn the_workload_goes_before_the_job_and_comes_back_after_it_whatever_happens() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    let workload = "spec:\n  workload: {selector: {matchLabels: {bank: assistant}}}\n  database:";
    bed.apply(WORKLOADS).await;
    bed.apply(&BANK.replacen("spec:\n  database:", workload, 1)).await;
    let pod = keep_one(&bed).await;

    // Without the right it says so, scales nothing, and keeps nobody from the bank.
    bed.apply(&recovery("mend", "Auto")).await;
    let told = bed.condition("Recovery", "mend", "Succeeded", ("Unknown", "Held")).await;
    assert!(message(&told, "Succeeded").contains("rbac.scale.namespaces"), "{told:#}");
    bed.apply(&by_hand("beside", "assistant")).await;
    bed.play(&operator, "beside").await;
    bed.run("beside", "Succeeded", "Completed").await;
    assert_eq!(replicas(&bed, "openmemory").await, 2);

    bed.give(&format!("rbac.scale.namespaces={{{}}}", bed.namespace));
    let mut looks = 0;
    wait_for("the scaling down", async || {
        looks += 1;
        bed.change("MemoryBank", "assistant", json!({"metadata": {"labels": {"looks": looks.to_string()}}})).await;
        (replicas(&bed, "openmemory").await == 0).then_some(())
    })
    .await;
    let told = bed.condition("Recovery", "mend", "Succeeded", ("Unknown", "Quiescing")).await;
    assert_eq!(told["status"]["phase"], "Held");
    bed.event("mend", "ScaledDown").await;
    bed.until("Recovery", "mend", "the pod that it waits for", |it| message(it, "Succeeded").contains(&pod)).await;
    let run = next(&bed, &[]).await;
    assert!(bed.get("Job", &run).await.is_none(), "a pod that may write is left");

    // The operator dies in between, and goes on.
    operator.kill();
    let_go(&bed, &pod).await;
    let operator = bed.start(&[]).await;
    let job = bed.pod(&run).await;
    assert_eq!(consent_of(&job), Consent::Lossless);
    assert!(pods(&bed).await.is_empty());
    assert_eq!((replicas(&bed, "openmemory").await, replicas(&bed, "other").await), (0, 1));

    // Another recovery does not take it for gone: while the pod of the first lives, it is put back for neither.
    bed.apply(&recovery("second", "Auto")).await;
    let second = next(&bed, &[&run]).await;
    report(&bed, &operator, &job, RecoveryState::Succeeded).await;
    bed.condition("Recovery", "mend", "Succeeded", ("True", "AsExpected")).await;
    bed.until("Recovery", "second", "the other run", |it| message(it, "Succeeded").contains(&run)).await;
    assert!(bed.get("Job", &second).await.is_none());
    assert_eq!(replicas(&bed, "openmemory").await, 0);
    bed.exit(&job, 0, "Completed", "").await;
    bed.event("mend", "PutBack").await;
    let mut looks = 0;
    wait_for("the Job of the second", async || {
        looks += 1;
        bed.change("MemoryBank", "assistant", json!({"metadata": {"labels": {"turns": looks.to_string()}}})).await;
        bed.get("Job", &second).await
    })
    .await;
    let job = bed.pod(&second).await;
    assert!(pods(&bed).await.is_empty());
    assert_eq!(replicas(&bed, "openmemory").await, 0);
    play(&bed, &operator, &job, RecoveryState::Succeeded).await;
    until_replicas(&bed, 2).await;

    // To show a plan scales nothing. The recovery is deleted while its workload goes and nobody looks.
    bed.apply(&recovery("again", "OnApproval")).await;
    let shows = next(&bed, &[&run, &second]).await;
    let job = bed.pod(&shows).await;
    assert_eq!(consent_of(&job), Consent::None);
    let pod = keep_one(&bed).await;
    play(&bed, &operator, &job, RecoveryState::Planned).await;
    bed.until("Recovery", "again", "AwaitingApproval", |it| it["status"]["phase"] == "AwaitingApproval").await;
    assert_eq!(replicas(&bed, "openmemory").await, 2);
    let approval = json!({"planDigest": format!("sha256:{}", plan().digest()), "approvedBy": "alice"});
    bed.change("Recovery", "again", json!({"spec": {"approval": approval}})).await;
    until_replicas(&bed, 0).await;
    operator.kill();
    bed.delete("Recovery", "again").await;
    bed.gone("MaintenanceRun", &shows).await;
    let _operator = bed.start(&[]).await;
    until_replicas(&bed, 2).await;
    let_go(&bed, &pod).await;
}
