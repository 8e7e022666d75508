use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::TaskKind;

/// A condition of a bank that a spec may name, to waive it or to hold runs by it. The summary `Ready` is none:
/// it cannot be waived, and every run measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // api.md and docs/resources.md tell what each promises.
pub enum ConditionName {
    Reachable,
    Intact,
    Consistent,
    Secure,
    BackedUp,
    OnSchedule,
    Stable,
    Guarded,
}

impl ConditionName {
    /// Every condition but the summary `Ready`.
    pub const ALL: [Self; 8] = [
        Self::Reachable,
        Self::Intact,
        Self::Consistent,
        Self::Secure,
        Self::BackedUp,
        Self::OnSchedule,
        Self::Stable,
        Self::Guarded,
    ];

    /// The form in documents, the condition's `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reachable => "Reachable",
            Self::Intact => "Intact",
            Self::Consistent => "Consistent",
            Self::Secure => "Secure",
            Self::BackedUp => "BackedUp",
            Self::OnSchedule => "OnSchedule",
            Self::Stable => "Stable",
            Self::Guarded => "Guarded",
        }
    }

    /// The tasks whose results this condition is derived from: a schedule of such a task would never start
    /// while it is held by the condition, and so never end the hold.
    pub const fn measured_by(self) -> &'static [TaskKind] {
        match self {
            Self::Reachable => &[TaskKind::Probe],
            Self::Intact => &[TaskKind::IntegrityCheck],
            Self::Consistent => &[TaskKind::ConsistencyCheck, TaskKind::IntegrityCheck],
            Self::Secure => &[TaskKind::SecurityAudit],
            Self::BackedUp => &[TaskKind::Backup, TaskKind::VerifyBackup, TaskKind::RestoreTest],
            Self::OnSchedule => &TaskKind::SCHEDULED,
            Self::Stable => &[TaskKind::Learn],
            Self::Guarded => &[],
        }
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}
