//! Requests to run now, runs made by hand, and what becomes of runs when what asked for them goes.

use std::collections::BTreeSet;

use serde_json::json;

use crate::bed::{Bed, message, wait_for};
use crate::ends::by_hand;
use crate::guardian::condition;
use crate::stuck::run_now;
use crate::wholesome::{BANK, POLICY, requested};

const CHECK: &str = r#"
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {name: rare, annotations: {memorybank.dev/run-now: once}}
spec: {bankName: assistant, level: Quick, schedule: {cron: "30 3 1 1 *"}}
"#;

#[tokio::test]
async fn a_request_to_run_now_is_met_once_and_echoed() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(POLICY).await;
    bed.apply(CHECK).await;
    bed.play(&operator, &requested("first")).await;
    bed.until("IntegrityCheck", "rare", "its request echoed", |c| c["status"]["lastRunNowToken"] == "once").await;
    bed.until("MaintenancePolicy", "standard", "its request echoed", |p| p["status"]["lastRunNowToken"] == "first")
        .await;
    let runs = bed.names("MaintenanceRun").await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    bed.play(&operator, runs.iter().find(|run| **run != requested("first")).unwrap()).await;
    for run in &runs {
        bed.run(run, "Succeeded", "Completed").await;
    }

    // Neither a deleted run nor a new process brings a request back.
    bed.delete("MaintenanceRun", &requested("first")).await;
    assert!(operator.stop().await.success());
    let operator = bed.start(&[]).await;
    bed.change("MaintenancePolicy", "standard", run_now("second")).await;
    bed.play(&operator, &requested("second")).await;
    bed.run(&requested("second"), "Succeeded", "Completed").await;
    let known: BTreeSet<_> = bed.names("MaintenanceRun").await.into_iter().collect();
    assert!(known.len() == 2 && !known.contains(&requested("first")), "{known:?}");
}

#[tokio::test]
async fn a_suspended_policy_echoes_a_request_and_does_not_run_it_later() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&POLICY.replace("spec:", "spec:\n  suspend: true")).await;
    let row = |bank: &serde_json::Value, token: &str| bank["status"]["schedules"][0]["lastRunNowToken"] == *token;
    bed.until("MemoryBank", "assistant", "the request noted", |bank| row(bank, "first")).await;
    bed.change("MaintenancePolicy", "standard", json!({"spec": {"suspend": false}})).await;
    bed.change("MaintenancePolicy", "standard", run_now("second")).await;
    bed.play(&operator, &requested("second")).await;
    bed.run(&requested("second"), "Succeeded", "Completed").await;
    assert_eq!(bed.names("MaintenanceRun").await, [requested("second")]);

    // A suspended bank is not judged, and nothing of it runs.
    bed.change("MemoryBank", "assistant", json!({"spec": {"suspend": true}})).await;
    bed.condition("MemoryBank", "assistant", "Ready", ("Unknown", "Suspended")).await;
    bed.apply(&by_hand("asleep", "assistant")).await;
    bed.run("asleep", "Held", "Suspended").await;
    bed.change("MemoryBank", "assistant", json!({"spec": {"suspend": false}})).await;
    bed.play(&operator, "asleep").await;
    bed.run("asleep", "Succeeded", "Completed").await;
}

#[tokio::test]
async fn runs_made_by_hand_end_as_their_maker_says() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    let brief = by_hand("brief", "assistant").replace("spec: {", "spec: {ttlSecondsAfterFinished: 1, ");
    bed.apply(&brief).await;
    bed.play(&operator, "brief").await;
    bed.gone("MaintenanceRun", "brief").await;
    bed.gone("Job", "brief").await;

    bed.apply(&by_hand("cancelled", "assistant")).await;
    bed.pod("cancelled").await;
    bed.delete("MaintenanceRun", "cancelled").await;
    bed.gone("Job", "cancelled").await;

    bed.apply(&by_hand("lost", "nobody")).await;
    bed.run("lost", "Skipped", "BankNotFound").await;
}

#[tokio::test]
async fn what_goes_takes_its_runs_jobs_and_series_along() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&["--max-active-jobs=1"]).await;
    bed.apply(BANK).await;
    bed.apply(&by_hand("busy", "assistant")).await;
    bed.run("busy", "Running", "Running").await;
    bed.apply(POLICY).await;
    bed.run(&requested("first"), "Held", "JobLimit").await;
    bed.delete("MaintenancePolicy", "standard").await;
    let run = bed.run(&requested("first"), "Skipped", "PolicyDeleted").await;
    assert!(message(&run, "Succeeded").contains("standard/yearly"), "{run}");
    bed.until("MemoryBank", "assistant", "no schedule", |bank| bank["status"]["schedules"].is_null()).await;

    wait_for("the bank's series", async || operator.metrics().contains("bank=\"assistant\"").then_some(())).await;
    bed.delete("MemoryBank", "assistant").await;
    bed.gone("Job", "busy").await;
    let run = bed.run("busy", "Failed", "BankNotFound").await;
    assert_ne!(condition(&run, "Succeeded").0, "True");
    bed.gone("MaintenanceRun", &requested("first")).await;
    wait_for("no series of the bank", async || (!operator.metrics().contains("bank=\"assistant\"")).then_some(()))
        .await;
    assert_eq!(bed.names("PersistentVolumeClaim").await, ["assistant-data"], "what is the user's stays");
}
