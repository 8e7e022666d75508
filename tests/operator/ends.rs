//! Every way in which a pod ends has its own words.

use jiff::Timestamp;
use memorybank::delivery::Summary;
use memorybank::domain::{Outcome, Reason};
use serde_json::{Value, json};

use crate::bed::{Bed, message};
use crate::guardian::condition;
use crate::kubelet::name;
use crate::wholesome::BANK;

/// A run that somebody makes by hand.
pub fn by_hand(name: &str, bank: &str) -> String {
    format!(
        "apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {{name: {name}}}
spec: {{bankName: {bank}, tasks: [{{name: check, task: IntegrityCheck, level: Quick}}]}}
"
    )
}

#[tokio::test]
async fn pods_that_end_without_a_report_are_told_by_what_they_left() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    for run in ["silent", "told", "told-well", "stranger", "memory", "misused", "deleted", "again"] {
        bed.apply(&by_hand(run, "assistant")).await;
    }

    let pod = bed.pod("silent").await;
    bed.exit(&pod, 0, "Completed", "").await;
    let run = bed.run("silent", "Unknown", "ReportLost").await;
    assert_eq!(run["status"]["report"], json!({"source": "None"}));

    // The summary of a report that could not be handed in; with it the run is judged as the report would have it.
    let pod = bed.pod("told").await;
    let mut report = bed.report(&pod).await;
    (report.tasks[0].outcome, report.tasks[0].reason) = (Outcome::Failed, Reason::PermissionDenied);
    "openmemory.db may not be read".clone_into(&mut report.tasks[0].message);
    let summary = serde_json::to_string(&Summary::undelivered(&report, "connection refused")).unwrap();
    bed.exit(&pod, 3, "Error", &summary).await;
    let run = bed.run("told", "Failed", "PermissionDenied").await;
    assert_eq!(run["status"]["report"], json!({"source": "TerminationMessage"}));
    assert_eq!(run["status"]["tasks"][0]["reason"], "PermissionDenied");
    let said = message(&run, "Succeeded");
    assert!(said.contains("did not arrive") && said.contains("connection refused"), "{said}");

    let pod = bed.pod("told-well").await;
    let summary = serde_json::to_string(&Summary::undelivered(&bed.report(&pod).await, "it was slow")).unwrap();
    bed.exit(&pod, 0, "Completed", &summary).await;
    let run = bed.run("told-well", "Succeeded", "Completed").await;
    assert_eq!(run["status"]["report"]["source"], "TerminationMessage");

    // A summary of another run is none.
    let pod = bed.pod("stranger").await;
    bed.exit(&pod, 0, "Completed", &summary).await;
    bed.run("stranger", "Unknown", "ReportLost").await;

    let pod = bed.pod("memory").await;
    bed.exit(&pod, 137, "OOMKilled", "").await;
    let run = bed.run("memory", "Failed", "OutOfMemory").await;
    assert!(message(&run, "Succeeded").contains("spec.jobTemplate.resources"), "{run}");
    bed.gone("Job", "memory").await;

    let pod = bed.pod("misused").await;
    bed.exit(&pod, 2, "Error", "").await;
    let run = bed.run("misused", "Failed", "TaskFailed").await;
    assert!(message(&run, "Succeeded").contains("exit code 2"), "{run}");
    // Kubernetes counts the pod after it has decided that the Job failed.
    let failed = |job: &Value| condition(job, "Failed").0 == "True";
    let job = bed.until("Job", "misused", "Failed", failed).await;
    assert_eq!(job["status"]["failed"], 1, "it is not tried again");

    bed.pod("deleted").await;
    bed.delete("Job", "deleted").await;
    bed.run("deleted", "Failed", "JobDeleted").await;

    // What another pod may mend is tried again, and then told by the report alone.
    let first = bed.pod("again").await;
    bed.exit(&first, 1, "Error", "").await;
    bed.run("again", "Running", "TaskFailed").await;
    let second = bed.next_pod("again", &[name(&first)]).await;
    bed.begin(&second).await;
    bed.run("again", "Running", "Running").await;
    bed.play_on(&operator, &second).await;
    bed.run("again", "Succeeded", "Completed").await;

    // Every end is an Event of its run.
    for (run, reason) in [("silent", "ReportLost"), ("memory", "OutOfMemory"), ("deleted", "JobDeleted")] {
        assert_eq!(bed.event(run, reason).await["type"], "Warning");
    }
}

#[tokio::test]
async fn pods_that_are_taken_away_are_told_and_the_next_one_counts() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    for (run, cause, told, words) in [
        ("evicted", "EvictionByEvictionAPI", "Evicted", "was evicted (EvictionByEvictionAPI)"),
        ("tainted", "DeletionByTaintManager", "NodeLost", "the node of the pod"),
    ] {
        bed.apply(&by_hand(run, "assistant")).await;
        let first = bed.pod(run).await;
        bed.begin(&first).await;
        bed.run(run, "Running", "Running").await;
        // One without a time is stale at once, and taken back by Kubernetes.
        let disruption = json!({
            "type": "DisruptionTarget", "status": "True", "reason": cause, "message": "as asked",
            "lastTransitionTime": Timestamp::now(),
        });
        bed.set_status("Pod", name(&first), json!({"conditions": [disruption]})).await;
        let shown = bed.run(run, "Running", told).await;
        assert!(message(&shown, "Succeeded").contains(words), "{shown}");
        let ended = json!({"exitCode": 130, "reason": "Error", "startedAt": null, "finishedAt": null});
        let status = json!({
            "phase": "Failed",
            "containerStatuses": [{
                "name": "runner", "state": {"terminated": ended}, "image": "localhost/memorybank:test", "imageID": "",
                "ready": false, "restartCount": 0,
            }],
        });
        bed.set_status("Pod", name(&first), status).await;
        let second = bed.next_pod(run, &[name(&first)]).await;
        bed.begin(&second).await;
        bed.run(run, "Running", "Running").await;
        bed.play_on(&operator, &second).await;
        bed.run(run, "Succeeded", "Completed").await;
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_told_while_it_lasts() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&by_hand("waits", "assistant")).await;
    let pod = bed.pod("waits").await;
    bed.begin(&pod).await;
    bed.run("waits", "Running", "Running").await;
    // As the node controller writes it when the kubelet is silent.
    let ready = |status: &str| {
        json!({"conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": status, "reason": "NodeNotReady"},
        ]})
    };
    bed.set_status("Pod", name(&pod), ready("False")).await;
    bed.run("waits", "Running", "NodeLost").await;
    bed.set_status("Pod", name(&pod), ready("True")).await;
    bed.run("waits", "Running", "Running").await;
    bed.play_on(&operator, &pod).await;
    bed.run("waits", "Succeeded", "Completed").await;
}
