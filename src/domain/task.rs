use serde::{Deserialize, Serialize};

use super::{Consent, Digest, Level, Pruning};

/// What kind of work a task is, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum TaskKind {
    Probe,
    Backup,
    VerifyBackup,
    RestoreTest,
    IntegrityCheck,
    ConsistencyCheck,
    SecurityAudit,
    Optimize,
    Prune,
    Learn,
    Recover,
}

impl TaskKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Probe,
        Self::Backup,
        Self::VerifyBackup,
        Self::RestoreTest,
        Self::IntegrityCheck,
        Self::ConsistencyCheck,
        Self::SecurityAudit,
        Self::Optimize,
        Self::Prune,
        Self::Learn,
        Self::Recover,
    ];

    /// The kinds that schedules may name; a recovery comes from a Recovery.
    pub const SCHEDULED: [Self; 10] = [
        Self::Probe,
        Self::Backup,
        Self::VerifyBackup,
        Self::RestoreTest,
        Self::IntegrityCheck,
        Self::ConsistencyCheck,
        Self::SecurityAudit,
        Self::Optimize,
        Self::Prune,
        Self::Learn,
    ];

    /// The form in documents and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "Probe",
            Self::Backup => "Backup",
            Self::VerifyBackup => "VerifyBackup",
            Self::RestoreTest => "RestoreTest",
            Self::IntegrityCheck => "IntegrityCheck",
            Self::ConsistencyCheck => "ConsistencyCheck",
            Self::SecurityAudit => "SecurityAudit",
            Self::Optimize => "Optimize",
            Self::Prune => "Prune",
            Self::Learn => "Learn",
            Self::Recover => "Recover",
        }
    }

    /// Whether a run with such a task must have its bank alone (api.md, lock of a bank).
    pub const fn exclusive(self) -> bool {
        matches!(self, Self::Backup | Self::RestoreTest | Self::Prune | Self::Recover)
    }

    /// The kind that must have succeeded earlier in the same run, where the run has it at all.
    pub const fn needs(self) -> Option<Self> {
        match self {
            Self::VerifyBackup | Self::RestoreTest => Some(Self::Backup),
            _ => None,
        }
    }

    /// Whether this version can do such a task; one that it cannot ends Unknown/NotMeasured.
    pub const fn implemented(self) -> bool {
        !matches!(self, Self::Learn)
    }
}

/// One part of an integrity check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum IntegrityScope {
    Database,
    VectorStore,
    Consistency,
    Files,
    Backups,
}

impl IntegrityScope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Database, Self::VectorStore, Self::Consistency, Self::Files, Self::Backups];

    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "Database",
            Self::VectorStore => "VectorStore",
            Self::Consistency => "Consistency",
            Self::Files => "Files",
            Self::Backups => "Backups",
        }
    }
}

/// One part of a security audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum AuditScope {
    Leaks,
    Posture,
    Probes,
    Vulnerabilities,
    Access,
    Erasure,
}

impl AuditScope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Leaks, Self::Posture, Self::Probes, Self::Vulnerabilities, Self::Access, Self::Erasure];

    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaks => "Leaks",
            Self::Posture => "Posture",
            Self::Probes => "Probes",
            Self::Vulnerabilities => "Vulnerabilities",
            Self::Access => "Access",
            Self::Erasure => "Erasure",
        }
    }

    /// Whether this version can measure it.
    pub const fn implemented(self) -> bool {
        matches!(self, Self::Leaks | Self::Erasure)
    }
}

/// The work of a task with its arguments. Scopes are never empty: planning fills in what the bank has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all_fields = "camelCase")]
#[allow(missing_docs)]
pub enum Work {
    Probe,
    Backup,
    VerifyBackup,
    RestoreTest,
    IntegrityCheck {
        level: Level,
        scopes: Vec<IntegrityScope>,
        /// At level `Checksum`: the share of the bytes to read, 1 to 100 percent.
        share_percent: u8,
    },
    ConsistencyCheck,
    SecurityAudit {
        scopes: Vec<AuditScope>,
    },
    Optimize,
    Prune(Pruning),
    Learn,
    Recover {
        /// The damage that it mends ([`super::CorruptionEvent::key`]); empty for all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Digest>,
        /// The backup set that it takes from; none for the newest that was verified.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<String>,
        /// How far it may go.
        consent: Consent,
    },
}

impl Work {
    /// The kind of this work.
    pub const fn kind(&self) -> TaskKind {
        match self {
            Self::Probe => TaskKind::Probe,
            Self::Backup => TaskKind::Backup,
            Self::VerifyBackup => TaskKind::VerifyBackup,
            Self::RestoreTest => TaskKind::RestoreTest,
            Self::IntegrityCheck { .. } => TaskKind::IntegrityCheck,
            Self::ConsistencyCheck => TaskKind::ConsistencyCheck,
            Self::SecurityAudit { .. } => TaskKind::SecurityAudit,
            Self::Optimize => TaskKind::Optimize,
            Self::Prune(_) => TaskKind::Prune,
            Self::Learn => TaskKind::Learn,
            Self::Recover { .. } => TaskKind::Recover,
        }
    }
}

/// One task of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its name, unique within the run.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
    /// Its own deadline in seconds; the run's deadline bounds it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u32>,
}
