//! SIGKILL of the operator at any point of its work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use memorybank::resources::{IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};

use crate::bed::{State, all, bank, check, make, make_claim};
use crate::control_plane::ControlPlane;
use crate::operator_child::Operator;
use crate::runner::Runner;

const KILLS: usize = 50;
const BANKS: usize = 20;
/// Slots that become due one after the other while it is killed.
const SLOTS: usize = 200;
/// Banks of which a policy is due every minute.
const MINUTELY: usize = 4;
/// How long it lives, at most: long enough to begin anything, short enough to be in the middle of it.
const LIFE: Duration = Duration::from_millis(2500);
/// The test's moments are drawn from this.
const SEED: u64 = 20_261_125;
const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_slot_is_run_once_though_the_operator_is_killed_fifty_times() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let client = plane.client().await;
    let namespace = plane.namespace().await;
    prepare(&client, &namespace).await;
    let arguments = ["--watch-namespace", &namespace, "--max-active-jobs", "20"];
    let mut operator = Operator::new(plane, plane.kubeconfig(), &arguments).await;
    let runner = Runner::start(&client, &namespace, operator.folder());

    let kills = Arc::new(AtomicUsize::new(0));
    let making = tokio::spawn(make_slots(client.clone(), namespace.clone(), Arc::clone(&kills)));
    let mut random = StdRng::seed_from_u64(SEED);
    while kills.load(Ordering::Relaxed) < KILLS {
        operator.start();
        tokio::time::sleep(LIFE.mul_f64(random.random_range(0.05..1.0))).await;
        operator.kill();
        kills.fetch_add(1, Ordering::Relaxed);
    }
    making.await.unwrap();
    operator.start();

    let last_kill = Timestamp::now().as_second();
    let begun = Instant::now();
    let mut suspended = false;
    let state = loop {
        let state = State::of(&client, &namespace).await;
        let runs = all::<MaintenanceRun>(&client, &namespace).await;
        let slots = runs.iter().filter(|run| run.spec.policy_name.is_none()).count();
        let minute = last_kill - last_kill % 60;
        let newest =
            runs.iter().filter(|run| run.spec.slot_time.as_ref().is_some_and(|slot| slot.0.as_second() >= minute));
        if !suspended && newest.count() >= MINUTELY {
            suspend(&client, &namespace).await;
            suspended = true;
        }
        if suspended && slots == SLOTS && runs.len() == state.runs.len() && state.ended() == runs.len() {
            break state;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{slots} runs, {} ended: {}\n{:?}",
            state.ended(),
            operator.log(),
            runner.played().failed
        );
        tokio::time::sleep(POLL).await;
    };
    let other: Vec<_> = state.runs.iter().filter(|(_, (phase, _))| phase != "Succeeded").collect();
    assert!(other.is_empty(), "not every run went well: {other:?}\n{:?}", runner.played().failed);
    once_each(&client, &namespace).await;

    let runs: BTreeSet<String> = state.runs.into_keys().collect();
    assert_eq!(state.jobs, runs, "each run has one Job");
    let played = runner.played();
    let twice: Vec<_> = played.pods.iter().filter(|(_, pods)| pods.len() != 1).collect();
    assert!(twice.is_empty(), "executed more than once: {twice:?}");
    assert_eq!(played.failed, [""; 0]);
    operator.kill();
    let recorded = recorded(&operator.data()).await;
    let expected: BTreeMap<String, usize> = runs.into_iter().map(|run| (run, 1)).collect();
    assert_eq!(recorded, expected, "each report is recorded once");
}

async fn prepare(client: &Client, namespace: &str) {
    make_claim(client, namespace).await;
    for number in 0..BANKS {
        make::<MemoryBank>(client, namespace, bank(&format!("bank-{number:02}"), "data")).await;
    }
    for number in 0..MINUTELY {
        // Looked at before the others, however short the operator lives.
        let mut object = bank(&format!("a-minutely-{number}"), "data");
        object["metadata"]["labels"] = json!({"tier": "minutely"});
        make::<MemoryBank>(client, namespace, object).await;
    }
    let policy = json!({
        "metadata": {"name": "minutely"},
        "spec": {
            "bankSelector": {"matchLabels": {"tier": "minutely"}},
            "successfulRunsHistoryLimit": 20,
            "schedules": [{
                "name": "all",
                "cron": "* * * * *",
                "concurrencyPolicy": "Allow",
                "startingDeadlineSeconds": 3600,
                "tasks": [{"task": "IntegrityCheck", "level": "Quick"}],
            }],
        },
    });
    make::<MaintenancePolicy>(client, namespace, policy).await;
}

/// Checks become due one after the other, as the kills go on.
async fn make_slots(client: Client, namespace: String, kills: Arc<AtomicUsize>) {
    for number in 0..SLOTS {
        let due = number * KILLS / SLOTS;
        while kills.load(Ordering::Relaxed) < due {
            tokio::time::sleep(POLL).await;
        }
        let bank = format!("bank-{:02}", number % BANKS);
        make::<IntegrityCheck>(&client, &namespace, check(&format!("slot-{number:03}"), &bank)).await;
    }
}

async fn suspend(client: &Client, namespace: &str) {
    let policies: Api<MaintenancePolicy> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": {"suspend": true}}));
    policies.patch("minutely", &PatchParams::default(), &patch).await.unwrap();
}

/// One run of each check, and one run of each minute of each bank of the policy, without a gap.
async fn once_each(client: &Client, namespace: &str) {
    let runs = all::<MaintenanceRun>(client, namespace).await;
    let jobs = all::<Job>(client, namespace).await;
    assert_eq!(jobs.len(), runs.len());
    let mut of_check: BTreeMap<String, usize> = BTreeMap::new();
    let mut minutes: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for run in runs {
        match &run.spec.slot_time {
            Some(slot) => minutes.entry(run.spec.bank_name).or_default().push(slot.0),
            None => {
                let owner = run.metadata.owner_references.unwrap().remove(0).name;
                *of_check.entry(owner).or_default() += 1;
            }
        }
    }
    let expected: BTreeMap<String, usize> = (0..SLOTS).map(|number| (format!("slot-{number:03}"), 1)).collect();
    assert_eq!(of_check, expected);
    assert_eq!(minutes.len(), MINUTELY, "{minutes:?}");
    for (bank, mut slots) in minutes {
        slots.sort();
        let gaps: Vec<_> = slots.windows(2).filter(|two| two[1].as_second() - two[0].as_second() != 60).collect();
        assert!(gaps.is_empty(), "slots of {bank}: {slots:?}");
    }
}

/// How often the audit log tells of the end of each run.
async fn recorded(data: &Path) -> BTreeMap<String, usize> {
    let options = SqliteConnectOptions::new().filename(data.join("memorybank.db"));
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let sql = "SELECT json_extract(detail, '$.run') AS run FROM enhanced_audit_log WHERE action = 'run-finished'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let mut recorded = BTreeMap::new();
    for row in rows {
        *recorded.entry(row.get::<String, _>("run")).or_default() += 1;
    }
    recorded
}
