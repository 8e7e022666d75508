use jiff::Timestamp;

use super::task::tasks;
use super::{Meta, Origin, Violation, Violations};
use crate::domain::Task;
use crate::resources::{MaintenanceRun, rules};

/// A validated MaintenanceRun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidRun {
    /// Name, labels and so on.
    pub meta: Meta,
    /// The bank's name.
    pub bank_name: String,
    /// What to do, in order. Empty scopes stand for all that the bank declares.
    pub tasks: Vec<Task>,
    /// The slot that it was planned for; none of a run made by hand.
    pub planned: Option<Planned>,
    /// Deadline of the run, in seconds from its start.
    pub active_deadline_seconds: u32,
    /// Deletes it so many seconds after it finished.
    pub ttl_seconds_after_finished: Option<u32>,
}

/// The slot of a planned run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The policy's name.
    pub policy: String,
    /// The schedule's name.
    pub schedule: String,
    /// The nominal time.
    pub slot: Timestamp,
}

impl ValidRun {
    /// Validates a run, or tells all that is wrong with it.
    pub fn parse(run: &MaintenanceRun, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &run.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&run.metadata, spec, origin, &mut wrong);
        let tasks = tasks(&spec.tasks, "spec.tasks", &mut wrong);
        let planned = match (&spec.policy_name, &spec.schedule_name, &spec.slot_time) {
            (Some(policy), Some(schedule), Some(slot)) => {
                Some(Planned { policy: policy.clone(), schedule: schedule.clone(), slot: slot.0 })
            }
            (None, None, None) => None,
            _ => {
                wrong.add("spec", rules::PLANNED);
                None
            }
        };
        let valid = meta.map(|meta| Self {
            meta,
            bank_name: spec.bank_name.clone(),
            tasks,
            planned,
            active_deadline_seconds: spec.active_deadline_seconds,
            ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
        });
        wrong.into_result(valid)
    }
}
