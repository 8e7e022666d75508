use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::{Outcome, Reason, RunReport, Severity, TaskReport};

/// How many of each severity.
pub type Severities = BTreeMap<Severity, u64>;

/// The form of a summary that this version writes.
const VERSION: u64 = 1;
/// The longest uid and names, in characters; those of Kubernetes are not longer.
const MAX_NAME: usize = 63;
/// The longest message that is read.
const MAX_MESSAGE: usize = 1_024;
/// The most tasks that are read; a run has at most 16.
const MAX_TASKS: usize = 16;
/// How long messages may be, tried in this order until the whole fits.
const MESSAGES: [usize; 6] = [512, 256, 128, 64, 24, 0];

/// How a run ended, in what the kubelet keeps of a container that ended: enough for a true status where the report
/// itself could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    version: u64,
    /// The uid of the run.
    pub uid: String,
    /// How the whole run ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Whether the operator has the report.
    pub delivered: bool,
    /// Whether a signal ended the run: another pod executes it again.
    #[serde(skip_serializing_if = "is_false")]
    pub interrupted: bool,
    /// A row per task, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskSummary>,
    /// Tasks for which there was no room.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted_tasks: u64,
}

/// How one task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSummary {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Damages, by severity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub corruption: Severities,
    /// Findings, by severity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: Severities,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so.
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Summary {
    /// What the kubelet keeps of a termination message, in bytes.
    pub const MAX: usize = 4_096;
    /// The largest text that is looked at.
    const MAX_READ: usize = 16 << 10;

    /// The summary of a report.
    pub fn of(report: &RunReport, delivered: bool) -> Self {
        let (outcome, reason) = report.outcome();
        Self {
            message: report.decisive().map(|task| task.message.clone()).unwrap_or_default(),
            delivered,
            tasks: report.tasks.iter().map(TaskSummary::of).collect(),
            ..Self::without_report(&report.uid, outcome, reason, "")
        }
    }

    /// The summary of a report that could not be delivered; its message says why, for people.
    pub fn undelivered(report: &RunReport, why: &str) -> Self {
        let summary = Self::of(report, false);
        let separator = if summary.message.is_empty() { "" } else { "; " };
        Self { message: format!("not delivered: {why}{separator}{}", summary.message), ..summary }
    }

    /// The summary of a run that could not begin.
    pub fn failed(uid: &str, message: &str) -> Self {
        Self::without_report(uid, Outcome::Failed, Reason::TaskFailed, message)
    }

    /// The summary of a run that a signal ended.
    pub fn interrupted(uid: &str) -> Self {
        let message = "Interrupted by a signal; nothing was reported, and the next pod executes the run again";
        Self { interrupted: true, ..Self::without_report(uid, Outcome::Unknown, Reason::Cancelled, message) }
    }

    fn without_report(uid: &str, outcome: Outcome, reason: Reason, message: &str) -> Self {
        Self {
            version: VERSION,
            uid: uid.to_owned(),
            outcome,
            reason,
            message: message.to_owned(),
            delivered: false,
            interrupted: false,
            tasks: Vec::new(),
            omitted_tasks: 0,
        }
    }

    /// The text that is left behind: JSON of at most [`Summary::MAX`] bytes. Messages are cut first, then tasks are
    /// left out from the end and counted.
    pub fn render(&self) -> String {
        let mut cut = self.clone();
        cut.uid = first(&self.uid, MAX_NAME);
        for longest in MESSAGES {
            cut.message = first(&self.message, longest.max(64));
            for (task, whole) in cut.tasks.iter_mut().zip(&self.tasks) {
                task.name = first(&whole.name, MAX_NAME);
                task.message = first(&whole.message, longest);
            }
            if let Some(text) = cut.fitting() {
                return text;
            }
        }
        while cut.tasks.pop().is_some() {
            cut.omitted_tasks += 1;
            if let Some(text) = cut.fitting() {
                return text;
            }
        }
        // Without tasks it has at most 127 characters of text, of six bytes each where they must be escaped.
        cut.fitting().unwrap_or_default()
    }

    fn fitting(&self) -> Option<String> {
        serde_json::to_string(self).ok().filter(|text| text.len() <= Self::MAX)
    }

    /// Reads a summary of this or another version; none where the text is none. What is missing or unknown in it is
    /// taken for the worst that it can mean, and everything is cut to its bounds.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_READ {
            return None;
        }
        let value: Value = serde_json::from_str(text).ok()?;
        let version = value.get("version")?.as_u64()?;
        let uid = value.get("uid")?.as_str()?;
        let tasks = value.get("tasks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            version,
            uid: first(uid, MAX_NAME),
            outcome: read(&value, "outcome").unwrap_or(Outcome::Unknown),
            reason: read(&value, "reason").unwrap_or(Reason::NotMeasured),
            message: text_of(&value, "message", MAX_MESSAGE),
            delivered: read(&value, "delivered").unwrap_or(false),
            interrupted: read(&value, "interrupted").unwrap_or(false),
            tasks: tasks.iter().take(MAX_TASKS).map(TaskSummary::read).collect(),
            omitted_tasks: read::<u64>(&value, "omittedTasks")
                .unwrap_or(0)
                .saturating_add(tasks.len().saturating_sub(MAX_TASKS) as u64),
        })
    }
}

