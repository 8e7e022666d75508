use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::client::client;
use super::context::Context;
use super::entry::{Labelled, Read};
use super::error::{OperatorError, ReconcileError};
use super::key::Key;
use super::labels::SELECTOR;
use super::lease::{Election, Leadership};
use super::ledger::Ledger;
use super::mirror::{Change, Mirror};
use super::numbers::numbers;
use super::places::Places;
use super::queue::{Queue, backoff};
use super::quiesce::put_back;
use super::run::free;
use super::sampling::sample;
use super::secrets::ClusterSecrets;
use super::settings::Settings;
use super::told::{Teller, Telling};
use super::watch::{Watch, part};
use super::world::World;
use super::{bank, policy};
use crate::board::Board;
use crate::delivery::Authority;
use crate::store::Store;

/// How long one reconcile may take.
const RECONCILE: Duration = Duration::from_mins(2);
/// How long workers get to end what they are at.
const GRACE: Duration = Duration::from_secs(10);
/// Where the ingest endpoint tells whose report was stored: namespace and run.
pub type Reports = mpsc::Receiver<(String, String)>;

/// The operator, ready to run.
pub struct Operator {
    settings: Settings,
    cx: Arc<Context>,
    /// Watches and reads; also the lease, which is held by who does not lead yet.
    reader: Client,
    leadership: Arc<Leadership>,
    certificates: Certificates,
    telling: Telling,
}

/// Who looks at what.
#[derive(Clone, Copy)]
pub enum Controller {
    /// Banks, with their runs, checks, audits and recoveries.
    Bank,
    /// Policies.
    Policy,
}

impl Controller {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bank, Self::Policy];

    /// As metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bank => "memorybank",
            Self::Policy => "maintenancepolicy",
        }
    }

    /// How many objects it looks at at once.
    const fn workers(self) -> usize {
        match self {
            Self::Bank => 16,
            Self::Policy => 8,
        }
    }

    /// What waits for it.
    pub const fn queue(self, cx: &Context) -> &Queue<Key> {
        match self {
            Self::Bank => &cx.banks,
            Self::Policy => &cx.policies,
        }
    }

    async fn reconcile(self, cx: &Context, key: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
        match self {
            Self::Bank => Box::pin(bank::reconcile(cx, key, now)).await,
            Self::Policy => policy::reconcile(cx, key, now).await,
        }
    }
}

impl Operator {
    /// Prepares all; nothing is asked of the API server yet.
    pub fn new(
        settings: Settings,
        config: Config,
        store: Arc<Store>,
        board: Arc<Board>,
    ) -> Result<Self, OperatorError> {
        let leadership = Arc::new(Leadership::default());
        let failed = |error: kube::Error| OperatorError::Client(error.to_string());
        let reader = client(config.clone(), Arc::clone(&board), None).map_err(failed)?;
        let writer = client(config, Arc::clone(&board), Some(Arc::clone(&leadership))).map_err(failed)?;
        let (sender, authority) = watch::channel(None);
        let certificates = Certificates {
            client: writer.clone(),
            namespace: settings.namespace.clone(),
            secret: settings.ingest_secret.clone(),
            names: settings.ingest_names.clone(),
            board: Arc::clone(&board),
            authority: sender,
        };
        let (teller, telling) = Teller::new(writer.clone(), &settings.identity);
        let cx = Context {
            world: World { own: settings.namespace.clone(), ..World::default() },
            store,
            board,
            teller,
            client: writer,
            banks: Queue::default(),
            policies: Queue::default(),
            places: Places::new(settings.max_active_jobs),
            jobs: settings.jobs.clone(),
            ledger: Ledger::default(),
            identity: settings.identity.clone(),
            host_paths: settings.host_paths.clone(),
            authority,
            known: Mutex::new(HashMap::new()),
            sampled: Notify::new(),
            metrics: Mutex::new(BTreeMap::new()),
        };
        Ok(Self { settings, cx: Arc::new(cx), reader, leadership, certificates, telling })
    }

    /// What the ingest endpoint serves with, once it is there.
    pub fn authority(&self) -> watch::Receiver<Option<Arc<Authority>>> {
        self.cx.authority.clone()
    }

    /// A client that reads, for whoever checks tokens.
    pub fn reader(&self) -> Client {
        self.reader.clone()
    }

