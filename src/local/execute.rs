use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Follow;
use super::exchange::StoreExchange;
use crate::domain::{RunReport, RunSpec};
use crate::runner::{Places, Progress, Runner};
use crate::store::Store;

/// The first wait before a report that could not be stored is stored again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// All that one execution needs.
pub(super) struct Execution {
    pub store: Arc<Store>,
    pub spec: RunSpec,
    pub uid: String,
    pub places: Places,
    pub threads: usize,
    /// Ends this run; its report says so.
    pub cancel: CancellationToken,
    /// The process ends: the run leaves no report, and is executed again by the next one.
    pub stop: CancellationToken,
    pub follow: Follow,
}

/// How an execution ended.
pub(super) struct Ended {
    pub bank: String,
    pub run: String,
    /// None where the process is ending and nothing was stored.
    pub report: Option<RunReport>,
}

impl Execution {
    /// Executes a run and stores its report; tries again for as long as the store cannot take it.
    pub async fn run(self) -> Ended {
        let ended = |report| Ended { bank: self.spec.bank.name.clone(), run: self.spec.run.clone(), report };
        let exchange = StoreExchange {
            store: Arc::clone(&self.store),
            namespace: self.spec.namespace.clone(),
            bank: self.spec.bank.name.clone(),
        };
        let (progress, receiver) = Progress::new();
        (self.follow.0)(&self.spec.run, receiver);
        let runner = Runner { exchange, places: self.places.clone(), threads: self.threads };
        let report = runner.execute(&self.spec, &self.uid, &self.cancel, &progress).await;
        drop(progress);
        if self.stop.is_cancelled() {
            return ended(None);
        }
        let mut wait = RETRY.0;
        loop {
            match self.store.finish_run(&report).await {
                Ok(_) => return ended(Some(report)),
                Err(error) => tracing::error!(run = self.spec.run, %error, "report not stored yet"),
            }
            // Half to whole of the wait: runs that failed together do not come back together.
            let jittered = wait.mul_f64(rand::random_range(0.5..1.0));
            tokio::select! {
                () = tokio::time::sleep(jittered) => wait = (wait * 2).min(RETRY.1),
                () = self.stop.cancelled() => return ended(None),
            }
        }
    }
}
