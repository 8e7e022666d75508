//! The operator with thousands of banks on a real control plane, KWOK playing the pods: the first look at all of
//! them, what it costs while nothing is due, and a policy due on many banks at one minute, beside as many `CronJobs`.
//! Run with `cargo bench --bench operator_scale -- [--banks N] [--burst N] [--minutes N]`; it fails where a bound is
//! not kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A bench that cannot measure ends.
#![allow(clippy::cast_precision_loss)] // Counts far below 2^52.

#[path = "../tests/common/control_plane.rs"]
mod control_plane;
#[path = "../tests/common/operator_child.rs"]
mod operator_child;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use futures::{StreamExt as _, stream};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use memorybank::resources::{MaintenancePolicy, MaintenanceRun, MemoryBank};
use operator_child::Operator;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What must be kept: seconds until all is looked at.
const FIRST_LOOK: f64 = 60.0;
/// Requests per second while nothing is due, and MB of memory.
const STEADY: (f64, f64) = (1.0, 100.0);
/// Seconds in which all runs of a slot are made, and for 99 of 100 from the slot, or a free place, to a Job.
const BURST: (f64, f64) = (30.0, 5.0);
/// Jobs at once.
const PLACES: usize = 50;
/// How long any part may take.
const PATIENCE: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_millis(250);
/// The shortest and the longest time that a pod runs.
const RUNNING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));
/// Objects that are made at once.
const AT_ONCE: usize = 16;

struct Arguments {
    banks: usize,
    burst: usize,
    minutes: u64,
}

impl Arguments {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let number = |flag: &str, default: u64| {
            let at = words.iter().position(|word| word == flag);
            at.map_or(default, |at| words[at + 1].parse().unwrap())
        };
        let size = |flag, default| usize::try_from(number(flag, default)).unwrap();
        Self { banks: size("--banks", 2000), burst: size("--burst", 500), minutes: number("--minutes", 2) }
    }
}

/// When what came first was seen, by namespace and name.
type Firsts = BTreeMap<(String, String), Timestamp>;

#[derive(Default)]
struct Seen {
    runs: Firsts,
    jobs: Firsts,
    /// When the pod of a Job ended: its place is free.
    ended: Firsts,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let arguments = Arguments::read();
        let Some(plane) = ControlPlane::start() else { return ExitCode::FAILURE };
        let Some(()) = plane.play_pods(1, RUNNING).await else { return ExitCode::FAILURE };
        if measure(&plane, &arguments).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

async fn measure(plane: &ControlPlane, arguments: &Arguments) -> bool {
    plane.definitions().await;
    let client = plane.client().await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    watch(&client, &seen);
    let namespace = plane.namespace().await;
    make_all(&client, &namespace, arguments).await;
    println!("{} banks, {} policies, {PLACES} Jobs at once", arguments.banks, arguments.banks);
    let mut operator = Operator::new(plane, plane.kubeconfig(), &["--max-active-jobs", &PLACES.to_string()]).await;
    let mut kept = first_look(&client, &namespace, &mut operator, arguments).await;
    kept &= steady(&operator, arguments.minutes).await;
    cron_jobs(plane, &client, &seen, arguments.burst).await;
    kept &= burst(&client, &namespace, &operator, &seen, arguments.burst).await;
    println!(
        "bounds: first look in {FIRST_LOOK} s; no write and under {} requests per second while nothing is due; under \
         {} MB; a slot's runs made in {} s, 99 of 100 Jobs within {} s",
        STEADY.0, STEADY.1, BURST.0, BURST.1
    );
    kept
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

async fn make<K>(client: &Client, namespace: &str, objects: impl Iterator<Item = Value>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let make = |object| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &read(object)).await.unwrap() }
    };
    stream::iter(objects.map(make)).buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
}

