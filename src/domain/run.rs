use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Bank, Check, CorruptionEvent, Digest, Finding, Level, Outcome, Reason, RecoveryReport, Sample, Task, TaskKind,
};

/// One run to execute: one bank, ordered tasks, where its parts are. Plain data, the same bytes from
/// the same documents in both front ends. Volumes, secrets and inputs are names; the runner's
/// arguments say where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSpec {
    /// The bank's namespace.
    pub namespace: String,
    /// The name of the MaintenanceRun.
    pub run: String,
    /// The bank.
    pub bank: Bank,
    /// What to do, in order.
    pub tasks: Vec<Task>,
    /// The deadline of the whole, in seconds.
    pub active_deadline_seconds: u32,
}

/// What a run did and found: plain data, at most [`RunReport::MAX_EVENTS`] events and as many findings a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Identifies the execution; a report that is delivered twice is stored once.
    pub uid: String,
    /// As in the RunSpec.
    pub namespace: String,
    /// As in the RunSpec.
    pub run: String,
    /// The bank's name.
    pub bank: String,
    /// The version of the runner.
    pub runner_version: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// One row per task of the RunSpec, in its order.
    pub tasks: Vec<TaskReport>,
}

/// What one task did and found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// As in the RunSpec.
    pub name: String,
    /// Its kind.
    pub task: TaskKind,
    /// The level, of an integrity check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// One line for people. Never content of a bank.
    pub message: String,
    /// How long it took.
    pub duration_milliseconds: u64,
    /// One row per scope that was asked for.
    #[serde(default)]
    pub scopes: Vec<ScopeReport>,
    /// At level `Checksum`: how much of the content has been covered by now, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_percent: Option<u8>,
    /// Every check that was made or should have been.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Damage that was seen.
    #[serde(default)]
    pub corruption: Vec<CorruptionEvent>,
    /// Findings that were made.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Events and findings left out because there were too many.
    #[serde(default)]
    pub omitted: u64,
    /// Numbers that were measured.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// What it leaves for later runs.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// Of a recovery: what it did, or would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryReport>,
}

/// How one scope of a task went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeReport {
    /// The scope's name in documents.
    pub scope: String,
    /// `Succeeded` where all of it was measured.
    pub outcome: Outcome,
    /// Why not, for people; empty where it was.
    #[serde(default)]
    pub message: String,
}

/// Something that a run leaves for later runs of the same bank: a manifest, a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its name within the bank, such as `manifest/uploads`.
    pub name: String,
    /// The digest of its bytes, under which they are kept.
    pub digest: Digest,
}

impl RunReport {
    /// The most corruption events, and the most findings, that one task reports.
    pub const MAX_EVENTS: usize = 1_000;

    /// The task by which the whole run is judged: the first that failed, else the first that is unknown, else
    /// the first that was skipped; none where all succeeded.
    pub fn decisive(&self) -> Option<&TaskReport> {
        let first = |outcome| self.tasks.iter().find(|task| task.outcome == outcome);
        first(Outcome::Failed).or_else(|| first(Outcome::Unknown)).or_else(|| first(Outcome::Skipped))
    }

    /// How the whole run ended: as its decisive task, but that a skipped one leaves it `Unknown`.
    pub fn outcome(&self) -> (Outcome, Reason) {
        match self.decisive() {
            Some(task) if task.outcome == Outcome::Failed => (Outcome::Failed, task.reason),
            Some(task) => (Outcome::Unknown, task.reason),
            None => (Outcome::Succeeded, Reason::Completed),
        }
    }
}