impl TaskSummary {
    fn of(task: &TaskReport) -> Self {
        Self {
            name: task.name.clone(),
            outcome: task.outcome,
            reason: task.reason,
            message: task.message.clone(),
            corruption: count(task.corruption.iter().map(|event| event.severity)),
            findings: count(task.findings.iter().map(|finding| finding.severity)),
        }
    }

    fn read(value: &Value) -> Self {
        Self {
            name: text_of(value, "name", MAX_NAME),
            outcome: read(value, "outcome").unwrap_or(Outcome::Unknown),
            reason: read(value, "reason").unwrap_or(Reason::NotMeasured),
            message: text_of(value, "message", MAX_MESSAGE),
            corruption: read(value, "corruption").unwrap_or_default(),
            findings: read(value, "findings").unwrap_or_default(),
        }
    }
}

fn count(severities: impl Iterator<Item = Severity>) -> Severities {
    severities.fold(Severities::new(), |mut counts, severity| {
        *counts.entry(severity).or_default() += 1;
        counts
    })
}

fn read<T: DeserializeOwned>(value: &Value, field: &str) -> Option<T> {
    T::deserialize(value.get(field)?).ok()
}

fn text_of(value: &Value, field: &str, longest: usize) -> String {
    value.get(field).and_then(Value::as_str).map(|text| first(text, longest)).unwrap_or_default()
}

