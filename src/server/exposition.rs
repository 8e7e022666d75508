use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts, TextEncoder};

use crate::board::{BankState, Board};

/// The states of a condition, each a series of its own, as kube-state-metrics has it.
const CONDITION_STATES: [&str; 3] = ["True", "False", "Unknown"];

/// The metrics of the board in Prometheus' text format. Should a family be impossible to render, it is
/// left out with a comment in its place, and the others stand.
pub(super) fn render(board: &Board) -> String {
    let mut families = board.runs.families();
    families.extend(board.store.families());
    let mut trouble = String::new();
    match of_banks(board).and_then(|mut more| {
        more.extend(of_process(board)?);
        Ok(more)
    }) {
        Ok(more) => families.extend(more),
        Err(error) => trouble = format!("# bank metrics left out: {error}\n"),
    }
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n")) + &trouble
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(Opts::new(format!("memorybank_{name}"), help), labels)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
    CounterVec::new(Opts::new(format!("memorybank_{name}"), help), labels)
}

fn of_process(board: &Board) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let build = gauge("operator_build_info", "The version that runs", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    let ready = gauge("operator_ready", "Whether a part of the process is ready", &["part"])?;
    for (part, is_ready, _) in board.readiness.parts() {
        ready.with_label_values(&[part]).set(f64::from(u8::from(is_ready)));
    }
    let held = gauge("runs_held", "Runs held now", &["reason"])?;
    for (reason, count) in board.runs.held() {
        held.with_label_values(&[&reason]).set(number(count));
    }
    Ok([build, ready, held].iter().flat_map(Collector::collect).collect())
}

/// Counts are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

/// The metrics of all banks, made anew for each scrape.
struct BankMetrics {
    condition: GaugeVec,
    health: GaugeVec,
    findings: GaugeVec,
    corruption: CounterVec,
    open_corruption: GaugeVec,
    memories: GaugeVec,
    database_size: GaugeVec,
    schedules: ScheduleMetrics,
}

struct ScheduleMetrics {
    last_run: GaugeVec,
    last_success: GaugeVec,
    last_run_success: GaugeVec,
    next_run: GaugeVec,
    interval: GaugeVec,
    suspended: GaugeVec,
    missed: CounterVec,
}

fn of_banks(board: &Board) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let metrics = BankMetrics::new()?;
    for ((namespace, name), state) in board.banks() {
        metrics.set(&namespace, &name, &state);
    }
    Ok(metrics.families())
}

impl BankMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        let bank = ["namespace", "bank"];
        let with = |more: &[&'static str]| [bank.as_slice(), more].concat();
        Ok(Self {
            condition: gauge(
                "bank_condition",
                "The conditions of a bank: 1 at the state that holds",
                &with(&["condition", "status"]),
            )?,
            health: gauge("bank_health_score", "Health of a bank, 0 to 100; absent while nothing is known", &bank)?,
            findings: gauge("bank_findings", "Findings of the newest audits", &with(&["severity", "state"]))?,
            corruption: counter("bank_corruption_events_total", "Corruption events ever recorded", &with(&["type"]))?,
            open_corruption: gauge("bank_open_corruption", "Corruption events that are open", &bank)?,
            memories: gauge("bank_memories", "Memories that are not deleted, as last counted", &bank)?,
            database_size: gauge("bank_database_size_bytes", "Size of the database file, as last seen", &bank)?,
            schedules: ScheduleMetrics::new(&with(&["policy", "schedule"]))?,
        })
    }

    fn set(&self, namespace: &str, name: &str, state: &BankState) {
        let bank = [namespace, name];
        for condition in &state.status.conditions {
            for status in CONDITION_STATES {
                let holds = condition.status == status;
                self.condition
                    .with_label_values(&[namespace, name, condition.type_.as_str(), status])
                    .set(f64::from(u8::from(holds)));
            }
        }
        if let Some(score) = state.status.health.as_ref().and_then(|health| health.score) {
            self.health.with_label_values(&bank).set(f64::from(score));
        }
        for ((severity, kind), count) in &state.findings {
            self.findings.with_label_values(&[namespace, name, severity.name(), kind.name()]).set(number(*count));
        }
        for (kind, count) in &state.corruption {
            self.corruption.with_label_values(&[namespace, name, kind.name()]).inc_by(number(*count));
        }
        if let Some(open) = state.status.corruption.as_ref().and_then(|corruption| corruption.open) {
            self.open_corruption.with_label_values(&bank).set(number(open));
        }
        if let Some(memories) = state.samples.get("memories") {
            self.memories.with_label_values(&bank).set(*memories);
        }
        if let Some(bytes) = state.samples.get("database_size_bytes") {
            self.database_size.with_label_values(&bank).set(*bytes);
        }
        self.schedules.set(namespace, name, state);
    }

    fn families(&self) -> Vec<MetricFamily> {
        let Self { condition, health, findings, corruption, open_corruption, memories, database_size, schedules } =
            self;
        let gauges = [condition, health, findings, open_corruption, memories, database_size];
        let mut families: Vec<_> = gauges.into_iter().flat_map(Collector::collect).collect();
        families.extend(corruption.collect());
        families.extend(schedules.families());
        families
    }
}

