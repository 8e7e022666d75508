use std::sync::Arc;

use jiff::Timestamp;
use prometheus::TextEncoder;

use super::text::{Kind, Text};
use crate::board::{BankName, BankState, Board};
use crate::resources::ScheduleStatus;

/// The states of a condition, each a series of its own, as kube-state-metrics has it.
const CONDITION_STATES: [&str; 3] = ["True", "False", "Unknown"];

type Banks = Vec<(BankName, Arc<BankState>)>;

/// The metrics of the board in Prometheus' text format. Should those that are counted as they happen be
/// impossible to render, a comment stands in their place, and the others stand.
pub(super) fn render(board: &Board) -> String {
    let mut text = Text::default();
    of_process(board, &mut text);
    let banks = board.banks();
    of_banks(&banks, &mut text);
    of_schedules(&banks, &mut text);
    let mut families = board.runs.families();
    families.extend(board.store.families());
    families.extend(board.operator.families());
    families.extend(board.ingest.families());
    families.retain(|family| !family.get_metric().is_empty());
    let counted = TextEncoder::new().encode_to_string(&families);
    text.into_string() + &counted.unwrap_or_else(|error| format!("# left out: {error}\n"))
}

fn of_process(board: &Board, text: &mut Text) {
    let mut build = text.family(Kind::Gauge, "operator_build_info", "The version that runs");
    build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut ready = text.family(Kind::Gauge, "operator_ready", "Whether a part of the process is ready");
    for (part, is_ready, _) in board.readiness.parts() {
        ready.sample(&[("part", &part)], truth(is_ready));
    }
    let mut held = text.family(Kind::Gauge, "runs_held", "Runs held now");
    for (reason, count) in board.runs.held() {
        held.sample(&[("reason", &reason)], number(count));
    }
}

/// Counts are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Seconds since 1970 stay far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

fn of_banks(banks: &Banks, text: &mut Text) {
    let mut family = text.family(Kind::Gauge, "bank_condition", "The conditions of a bank: 1 at the state that holds");
    for ((namespace, bank), state) in banks {
        for condition in &state.status.conditions {
            for status in CONDITION_STATES {
                let labels = [
                    ("namespace", namespace.as_str()),
                    ("bank", bank),
                    ("condition", &condition.type_),
                    ("status", status),
                ];
                family.sample(&labels, truth(condition.status == status));
            }
        }
    }
    let help = "Since when a condition has its status; the reason may have changed since";
    let mut family = text.family(Kind::Gauge, "bank_condition_since_timestamp_seconds", help);
    for ((namespace, bank), state) in banks {
        for condition in &state.status.conditions {
            let labels = [
                ("namespace", namespace.as_str()),
                ("bank", bank),
                ("condition", &condition.type_),
                ("status", &condition.status),
                ("reason", &condition.reason),
            ];
            family.sample(&labels, seconds(condition.last_transition_time.0));
        }
    }
    let mut family =
        text.family(Kind::Gauge, "bank_health_score", "Health of a bank, 0 to 100; absent while nothing is known");
    for ((namespace, bank), state) in banks {
        if let Some(score) = state.status.health.as_ref().and_then(|health| health.score) {
            family.sample(&[("namespace", namespace), ("bank", bank)], f64::from(score));
        }
    }
    let mut family = text.family(Kind::Gauge, "bank_findings", "Findings of the newest audits");
    for ((namespace, bank), state) in banks {
        for ((severity, kind), count) in &state.findings {
            let labels = [
                ("namespace", namespace.as_str()),
                ("bank", bank),
                ("severity", severity.name()),
                ("state", kind.name()),
            ];
            family.sample(&labels, number(*count));
        }
    }
    let mut family = text.family(Kind::Counter, "bank_corruption_events_total", "Corruption events ever recorded");
    for ((namespace, bank), state) in banks {
        for (kind, count) in &state.corruption {
            family.sample(&[("namespace", namespace), ("bank", bank), ("type", kind.name())], number(*count));
        }
    }
    let mut family = text.family(Kind::Gauge, "bank_open_corruption", "Corruption events that are open");
    for ((namespace, bank), state) in banks {
        if let Some(open) = state.status.corruption.as_ref().and_then(|corruption| corruption.open) {
            family.sample(&[("namespace", namespace), ("bank", bank)], number(open));
        }
    }
    let help = "When the newest verified backup set of a bank was verified";
    let mut family = text.family(Kind::Gauge, "bank_backup_last_verified_timestamp_seconds", help);
    for ((namespace, bank), state) in banks {
        let verified = state.status.backup.as_ref().and_then(|backup| backup.last_verified_time.as_ref());
        if let Some(time) = verified {
            family.sample(&[("namespace", namespace), ("bank", bank)], seconds(time.0));
        }
    }
    for (sample, name, help) in [
        ("memories", "bank_memories", "Memories that are not deleted, as last counted"),
        ("vectors", "bank_vectors", "Points of the vector store, as last counted"),
        ("database_size_bytes", "bank_database_size_bytes", "Size of the database, as last seen"),
    ] {
        let mut family = text.family(Kind::Gauge, name, help);
        for ((namespace, bank), state) in banks {
            if let Some(value) = state.samples.get(sample) {
                family.sample(&[("namespace", namespace), ("bank", bank)], *value);
            }
        }
    }
}