/// Banks in SQLite on a claim, each with a policy that is due once a year; some have the label of the burst.
async fn make_all(client: &Client, namespace: &str, arguments: &Arguments) {
    // The scheduler places no pod whose claim is not bound.
    let volume = json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/data"},
            "storageClassName": "",
        },
    });
    Api::<PersistentVolume>::all(client.clone()).create(&PostParams::default(), &read(volume)).await.unwrap();
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeName": "data",
        },
    });
    make::<PersistentVolumeClaim>(client, namespace, [claim].into_iter()).await;
    let name = |number: usize| format!("bank-{number:04}");
    let bank = |number: usize| {
        json!({
            "metadata": {
                "name": name(number),
                "labels": {"bank": name(number), "burst": (number < arguments.burst).to_string()},
            },
            "spec": {
                "database": {"sqlite": {"volume": "data", "path": format!("{}/openmemory.db", name(number))}},
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        })
    };
    make::<MemoryBank>(client, namespace, (0..arguments.banks).map(bank)).await;
    // Half a year away, whatever the day is.
    let month = (Timestamp::now().to_zoned(TimeZone::UTC).month() + 5) % 12 + 1;
    let policy = |number: usize| {
        json!({
            "metadata": {"name": name(number)},
            "spec": {
                "bankSelector": {"matchLabels": {"bank": name(number)}},
                "schedules": [
                    {"name": "yearly", "cron": format!("0 6 15 {month} *"), "tasks": [{"task": "IntegrityCheck", "level": "Quick"}]},
                ],
            },
        })
    };
    make::<MaintenancePolicy>(client, namespace, (0..arguments.banks).map(policy)).await;
}

fn watch(client: &Client, seen: &Arc<Mutex<Seen>>) {
    fn firsts<K>(client: &Client, seen: &Arc<Mutex<Seen>>, of: fn(&mut Seen) -> &mut Firsts)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (api, seen): (Api<PartialObjectMeta<K>>, _) = (Api::all(client.clone()), Arc::clone(seen));
        tokio::spawn(async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                note(of(&mut seen.lock().unwrap()), object.metadata.namespace, object.metadata.name);
            }
        });
    }
    firsts::<MaintenanceRun>(client, seen, |seen| &mut seen.runs);
    firsts::<Job>(client, seen, |seen| &mut seen.jobs);
    let (pods, seen): (Api<Pod>, _) = (Api::all(client.clone()), Arc::clone(seen));
    tokio::spawn(async move {
        let ended = watcher::Config::default().fields("status.phase=Succeeded");
        let changes = watcher(pods, ended).default_backoff().applied_objects();
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = changes.next().await {
            let Ok(pod) = change else { continue };
            let job = pod.metadata.owner_references.iter().flatten().map(|owner| owner.name.clone()).next();
            note(&mut seen.lock().unwrap().ended, pod.metadata.namespace.clone(), job);
        }
    });
}

fn note(firsts: &mut Firsts, namespace: Option<String>, name: Option<String>) {
    firsts.entry((namespace.unwrap_or_default(), name.unwrap_or_default())).or_insert_with(Timestamp::now);
}

/// When what has this namespace came, in order.
fn times(firsts: &Firsts, namespace: &str) -> Vec<Timestamp> {
    let of = firsts.iter().filter(|((known, _), _)| known == namespace);
    let mut times: Vec<_> = of.map(|(_, time)| *time).collect();
    times.sort();
    times
}

/// Starts the operator and waits until each bank and policy has a status.
async fn first_look(client: &Client, namespace: &str, operator: &mut Operator, arguments: &Arguments) -> bool {
    let banks: Api<MemoryBank> = Api::namespaced(client.clone(), namespace);
    let policies: Api<MaintenancePolicy> = Api::namespaced(client.clone(), namespace);
    let begun = Instant::now();
    operator.start();
    let (mut told, mut counted) = (0.0, 0.0);
    while told == 0.0 || counted == 0.0 {
        tokio::time::sleep(POLL).await;
        if told == 0.0 {
            let listed = banks.list(&ListParams::default()).await.unwrap();
            let observed = |bank: &MemoryBank| {
                bank.status.as_ref().is_some_and(|status| status.observed_generation == bank.metadata.generation)
            };
            if listed.items.iter().filter(|bank| observed(bank)).count() == arguments.banks {
                told = begun.elapsed().as_secs_f64();
            }
        }
        if counted == 0.0 {
            let listed = policies.list(&ListParams::default()).await.unwrap();
            let observed = |policy: &MaintenancePolicy| {
                policy.status.as_ref().is_some_and(|status| status.observed_generation == policy.metadata.generation)
            };
            if listed.items.iter().filter(|policy| observed(policy)).count() == arguments.banks {
                counted = begun.elapsed().as_secs_f64();
            }
        }
        assert!(begun.elapsed() < PATIENCE, "not all was looked at: {}", operator.log());
    }
    println!(
        "first look: every bank {told:.1} s, every policy {counted:.1} s, {:.1} s of CPU, {:.0} MB (peak {:.0} MB)",
        operator.cpu(),
        operator.megabytes("VmRSS:"),
        operator.megabytes("VmHWM:"),
    );
    told < FIRST_LOOK && counted < FIRST_LOOK
}

