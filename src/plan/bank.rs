use jiff::Timestamp;

use super::conditions::{Basis, conditions};
use super::event::EventDraft;
use super::history::surplus;
use super::queue::{Held, queue};
use super::row::plan_row;
use super::run::{PlannedRun, RunView};
use crate::domain::{BankFacts, Reason};
use crate::resources::{
    CorruptionStatus, FindingCounts, MemoryBankStatus, ScheduleStatus, Time, ValidAudit, ValidBank, ValidCheck,
    ValidPolicy,
};

/// A bank's status has no more rows of schedules than this.
const MAX_ROWS: usize = 64;

/// Who asks something of a bank.
#[derive(Clone, Debug, Default)]
pub struct Asks<'a> {
    /// The policies that select it.
    pub policies: Vec<&'a ValidPolicy>,
    /// The checks that name it.
    pub checks: Vec<&'a ValidCheck>,
    /// The audits that name it.
    pub audits: Vec<&'a ValidAudit>,
}

/// What is there now.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The bank's status, as last written.
    pub status: Option<&'a MemoryBankStatus>,
    /// Its runs, whoever asked for them.
    pub runs: &'a [RunView],
    /// What the store knows of it.
    pub facts: &'a BankFacts,
}

/// What is to be done about a bank, in this order.
#[derive(Clone, Debug, Default)]
pub struct BankPlan {
    /// Runs to make.
    pub create: Vec<PlannedRun>,
    /// Waiting runs that end without having begun: name, why, for people.
    pub skip: Vec<(String, Reason, String)>,
    /// Running runs to stop.
    pub cancel: Vec<String>,
    /// Waiting runs that may start, among them those just made.
    pub start: Vec<String>,
    /// Waiting runs that may not, and why.
    pub held: Vec<Held>,
    /// Finished runs beyond the limits.
    pub delete: Vec<String>,
    /// The status that is true once the rest is done.
    pub status: MemoryBankStatus,
    /// What happened.
    pub events: Vec<EventDraft>,
    /// When to look again, should nothing happen before.
    pub next: Option<Timestamp>,
}

/// Plans a bank at `now`. `made` are runs that checks and audits have just asked for.
pub fn plan_bank(
    bank: &ValidBank,
    asks: &Asks<'_>,
    observed: Observed<'_>,
    made: Vec<PlannedRun>,
    now: Timestamp,
) -> BankPlan {
    let mut plan = BankPlan { create: made, ..BankPlan::default() };
    let rows = plan.plan_rows(bank, asks, observed, now);

    let mut runs: Vec<RunView> =
        observed.runs.iter().filter(|run| !plan.skip.iter().any(|(name, ..)| *name == run.name)).cloned().collect();
    let new: Vec<RunView> = plan.create.iter().map(|planned| planned.view(now)).collect();
    runs.extend(new);
    let before = observed.status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let queue = queue(asks, bank.suspend, before, &runs, now);
    runs.retain(|run| !queue.skip.iter().any(|(name, ..)| *name == run.name));
    plan.start = queue.start;
    plan.held = queue.held;
    plan.skip.extend(queue.skip);
    plan.delete = surplus(asks, observed.runs, now);
    plan.next = [plan.next, queue.next].into_iter().flatten().min();

    let basis = Basis {
        bank,
        asks,
        facts: observed.facts,
        rows: &rows,
        too_many_rows: rows.len() > MAX_ROWS,
        runs: &runs,
        held: &plan.held,
        now,
    };
    let (conditions, health) = conditions(&basis, before);
    plan.status = status(bank, observed, &runs, rows, now);
    plan.status.active_alerts =
        u32::try_from(conditions.iter().filter(|c| c.status == "False" && c.type_ != "Ready").count()).ok();
    plan.status.conditions = conditions;
    plan.status.health = Some(health);
    plan
}

impl BankPlan {
    /// Plans each schedule of each policy, and collects what they ask for.
    fn plan_rows(
        &mut self,
        bank: &ValidBank,
        asks: &Asks<'_>,
        observed: Observed<'_>,
        now: Timestamp,
    ) -> Vec<ScheduleStatus> {
        let before = observed.status.map(|status| status.schedules.as_slice()).unwrap_or_default();
        let mut rows = Vec::new();
        for policy in &asks.policies {
            for schedule in &policy.schedules {
                let row = before.iter().find(|row| row.policy == policy.meta.name && row.schedule == schedule.name);
                let planned = plan_row(bank, policy, schedule, row, observed.runs, now);
                rows.push(planned.row);
                self.create.extend(planned.create);
                self.skip.extend(planned.skip);
                self.cancel.extend(planned.cancel);
                self.events.extend(planned.events);
                self.next = [self.next, planned.next].into_iter().flatten().min();
            }
        }
        rows
    }
}

fn status(
    bank: &ValidBank,
    observed: Observed<'_>,
    runs: &[RunView],
    mut rows: Vec<ScheduleStatus>,
    now: Timestamp,
) -> MemoryBankStatus {
    rows.truncate(MAX_ROWS);
    let before = observed.status.cloned().unwrap_or_default();
    let newest = runs.iter().filter_map(|run| run.finished).max().filter(|finished| *finished <= now);
    let known = before.last_run_time.as_ref().map(|time| time.0);
    let findings = &observed.facts.findings;
    MemoryBankStatus {
        observed_generation: bank.meta.generation,
        last_run_time: newest.max(known).map(Time),
        schedules: rows,
        findings: Some(FindingCounts {
            critical: Some(findings.critical),
            high: Some(findings.high),
            medium: Some(findings.medium),
            low: Some(findings.low),
            new: Some(findings.new),
            persisting: Some(findings.persisting),
            fixed: Some(findings.fixed),
            waived: Some(findings.waived),
        }),
        corruption: Some(CorruptionStatus {
            open: Some(observed.facts.corruption.open),
            last_detected_time: observed.facts.corruption.last_detected.map(Time),
        }),
        ..before
    }
}
