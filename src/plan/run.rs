use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Phase, RunSpec};

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

/// A run that is there, as planning sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// Who asked for it.
    pub owner: RunOwner,
    /// Where it is.
    pub phase: Phase,
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
            phase: Phase::Pending,
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