impl ScheduleMetrics {
    fn new(labels: &[&str]) -> Result<Self, prometheus::Error> {
        Ok(Self {
            last_run: gauge("schedule_last_run_timestamp_seconds", "When the newest run of a schedule began", labels)?,
            last_success: gauge(
                "schedule_last_success_timestamp_seconds",
                "When a run of a schedule last succeeded",
                labels,
            )?,
            last_run_success: gauge("schedule_last_run_success", "Whether the newest run succeeded", labels)?,
            next_run: gauge("schedule_next_run_timestamp_seconds", "When a schedule is due next", labels)?,
            interval: gauge(
                "schedule_expected_interval_seconds",
                "The longest gap between two slots of a schedule in the coming year",
                labels,
            )?,
            suspended: gauge("schedule_suspended", "Whether bank or policy is suspended", labels)?,
            missed: counter("schedule_missed_runs_total", "Slots of a schedule that nothing ran", labels)?,
        })
    }

    fn set(&self, namespace: &str, name: &str, state: &BankState) {
        for row in &state.status.schedules {
            let labels = [namespace, name, row.policy.as_str(), row.schedule.as_str()];
            let time = |gauge: &GaugeVec, time: Option<jiff::Timestamp>| {
                if let Some(time) = time {
                    #[allow(clippy::cast_precision_loss)] // Seconds since 1970 stay far below 2^52.
                    gauge.with_label_values(&labels).set(time.as_second() as f64);
                }
            };
            time(&self.last_run, row.last_run_time.as_ref().map(|t| t.0));
            time(&self.last_success, row.last_success_time.as_ref().map(|t| t.0));
            time(&self.next_run, row.next_slot_time.as_ref().map(|t| t.0));
            if let Some(last) = &row.last_run_time {
                let succeeded = row.last_success_time.as_ref().is_some_and(|success| success.0 >= last.0);
                self.last_run_success.with_label_values(&labels).set(f64::from(u8::from(succeeded)));
            }
            if let Some(seconds) = row.expected_interval_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
                self.interval.with_label_values(&labels).set(number(seconds));
            }
            self.suspended.with_label_values(&labels).set(f64::from(u8::from(state.suspended)));
            self.missed.with_label_values(&labels).inc_by(number(row.missed_runs.unwrap_or_default()));
        }
    }

    fn families(&self) -> Vec<MetricFamily> {
        let Self { last_run, last_success, last_run_success, next_run, interval, suspended, missed } = self;
        let gauges = [last_run, last_success, last_run_success, next_run, interval, suspended];
        let mut families: Vec<_> = gauges.into_iter().flat_map(Collector::collect).collect();
        families.extend(missed.collect());
        families
    }
}
