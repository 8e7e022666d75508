use jiff::Timestamp;

use super::asked::Asked;
use super::conditions::{Judged, Known, add_on_schedule, counted, judge, reachable, ready, suspended, written};
use super::event::{EventDraft, EventReason};
use super::history::expired;
use super::queue::{HeldReason, Queue};
use super::reason::ConditionReason;
use super::recovery::{DEADLINE_SECONDS, wanted_run};
use super::row::{Row, plan_row};
use super::rule::{PlannedRecovery, old_recoveries, wanted_recovery};
use super::run_spec::{exclusive, needs_network, run_spec};
use super::view::{Asks, Observed, RunOwner, RunView};
use super::wake::{Wake, second};
use crate::domain::{BankFacts, Phase, Reason, RunSpec, Task, TaskKind};
use crate::engine::health::{Promise, Standing, health};
use crate::resources::{
    BackupStatus, ConditionName, ConditionStatus, CorruptionStatus, FindingCounts, Health, MemoryBankStatus,
    ScheduleStatus, Time, ValidBank,
};

/// The most schedules of all policies that are run on one bank.
const MAX_SCHEDULES: usize = 64;

/// What is to be done about one bank.
#[derive(Clone, Debug, PartialEq)]
pub struct BankPlan {
    /// Runs to make.
    pub create: Vec<PlannedRun>,
    /// Runs that may start now, just made ones too, in this order.
    pub start: Vec<String>,
    /// Runs that are held from now on, or for another reason than before.
    pub held: Vec<(String, HeldReason, String)>,
    /// Runs that end as Skipped without having started.
    pub skip: Vec<(String, Reason, String)>,
    /// Runs to cancel.
    pub cancel: Vec<String>,
    /// Ended runs to delete.
    pub delete: Vec<String>,
    /// The recovery to make, as its policies say, and what to tell once it is made.
    pub recover: Option<(PlannedRecovery, EventDraft)>,
    /// Ended recoveries that policies made, to delete.
    pub forget: Vec<String>,
    /// The whole status; to be written only where it differs from the observed one.
    pub status: MemoryBankStatus,
    /// What to tell.
    pub events: Vec<EventDraft>,
    /// When to look again though nothing happens.
    pub next: Option<Timestamp>,
}

/// A run to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Its name: one that exists already is this run.
    pub name: String,
    /// Its work order.
    pub spec: RunSpec,
    /// Who asks for it.
    pub owner: RunOwner,
    /// The slot that it is for.
    pub slot: Option<Timestamp>,
    /// Deletes it so many seconds after it ended.
    pub ttl_seconds_after_finished: Option<u32>,
}

/// Plans one bank: what its policies, checks, audits and hand-made runs ask for, and its whole status.
pub fn plan_bank(bank: &ValidBank, asks: &Asks<'_>, observed: &Observed, now: Timestamp) -> BankPlan {
    let now = second(now);
    let mut wake = Wake::new(now);
    let old = observed.status.clone().unwrap_or_default();
    let (rows, omitted) = plan_rows(bank, asks, observed, now, &mut wake);
    let mut plan = BankPlan {
        create: Vec::new(),
        start: Vec::new(),
        held: Vec::new(),
        skip: Vec::new(),
        cancel: Vec::new(),
        delete: Vec::new(),
        recover: None,
        forget: old_recoveries(asks, &mut wake),
        status: MemoryBankStatus::default(),
        events: rows.iter().flat_map(|row| row.events.clone()).collect(),
        next: None,
    };
    let mut owners = Vec::new();
    create(bank, asks, observed, &rows, &mut owners, now, &mut plan, &mut wake);
    plan.recover = wanted_recovery(bank, asks, observed, now, &mut wake);

    let known = Known { bank, asks, observed, rows: &rows, omitted, now };
    let mut judged = judge(&known, &mut wake);
    if omitted > 0 && old.conditions.iter().all(|c| c.reason != "TooManySchedules") {
        let message = format!("{omitted} schedules beyond the first {MAX_SCHEDULES} are not run");
        plan.events.push(EventDraft::new(EventReason::TooManySchedules, message));
    }
    let mut runs = observed.runs.clone();
    runs.extend(plan.create.iter().map(|run| just_made(run, now)));
    let missed = reachable::missed(bank, &observed.facts, now);
    let queue = Queue { bank, rows: &rows, owners: &owners, judged: &judged, missed: &missed, now };
    queue.decide(&runs, &mut plan, &mut wake);
    carry_out(&mut runs, &plan, now);
    let waiting: Vec<_> = runs.iter().filter(|run| run.phase.waiting()).collect();
    add_on_schedule(&mut judged, &known, &waiting, &mut wake);
    plan.delete = expired(&runs, &rows, &owners, &mut wake);
    plan.status = status(bank, old, observed, &rows, judged, now);
    plan.next = wake.next();
    plan
}

