//! What keeps a run from beginning is told, and ends it where it would never end by itself.

use serde_json::json;

use crate::bed::{Bed, message};
use crate::ends::by_hand;
use crate::guardian::condition;
use crate::kubelet::name;
use crate::wholesome::{BANK, POLICY, requested};

fn waiting(reason: &str) -> serde_json::Value {
    json!({"waiting": {"reason": reason, "message": "the node's own words"}})
}

#[tokio::test]
async fn what_keeps_a_pod_from_beginning_is_told_and_ends_what_cannot_mend() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    for run in ["image", "config", "unplaced", "unclaimed"] {
        bed.apply(&by_hand(run, "assistant")).await;
    }

    let pod = bed.pod("image").await;
    bed.container(&pod, "Pending", waiting("ErrImagePull")).await;
    let run = bed.run("image", "Running", "ImagePullFailed").await;
    assert!(message(&run, "Succeeded").contains("the node's own words"), "{run}");
    bed.container(&pod, "Pending", waiting("ImagePullBackOff")).await;
    bed.run("image", "Failed", "ImagePullFailed").await;
    bed.gone("Job", "image").await;

    let pod = bed.pod("config").await;
    bed.container(&pod, "Pending", waiting("CreateContainerConfigError")).await;
    bed.run("config", "Failed", "PodForbidden").await;
    bed.gone("Job", "config").await;

    let placed = |status: &str, words: &str| {
        json!({"conditions": [
            {"type": "PodScheduled", "status": status, "reason": "Unschedulable", "message": words},
        ]})
    };
    let pod = bed.pod("unplaced").await;
    bed.set_status("Pod", name(&pod), placed("False", "0/3 nodes are available: 3 Insufficient memory.")).await;
    let run = bed.run("unplaced", "Running", "Unschedulable").await;
    assert!(message(&run, "Succeeded").contains("Insufficient memory"), "{run}");
    bed.begin(&pod).await;
    bed.run("unplaced", "Running", "Running").await;
    bed.play_on(&operator, &pod).await;
    bed.run("unplaced", "Succeeded", "Completed").await;

    let pod = bed.pod("unclaimed").await;
    let words = "persistentvolumeclaim \"assistant-data\" not found";
    bed.set_status("Pod", name(&pod), placed("False", words)).await;
    bed.run("unclaimed", "Failed", "VolumeNotFound").await;
    bed.gone("Job", "unclaimed").await;
}

#[tokio::test]
async fn a_claim_that_is_not_there_is_named_until_it_is() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    let (claim, bank) = BANK.split_once("---").unwrap();
    bed.apply(bank).await;
    bed.apply(POLICY).await;
    let run = bed.run(&requested("first"), "Failed", "VolumeNotFound").await;
    assert!(message(&run, "Succeeded").contains("assistant-data"), "{run}");
    assert_eq!(bed.names("Job").await, [""; 0]);
    let shown = bed.condition("MemoryBank", "assistant", "Ready", ("False", "ReferenceNotFound")).await;
    assert!(message(&shown, "Ready").contains("assistant-data"), "{shown}");

    bed.apply(claim).await;
    let mended = |bank: &serde_json::Value| condition(bank, "Ready").1 != "ReferenceNotFound";
    bed.until("MemoryBank", "assistant", "its claim found", mended).await;
    bed.change("MaintenancePolicy", "standard", run_now("second")).await;
    bed.play(&operator, &requested("second")).await;
    bed.run(&requested("second"), "Succeeded", "Completed").await;
}

pub fn run_now(token: &str) -> serde_json::Value {
    json!({"metadata": {"annotations": {"memorybank.dev/run-now": token}}})
}

#[tokio::test]
async fn a_pod_that_pod_security_refuses_ends_its_run() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.label("pod-security.kubernetes.io/enforce", "restricted").await;
    bed.apply(BANK).await;
    // As it is, a pod of ours is admitted.
    bed.apply(&by_hand("plain", "assistant")).await;
    bed.play(&operator, "plain").await;
    bed.run("plain", "Succeeded", "Completed").await;

    let root = json!({"spec": {"jobTemplate": {"podSecurity": {"runAsUser": 0}}}});
    bed.change("MemoryBank", "assistant", root).await;
    bed.until("MemoryBank", "assistant", "its change seen", |bank| {
        bank["status"]["observedGeneration"] == bank["metadata"]["generation"]
    })
    .await;
    bed.apply(&by_hand("root", "assistant")).await;
    let run = bed.run("root", "Failed", "PodForbidden").await;
    assert!(message(&run, "Succeeded").contains("violates PodSecurity"), "{run}");
    bed.gone("Job", "root").await;
}

#[tokio::test]
async fn a_job_that_a_quota_forbids_is_tried_again_until_it_may_be() {
    const QUOTA: &str = r#"
apiVersion: v1
kind: ResourceQuota
metadata: {name: none}
spec: {hard: {count/jobs.batch: "0"}}
"#;
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(QUOTA).await;
    bed.until("ResourceQuota", "none", "counted", |quota| quota["status"]["hard"]["count/jobs.batch"] == "0").await;
    bed.apply(BANK).await;
    bed.apply(&by_hand("poor", "assistant")).await;
    let run = bed.run("poor", "Pending", "PodForbidden").await;
    assert!(message(&run, "Succeeded").contains("exceeded quota"), "{run}");
    assert!(run["status"]["nextAttemptTime"].is_string());
    bed.until("MaintenanceRun", "poor", "two attempts", |run| run["status"]["attempts"].as_u64() >= Some(2)).await;
    bed.delete("ResourceQuota", "none").await;
    bed.play(&operator, "poor").await;
    let run = bed.run("poor", "Succeeded", "Completed").await;
    assert!(run["status"]["attempts"].is_null() && run["status"]["nextAttemptTime"].is_null(), "{run}");
}
