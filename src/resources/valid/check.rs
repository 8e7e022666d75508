use super::policy::time_zone;
use super::{Meta, Origin, RunNow, Violation, Violations};
use crate::domain::{Level, Task, Work};
use crate::engine::schedule::CronSchedule;
use crate::resources::{CheckLevel, CronRule, IntegrityCheck, rules};

/// A validated IntegrityCheck.
#[derive(Clone, Debug)]
pub struct ValidCheck {
    /// Name, labels and so on.
    pub meta: Meta,
    /// The bank's name.
    pub bank_name: String,
    /// Plans no runs.
    pub suspend: bool,
    /// The one task of its runs. Empty scopes stand for all that the bank declares.
    pub task: Task,
    /// When it is repeated; without it, once per generation.
    pub schedule: Option<CronSchedule>,
    /// Deadline of a run, in seconds from its start.
    pub active_deadline_seconds: u32,
    /// A request to run now.
    pub run_now: Option<RunNow>,
}

impl ValidCheck {
    /// Validates a check, or tells all that is wrong with it.
    pub fn parse(check: &IntegrityCheck, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &check.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&check.metadata, spec, origin, &mut wrong);
        let at = |level| Work::IntegrityCheck { level, scopes: spec.scopes.clone(), share_percent: spec.share_percent };
        let work = match spec.level {
            CheckLevel::Quick => at(Level::Quick),
            CheckLevel::Checksum => at(Level::Checksum),
            CheckLevel::Full => at(Level::Full),
            CheckLevel::RestoreTest => {
                wrong.require(spec.scopes.is_empty(), "spec.scopes", rules::RESTORE_SCOPES);
                Work::RestoreTest
            }
        };
        let schedule = cron(spec.schedule.as_ref(), &mut wrong);
        let run_now = meta.as_ref().and_then(|m| m.run_now(&[], &mut wrong));
        let valid = meta.map(|meta| Self {
            meta,
            bank_name: spec.bank_name.clone(),
            suspend: spec.suspend,
            task: Task { name: "check".to_owned(), work, active_deadline_seconds: None },
            schedule,
            active_deadline_seconds: spec.active_deadline_seconds,
            run_now,
        });
        wrong.into_result(valid)
    }
}

/// The schedule of a check or an audit.
pub(super) fn cron(rule: Option<&CronRule>, wrong: &mut Violations) -> Option<CronSchedule> {
    let rule = rule?;
    let known = time_zone(&rule.time_zone, "spec.schedule.timeZone", wrong).is_some();
    // An unknown zone is told once, at its own field.
    let zone = if known { &rule.time_zone } else { "UTC" };
    wrong.keep("spec.schedule.cron", CronSchedule::parse(&rule.cron, zone))
}