/// One row per policy and schedule, in order of names.
fn plan_rows<'a>(
    bank: &ValidBank,
    asks: &Asks<'a>,
    observed: &Observed,
    now: Timestamp,
    wake: &mut Wake,
) -> (Vec<Row<'a>>, usize) {
    let mut all: Vec<_> =
        asks.policies.iter().flat_map(|ask| ask.policy.schedules.iter().map(move |s| (ask, s))).collect();
    all.sort_by_key(|(ask, schedule)| (&ask.policy.meta.name, &schedule.name));
    let omitted = all.len().saturating_sub(MAX_SCHEDULES);
    all.truncate(MAX_SCHEDULES);
    let old = observed.status.as_ref().map_or(&[][..], |status| &status.schedules);
    let rows = all.into_iter().map(|(ask, schedule)| {
        let (policy, name) = (&ask.policy.meta.name, &schedule.name);
        let same = |row: &&ScheduleStatus| row.policy == *policy && row.schedule == *name;
        let own = |run: &&RunView| {
            matches!(&run.owner, RunOwner::Policy { policy: p, schedule: s } if p == policy && s == name)
        };
        let runs: Vec<_> = observed.runs.iter().filter(own).collect();
        plan_row(&bank.meta.name, bank.suspend, (ask, schedule), old.iter().find(same), &runs, now, wake)
    });
    (rows.collect(), omitted)
}

