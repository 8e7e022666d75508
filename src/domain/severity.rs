use serde::{Deserialize, Serialize};

/// How bad a finding or a damage is, ordered from `Low` to `Critical`.
///
/// Documents write it in CamelCase; stored records write it in upper case ([`Severity::record`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing, nothing to do now.
    Low,
    /// Should be mended in time.
    Medium,
    /// Data or secrets are at risk.
    High,
    /// Data is being lost, or exposed, now.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The form in stored records: `LOW`, `MEDIUM`, `HIGH`, `CRITICAL`.
    pub const fn record(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// The form in documents, labels and tables: `Low`, `Medium`, `High`, `Critical`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// Reads the form of stored records.
    pub fn from_record(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.record() == text)
    }
}
