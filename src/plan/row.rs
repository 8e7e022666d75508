use jiff::Timestamp;

use super::event::{EventDraft, EventReason};
use super::run::{PlannedRun, RunOwner, RunView};
use super::spec::run_spec;
use crate::domain::{Phase, Reason};
use crate::engine::schedule::{ConcurrencyPolicy, Due, Rule, Since, asked, due, run_name, spread_offset};
use crate::resources::{RunNow, ScheduleStatus, Time, ValidBank, ValidPolicy, ValidSchedule};

/// What one schedule of one policy asks for now.
#[derive(Debug, Default)]
pub(super) struct RowPlan {
    pub row: ScheduleStatus,
    pub create: Vec<PlannedRun>,
    pub skip: Vec<(String, Reason, String)>,
    pub cancel: Vec<String>,
    pub events: Vec<EventDraft>,
    pub next: Option<Timestamp>,
}

/// Plans one schedule: its due slot, its run-now token, and its row in the bank's status.
pub(super) fn plan_row(
    bank: &ValidBank,
    policy: &ValidPolicy,
    schedule: &ValidSchedule,
    before: Option<&ScheduleStatus>,
    runs: &[RunView],
    now: Timestamp,
) -> RowPlan {
    let owner = RunOwner::Policy { policy: policy.meta.name.clone(), schedule: schedule.name.clone() };
    let ours: Vec<&RunView> = runs.iter().filter(|run| run.owner == owner).collect();
    let mut plan = RowPlan { row: before.cloned().unwrap_or_default(), ..RowPlan::default() };
    let changed = before.is_none_or(|row| {
        row.cron.as_deref() != Some(schedule.cron.text()) || row.time_zone.as_deref() != Some(schedule.cron.zone_name())
    });
    plan.row.policy.clone_from(&policy.meta.name);
    plan.row.schedule.clone_from(&schedule.name);
    plan.row.cron = Some(schedule.cron.text().to_owned());
    plan.row.time_zone = Some(schedule.cron.zone_name().to_owned());
    plan.row.expected_interval_seconds = i64::try_from(schedule.cron.expected_interval_seconds(now)).ok();
    count_finished(&mut plan.row, &ours);
    let token = policy.run_now.as_ref();
    if bank.suspend || policy.suspend {
        // Suspended time is not missed: the beginning is set anew on resume. A token is echoed, not run.
        plan.row.since_time = None;
        plan.row.next_slot_time = None;
        plan.echo(token, &schedule.name);
        return plan;
    }
    let since = match &plan.row.since_time {
        Some(since) if !changed => since.0,
        _ => Timestamp::from_second(now.as_second()).unwrap_or(now),
    };
    plan.row.since_time = Some(Time(since));
    // A run that was made before the status could be written has handled its slot all the same.
    let made = ours.iter().filter_map(|run| run.slot).max();
    let handled = plan.row.last_handled_slot_time.as_ref().map(|time| time.0).max(made);
    let rule = Rule {
        cron: &schedule.cron,
        starting_deadline_seconds: schedule.starting_deadline_seconds,
        offset_seconds: spread_offset(&bank.meta.name, schedule.spread_seconds),
    };
    let found = due(rule, Since { since, handled }, now);
    plan.take_due(bank, policy, schedule, &ours, &found);
    plan.take_token(bank, policy, schedule, &ours, token);
    plan.row.last_handled_slot_time = found.handled.map(Time);
    plan.row.next_slot_time = schedule.cron.next_after(now).map(Time);
    plan.next = found.next;
    plan
}

