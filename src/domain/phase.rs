use serde::{Deserialize, Serialize};

use super::Outcome;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Made, and to be started as soon as it may.
    Pending,
    /// Made, and kept from starting.
    Held,
    /// Being executed.
    Running,
    /// Ended, and did its work.
    Succeeded,
    /// Ended, and could not do its work.
    Failed,
    /// Ended without having begun.
    Skipped,
    /// Ended, and could not measure all.
    Unknown,
}

impl Phase {
    /// The form in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Held => "Held",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Unknown => "Unknown",
        }
    }

    /// How the run ended; none while it has not.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Pending | Self::Held | Self::Running => None,
            Self::Succeeded => Some(Outcome::Succeeded),
            Self::Failed => Some(Outcome::Failed),
            Self::Skipped => Some(Outcome::Skipped),
            Self::Unknown => Some(Outcome::Unknown),
        }
    }

    /// Whether it has not begun.
    pub const fn waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Held)
    }

    /// Whether it has ended.
    pub const fn finished(self) -> bool {
        self.outcome().is_some()
    }
}

impl From<Outcome> for Phase {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Skipped => Self::Skipped,
            Outcome::Unknown => Self::Unknown,
        }
    }
}
