use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A part of a bank that answers over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum NetworkPart {
    Api,
    Database,
    VectorStore,
}

impl NetworkPart {
    /// Every part, in the order in which they are judged.
    pub const ALL: [Self; 3] = [Self::Api, Self::Database, Self::VectorStore];

    /// The form in documents and records: the field of the spec that declares it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Database => "database",
            Self::VectorStore => "vectorStore",
        }
    }

    /// The part of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// Why a part was not reached, or could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // docs/reachability.md explains each.
pub enum ReachReason {
    // Measured: it is not reached.
    ApiUnreachable,
    ApiError,
    DatabaseUnreachable,
    VectorStoreUnreachable,
    CanaryFailed,
    AuthenticationFailed,
    // Not measurable: it was not asked.
    SecretNotFound,
    SecretForbidden,
    SecretUnreadable,
    AddressForbidden,
}

impl ReachReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::ApiUnreachable,
        Self::ApiError,
        Self::DatabaseUnreachable,
        Self::VectorStoreUnreachable,
        Self::CanaryFailed,
        Self::AuthenticationFailed,
        Self::SecretNotFound,
        Self::SecretForbidden,
        Self::SecretUnreadable,
        Self::AddressForbidden,
    ];

    /// The form in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiUnreachable => "ApiUnreachable",
            Self::ApiError => "ApiError",
            Self::DatabaseUnreachable => "DatabaseUnreachable",
            Self::VectorStoreUnreachable => "VectorStoreUnreachable",
            Self::CanaryFailed => "CanaryFailed",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretForbidden => "SecretForbidden",
            Self::SecretUnreadable => "SecretUnreadable",
            Self::AddressForbidden => "AddressForbidden",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether the part was asked: it is known not to answer as it should.
    pub const fn measured(self) -> bool {
        !matches!(self, Self::SecretNotFound | Self::SecretForbidden | Self::SecretUnreadable | Self::AddressForbidden)
    }
}

/// What came of asking a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// It answered as it should.
    Reached,
    /// It did not, or could not be asked.
    Missed {
        /// Why, as a closed set.
        reason: ReachReason,
        /// The same for people, and what to do: never content, a header, or who logs in. The same trouble has
        /// the same words each time.
        message: String,
    },
}

impl Reach {
    /// Why it was not reached.
    pub const fn reason(&self) -> Option<ReachReason> {
        match self {
            Self::Reached => None,
            Self::Missed { reason, .. } => Some(*reason),
        }
    }
}

/// One sample of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartSample {
    /// Which part.
    pub part: NetworkPart,
    /// When it was asked.
    pub time: Timestamp,
    /// When the first of the samples was taken that came to the same without a break.
    pub since: Timestamp,
    /// How long the answer took.
    pub milliseconds: u64,
    /// What came of it.
    pub outcome: Reach,
}