/// All requests to the API server, and those that write something other than the lease.
async fn requests(operator: &Operator) -> (f64, f64) {
    let of = async |labels: &[&str]| operator.metric("memorybank_operator_api_requests_total", labels).await;
    let writes = of(&["verb=\"patch\""]).await + of(&["verb=\"post\""]).await + of(&["verb=\"delete\""]).await;
    (of(&[]).await, writes)
}

/// Measures once it is quiet: policies count their banks half a minute after these changed.
async fn steady(operator: &Operator, minutes: u64) -> bool {
    let begun = Instant::now();
    loop {
        let (_, before) = requests(operator).await;
        tokio::time::sleep(Duration::from_secs(35)).await;
        if requests(operator).await.1 <= before {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it goes on writing: {}", operator.log());
    }
    let (settled, cpu) = (begun.elapsed().as_secs_f64(), operator.cpu());
    let (all, writes) = requests(operator).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    let seconds = begun.elapsed().as_secs_f64();
    let (all_after, writes_after) = requests(operator).await;
    let (rate, writes) = ((all_after - all) / seconds, writes_after - writes);
    let (memory, peak) = (operator.megabytes("VmRSS:"), operator.megabytes("VmHWM:"));
    println!(
        "nothing due, {minutes} minutes (quiet after {settled:.0} s): {writes} writes, {rate:.2} requests/s with the \
         lease, {:.2} % CPU, {memory:.0} MB (peak {peak:.0} MB)",
        100.0 * (operator.cpu() - cpu) / seconds,
    );
    writes == 0.0 && rate < STEADY.0 && peak < STEADY.1
}

/// The next full minute that is far enough away to be prepared for.
fn slot() -> Timestamp {
    let far = Timestamp::now() + SignedDuration::from_secs(75);
    let seconds = far.as_second() - far.as_second() % 60;
    Timestamp::from_second(seconds).unwrap()
}

fn cron(slot: Timestamp) -> String {
    let time = slot.to_zoned(TimeZone::UTC);
    format!("{} {} {} {} *", time.minute(), time.hour(), time.day(), time.month())
}

/// Waits until so many of something are seen.
async fn wait_for(what: &str, count: usize, seen: impl Fn() -> usize) {
    let begun = Instant::now();
    while seen() < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count} {what}", seen());
        tokio::time::sleep(POLL).await;
    }
}

/// Seconds from a moment to each of these.
fn since(from: Timestamp, times: &[Timestamp]) -> Vec<f64> {
    times.iter().map(|time| time.duration_since(from).as_secs_f64()).collect()
}

/// The value that so many of 100 do not exceed.
fn percentile(values: &[f64], of_100: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * of_100).div_ceil(100).max(1) - 1]
}

fn spread(values: &[f64]) -> String {
    format!("p50 {:.2} s, p99 {:.2} s", percentile(values, 50), percentile(values, 99))
}

