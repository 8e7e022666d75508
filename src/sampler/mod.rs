//! Asks every bank's parts that answer over the network once an interval, and keeps what comes of it in the store:
//! what `Reachable` is judged by, in both front ends.

mod timetable;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bank::Secrets;
use crate::bank::reach::{Probes, ReachError};
use crate::domain::{Bank, PartSample};
use crate::store::{BankSample, Store, StoreError};
use timetable::{Job, Timetable};

/// How many parts are asked at once, and of how many banks.
const CONCURRENT: usize = 16;
/// Samples are kept together: those of so many banks, or of so long.
const BATCH: usize = 64;
const GATHER: Duration = Duration::from_millis(500);

/// A bank's namespace and name.
pub type BankName = (String, String);

/// The banks to sample; suspended ones are not among them.
pub type Banks = Arc<Vec<Sampled>>;

/// A bank to sample.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Its namespace.
    pub namespace: String,
    /// Its parts.
    pub bank: Arc<Bank>,
    /// Seconds between two samples.
    pub interval_seconds: u32,
}

/// Samples banks into a store.
#[derive(Debug)]
pub struct Sampler<S> {
    probes: Probes,
    secrets: Arc<S>,
    store: Arc<Store>,
    permits: Arc<Semaphore>,
}

/// Samples of one bank that are not kept yet.
struct Asked {
    job: Job,
    samples: Vec<PartSample>,
}

impl<S: Secrets + 'static> Sampler<S> {
    /// A sampler that looks secrets up each time it asks.
    pub fn new(store: Arc<Store>, secrets: Arc<S>) -> Result<Self, ReachError> {
        Ok(Self { probes: Probes::new()?, secrets, store, permits: Arc::new(Semaphore::new(CONCURRENT)) })
    }

    /// Samples each bank once, now, and returns when that is kept.
    pub async fn once(&self, banks: &[Sampled]) -> Result<(), StoreError> {
        let asking = banks.iter().map(|sampled| {
            let ask = self.ask(sampled.namespace.clone(), Arc::clone(&sampled.bank));
            async move { of_bank(&sampled.namespace, &sampled.bank.name, ask.await) }
        });
        let samples: Vec<Vec<BankSample>> = futures::stream::iter(asking).buffer_unordered(CONCURRENT).collect().await;
        let samples: Vec<BankSample> = samples.into_iter().flatten().collect();
        if samples.is_empty() { Ok(()) } else { self.store.put_reach(&samples).await }
    }

    /// Samples the banks that `banks` holds, until the process stops or nobody listens. A bank is told to `changed`
    /// where its samples came to something else than before, or where those before were too old to judge by.
    pub async fn run(
        self,
        mut banks: watch::Receiver<Banks>,
        changed: mpsc::Sender<BankName>,
        stop: CancellationToken,
    ) {
        let mut table = Timetable::default();
        table.adopt(&banks.borrow_and_update().clone(), Instant::now());
        let mut running: JoinSet<Asked> = JoinSet::new();
        let mut waiting: Vec<Asked> = Vec::new();
        let mut keep_at: Option<Instant> = None;
        loop {
            while running.len() < CONCURRENT
                && let Some(job) = table.due(Instant::now(), clock())
            {
                let ask = self.ask(job.name.0.clone(), Arc::clone(&job.bank));
                running.spawn(async move { Asked { job, samples: ask.await } });
            }
            let next = table.next().filter(|_| running.len() < CONCURRENT);
            tokio::select! {
                () = stop.cancelled() => return,
                taken = banks.changed() => {
                    if taken.is_err() {
                        return;
                    }
                    table.adopt(&banks.borrow_and_update().clone(), Instant::now());
                }
                Some(asked) = running.join_next(), if !running.is_empty() => match asked {
                    Ok(asked) => {
                        waiting.push(asked);
                        keep_at.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                    Err(error) => tracing::error!(%error, "internal failure of a sample"),
                },
                () = until(next) => {}
                () = until(keep_at) => {}
            }
            if waiting.len() >= BATCH || keep_at.is_some_and(|moment| moment <= Instant::now()) {
                keep_at = None;
                for name in self.keep(std::mem::take(&mut waiting), &mut table).await {
                    if changed.send(name).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Asks every part of a bank once, side by side.
    fn ask(&self, namespace: String, bank: Arc<Bank>) -> impl Future<Output = Vec<PartSample>> + Send + 'static {
        let (probes, secrets) = (self.probes.clone(), Arc::clone(&self.secrets));
        let permits = Arc::clone(&self.permits);
        async move {
            let asking = bank.network_parts().into_iter().map(|part| {
                let (probes, secrets, permits) = (&probes, &secrets, &permits);
                let (namespace, bank) = (&namespace, &bank);
                async move {
                    // Nobody closes it.
                    let _permit = permits.acquire().await;
                    probes.sample(namespace, bank, part, &**secrets).await
                }
            });
            join_all(asking).await
        }
    }

    /// Keeps samples of banks that are still declared as they were asked; which banks must be looked at again. What
    /// the store does not take is sampled anew an interval later.
    async fn keep(&self, asked: Vec<Asked>, table: &mut Timetable) -> Vec<BankName> {
        let asked: Vec<Asked> = asked.into_iter().filter(|asked| table.current(&asked.job)).collect();
        let samples: Vec<BankSample> = asked
            .iter()
            .flat_map(|asked| of_bank(&asked.job.name.0, &asked.job.name.1, asked.samples.clone()))
            .collect();
        if samples.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.store.put_reach(&samples).await {
            tracing::warn!(%error, "samples of what answers over the network are not kept");
            return Vec::new();
        }
        let now = Instant::now();
        let mut told = Vec::new();
        for asked in asked {
            if table.kept(&asked.job, &asked.samples, now) {
                told.push(asked.job.name);
            }
        }
        told
    }
}

fn of_bank(namespace: &str, bank: &str, samples: Vec<PartSample>) -> Vec<BankSample> {
    let of = |sample| BankSample { namespace: namespace.to_owned(), bank: bank.to_owned(), sample };
    samples.into_iter().map(of).collect()
}

/// The time since 1970.
fn clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// For ever where there is no moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
