//! The API server is not ready for us, is away, or comes back; the operator is killed. In the end all is as asked,
//! and once.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::bed::{Bed, wait_for};
use crate::control_plane::ControlPlane;
use crate::kubelet::name;
use crate::replica::Replica;
use crate::stuck::run_now;
use crate::wholesome::{BANK, POLICY, requested};

/// Starts an operator anew where it ended, as the kubelet does, until one leads.
async fn revived(bed: &Bed<'_>, mut operator: Replica) -> Replica {
    wait_for("a leader", async || {
        if let Some(status) = operator.ended() {
            assert_eq!(status.code(), Some(4), "{}", operator.log());
            operator = bed.spawn(&[]);
        }
        (operator.ready().is_ok() && operator.number("memorybank_operator_leader") > 0).then_some(())
    })
    .await;
    operator
}

/// Every token made one run, every run one Job, every Job one pod.
async fn once(bed: &Bed<'_>, tokens: &[String]) {
    let mut expected: Vec<_> = tokens.iter().map(|token| requested(token)).collect();
    expected.sort();
    assert_eq!(bed.names("MaintenanceRun").await, expected);
    assert_eq!(bed.names("Job").await, expected);
    let mut runs: Vec<_> =
        bed.list("Pod").await.iter().map(|p| p["metadata"]["labels"]["memorybank.dev/run"].clone()).collect();
    runs.sort_by_key(ToString::to_string);
    assert_eq!(runs, expected);
}

/// A policy that keeps all of its runs.
fn keeper() -> String {
    POLICY
        .replace("spec:", "spec:\n  successfulRunsHistoryLimit: 100\n  failedRunsHistoryLimit: 100")
        .replace("    tasks:", "    concurrencyPolicy: Allow\n    tasks:")
}

#[tokio::test]
async fn definitions_that_are_missing_are_named_and_waited_for() {
    let Some(plane) = ControlPlane::start() else { return };
    let Some(bed) = Bed::on(&plane).await else { return };
    let mut operator = bed.spawn(&[]);
    wait_for("what is missing", async || {
        let said = operator.ready().expect_err("it is ready");
        let kinds = [
            "memorybanks",
            "maintenancepolicies",
            "maintenanceruns",
            "integritychecks",
            "securityaudits",
            "recoveries",
        ];
        let told = |kind: &&str| said.contains(&format!("{kind} pending: {kind} are not known to the API server"));
        kinds.iter().all(told).then_some(())
    })
    .await;
    assert!(operator.ended().is_none());
    plane.definitions().await;
    operator.leads().await;
    bed.apply(BANK).await;
    bed.apply(POLICY).await;
    bed.play(&operator, &requested("first")).await;
    bed.run(&requested("first"), "Succeeded", "Completed").await;
}

#[tokio::test]
async fn an_api_server_that_goes_and_comes_back_leaves_all_as_asked() {
    let Some(plane) = ControlPlane::start() else { return };
    plane.definitions().await;
    let Some(bed) = Bed::on(&plane).await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&keeper()).await;
    bed.run(&requested("first"), "Running", "Running").await;
    let mut tokens = vec!["first".to_owned()];

    // Killed: the operator says so, and goes on when it is back. It is asked for more at once.
    plane.kill_api_server();
    wait_for("the API server missed on /readyz", async || {
        let (Ok(said) | Err(said)) = operator.ready();
        said.contains("memorybanks: the API server does not answer").then_some(())
    })
    .await;
    plane.restart_api_server();
    bed.change("MaintenancePolicy", "standard", run_now("second")).await;
    tokens.push("second".to_owned());
    let operator = revived(&bed, operator).await;
    for token in &tokens {
        bed.play(&operator, &requested(token)).await;
        bed.run(&requested(token), "Succeeded", "Completed").await;
    }

    // It does not answer: whoever cannot renew the lease in time ends, and is started anew.
    let pod = {
        bed.change("MaintenancePolicy", "standard", run_now("third")).await;
        tokens.push("third".to_owned());
        bed.pod(&requested("third")).await
    };
    let mut operator = operator;
    plane.pause_api_server();
    let status = operator.end().await;
    plane.resume_api_server();
    assert_eq!(status.code(), Some(4), "{}", operator.log());
    assert!(operator.log().contains("the lease") && operator.log().contains("was lost"), "{}", operator.log());
    let operator = revived(&bed, operator).await;
    bed.play_on(&operator, &pod).await;
    bed.run(&requested("third"), "Succeeded", "Completed").await;
    once(&bed, &tokens).await;
}

#[tokio::test]
async fn an_operator_that_is_killed_at_any_time_finds_its_way_back() {
    const KILLS: usize = 12;
    let Some(bed) = Bed::new().await else { return };
    bed.apply(BANK).await;
    bed.apply(&keeper()).await;
    let mut random = rand::rng();
    let mut tokens = vec!["first".to_owned()];
    let mut operator = bed.start(&[]).await;
    for kill in 0..KILLS {
        let token = format!("t{kill}");
        bed.change("MaintenancePolicy", "standard", run_now(&token)).await;
        tokens.push(token);
        // Some die at once, some with the Job made, some with the report on its way.
        let life = Duration::from_millis(random.random_range(0..400));
        let begun = Instant::now();
        wait_for("its time to die", async || (begun.elapsed() >= life).then_some(())).await;
        operator.kill();
        operator = bed.start(&[]).await;
        let run = requested(tokens.last().unwrap());
        bed.run(&run, "Running", "Running").await;
        if kill % 2 == 0 {
            let pod = bed.pod(&run).await;
            let (token, report) = (bed.token(&pod).await, bed.report(&pod).await);
            assert_eq!(bed.send(&operator, &token, &report, &pod).await, 201);
            operator.kill();
            bed.exit(&pod, 0, "Completed", "").await;
            operator = bed.start(&[]).await;
            bed.run(&run, "Succeeded", "Completed").await;
            let report = bed.get("MaintenanceRun", &run).await.unwrap()["status"]["report"].clone();
            assert_eq!(report["source"], "Ingest", "{report} of {}", name(&pod));
        }
    }
    for token in &tokens {
        let run = requested(token);
        if bed.get("MaintenanceRun", &run).await.unwrap()["status"]["phase"] != "Succeeded" {
            bed.play(&operator, &run).await;
            bed.run(&run, "Succeeded", "Completed").await;
        }
    }
    once(&bed, &tokens).await;
}
