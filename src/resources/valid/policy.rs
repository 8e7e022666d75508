use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::admission::any_slot_within;
use super::task::tasks;
use super::{Meta, Origin, RunNow, Violation, Violations};
use crate::domain::{Task, TaskKind};
use crate::engine::schedule::{Blackout, ConcurrencyPolicy, CronSchedule, Window};
use crate::resources::policy::{
    BlackoutDays, ConcurrencyRule, Day, Hold, MaintenancePolicy, MaintenancePolicySpec, MaintenanceWindow,
    PredictionRule, PurgeRule, RecoveryRule, Retention, Schedule, Thresholds,
};
use crate::resources::{LabelSelector, rules};

/// A validated MaintenancePolicy.
#[derive(Clone, Debug)]
pub struct ValidPolicy {
    /// Name, labels and so on.
    pub meta: Meta,
    /// Which banks.
    pub bank_selector: LabelSelector,
    /// Of which other namespaces too; without effect in local mode.
    pub namespace_selector: Option<LabelSelector>,
    /// Plans no runs.
    pub suspend: bool,
    /// The zone of cron, windows and blackouts.
    pub time_zone: TimeZone,
    /// Runs start only inside one of them; without any, always.
    pub windows: Vec<Window>,
    /// Days on which no run starts.
    pub blackouts: Vec<Blackout>,
    /// What holds runs.
    pub hold_while: Vec<Hold>,
    /// What is done when, in the order of the document.
    pub schedules: Vec<ValidSchedule>,
    /// How many succeeded runs are kept, per bank and schedule.
    pub successful_runs_history_limit: u32,
    /// How many failed runs are kept, per bank and schedule.
    pub failed_runs_history_limit: u32,
    /// From where on a condition turns False.
    pub thresholds: Thresholds,
    /// Which backup sets are kept; without it, all.
    pub retention: Option<Retention>,
    /// Which records of the banks go for good.
    pub purge: Option<PurgeRule>,
    /// The recovery that is made for damage; without it, none.
    pub recovery: Option<RecoveryRule>,
    /// What is done about predictions.
    pub prediction: PredictionRule,
    /// A request to run now.
    pub run_now: Option<RunNow>,
}

/// A validated schedule of a policy.
#[derive(Clone, Debug)]
pub struct ValidSchedule {
    /// Its name within the policy.
    pub name: String,
    /// When it is due.
    pub cron: CronSchedule,
    /// What to do, in order. Empty scopes stand for all that the bank declares.
    pub tasks: Vec<Task>,
    /// How many seconds late a run may still be made; without it a fifth of the interval.
    pub starting_deadline_seconds: Option<u32>,
    /// What happens to a slot while an earlier run is not finished.
    pub concurrency: ConcurrencyPolicy,
    /// Spreads the banks over so many seconds.
    pub spread_seconds: u32,
    /// Deadline of a run, in seconds from its start.
    pub active_deadline_seconds: u32,
}

impl ValidPolicy {
    /// Validates a policy, or tells all that is wrong with it.
    pub fn parse(policy: &MaintenancePolicy, origin: Origin<'_>) -> Result<Self, Vec<Violation>> {
        let spec = &policy.spec;
        let mut wrong = Violations::default();
        let meta = Meta::parse(&policy.metadata, spec, origin, &mut wrong);
        check_selector(&spec.bank_selector, "spec.bankSelector", &mut wrong);
        if let Some(selector) = &spec.namespace_selector {
            check_selector(selector, "spec.namespaceSelector", &mut wrong);
        }
        let time_zone = time_zone(&spec.time_zone, "spec.timeZone", &mut wrong);
        let windows = windows(&spec.windows, &mut wrong);
        let blackouts = blackouts(&spec.blackouts, &mut wrong);
        check_holds(spec, &mut wrong);
        // An unknown zone is told once, at its own field.
        let zone = if time_zone.is_some() { &spec.time_zone } else { "UTC" };
        let schedules = spec
            .schedules
            .iter()
            .enumerate()
            .filter_map(|(index, schedule)| {
                let field = format!("spec.schedules[{index}]");
                parse_schedule(schedule, &field, zone, &windows, &mut wrong)
            })
            .collect();
        if let Some(retention) = spec.retention {
            let kept = [retention.last, retention.daily, retention.weekly, retention.monthly];
            wrong.require(kept.iter().any(|n| *n > 0), "spec.retention", rules::RETENTION);
        }
        if let Some(purge) = spec.purge {
            let ages = [purge.deleted_after_seconds, purge.access_log_after_seconds, purge.history_after_seconds];
            wrong.require(ages.iter().any(Option::is_some), "spec.purge", rules::PURGE);
        }
        let names: Vec<_> = spec.schedules.iter().map(|s| s.name.as_str()).collect();
        let run_now = meta.as_ref().and_then(|m| m.run_now(&names, &mut wrong));
        let valid = meta.zip(time_zone).map(|(meta, time_zone)| Self {
            meta,
            bank_selector: spec.bank_selector.clone(),
            namespace_selector: spec.namespace_selector.clone(),
            suspend: spec.suspend,
            time_zone,
            windows,
            blackouts,
            hold_while: spec.hold_while.clone(),
            schedules,
            successful_runs_history_limit: spec.successful_runs_history_limit,
            failed_runs_history_limit: spec.failed_runs_history_limit,
            thresholds: spec.thresholds.clone(),
            retention: spec.retention,
            purge: spec.purge,
            recovery: spec.recovery.clone(),
            prediction: spec.prediction.clone(),
            run_now,
        });
        wrong.into_result(valid)
    }
}

