use serde::{Deserialize, Serialize};

use super::Severity;

/// The kind of a security event, as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecurityEventType {
    /// A rule of an audit is broken.
    Audit,
    /// A secret or personal data lies where it should not.
    DataLeak,
    /// Somebody used what they may not.
    UnauthorizedAccess,
    /// A component with a known hole.
    Vulnerability,
}

impl SecurityEventType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Audit, Self::DataLeak, Self::UnauthorizedAccess, Self::Vulnerability];

    /// The form in stored records: `AUDIT`, `DATA_LEAK`, `UNAUTHORIZED_ACCESS`, `VULNERABILITY`.
    pub const fn record(self) -> &'static str {
        match self {
            Self::Audit => "AUDIT",
            Self::DataLeak => "DATA_LEAK",
            Self::UnauthorizedAccess => "UNAUTHORIZED_ACCESS",
            Self::Vulnerability => "VULNERABILITY",
        }
    }

    /// Reads the form of stored records.
    pub fn from_record(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.record() == text)
    }
}

/// What a finding is beside those of earlier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// Seen for the first time.
    New,
    /// Seen before, and still there.
    Persisting,
    /// Looked for and no longer there.
    Fixed,
    /// Accepted by a waiver.
    Waived,
}

impl FindingState {
    /// The form in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Persisting => "persisting",
            Self::Fixed => "fixed",
            Self::Waived => "waived",
        }
    }
}

/// One finding of an audit. It never carries a secret or a person's data: only where it is, its kind,
/// a masked excerpt and a keyed fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check that saw it ([`super::Check::id`]).
    pub check: String,
    /// The component it is in ([`super::Check::component`]).
    pub component: String,
    /// The rule, stable kebab-case, such as `openai-api-key`.
    pub rule: String,
    /// Its kind.
    pub event_type: SecurityEventType,
    /// How bad it is.
    pub severity: Severity,
    /// Where: `memories/ID/content`, `.env:3`. Never content.
    pub place: String,
    /// What it is, for people.
    pub title: String,
    /// The masked excerpt; empty where the rule has none.
    pub excerpt: String,
    /// HMAC-SHA-256 over rule, component, place and value under the bank's key, as hex: the same finding
    /// has the same fingerprint in every run, and nobody without the key can test a guess against it.
    pub fingerprint: String,
    /// What to do about it.
    pub advice: String,
}
