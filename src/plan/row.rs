use jiff::{SignedDuration, Timestamp};

use super::event::{EventDraft, EventReason};
use super::reason::ConditionReason;
use super::view::{PolicyAsk, RunOwner, RunView};
use super::wake::{Wake, after};
use crate::domain::Phase;
use crate::engine::schedule::{
    ConcurrencyPolicy, MAX_MISSED, Rule, Since, asked, due, request_name, run_name, spread_offset,
};
use crate::resources::{ScheduleStatus, Time, ValidPolicy, ValidSchedule};

/// What one schedule of one policy comes to.
pub struct Row<'a> {
    pub policy: &'a ValidPolicy,
    pub schedule: &'a ValidSchedule,
    pub status: ScheduleStatus,
    /// Names and slots of the runs to make.
    pub make: Vec<(String, Timestamp)>,
    pub events: Vec<EventDraft>,
}

impl Row<'_> {
    /// Who owns its runs.
    pub fn owner(&self) -> RunOwner {
        RunOwner::Policy { policy: self.policy.meta.name.clone(), schedule: self.schedule.name.clone() }
    }
}

/// Plans one schedule of one policy. `runs` are its own runs, `taken` tells the owners of other runs' names.
pub fn plan_row<'a>(
    bank: &str,
    bank_suspended: bool,
    (ask, schedule): (&PolicyAsk<'a>, &'a ValidSchedule),
    old: Option<&ScheduleStatus>,
    runs: &[&RunView],
    now: Timestamp,
    wake: &mut Wake,
) -> Row<'a> {
    let policy = ask.policy;
    let names = Names { policy: &policy.meta.name, bank, schedule: &schedule.name };
    let mut row = Row { policy, schedule, status: carried(names, old, schedule), make: Vec::new(), events: Vec::new() };
    account(&mut row.status, names, runs);
    let interval = schedule.cron.expected_interval_seconds(now);
    row.status.expected_interval_seconds = i64::try_from(interval).ok();
    // A row without a next slot was suspended.
    let active = old.filter(|old| same_clock(old, schedule) && old.next_slot_time.is_some());
    if bank_suspended || policy.suspend {
        row.status.next_slot_time = None;
    } else {
        let since = active.and_then(|old| old.since_time.as_ref()).map_or(now, |time| time.0);
        let since = old.and_then(|old| old.since_time.as_ref()).map_or(since, |time| since.max(time.0));
        row.status.since_time = Some(Time(since));
        plan_slot(&mut row, names, since, runs, now, wake);
    }
    plan_request(&mut row, names, ask, old.is_none(), bank_suspended || policy.suspend, runs, now);
    row
}

#[derive(Clone, Copy)]
struct Names<'a> {
    policy: &'a str,
    bank: &'a str,
    schedule: &'a str,
}

impl Names<'_> {
    fn of_slot(&self, slot: Timestamp) -> String {
        run_name(self.policy, self.bank, self.schedule, slot)
    }

    /// Whether a run of this schedule is that of its slot, not that of a request.
    fn by_slot(&self, run: &RunView) -> bool {
        run.slot.is_some_and(|slot| run.name == self.of_slot(slot))
    }
}

/// Whether a run was asked for by a request or a generation, not by a slot: no slot supersedes it, and no window
/// holds it.
pub fn requested(run: &RunView, bank: &str) -> bool {
    match &run.owner {
        RunOwner::Policy { policy, schedule } => !Names { policy, bank, schedule }.by_slot(run),
        _ => run.slot.is_none(),
    }
}

fn same_clock(old: &ScheduleStatus, schedule: &ValidSchedule) -> bool {
    old.cron.as_deref() == Some(schedule.cron.text()) && old.time_zone.as_deref() == Some(schedule.cron.zone_name())
}

fn carried(names: Names<'_>, old: Option<&ScheduleStatus>, schedule: &ValidSchedule) -> ScheduleStatus {
    ScheduleStatus {
        policy: names.policy.to_owned(),
        schedule: names.schedule.to_owned(),
        cron: Some(schedule.cron.text().to_owned()),
        time_zone: Some(schedule.cron.zone_name().to_owned()),
        missed_runs: Some(old.and_then(|old| old.missed_runs).unwrap_or(0)),
        consecutive_failures: Some(old.and_then(|old| old.consecutive_failures).unwrap_or(0)),
        ..old.cloned().unwrap_or_default()
    }
}

/// Takes into account every run that ended after the newest one that was. Runs that ended in the same second
/// are told apart by their names.
fn account(status: &mut ScheduleStatus, names: Names<'_>, runs: &[&RunView]) {
    let newest_slot = runs.iter().filter(|run| names.by_slot(run)).filter_map(|run| run.slot).max();
    let handled = status.last_handled_slot_time.as_ref().map(|time| time.0);
    status.last_handled_slot_time = handled.max(newest_slot).map(Time);
    // What was skipped never ran.
    let ran = |run: &&&RunView| run.phase.finished() && run.phase != Phase::Skipped;
    let mut ended: Vec<_> =
        runs.iter().filter(ran).filter_map(|run| Some((run.finished?, run.name.as_str(), *run))).collect();
    ended.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    for (finished, name, run) in ended {
        let seen = status.last_run_time.as_ref().map(|time| time.0);
        if (Some(finished), Some(name)) <= (seen, status.last_run_name.as_deref()) {
            continue;
        }
        status.last_run_time = Some(Time(finished));
        status.last_run_name = Some(name.to_owned());
        match run.phase {
            Phase::Succeeded => {
                status.last_success_time = Some(Time(finished));
                status.consecutive_failures = Some(0);
            }
            Phase::Failed => {
                let failures = status.consecutive_failures.unwrap_or(0);
                status.consecutive_failures = Some(failures.saturating_add(1));
            }
            _ => {}
        }
        let missed = status.last_missed_slot_time.as_ref().map(|time| time.0);
        if run.slot > missed {
            status.last_missed_slot_time = None;
        }
    }
}