pub(super) fn check_selector(selector: &LabelSelector, field: &str, wrong: &mut Violations) {
    for index in selector.broken_requirements() {
        wrong.add(format!("{field}.matchExpressions[{index}]"), rules::REQUIREMENT);
    }
}

/// A zone of the IANA database.
pub(super) fn time_zone(name: &str, field: &str, wrong: &mut Violations) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let shown: String = name.escape_debug().take(64).collect();
        wrong.add(field, format!("found {shown:?}, expected a time zone of the IANA database, such as Europe/Berlin"));
    }
    zone
}

fn windows(windows: &[MaintenanceWindow], wrong: &mut Violations) -> Vec<Window> {
    let mut valid = Vec::with_capacity(windows.len());
    for (index, window) in windows.iter().enumerate() {
        let field = format!("spec.windows[{index}]");
        let start = time_of_day(&window.start, &format!("{field}.start"), wrong);
        let end = time_of_day(&window.end, &format!("{field}.end"), wrong);
        wrong.require(window.start != window.end, field, rules::WINDOW);
        if let (Some(start), Some(end)) = (start, end) {
            let days = if window.days.is_empty() { ALL_DAYS.to_vec() } else { window.days.clone() };
            valid.push(Window { days: days.into_iter().map(weekday).collect(), start, end });
        }
    }
    valid
}

const ALL_DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

pub(super) fn time_of_day(text: &str, field: &str, wrong: &mut Violations) -> Option<Time> {
    let parsed = Time::strptime("%H:%M", text);
    wrong.keep(field, parsed.map_err(|_| "expected a time of day, HH:MM"))
}

fn blackouts(blackouts: &[BlackoutDays], wrong: &mut Violations) -> Vec<Blackout> {
    let mut valid = Vec::with_capacity(blackouts.len());
    for (index, days) in blackouts.iter().enumerate() {
        let field = format!("spec.blackouts[{index}]");
        // As texts, as the CEL rule compares them.
        wrong.require(days.from <= days.to, field.as_str(), rules::BLACKOUT);
        let mut date = |text: &str, member: &str| {
            let parsed = Date::strptime("%Y-%m-%d", text);
            wrong.keep(format!("{field}.{member}"), parsed.map_err(|_| "expected a day that exists, YYYY-MM-DD"))
        };
        if let (Some(from), Some(to)) = (date(&days.from, "from"), date(&days.to, "to")) {
            valid.push(Blackout { from, to });
        }
    }
    valid
}

/// No schedule waits for what it measures itself.
fn check_holds(spec: &MaintenancePolicySpec, wrong: &mut Violations) {
    for (index, hold) in spec.hold_while.iter().enumerate() {
        let waits = |s: &&Schedule| s.tasks.iter().any(|t| hold.condition.measured_by().contains(&t.task));
        if let Some(schedule) = spec.schedules.iter().find(waits) {
            let message = format!("{} (schedule {} measures {})", rules::HOLDS, schedule.name, hold.condition.name());
            wrong.add(format!("spec.holdWhile[{index}]"), message);
        }
    }
}

fn parse_schedule(
    spec: &Schedule,
    field: &str,
    zone: &str,
    windows: &[Window],
    wrong: &mut Violations,
) -> Option<ValidSchedule> {
    let tasks = tasks(&spec.tasks, &format!("{field}.tasks"), wrong);
    let recovers = spec.tasks.iter().any(|task| task.task == TaskKind::Recover);
    wrong.require(!recovers, format!("{field}.tasks"), rules::RECOVER_MISPLACED);
    let late = spec.starting_deadline_seconds.is_none_or(|deadline| spec.spread_seconds < deadline);
    wrong.require(late, format!("{field}.spreadSeconds"), rules::SPREAD);
    let cron_field = format!("{field}.cron");
    let cron = wrong.keep(cron_field.as_str(), CronSchedule::parse(&spec.cron, zone))?;
    if !windows.is_empty() && !any_slot_within(&cron, windows) {
        wrong.add(cron_field, "no slot lies within spec.windows, so no run would start on time: move one or the other");
    }
    Some(ValidSchedule {
        name: spec.name.clone(),
        cron,
        tasks,
        starting_deadline_seconds: spec.starting_deadline_seconds,
        concurrency: match spec.concurrency_policy {
            ConcurrencyRule::Forbid => ConcurrencyPolicy::Forbid,
            ConcurrencyRule::Allow => ConcurrencyPolicy::Allow,
            ConcurrencyRule::Replace => ConcurrencyPolicy::Replace,
        },
        spread_seconds: spec.spread_seconds,
        active_deadline_seconds: spec.active_deadline_seconds,
    })
}
