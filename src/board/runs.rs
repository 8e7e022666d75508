use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntGauge};

use crate::domain::{Outcome, RunReport};

/// Upper bounds of the buckets of task durations, in seconds: from a Quick check of a small bank to a
/// Full check of a large one.
const DURATION_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];

/// Numbers of runs since the process began.
#[derive(Debug)]
pub struct RunNumbers {
    active: IntGauge,
    held: Mutex<BTreeMap<String, u64>>,
    /// Runs that ended and whose reports the store has not taken yet.
    waiting: AtomicUsize,
    durations: HistogramVec,
}

impl RunNumbers {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let durations = HistogramOpts::new("memorybank_run_duration_seconds", "How long the tasks of runs took")
            .buckets(DURATION_BUCKETS.to_vec());
        Ok(Self {
            active: IntGauge::new("memorybank_runs_active", "Runs being executed now")?,
            held: Mutex::default(),
            waiting: AtomicUsize::new(0),
            durations: HistogramVec::new(durations, &["task", "outcome"])?,
        })
    }

    /// Notes how many runs are being executed.
    pub fn set_active(&self, active: usize) {
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
    }

    /// Notes how many runs are held, by reason.
    pub fn set_held(&self, held: BTreeMap<String, u64>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// One more report waits to be stored.
    pub fn unstored(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A report that waited was stored; how many still wait.
    pub fn stored(&self) -> usize {
        self.waiting.fetch_sub(1, Ordering::Relaxed).saturating_sub(1)
    }

    /// Runs held now, by reason.
    pub fn held(&self) -> BTreeMap<String, u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the tasks of a finished run.
    pub fn observe(&self, report: &RunReport) {
        for task in report.tasks.iter().filter(|task| task.outcome != Outcome::Skipped) {
            #[allow(clippy::cast_precision_loss)] // Milliseconds stay far below 2^52.
            let seconds = task.duration_milliseconds as f64 / 1000.0;
            self.durations.with_label_values(&[task.task.name(), task.outcome.name()]).observe(seconds);
        }
    }

    /// What is counted here, for the exposition.
    pub fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.active.collect();
        families.extend(self.durations.collect());
        families
    }
}
