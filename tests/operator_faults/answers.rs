//! Bad answers of the API server.

use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use memorybank::resources::{IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, SecurityAudit};
use serde_json::json;

use crate::bed::{State, bank, check, make, make_claim};
use crate::control_plane::ControlPlane;
use crate::operator_child::Operator;
use crate::proxy::{Fault, Proxy};
use crate::runner::{DAMAGED, Runner};

/// How long the API server answers badly.
const BAD_TIME: Duration = Duration::from_mins(1);
/// The work comes over this time.
const COMING: Duration = Duration::from_secs(40);
const BANKS: usize = 8;
/// Of each bank.
const CHECKS: usize = 3;
const SEED: u64 = 20_261_125;
const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_server_answers_badly_changes_nothing_of_the_end() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let client = plane.client().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&plane.kubeconfig(), folder.path(), SEED).await;
    let (calm, bad) = (plane.namespace().await, plane.namespace().await);
    let mut undisturbed = Operator::new(plane, plane.kubeconfig(), &["--watch-namespace", &calm]).await;
    let mut disturbed = Operator::new(plane, proxy.kubeconfig(), &["--watch-namespace", &bad]).await;
    let runners = [(&calm, &undisturbed), (&bad, &disturbed)]
        .map(|(namespace, operator)| Runner::start(&client, namespace, operator.folder()));

    undisturbed.start();
    proxy.faults(true);
    disturbed.start();
    let begun = Instant::now();
    let making = [&calm, &bad].map(|namespace| tokio::spawn(make_work(client.clone(), namespace.clone())));
    let mut ended = 0;
    while begun.elapsed() < BAD_TIME {
        // The lease may be lost: a kubelet starts it again.
        ended += usize::from(disturbed.revive());
        tokio::time::sleep(POLL).await;
    }
    for made in making {
        made.await.unwrap();
    }
    proxy.faults(false);
    disturbed.revive();
    let done = proxy.done();
    for fault in Fault::ALL {
        assert!(done.get(&fault).is_some_and(|count| *count > 2), "{fault:?} of {done:?}");
    }

    let expected = settled(&client, &calm, &undisturbed, &runners[0]).await;
    let begun = Instant::now();
    loop {
        let state = State::of(&client, &bad).await;
        if state == expected {
            break;
        }
        let told = || {
            format!("seed {SEED}, {done:?}, ended {ended} times\n{:?}\n{}", runners[1].played().failed, disturbed.log())
        };
        if begun.elapsed() > PATIENCE {
            eprintln!("{}", told());
            assert_eq!(state, expected, "it is another end");
        }
        disturbed.revive();
        tokio::time::sleep(POLL).await;
    }
    for runner in &runners {
        let played = runner.played();
        let twice: Vec<_> = played.pods.iter().filter(|(_, pods)| pods.len() != 1).collect();
        assert!(twice.is_empty(), "executed more than once: {twice:?}");
        assert_eq!(played.failed, [""; 0]);
    }
}

/// Banks that are well, one that is damaged, one without its claim, one on a node's folder; checks, audits, a policy
/// that is asked for, and runs made by hand.
async fn make_work(client: Client, namespace: String) {
    let namespace = namespace.as_str();
    let pause = COMING / u32::try_from(BANKS).unwrap();
    make_claim(&client, namespace).await;
    let policy = json!({
        "metadata": {"name": "gold"},
        "spec": {
            "bankSelector": {"matchLabels": {"tier": "gold"}},
            "schedules": [{"name": "daily", "cron": "0 6 1 1 *", "tasks": [{"task": "IntegrityCheck", "level": "Quick"}]}],
        },
    });
    make::<MaintenancePolicy>(&client, namespace, policy).await;
    for number in 0..BANKS {
        let name = match number {
            0 => format!("bank-{DAMAGED}"),
            other => format!("bank-{other}"),
        };
        let object = match number {
            1 => bank(&name, "not-there"),
            2 => {
                let mut object = bank(&name, "data");
                object["spec"]["volumes"] = json!([{"name": "data", "folder": {"path": "/srv/bank"}}]);
                object
            }
            _ => bank(&name, "data"),
        };
        make::<MemoryBank>(&client, namespace, object).await;
        for level in 0..CHECKS {
            make::<IntegrityCheck>(&client, namespace, check(&format!("{name}-{level}"), &name)).await;
        }
        let audit = json!({"metadata": {"name": name}, "spec": {"bankName": name, "scopes": ["Leaks"]}});
        make::<SecurityAudit>(&client, namespace, audit).await;
        let task = json!({"name": "check", "task": "IntegrityCheck", "level": "Full"});
        let run = json!({"metadata": {"name": format!("{name}-by-hand")}, "spec": {"bankName": name, "tasks": [task]}});
        make::<MaintenanceRun>(&client, namespace, run).await;
        tokio::time::sleep(pause).await;
    }
    let request = json!({"metadata": {"annotations": {"memorybank.dev/run-now": "first/daily"}}});
    let policies: Api<MaintenancePolicy> = Api::namespaced(client, namespace);
    policies.patch("gold", &PatchParams::default(), &Patch::Merge(&request)).await.unwrap();
}

/// The end where nothing is disturbed: all that can end has ended, and it is the same for a while.
async fn settled(client: &Client, namespace: &str, operator: &Operator, runner: &Runner) -> State {
    /// The runs of the bank on a node's folder are not begun.
    const HELD: usize = 1;
    let expected = (BANKS - HELD) * (CHECKS + 3);
    let begun = Instant::now();
    let mut before = (State::default(), Instant::now());
    loop {
        let state = State::of(client, namespace).await;
        if state != before.0 {
            before = (state, Instant::now());
        } else if state.ended() == expected && before.1.elapsed() > Duration::from_secs(3) {
            return state;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{} of {expected}: {:#?}\n{}\n{:?}",
            before.0.ended(),
            before.0,
            operator.log(),
            runner.played().failed
        );
        tokio::time::sleep(POLL).await;
    }
}