    /// Works until `stop`. An error means that this replica must not go on.
    pub async fn run(self, mut reports: Reports, stop: CancellationToken) -> Result<(), OperatorError> {
        let Self { settings, cx, reader, leadership, certificates, telling } = self;
        let election = Election {
            client: reader.clone(),
            namespace: settings.namespace.clone(),
            lease: settings.lease.clone(),
            me: settings.identity.clone(),
            leadership: Arc::clone(&leadership),
        };
        // Whatever is spawned here ends with this set.
        let mut tasks = JoinSet::new();
        let synced = watch_all(&cx, &reader, &settings, &mut tasks);
        tasks.spawn(certificates.run());
        tasks.spawn(telling.run());
        tasks.spawn(numbers(Arc::clone(&cx), Arc::clone(&leadership)));
        let shared = Arc::clone(&cx);
        tasks.spawn(async move {
            while let Some((namespace, run)) = reports.recv().await {
                let run = shared.world.runs.get(&Key::new(namespace.as_str(), run));
                if let Some(bank) = run.and_then(|run| run.valid.as_ref().ok().map(|valid| valid.bank_name.clone())) {
                    shared.stored(&Key::new(namespace, bank));
                }
            }
        });
        let workers = CancellationToken::new();
        let mut working = JoinSet::new();
        let leading = async {
            for first in synced {
                // A watch that ends before its first list ends with the operator.
                let _ = first.await;
            }
            leadership.elected().await;
            take_over(&cx).await;
            adopt(&cx);
            let secrets = ClusterSecrets::new(reader.clone(), settings.secret_namespaces.clone());
            if let Err(error) = sample(&cx, secrets, &workers, &mut working) {
                tracing::error!(%error, "nothing is sampled: Reachable stays Unknown");
            }
            for controller in Controller::ALL {
                for _ in 0..controller.workers() {
                    working.spawn(work(Arc::clone(&cx), controller, workers.clone()));
                }
            }
            std::future::pending::<()>().await;
        };
        // The lease is given back when the workers have ended.
        let resign = CancellationToken::new();
        let mut elected = tokio::spawn({
            let resign = resign.clone();
            async move { election.run(&resign).await }
        });
        let outcome = tokio::select! {
            // Who stops ends tasks too.
            biased;
            () = stop.cancelled() => Ok(()),
            ended = &mut elected => ended.unwrap_or(Ok(())).map_err(OperatorError::from),
            ended = tasks.join_next() => Err(OperatorError::Task(match ended {
                Some(Err(error)) => error.to_string(),
                _ => "it came to its end".to_owned(),
            })),
            () = leading => Ok(()),
        };
        workers.cancel();
        let ended = async { while working.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("some reconciles did not end in time; the next leader looks at their objects anew");
        }
        resign.cancel();
        if !elected.is_finished() {
            let _ = elected.await;
        }
        outcome
    }
}

/// Takes what earlier leaders scaled down; nothing is done before that is known.
async fn take_over(cx: &Context) {
    let mut failures = 0;
    while let Err(error) = cx.ledger.load(&cx.store).await {
        cx.board.store.count_error(error.reason());
        failures = (failures + 1).min(5);
        let wait = backoff(failures);
        tracing::warn!(%error, again_in = ?wait, "what is scaled down is not known yet");
        tokio::time::sleep(wait).await;
    }
}

/// Takes what earlier leaders left: the Jobs that are active, and everything to be looked at.
fn adopt(cx: &Context) {
    for run in cx.world.runs.all() {
        let status = run.status.as_ref();
        let ended = status.is_some_and(|status| status.completion_time.is_some());
        if !ended && status.is_some_and(|status| status.job_name.is_some()) {
            cx.places.occupy(&run.id.key);
        }
    }
    cx.world.banks.all().iter().for_each(|bank| cx.banks.add(bank.id.key.clone()));
    cx.world.policies.all().iter().for_each(|policy| cx.policies.add(policy.id.key.clone()));
    // Some may be of banks that are gone.
    cx.ledger.banks().into_iter().for_each(|bank| cx.banks.add(bank));
}

/// Begins every watch; what they are done with when their first lists are whole.
fn watch_all(
    cx: &Arc<Context>,
    client: &Client,
    settings: &Settings,
    tasks: &mut JoinSet<()>,
) -> Vec<oneshot::Receiver<()>> {
    let mut synced = Vec::new();
    let namespaces: Vec<Option<&str>> = match settings.watched.as_slice() {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let world = &cx.world;
    for namespace in namespaces {
        let mut begin = Begin { cx, client, namespace, tasks, synced: &mut synced };
        begin.watch("memorybanks", "", &world.banks, Context::bank_changed);
        begin.watch("maintenancepolicies", "", &world.policies, Context::policy_changed);
        begin.watch("maintenanceruns", "", &world.runs, Context::run_changed);
        begin.watch("integritychecks", "", &world.checks, Context::check_changed);
        begin.watch("securityaudits", "", &world.audits, Context::audit_changed);
        begin.watch("recoveries", "", &world.recoveries, Context::recovery_changed);
        begin.watch("jobs", SELECTOR, &world.jobs, Context::job_changed);
        begin.watch("pods", SELECTOR, &world.pods, Context::pod_changed);
        begin.watch("persistentvolumeclaims", "", &world.claims, Context::claim_changed);
    }
    if settings.watched.is_empty() {
        let (first, done) = oneshot::channel();
        synced.push(done);
        let watch = Watch::<Labelled> {
            api: Api::all(client.clone()),
            namespace: None,
            labels: "",
            plural: "namespaces",
            mirror: Arc::clone(&world.namespaces),
            synced: Some(first),
        };
        let cx = Arc::clone(cx);
        tasks.spawn(async move { watch.run(&cx.board.readiness, |change| cx.namespace_changed(&change)).await });
    }
    synced
}

struct Begin<'a> {
    cx: &'a Arc<Context>,
    client: &'a Client,
    namespace: Option<&'a str>,
    tasks: &'a mut JoinSet<()>,
    synced: &'a mut Vec<oneshot::Receiver<()>>,
}

