use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Outcome, RunSpec};

/// Who asked for a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum RunOwner {
    /// A schedule of a policy.
    Policy {
        /// The policy's name.
        policy: String,
        /// The schedule's name.
        schedule: String,
    },
    /// An IntegrityCheck.
    Check {
        /// Its name.
        check: String,
    },
    /// A SecurityAudit.
    Audit {
        /// Its name.
        audit: String,
    },
    /// A person, by a MaintenanceRun.
    Hand,
}

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RunPhase {
    Pending,
    Held,
    Running,
    Succeeded,
    Failed,
    Skipped,
    Unknown,
}

impl RunPhase {
    /// Whether it has not begun.
    pub const fn waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Held)
    }

    /// Whether it has ended.
    pub const fn finished(self) -> bool {
        !matches!(self, Self::Pending | Self::Held | Self::Running)
    }

    /// The form in documents.
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
}

impl From<Outcome> for RunPhase {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Skipped => Self::Skipped,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

/// A run that is there, as planning sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// Who asked for it.
    pub owner: RunOwner,
    /// Where it is.
    pub phase: RunPhase,
    /// Its slot; none where it was asked for at once.
    pub slot: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Whether it must have the bank alone.
    pub exclusive: bool,
}

/// A run to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// What is to be done; it names the run.
    pub spec: RunSpec,
    /// Who asks for it.
    pub owner: RunOwner,
    /// Its slot; none where it is asked for at once.
    pub slot: Option<Timestamp>,
    /// Whether it must have the bank alone.
    pub exclusive: bool,
}

impl PlannedRun {
    /// A run of a spec.
    pub fn new(spec: RunSpec, owner: RunOwner, slot: Option<Timestamp>) -> Self {
        let exclusive = spec.tasks.iter().any(|task| task.work.kind().exclusive());
        Self { spec, owner, slot, exclusive }
    }

    /// As it will be seen once it is made.
    pub fn view(&self, now: Timestamp) -> RunView {
        RunView {
            name: self.spec.run.clone(),
            owner: self.owner.clone(),
            phase: RunPhase::Pending,
            slot: self.slot,
            created: now,
            finished: None,
            exclusive: self.exclusive,
        }
    }
}

/// The name of a run that was asked for at once: as that of a slot, with the request's token in its place.
pub(super) fn at_once_name(owner: &str, bank: &str, what: &str, token: &str) -> String {
    let of_slot = crate::engine::schedule::run_name(owner, bank, what, Timestamp::UNIX_EPOCH);
    let digest = crate::domain::Digest::of(token.as_bytes()).to_string();
    format!("{}t{}", of_slot.trim_end_matches('0'), &digest[..7])
}