/// The platform's own: as many `CronJobs`, due at one minute.
async fn cron_jobs(plane: &ControlPlane, client: &Client, seen: &Arc<Mutex<Seen>>, count: usize) {
    let namespace = plane.namespace().await;
    let slot = slot();
    let container = json!({"name": "c", "image": "memorybank:test"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    let schedule = cron(slot);
    let object = |number: usize| {
        json!({
            "metadata": {"name": format!("cron-{number:04}")},
            "spec": {"schedule": schedule, "timeZone": "Etc/UTC", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
        })
    };
    make::<CronJob>(client, &namespace, (0..count).map(object)).await;
    assert!(Timestamp::now() < slot, "the CronJobs were not made in time");
    wait_for("Jobs of CronJobs", count, || times(&seen.lock().unwrap().jobs, &namespace).len()).await;
    let jobs = times(&seen.lock().unwrap().jobs, &namespace);
    wait_for("ended Jobs of CronJobs", count, || times(&seen.lock().unwrap().ended, &namespace).len()).await;
    let ended = times(&seen.lock().unwrap().ended, &namespace);
    let delays = since(slot, &jobs);
    println!(
        "{count} CronJobs at one minute: slot to Job {}; all made after {:.1} s, ended after {:.1} s",
        spread(&delays),
        delays[delays.len() - 1],
        since(slot, &ended)[ended.len() - 1],
    );
}

/// A policy that is due on many banks at one minute.
async fn burst(client: &Client, namespace: &str, operator: &Operator, seen: &Arc<Mutex<Seen>>, count: usize) -> bool {
    let slot = slot();
    let policy = json!({
        "metadata": {"name": "burst"},
        "spec": {
            "bankSelector": {"matchLabels": {"burst": "true"}},
            "schedules": [{"name": "now", "cron": cron(slot), "tasks": [{"task": "IntegrityCheck", "level": "Quick"}]}],
        },
    });
    make::<MaintenancePolicy>(client, namespace, [policy].into_iter()).await;
    let (cpu, before) = (operator.cpu(), requests(operator).await.0);
    wait_for("runs", count, || times(&seen.lock().unwrap().runs, namespace).len()).await;
    wait_for("Jobs", count, || times(&seen.lock().unwrap().jobs, namespace).len()).await;
    wait_for("ended Jobs", count, || times(&seen.lock().unwrap().ended, namespace).len()).await;
    let runs: Api<MaintenanceRun> = Api::namespaced(client.clone(), namespace);
    let begun = Instant::now();
    let all = loop {
        let all = runs.list(&ListParams::default()).await.unwrap().items;
        let finished =
            |run: &&MaintenanceRun| run.status.as_ref().is_some_and(|status| status.completion_time.is_some());
        if all.iter().filter(finished).count() == all.len() {
            break all;
        }
        assert!(begun.elapsed() < PATIENCE, "not all runs ended: {}", operator.log());
        tokio::time::sleep(POLL).await;
    };
    let banks: BTreeSet<&str> = all.iter().map(|run| run.spec.bank_name.as_str()).collect();
    let (made, jobs, ended) = {
        let seen = seen.lock().unwrap();
        (times(&seen.runs, namespace), times(&seen.jobs, namespace), times(&seen.ended, namespace))
    };
    let made_in = since(slot, &made)[made.len() - 1];
    let first = since(slot, &jobs[..PLACES.min(jobs.len())]);
    // The Job that takes the place of the n-th that ended is the n-th after the first ones.
    let freed = ended.iter().zip(&jobs[PLACES.min(jobs.len())..]);
    let freed: Vec<f64> = freed.map(|(free, job)| job.duration_since(*free).as_secs_f64()).collect();
    let requests = requests(operator).await.0 - before;
    println!(
        "{count} banks due at one minute: {} runs of {} banks, {} Jobs; all runs made after {made_in:.1} s, all ended \
         after {:.1} s",
        all.len(),
        banks.len(),
        jobs.len(),
        since(slot, &ended)[ended.len() - 1],
    );
    println!("  slot to Job, the first {}: {}", first.len(), spread(&first));
    let next = if freed.is_empty() { 0.0 } else { percentile(&freed, 99) };
    if !freed.is_empty() {
        println!("  freed place to the next Job, {} of them: {}", freed.len(), spread(&freed));
    }
    println!(
        "  {:.1} requests per run, {:.1} s of CPU, {:.0} MB (peak {:.0} MB)",
        requests / count as f64,
        operator.cpu() - cpu,
        operator.megabytes("VmRSS:"),
        operator.megabytes("VmHWM:"),
    );
    let once = all.len() == count && banks.len() == count && jobs.len() == count;
    if !once {
        println!("  a slot has more or fewer runs than one");
    }
    once && made_in < BURST.0 && percentile(&first, 99) < BURST.1 && next < BURST.1
}
