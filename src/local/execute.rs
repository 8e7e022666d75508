use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Follow;
use super::exchange::StoreExchange;
use crate::board::Board;
use crate::domain::{RunReport, RunSpec};
use crate::runner::{Places, Progress, Runner};
use crate::store::{Store, StoreError};

/// The first wait before a report that could not be stored is stored again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The part of readiness that tells of reports which the store does not take.
const PART: &str = "reports";

/// All that one execution needs.
pub(super) struct Execution {
    pub store: Arc<Store>,
    pub board: Arc<Board>,
    pub spec: RunSpec,
    pub uid: String,
    pub places: Places,
    pub threads: usize,
    /// Ends this run; its report says so.
    pub cancel: CancellationToken,
    /// The process ends: the run leaves no report, and is executed again by the next one.
    pub stop: CancellationToken,
    pub follow: Follow,
    /// How long the store may refuse the report; for ever where none.
    pub patience: Option<Duration>,
}

/// How an execution ended.
pub(super) struct Ended {
    pub bank: String,
    pub run: String,
    pub report: Result<RunReport, Unreported>,
}

/// Why nothing of an execution was stored; the next process executes the run again.
pub(super) enum Unreported {
    /// This process is ending.
    Stopping,
    /// The store did not take the report for as long as there was patience.
    Refused(StoreError),
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
            return ended(Err(Unreported::Stopping));
        }
        let begun = Instant::now();
        let mut wait = RETRY.0;
        loop {
            let Err(error) = self.store.finish_run(&report).await else {
                self.board.readiness.ready(PART, "");
                return ended(Ok(report));
            };
            tracing::error!(run = self.spec.run, %error, "report not stored yet");
            self.board.store.count_error(error.reason());
            self.board.readiness.pending(PART, format!("that of {} is not stored yet: {error}", self.spec.run));
            if self.patience.is_some_and(|patience| begun.elapsed() > patience) {
                return ended(Err(Unreported::Refused(error)));
            }
            // Half to whole of the wait: runs that failed together do not come back together.
            let jittered = wait.mul_f64(rand::random_range(0.5..1.0));
            tokio::select! {
                () = tokio::time::sleep(jittered) => wait = (wait * 2).min(RETRY.1),
                () = self.stop.cancelled() => return ended(Err(Unreported::Stopping)),
            }
        }
    }
}
