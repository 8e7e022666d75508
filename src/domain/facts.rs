use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BackupVerdict, CorruptionEvent, Finding, FindingState, Level, Outcome, PartSample, RestoreVerdict, TaskKind,
};

/// What the store knows of one bank: all that conditions are derived from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BankFacts {
    /// The newest row per task kind, level and scope.
    pub measurements: Vec<Measurement>,
    /// Open damage.
    pub corruption: CorruptionSummary,
    /// Open findings.
    pub findings: FindingSummary,
    /// The newest sample of each part that answers over the network.
    #[serde(default)]
    pub reach: Vec<PartSample>,
    /// What verification says of its backup sets; none where it never came to a verdict.
    #[serde(default)]
    pub backup: Option<BackupVerdict>,
    /// What the newest restore test says of them; none where none came to a verdict.
    #[serde(default)]
    pub restore: Option<RestoreVerdict>,
}

/// The newest measurement of one scope at one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The kind of task that measured.
    pub task: TaskKind,
    /// The level, of an integrity check.
    pub level: Option<Level>,
    /// The scope; empty for a task without scopes.
    pub scope: String,
    /// How it went.
    pub outcome: Outcome,
    /// For people: why it was not measured.
    pub message: String,
    /// When the run ended.
    pub finished: Timestamp,
    /// The run's name.
    pub run: String,
}

/// The open damage of a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorruptionSummary {
    /// How many events are open, all severities.
    pub open: u64,
    /// When one was last detected.
    pub last_detected: Option<Timestamp>,
    /// The worst ones with their record ids, at most [`BankFacts::TOP`].
    pub top: Vec<(String, CorruptionEvent)>,
}

/// The open findings of a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FindingSummary {
    pub critical: u64,
    pub high: u64,
    pub medium: u64,
    pub low: u64,
    pub new: u64,
    pub persisting: u64,
    /// Fixed by the newest audit.
    pub fixed: u64,
    pub waived: u64,
    /// The worst open ones, at most [`BankFacts::TOP`].
    pub top: Vec<(FindingState, Finding)>,
}

impl BankFacts {
    /// How many events, and how many findings, a summary lists.
    pub const TOP: usize = 20;
}