impl Begin<'_> {
    fn watch<T: Read>(
        &mut self,
        plural: &'static str,
        labels: &'static str,
        mirror: &Arc<Mirror<T>>,
        changed: fn(&Context, &Change<T>),
    ) where
        T::Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let api: Api<DeserializeGuard<T::Object>> = match self.namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let (first, done) = oneshot::channel();
        self.synced.push(done);
        self.cx.board.readiness.pending(&part(plural, self.namespace), "not listed yet");
        let watch = Watch {
            api,
            namespace: self.namespace.map(str::to_owned),
            labels,
            plural,
            mirror: Arc::clone(mirror),
            synced: Some(first),
        };
        let cx = Arc::clone(self.cx);
        self.tasks.spawn(async move { watch.run(&cx.board.readiness, |change| changed(&cx, &change)).await });
    }
}

/// Looks at one key after the other until `stop`. What was begun is ended.
async fn work(cx: Arc<Context>, controller: Controller, stop: CancellationToken) {
    let queue = controller.queue(&cx);
    let name = controller.name();
    loop {
        let key = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            key = queue.next() => key,
        };
        let begun = Instant::now();
        let now = Timestamp::now();
        let reconcile = AssertUnwindSafe(controller.reconcile(&cx, &key, now)).catch_unwind();
        let outcome = tokio::time::timeout(RECONCILE, reconcile).await;
        cx.board.operator.observe(name, begun.elapsed());
        if !matches!(outcome, Ok(Ok(Ok(_)))) && matches!(controller, Controller::Bank) {
            let_pass(&cx, &key);
        }
        if !matches!(outcome, Ok(Ok(_))) && matches!(controller, Controller::Bank) {
            // It did not come to that itself.
            let put_back = AssertUnwindSafe(put_back(&cx, &key, now)).catch_unwind();
            if !matches!(tokio::time::timeout(RECONCILE, put_back).await, Ok(Ok(Ok(_)))) {
                tracing::warn!(controller = name, %key, "what was scaled down for it is not all put back yet");
            }
        }
        match outcome {
            Ok(Ok(Ok(next))) => queue.done(&key, next.map(|next| begun + until(now, next))),
            Ok(Ok(Err(error))) => {
                cx.board.operator.count_error(name, error.reason());
                if matches!(error, ReconcileError::Api { .. }) {
                    cx.board.operator.count_retry(name);
                }
                if let ReconcileError::Store(error) = &error {
                    cx.board.store.count_error(error.reason());
                }
                let wait = queue.failed(&key);
                tracing::warn!(controller = name, %key, %error, again_in = ?wait, "looked at again");
            }
            Ok(Err(_)) => {
                // The panic of a bug, told by the hook: the object is looked at again, the others go on.
                cx.board.operator.count_error(name, "Panicked");
                queue.failed(&key);
                tracing::error!(controller = name, %key, "an internal failure; looked at again");
            }
            Err(_) => {
                cx.board.operator.count_error(name, "TimedOut");
                queue.failed(&key);
                tracing::warn!(controller = name, %key, "took too long; looked at again");
            }
        }
    }
}

/// Others do not wait for the runs of a bank that cannot be looked at: those without a Job give up their place and their
/// turn.
fn let_pass(cx: &Context, bank: &Key) {
    for run in cx.world.runs.of_bank(bank) {
        let named = run.status.as_ref().is_some_and(|status| status.job_name.is_some());
        if !named && cx.world.jobs.get(&run.id.key).is_none() {
            free(cx, &run.id.key);
        }
    }
}

/// How long until then; a little more, so that it has come.
fn until(now: Timestamp, next: Timestamp) -> Duration {
    let wait = next.duration_since(now) + SignedDuration::from_millis(5);
    Duration::try_from(wait).unwrap_or_default()
}
