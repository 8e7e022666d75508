use std::time::Duration;

use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

/// Upper bounds of the buckets of reconciles, in seconds.
const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Numbers of the operator since the process began. All labels are of closed sets.
#[derive(Debug)]
pub struct OperatorNumbers {
    leader: IntGaugeVec,
    durations: HistogramVec,
    errors: IntCounterVec,
    requests: IntCounterVec,
    retries: IntCounterVec,
    depth: IntGaugeVec,
}

impl OperatorNumbers {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let named = |name: &str| format!("memorybank_operator_{name}");
        let durations = HistogramOpts::new(named("reconcile_duration_seconds"), "How long one reconcile took")
            .buckets(DURATION_BUCKETS.to_vec());
        Ok(Self {
            // Without labels, and so without a sample until it is set: there is no leader without a cluster.
            leader: IntGaugeVec::new(Opts::new(named("leader"), "Whether this replica leads"), &[])?,
            durations: HistogramVec::new(durations, &["controller"])?,
            errors: IntCounterVec::new(
                Opts::new(named("reconcile_errors_total"), "Reconciles that failed and are tried again"),
                &["controller", "reason"],
            )?,
            requests: IntCounterVec::new(
                Opts::new(named("api_requests_total"), "Requests to the API server; a watch is one"),
                &["verb", "code"],
            )?,
            retries: IntCounterVec::new(
                Opts::new(
                    named("api_retries_total"),
                    "Reconciles tried again as the API server did not take a request",
                ),
                &["controller"],
            )?,
            depth: IntGaugeVec::new(
                Opts::new(named("queue_depth"), "Objects that wait to be looked at"),
                &["controller"],
            )?,
        })
    }

    /// Notes whether this replica leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.with_label_values::<&str>(&[]).set(i64::from(leads));
    }

    /// Counts a reconcile that went well or badly.
    pub fn observe(&self, controller: &str, took: Duration) {
        self.durations.with_label_values(&[controller]).observe(took.as_secs_f64());
    }

    /// Counts a reconcile that failed; `reason` is of a closed set.
    pub fn count_error(&self, controller: &str, reason: &str) {
        self.errors.with_label_values(&[controller, reason]).inc();
    }

    /// Counts an answer of the API server, or that there was none.
    pub fn count_request(&self, verb: &str, code: &str) {
        self.requests.with_label_values(&[verb, code]).inc();
    }

    /// Counts what is tried again because of the API server.
    pub fn count_retry(&self, controller: &str) {
        self.retries.with_label_values(&[controller]).inc();
    }

    /// Notes how many objects wait.
    pub fn set_depth(&self, controller: &str, depth: usize) {
        self.depth.with_label_values(&[controller]).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// What is counted here, for the exposition.
    pub fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.leader.collect();
        families.extend(self.durations.collect());
        families.extend(self.errors.collect());
        families.extend(self.requests.collect());
        families.extend(self.retries.collect());
        families.extend(self.depth.collect());
        families
    }
}
