use super::check::cron;
use super::{Meta, Origin, RunNow, Violation, Violations};
use crate::domain::{Severity, Task, Work};
use crate::engine::schedule::CronSchedule;
use crate::resources::SecurityAudit;

/// A validated SecurityAudit.
#[derive(Clone, Debug)]
pub struct ValidAudit {
    /// Name, labels and so on.
    pub meta: Meta,
    /// The bank's name.
    pub bank_name: String,
    /// Plans no runs.
    pub suspend: bool,
    /// The one task of its runs. Empty scopes stand for all that the bank declares.
    pub task: Task,
    /// The mildest severity that turns Passed False.
    pub min_severity: Severity,
    /// When it is repeated; without it, once per generation.
    pub schedule: Option<CronSchedule>,
    /// Deadline of a run, in seconds from its start.
    pub active_deadline_seconds: u32,
    /// A request to run now.
    pub run_now: Option<RunNow>,
}

impl ValidAudit {
    /// Validates an audit, or tells all that is wrong with it.
    pub fn parse(audit: &SecurityAudit, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &audit.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&audit.metadata, spec, origin, &mut wrong);
        let schedule = cron(spec.schedule.as_ref(), &mut wrong);
        let run_now = meta.as_ref().and_then(|m| m.run_now(&[], &mut wrong));
        let work = Work::SecurityAudit { scopes: spec.scopes.clone() };
        let valid = meta.map(|meta| Self {
            meta,
            bank_name: spec.bank_name.clone(),
            suspend: spec.suspend,
            task: Task { name: "audit".to_owned(), work, active_deadline_seconds: None },
            min_severity: spec.min_severity,
            schedule,
            active_deadline_seconds: spec.active_deadline_seconds,
            run_now,
        });
        wrong.into_result(valid)
    }
}