/// The value of a metric of a schedule, if there is one.
type OfSchedule = fn(&ScheduleStatus, &BankState) -> Option<f64>;

const SCHEDULE_METRICS: [(Kind, &str, &str, OfSchedule); 9] = [
    (
        Kind::Gauge,
        "schedule_since_timestamp_seconds",
        "From when on slots count: bank or schedule new, its clock changed, resumed",
        |row, _| row.since_time.as_ref().map(|time| seconds(time.0)),
    ),
    (Kind::Gauge, "schedule_last_run_timestamp_seconds", "When the newest run of a schedule began", |row, _| {
        row.last_run_time.as_ref().map(|time| seconds(time.0))
    }),
    (Kind::Gauge, "schedule_last_success_timestamp_seconds", "When a run of a schedule last succeeded", |row, _| {
        row.last_success_time.as_ref().map(|time| seconds(time.0))
    }),
    (Kind::Gauge, "schedule_last_run_success", "Whether the newest run succeeded", |row, _| {
        let last = row.last_run_time.as_ref()?;
        Some(truth(row.last_success_time.as_ref().is_some_and(|success| success.0 >= last.0)))
    }),
    (Kind::Gauge, "schedule_next_run_timestamp_seconds", "When a schedule is due next", |row, _| {
        row.next_slot_time.as_ref().map(|time| seconds(time.0))
    }),
    (
        Kind::Gauge,
        "schedule_expected_interval_seconds",
        "The longest gap between two slots of a schedule in the coming year",
        |row, _| row.expected_interval_seconds.and_then(|gap| u64::try_from(gap).ok()).map(number),
    ),
    // A row without a next slot is suspended, by its policy if not by its bank.
    (Kind::Gauge, "schedule_suspended", "Whether bank or policy is suspended", |row, state| {
        Some(truth(state.suspended || row.next_slot_time.is_none()))
    }),
    (
        Kind::Gauge,
        "schedule_missed_slot_timestamp_seconds",
        "The newest slot that was missed; absent once the run of a later slot has ended",
        |row, _| row.last_missed_slot_time.as_ref().map(|time| seconds(time.0)),
    ),
    (Kind::Counter, "schedule_missed_runs_total", "Slots of a schedule that nothing ran", |row, _| {
        Some(number(row.missed_runs.unwrap_or_default()))
    }),
];

fn of_schedules(banks: &Banks, text: &mut Text) {
    for (kind, name, help, value) in SCHEDULE_METRICS {
        let mut family = text.family(kind, name, help);
        for ((namespace, bank), state) in banks {
            for row in &state.status.schedules {
                if let Some(value) = value(row, state) {
                    let labels = [
                        ("namespace", namespace.as_str()),
                        ("bank", bank),
                        ("policy", &row.policy),
                        ("schedule", &row.schedule),
                    ];
                    family.sample(&labels, value);
                }
            }
        }
    }
}