/// The first characters of a text, the last of them an ellipsis where something was cut.
fn first(text: &str, longest: usize) -> String {
    if text.chars().nth(longest).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(longest.saturating_sub(1)).collect();
    if longest > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CorruptionEvent, CorruptionType, TaskKind};

    fn damage(severity: Severity) -> CorruptionEvent {
        CorruptionEvent {
            check: "a".to_owned(),
            component: "b".to_owned(),
            corruption_type: CorruptionType::FileCorruption,
            invariant: None,
            severity,
            object: "c".to_owned(),
            count: 1,
            evidence: String::new(),
            advice: String::new(),
        }
    }

    fn task(name: &str, outcome: Outcome, message: &str, damages: &[Severity]) -> TaskReport {
        TaskReport {
            name: name.to_owned(),
            task: TaskKind::IntegrityCheck,
            level: None,
            outcome,
            reason: Reason::NotMeasured,
            message: message.to_owned(),
            duration_milliseconds: 1,
            scopes: Vec::new(),
            coverage_percent: None,
            checks: Vec::new(),
            corruption: damages.iter().copied().map(damage).collect(),
            findings: Vec::new(),
            omitted: 0,
            samples: Vec::new(),
            outputs: Vec::new(),
            recovery: None,
        }
    }

    fn report(uid: &str, tasks: Vec<TaskReport>) -> RunReport {
        RunReport {
            uid: uid.to_owned(),
            namespace: "team-a".to_owned(),
            run: "run".to_owned(),
            bank: "bank".to_owned(),
            runner_version: "1".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
            tasks,
        }
    }

    #[test]
    fn a_summary_is_read_as_it_was_written() {
        let damages = [Severity::High, Severity::Low, Severity::High];
        let report = report(
            "u-1",
            vec![task("check", Outcome::Succeeded, "", &damages), task("audit", Outcome::Unknown, "not mounted", &[])],
        );
        for delivered in [true, false] {
            let summary = Summary::of(&report, delivered);
            assert_eq!((summary.outcome, summary.message.as_str()), (Outcome::Unknown, "not mounted"));
            assert_eq!(summary.tasks[0].corruption, Severities::from([(Severity::Low, 1), (Severity::High, 2)]));
            assert_eq!(Summary::parse(&summary.render()), Some(summary));
        }
        for summary in [Summary::failed("u", "no spec"), Summary::interrupted("u")] {
            assert_eq!(Summary::parse(&summary.render()), Some(summary));
        }
    }

    #[test]
    fn what_is_missing_is_taken_for_the_worst_and_what_is_more_is_passed_over() {
        let read = Summary::parse(r#"{"version": 7, "uid": "u", "outcome": "Splendid", "tasks": [{"more": 1}, 3]}"#);
        let read = read.unwrap();
        assert_eq!((read.outcome, read.reason, read.delivered), (Outcome::Unknown, Reason::NotMeasured, false));
        assert_eq!(read.tasks.len(), 2);
        assert_eq!(read.tasks[1].outcome, Outcome::Unknown);
        for none in ["", "null", "[]", "exit 1", "{\"uid\": \"u\"}", "{\"version\": 1}", "{\"version\": \"1\"}"] {
            assert_eq!(Summary::parse(none), None, "{none}");
        }
        assert_eq!(Summary::parse(&format!("{{\"version\":1,\"uid\":\"{}\"}}", "x".repeat(20_000))), None);
    }

    #[test]
    fn tasks_for_which_there_is_no_room_are_counted() {
        let wide = "\u{1}".repeat(100);
        let damages = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        let tasks = (0..16).map(|_| task(&wide, Outcome::Failed, &wide, &damages)).collect();
        let text = Summary::of(&report(&wide, tasks), false).render();
        assert!(text.len() <= Summary::MAX);
        let read = Summary::parse(&text).unwrap();
        assert!(!read.tasks.is_empty());
        assert_eq!(read.tasks.len() as u64 + read.omitted_tasks, 16);
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![Just(Outcome::Succeeded), Just(Outcome::Failed), Just(Outcome::Skipped), Just(Outcome::Unknown)]
    }

    proptest! {
        #[test]
        fn every_report_has_a_summary_that_fits_and_is_read(
            uid in "(?s).{0,200}",
            tasks in prop::collection::vec(
                ("(?s).{0,300}", outcome(), "(?s).{0,6000}", prop::collection::vec(0_usize..4, 0..6)),
                0..40,
            ),
            why in "(?s).{0,3000}",
        ) {
            let tasks: Vec<_> = tasks
                .iter()
                .map(|(name, outcome, message, severities)| {
                    let severities: Vec<_> = severities.iter().map(|at| Severity::ALL[*at]).collect();
                    task(name, *outcome, message, &severities)
                })
                .collect();
            let report = report(&uid, tasks);
            let summary = Summary::undelivered(&report, &why);
            let text = summary.render();
            prop_assert!(text.len() <= Summary::MAX, "{} bytes", text.len());
            let read = Summary::parse(&text);
            prop_assert!(read.is_some(), "{text}");
            if let Some(read) = read {
                prop_assert_eq!(read.outcome, report.outcome().0);
                prop_assert_eq!(read.reason, report.outcome().1);
                prop_assert_eq!(read.tasks.len() as u64 + read.omitted_tasks, report.tasks.len() as u64);
            }
        }

        #[test]
        fn no_text_makes_reading_fail_otherwise_than_by_none(text in "(?s).{0,400}") {
            if let Some(read) = Summary::parse(&text) {
                prop_assert!(read.tasks.len() <= MAX_TASKS);
            }
        }
    }
}
