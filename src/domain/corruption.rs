use serde::{Deserialize, Serialize};

use super::{Digest, Severity};

/// The kind of a damage, as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CorruptionType {
    /// Content changed though size and time did not.
    ChecksumMismatch,
    /// A file's structure is broken, or it is missing or cut.
    FileCorruption,
    /// Readable data that contradicts itself or other data.
    DataInconsistency,
}

impl CorruptionType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::ChecksumMismatch, Self::FileCorruption, Self::DataInconsistency];

    /// The form in stored records: `CHECKSUM_MISMATCH`, `FILE_CORRUPTION`, `DATA_INCONSISTENCY`.
    pub const fn record(self) -> &'static str {
        match self {
            Self::ChecksumMismatch => "CHECKSUM_MISMATCH",
            Self::FileCorruption => "FILE_CORRUPTION",
            Self::DataInconsistency => "DATA_INCONSISTENCY",
        }
    }

    /// The form in documents: `ChecksumMismatch`, `FileCorruption`, `DataInconsistency`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::FileCorruption => "FileCorruption",
            Self::DataInconsistency => "DataInconsistency",
        }
    }

    /// Reads the form of stored records.
    pub fn from_record(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.record() == text)
    }
}

/// One damage of one object. Many rows with the same fault are one event with a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorruptionEvent {
    /// The check that saw it ([`super::Check::id`]).
    pub check: String,
    /// The component it is in ([`super::Check::component`]).
    pub component: String,
    /// Its type.
    pub corruption_type: CorruptionType,
    /// The invariant of the workload that it breaks, such as `I7`; none for structural damage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invariant: Option<String>,
    /// How bad it is. Below `Medium` it is told but breaks no condition.
    pub severity: Severity,
    /// What is damaged: a file's path, a table, a table's column. Stable from run to run.
    pub object: String,
    /// How many rows, pages or bytes; 1 for a single thing.
    pub count: u64,
    /// The proof, for people: offsets, ids, expected and found. Never content of a memory.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
}

impl CorruptionEvent {
    /// What makes two sightings the same damage: the digest of bank, check, component, type, invariant, object.
    pub fn key(&self, namespace: &str, bank: &str) -> Digest {
        Digest::of_fields(&[
            namespace,
            bank,
            &self.check,
            &self.component,
            self.corruption_type.record(),
            self.invariant.as_deref().unwrap_or_default(),
            &self.object,
        ])
    }
}