fn plan_slot(
    row: &mut Row<'_>,
    names: Names<'_>,
    since: Timestamp,
    runs: &[&RunView],
    now: Timestamp,
    wake: &mut Wake,
) {
    let schedule = row.schedule;
    let offset_seconds = spread_offset(names.bank, schedule.spread_seconds);
    let rule =
        Rule { cron: &schedule.cron, starting_deadline_seconds: schedule.starting_deadline_seconds, offset_seconds };
    let handled = row.status.last_handled_slot_time.as_ref().map(|time| time.0);
    let found = due(rule, Since { since, handled }, now);
    wake.at(found.next);
    let offset = SignedDuration::from_secs(i64::from(offset_seconds));
    row.status.next_slot_time = found.next.and_then(|next| next.checked_sub(offset).ok()).map(Time);
    row.status.last_handled_slot_time = found.handled.map(Time);
    if found.missed > 0 {
        note_missed(row, found.missed, found.run, found.handled);
    }
    let Some(slot) = found.run else { return };
    let running = runs.iter().find(|run| run.phase == Phase::Running);
    match running {
        Some(run) if schedule.concurrency == ConcurrencyPolicy::Forbid => {
            let message =
                format!("{}/{}: the slot {slot} is skipped, for {} still runs", names.policy, names.schedule, run.name);
            row.events.push(EventDraft::new(EventReason::RunSkippedOverlap, message));
        }
        _ => row.make.push((names.of_slot(slot), slot)),
    }
}

fn note_missed(row: &mut Row<'_>, missed: u64, run: Option<Timestamp>, handled: Option<Timestamp>) {
    let just_before = |slot: Timestamp| row.schedule.cron.at_or_before(slot - SignedDuration::from_secs(1));
    let newest = run.map_or(handled, just_before);
    row.status.missed_runs = Some(row.status.missed_runs.unwrap_or(0).saturating_add(missed));
    row.status.last_missed_slot_time = newest.map(Time);
    let count = if missed >= MAX_MISSED { format!("at least {missed}") } else { missed.to_string() };
    let message = format!(
        "{}/{}: {count} slots were missed, the newest {}: nothing planned them within their deadline",
        row.policy.meta.name,
        row.schedule.name,
        newest.map(|slot| slot.to_string()).unwrap_or_default()
    );
    row.events.push(EventDraft::new(EventReason::SlotMissed, message));
}

/// Handles a request to run now, once.
fn plan_request(
    row: &mut Row<'_>,
    names: Names<'_>,
    ask: &PolicyAsk<'_>,
    new: bool,
    suspended: bool,
    runs: &[&RunView],
    now: Timestamp,
) {
    let Some(request) = &ask.policy.run_now else { return };
    let handled = row.status.last_run_now_token.as_deref();
    if !asked(&request.token, request.schedule.as_deref(), names.schedule, handled) {
        return;
    }
    row.status.last_run_now_token = Some(request.token.clone());
    let echoed_before = new && ask.echoed == Some(request.to_string().as_str());
    let name = request_name(names.policy, names.bank, names.schedule, &request.token);
    if !suspended && !echoed_before && runs.iter().all(|run| run.name != name) {
        let minute = now.as_second().div_euclid(60) * 60;
        row.make.push((name, Timestamp::from_second(minute).unwrap_or(now)));
    }
}

/// What is wrong with a schedule, as its row tells it; the worst first.
pub fn trouble(
    row: &ScheduleStatus,
    active_deadline_seconds: u32,
    wake: &mut Wake,
) -> Option<(ConditionReason, String)> {
    let id = format!("{}/{}", row.policy, row.schedule);
    // Suspended: nothing is expected.
    let next = row.next_slot_time.as_ref()?.0;
    if let Some(slot) = &row.last_missed_slot_time {
        let message = format!(
            "{id} missed the slot {} ({} since its beginning): see that memorybank runs without a break; the next run clears this",
            slot.0,
            row.missed_runs.unwrap_or(0)
        );
        return Some((ConditionReason::SlotMissed, message));
    }
    let since = row.since_time.as_ref().map(|time| time.0);
    let handled = row.last_handled_slot_time.as_ref().map(|time| time.0).max(since);
    if let Some(ahead) = handled.filter(|handled| *handled > next) {
        let message = format!(
            "{id} is handled up to {ahead}, which is ahead: a clock was wrong; nothing runs until then unless the schedule is renamed"
        );
        return Some((ConditionReason::Overdue, message));
    }
    let interval = row.expected_interval_seconds.unwrap_or(0);
    let since = since.max(row.last_run_time.as_ref().map(|time| time.0));
    let limit = after(since?, interval.saturating_mul(2).saturating_add(i64::from(active_deadline_seconds)));
    if wake.passed(limit) {
        let message = format!("{id} had no run that ended by {limit}, twice its interval: look at its runs");
        return Some((ConditionReason::Overdue, message));
    }
    let failures = row.consecutive_failures.unwrap_or(0);
    (failures > 0).then(|| {
        let run = row.last_run_name.as_deref().unwrap_or_default();
        (ConditionReason::RunsFailing, format!("{id} failed {failures} times in a row, last {run}: see its message"))
    })
}
