//! Two replicas over one store: one writes, the other answers, and who wakes up late writes nothing.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, wait_for};
use crate::guardian::{page, text};
use crate::kubelet::name;
use crate::postgres::Postgres;
use crate::replica::Replica;
use crate::stuck::run_now;
use crate::wholesome::{BANK, POLICY, requested};

const LEADER: &str = "memorybank_operator_leader";

/// Two replicas that are ready: the leader first.
async fn pair(bed: &Bed<'_>, store: &str) -> [Replica; 2] {
    let [a, b] = ["operator-a", "operator-b"].map(|name| bed.replica(name, &[store]));
    wait_for("two replicas, one of which leads", async || {
        let leading = [&a, &b].iter().filter(|replica| replica.number(LEADER) == 1).count();
        assert!(leading < 2, "both lead");
        (leading == 1 && a.ready().is_ok() && b.ready().is_ok()).then_some(())
    })
    .await;
    if a.number(LEADER) == 1 { [a, b] } else { [b, a] }
}

/// The version of everything that the operator writes.
async fn versions(bed: &Bed<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for kind in ["MemoryBank", "MaintenanceRun", "Job", "Event"] {
        let objects = bed.list(kind).await;
        let ours = |o: &&Value| kind != "Event" || o["reportingController"] == "memorybank.dev/operator";
        all.extend(
            objects.iter().filter(ours).map(|o| (name(o).to_owned(), o["metadata"]["resourceVersion"].to_string())),
        );
    }
    all
}

#[tokio::test]
async fn of_two_replicas_one_writes_and_the_other_is_there_when_it_goes() {
    let Some(postgres) = Postgres::shared() else { return };
    let Some(bed) = Bed::new().await else { return };
    let url = bed.file("postgres", &postgres.database());
    let store = format!("--postgres-url-file={}", url.display());
    let [mut leader, follower] = pair(&bed, &store).await;
    bed.apply(BANK).await;
    bed.apply(&POLICY.replace("spec:", "spec:\n  successfulRunsHistoryLimit: 100")).await;

    // The follower takes a report, shows metrics, and writes nothing.
    let pod = bed.pod(&requested("first")).await;
    bed.begin(&pod).await;
    bed.play_on(&follower, &pod).await;
    let run = bed.run(&requested("first"), "Succeeded", "Completed").await;
    assert_eq!(run["status"]["report"]["source"], "Ingest");
    assert_eq!(page(follower.http, "/livez").unwrap().0, 200);
    wait_for("the bank on the follower's /metrics", async || {
        (follower.number("memorybank_bank_condition{") > 0).then_some(())
    })
    .await;
    // Its only POST asked whose the token was.
    assert_eq!((follower.others_writes(), follower.number(LEADER)), (1, 0));

    // Stopped in the middle of work, while the other takes over; it wakes up late.
    bed.change("MaintenancePolicy", "standard", run_now("second")).await;
    leader.signal(Signal::SIGSTOP);
    wait_for("the follower to lead", async || (follower.number(LEADER) == 1).then_some(())).await;
    bed.play(&follower, &requested("second")).await;
    bed.run(&requested("second"), "Succeeded", "Completed").await;
    wait_for("the ends of the Jobs", async || {
        bed.list("Job").await.iter().all(|job| job["status"]["succeeded"] == 1).then_some(())
    })
    .await;
    bed.until("MemoryBank", "assistant", "the run counted", |bank| {
        bank["status"]["schedules"][0]["lastRunName"] == requested("second")
    })
    .await;
    let mut settled = (versions(&bed).await, Instant::now());
    wait_for("a moment without writes", async || {
        let fresh = versions(&bed).await;
        if fresh != settled.0 {
            settled = (fresh, Instant::now());
        }
        (settled.1.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    leader.signal(Signal::SIGCONT);
    let status = leader.end().await;
    assert_eq!(status.code(), Some(4), "{}", leader.log());
    assert!(leader.log().contains("was lost"), "{}", leader.log());
    assert_eq!(versions(&bed).await, settled.0, "who lost the lease wrote");
    assert_eq!(bed.names("MaintenanceRun").await.len(), 2);
    assert_eq!(bed.names("Job").await.len(), 2);

    // Told to end, it hands over at once: long before a lease would expire.
    let mut next = bed.replica("operator-c", &[&store]);
    wait_for("a second replica", async || next.ready().is_ok().then_some(())).await;
    let begun = Instant::now();
    let status = follower.stop().await;
    assert!(status.success(), "{status}");
    next.leads().await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    bed.change("MaintenancePolicy", "standard", run_now("third")).await;
    bed.play(&next, &requested("third")).await;
    bed.run(&requested("third"), "Succeeded", "Completed").await;
    assert_eq!(bed.names("Job").await.len(), 3);
    let lease = bed.get("Lease", "memorybank-operator").await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "operator-c");
    let leases = bed.plane.kubectl().args(["-n", &bed.namespace, "get", "lease", "-o", "name"]).output().unwrap();
    assert_eq!(text(&leases.stdout).trim(), "lease.coordination.k8s.io/memorybank-operator");
}