impl RowPlan {
    fn take_due(
        &mut self,
        bank: &ValidBank,
        policy: &ValidPolicy,
        schedule: &ValidSchedule,
        ours: &[&RunView],
        found: &Due,
    ) {
        let mut missed = found.missed;
        if let Some(slot) = found.run {
            let running: Vec<_> = ours.iter().filter(|run| run.phase == Phase::Running).collect();
            for waiting in ours.iter().filter(|run| run.phase.waiting() && run.slot.is_some()) {
                let message = format!("its schedule's next slot, {slot}, came before it could start");
                self.event(EventReason::RunSuperseded, format!("{}: {message}", waiting.name));
                self.skip.push((waiting.name.clone(), Reason::Superseded, message));
            }
            if schedule.concurrency == ConcurrencyPolicy::Forbid && !running.is_empty() {
                missed += 1;
                let message =
                    format!("slot {slot} of {}/{}: an earlier run has not ended", policy.meta.name, schedule.name);
                self.event(EventReason::RunSkippedOverlap, message);
            } else {
                if schedule.concurrency == ConcurrencyPolicy::Replace {
                    self.cancel.extend(running.iter().map(|run| run.name.clone()));
                }
                let name = run_name(&policy.meta.name, &bank.meta.name, &schedule.name, slot);
                self.make(bank, policy, schedule, name, Some(slot));
            }
        }
        if found.missed > 0 {
            let count = found.missed;
            self.event(EventReason::SlotMissed, format!("{count} slots of {}/{}", policy.meta.name, schedule.name));
        }
        if missed > 0 || self.row.missed_runs.is_none() {
            self.row.missed_runs = Some(self.row.missed_runs.unwrap_or_default() + missed);
        }
    }

    fn take_token(
        &mut self,
        bank: &ValidBank,
        policy: &ValidPolicy,
        schedule: &ValidSchedule,
        ours: &[&RunView],
        token: Option<&RunNow>,
    ) {
        let Some(request) = token else { return };
        let handled = self.row.last_run_now_token.as_deref();
        if !asked(&request.token, request.schedule.as_deref(), &schedule.name, handled) {
            return;
        }
        let name = super::run::at_once_name(&policy.meta.name, &bank.meta.name, &schedule.name, &request.token);
        if !ours.iter().any(|run| run.name == name) {
            self.make(bank, policy, schedule, name, None);
        }
        self.echo(Some(request), &schedule.name);
    }

    fn echo(&mut self, token: Option<&RunNow>, schedule: &str) {
        if let Some(request) = token
            && request.schedule.as_deref().is_none_or(|only| only == schedule)
        {
            self.row.last_run_now_token = Some(request.token.clone());
        }
    }

    fn make(
        &mut self,
        bank: &ValidBank,
        policy: &ValidPolicy,
        schedule: &ValidSchedule,
        name: String,
        slot: Option<Timestamp>,
    ) {
        self.event(EventReason::RunCreated, name.clone());
        let spec = run_spec(bank, name, &schedule.tasks, schedule.active_deadline_seconds);
        let owner = RunOwner::Policy { policy: policy.meta.name.clone(), schedule: schedule.name.clone() };
        self.create.push(PlannedRun::new(spec, owner, slot));
    }

    fn event(&mut self, reason: EventReason, message: String) {
        self.events.push(EventDraft { reason, message });
    }
}

/// Takes the runs that ended since the row was written into it, in the order in which they ended.
fn count_finished(row: &mut ScheduleStatus, ours: &[&RunView]) {
    let before = row.last_run_time.as_ref().map(|time| time.0);
    let ended = |run: &&&RunView| run.phase.finished() && run.phase != Phase::Skipped;
    let mut new: Vec<_> = ours
        .iter()
        .filter(ended)
        .filter_map(|run| Some((run.finished?, *run)))
        .filter(|(finished, _)| before.is_none_or(|before| *finished > before))
        .collect();
    new.sort_by_key(|(finished, _)| *finished);
    for (finished, run) in new {
        row.last_run_name = Some(run.name.clone());
        row.last_run_time = Some(Time(finished));
        match run.phase {
            Phase::Succeeded => {
                row.last_success_time = Some(Time(finished));
                row.consecutive_failures = Some(0);
            }
            Phase::Failed => {
                row.consecutive_failures = Some(row.consecutive_failures.unwrap_or_default().saturating_add(1));
            }
            _ => {}
        }
    }
}
