use jiff::Timestamp;

use super::view::RunView;
use super::wake::second;
use crate::domain::{Phase, RunReport, Severity, TaskReport};
use crate::resources::{Condition, FindingCounts, MaintenanceRunStatus, RunReportRef, TaskStatus, Time};

/// The most characters of a message in a status.
const MAX_MESSAGE: usize = 400;
/// The most characters of a task's message: sixteen stay below 8 KiB.
const MAX_TASK_MESSAGE: usize = 240;

/// What is told of a run beside where it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTold {
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Its Job, in a cluster.
    pub job_name: Option<String>,
    /// How often its Job was refused, and when it is tried again.
    pub refused: Option<(u32, Timestamp)>,
    /// Its tasks, once it ended.
    pub tasks: Vec<TaskStatus>,
    /// Its report, once it ended.
    pub report: Option<RunReportRef>,
}

/// The whole status of a run. `old` is the one before, whose times of transition stay where nothing changed.
pub fn run_status(
    view: &RunView,
    told: RunTold,
    old: Option<&MaintenanceRunStatus>,
    now: Timestamp,
) -> MaintenanceRunStatus {
    let status = match view.phase {
        Phase::Succeeded => "True",
        Phase::Failed | Phase::Skipped => "False",
        Phase::Pending | Phase::Held | Phase::Running | Phase::Unknown => "Unknown",
    };
    let before = old.and_then(|old| old.conditions.iter().find(|c| c.type_ == "Succeeded"));
    let since = match before {
        Some(before) if before.status == status => before.last_transition_time.0,
        _ => second(view.finished.unwrap_or(now).min(now)),
    };
    let condition = Condition {
        type_: "Succeeded".to_owned(),
        status: status.to_owned(),
        reason: if view.reason.is_empty() { view.phase.name() } else { &view.reason }.to_owned(),
        message: view.message.chars().take(MAX_MESSAGE).collect(),
        observed_generation: told.generation,
        last_transition_time: Time(since),
    };
    MaintenanceRunStatus {
        observed_generation: told.generation,
        conditions: vec![condition],
        phase: Some(view.phase.name().to_owned()),
        start_time: view.started.map(|time| Time(second(time))),
        completion_time: view.finished.map(|time| Time(second(time))),
        attempts: told.refused.map(|(attempts, _)| attempts),
        next_attempt_time: told.refused.map(|(_, next)| Time(second(next))),
        job_name: told.job_name,
        tasks: told.tasks,
        report: told.report,
    }
}

/// A row per task of a report.
pub fn task_rows(report: &RunReport) -> Vec<TaskStatus> {
    report.tasks.iter().map(task_row).collect()
}

fn task_row(task: &TaskReport) -> TaskStatus {
    let of = |severity| {
        let count = task.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
        (count > 0).then_some(count)
    };
    let counts = FindingCounts {
        critical: of(Severity::Critical),
        high: of(Severity::High),
        medium: of(Severity::Medium),
        low: of(Severity::Low),
        ..FindingCounts::default()
    };
    TaskStatus {
        name: task.name.clone(),
        outcome: Some(task.outcome.name().to_owned()),
        reason: Some(task.reason.name().to_owned()),
        message: Some(task.message.chars().take(MAX_TASK_MESSAGE).collect()),
        duration_milliseconds: Some(task.duration_milliseconds),
        findings: (!task.findings.is_empty()).then_some(counts),
    }
}