/// Collects the runs to make, and every owner beside the rows with whether it is suspended.
#[allow(clippy::too_many_arguments)] // The one place where all who ask come together.
fn create(
    bank: &ValidBank,
    asks: &Asks<'_>,
    observed: &Observed,
    rows: &[Row<'_>],
    owners: &mut Vec<(RunOwner, bool)>,
    now: Timestamp,
    plan: &mut BankPlan,
    wake: &mut Wake,
) {
    let pruning = asks.pruning();
    let mut make = |name: String, owner: RunOwner, slot, tasks: &[Task], deadline, ttl| {
        if let Some(other) = observed.runs.iter().find(|run| run.name == name) {
            if other.owner != owner {
                let message = format!("a run named {name} was made by somebody else: this slot is not run");
                plan.events.push(EventDraft::new(EventReason::NameCollision, message));
            }
            return;
        }
        if owner != RunOwner::Hand {
            plan.events.push(EventDraft::new(EventReason::RunCreated, format!("made {name}")));
        }
        let spec = run_spec(&bank.meta.namespace, &name, &bank.bank, tasks, deadline, &pruning);
        plan.create.push(PlannedRun { name, spec, owner, slot, ttl_seconds_after_finished: ttl });
    };
    for row in rows {
        for (name, slot) in &row.make {
            let schedule = row.schedule;
            let deadline = schedule.active_deadline_seconds;
            make(name.clone(), row.owner(), Some(*slot), &schedule.tasks, deadline, None);
        }
    }
    let asked = asks.checks.iter().map(Asked::check).chain(asks.audits.iter().map(Asked::audit));
    for asked in asked {
        let decision = asked.decide(Some((&bank.bank, bank.suspend)), &observed.runs, now, wake);
        for (name, slot) in decision.make {
            let tasks = std::slice::from_ref(asked.task);
            make(name, asked.owner.clone(), slot, tasks, asked.active_deadline_seconds, None);
        }
        owners.push((asked.owner, asked.suspend));
    }
    for ask in &asks.recoveries {
        let owner = RunOwner::Recovery(ask.recovery.meta.name.clone());
        let open = &observed.facts.corruption.top;
        if let Some((name, work)) = wanted_run(ask, bank, open, &observed.runs).filter(|_| !bank.suspend) {
            let task = Task { name: "recover".to_owned(), work, active_deadline_seconds: None };
            make(name, owner.clone(), None, &[task], DEADLINE_SECONDS, None);
        }
        owners.push((owner, false));
    }
    if !bank.suspend {
        for run in &asks.hand {
            let (name, deadline, ttl) = (&run.meta.name, run.active_deadline_seconds, run.ttl_seconds_after_finished);
            make(name.clone(), RunOwner::Hand, None, &run.tasks, deadline, ttl);
        }
    }
}

/// The runs as they are once the queue's decisions are carried out, so that nothing is left for the next plan.
fn carry_out(runs: &mut [RunView], plan: &BankPlan, now: Timestamp) {
    for run in runs {
        if plan.start.contains(&run.name) {
            run.phase = Phase::Running;
        } else if plan.skip.iter().any(|(name, ..)| *name == run.name) {
            (run.phase, run.finished) = (Phase::Skipped, Some(now));
        }
    }
}

fn just_made(run: &PlannedRun, now: Timestamp) -> RunView {
    RunView {
        name: run.name.clone(),
        owner: run.owner.clone(),
        phase: Phase::Pending,
        slot: run.slot,
        created: now,
        started: None,
        finished: None,
        reason: String::new(),
        message: String::new(),
        exclusive: exclusive(&run.spec.tasks),
        needs: needs_network(&run.spec.tasks, &run.spec.bank),
        ttl_seconds_after_finished: run.ttl_seconds_after_finished,
    }
}

fn status(
    bank: &ValidBank,
    old: MemoryBankStatus,
    observed: &Observed,
    rows: &[Row<'_>],
    judged: Vec<(ConditionName, Judged)>,
    now: Timestamp,
) -> MemoryBankStatus {
    let generation = bank.meta.generation;
    let counted = counted(bank, &judged);
    let promises: Vec<_> = counted.iter().map(|(name, judged)| promise(*name, judged.status)).collect();
    let health = health(&promises).map(|h| Health { score: Some(h.score), summary: Some(h.summary) });
    let summary = match &observed.missing {
        _ if bank.suspend => suspended(),
        Some(missing) => Judged::bad(ConditionReason::ReferenceNotFound, missing.as_str()),
        None => ready(&counted),
    };
    let alerts = counted.iter().filter(|(_, judged)| judged.status == ConditionStatus::False).count();
    let mut conditions = vec![written("Ready", summary, &old.conditions, generation, now)];
    conditions.extend(judged.into_iter().map(|(name, j)| written(name.name(), j, &old.conditions, generation, now)));
    let newest = observed.runs.iter().filter(|run| run.phase != Phase::Skipped).filter_map(|run| run.finished).max();
    let last_run_time = old.last_run_time.map(|time| time.0).max(newest);
    let (findings, corruption) = (&observed.facts.findings, &observed.facts.corruption);
    // No count of what nobody ever looked for.
    let looked = |kind| observed.facts.measurements.iter().any(|m| m.task == kind);
    MemoryBankStatus {
        observed_generation: generation,
        conditions,
        last_run_time: last_run_time.map(Time),
        active_alerts: u32::try_from(alerts).ok(),
        health,
        schedules: rows.iter().map(|row| row.status.clone()).collect(),
        findings: looked(TaskKind::SecurityAudit).then_some(FindingCounts {
            critical: Some(findings.critical),
            high: Some(findings.high),
            medium: Some(findings.medium),
            low: Some(findings.low),
            new: Some(findings.new),
            persisting: Some(findings.persisting),
            fixed: Some(findings.fixed),
            waived: Some(findings.waived),
        }),
        corruption: looked(TaskKind::IntegrityCheck).then_some(CorruptionStatus {
            open: Some(corruption.open),
            last_detected_time: corruption.last_detected.map(Time),
        }),
        backup: verified(&observed.facts),
        predictions: old.predictions,
    }
}

/// The newest set that is known to be good.
fn verified(facts: &BankFacts) -> Option<BackupStatus> {
    let verified = facts.backup.as_ref()?.verified.as_ref()?;
    Some(BackupStatus {
        last_verified_time: Some(Time(second(verified.time))),
        last_verified_name: Some(verified.set.clone()),
        size_bytes: Some(verified.bytes),
    })
}

fn promise(name: ConditionName, status: ConditionStatus) -> Promise {
    let standing = match status {
        ConditionStatus::True => Standing::Kept,
        ConditionStatus::False => Standing::Broken,
        ConditionStatus::Unknown => Standing::Unknown,
    };
    Promise { name: name.name(), standing }
}
