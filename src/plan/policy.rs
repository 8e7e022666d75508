use jiff::Timestamp;

use super::conditions::{Judged, written};
use super::reason::ConditionReason;
use super::row::trouble;
use super::wake::{Wake, second};
use crate::resources::{MaintenancePolicyStatus, MemoryBankStatus, ScheduleStatus, Time, ValidPolicy, WorstBank};

/// How many banks a policy's status lists.
const MAX_WORST: usize = 10;
/// What is worst first; anything else is milder.
const ORDER: [ConditionReason; 3] =
    [ConditionReason::SlotMissed, ConditionReason::Overdue, ConditionReason::RunsFailing];

/// A bank that a policy selects.
#[derive(Clone, Copy, Debug)]
pub struct SelectedBank<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its status, as last written.
    pub status: Option<&'a MemoryBankStatus>,
}

/// Counts how a policy goes over the banks that it selects. The plan of each bank decides; this only counts.
pub fn plan_policy(
    policy: &ValidPolicy,
    old: Option<&MaintenancePolicyStatus>,
    banks: &[SelectedBank<'_>],
    now: Timestamp,
) -> (MaintenancePolicyStatus, Option<Timestamp>) {
    let now = second(now);
    let mut wake = Wake::new(now);
    let mut troubles: Vec<(ConditionReason, &str, &str)> = Vec::new();
    let mut on_time = 0;
    let mut next: Option<Timestamp> = None;
    for bank in banks {
        let rows = rows(policy, bank);
        let before = troubles.len();
        for schedule in &policy.schedules {
            let row = rows.iter().find(|row| row.schedule == schedule.name);
            let trouble = match row {
                Some(row) => trouble(row, schedule.active_deadline_seconds, &mut wake).map(|(reason, _)| reason),
                None => Some(ConditionReason::NotRun),
            };
            troubles.extend(trouble.map(|reason| (reason, bank.name, schedule.name.as_str())));
            let slot = row.and_then(|row| row.next_slot_time.as_ref()).map(|time| time.0);
            next = [next, slot].into_iter().flatten().min();
        }
        on_time += u64::from(troubles.len() == before);
    }
    troubles.sort_by_key(|(reason, bank, schedule)| {
        (ORDER.iter().position(|r| r == reason).unwrap_or(ORDER.len()), *bank, *schedule)
    });
    let worst = troubles.into_iter().take(MAX_WORST).map(|(reason, bank, schedule)| WorstBank {
        bank: Some(bank.to_owned()),
        schedule: Some(schedule.to_owned()),
        reason: Some(reason.name().to_owned()),
    });
    let ready = if banks.is_empty() {
        Judged::unknown(ConditionReason::NoBankSelected, "spec.bankSelector selects no bank: label one")
    } else {
        Judged::good(format!("selects {} banks", banks.len()))
    };
    let conditions = old.map_or(&[][..], |old| &old.conditions);
    let status = MaintenancePolicyStatus {
        observed_generation: policy.meta.generation,
        conditions: vec![written("Ready", ready, conditions, policy.meta.generation, now)],
        banks: Some(banks.len() as u64),
        on_time: Some(on_time),
        worst: worst.collect(),
        next_slot_time: next.map(Time),
        last_run_now_token: echo(policy, old, banks),
    };
    (status, wake.next())
}

fn rows<'a>(policy: &ValidPolicy, bank: &SelectedBank<'a>) -> Vec<&'a ScheduleStatus> {
    let all = bank.status.map_or(&[][..], |status| &status.schedules);
    all.iter().filter(|row| row.policy == policy.meta.name).collect()
}

/// The request to run now, once every bank has it; before that the one that was echoed last.
fn echo(policy: &ValidPolicy, old: Option<&MaintenancePolicyStatus>, banks: &[SelectedBank<'_>]) -> Option<String> {
    let before = || old.and_then(|old| old.last_run_now_token.clone());
    let Some(request) = &policy.run_now else { return before() };
    let meant = |name: &str| request.schedule.as_deref().is_none_or(|only| only == name);
    let has = |bank: &SelectedBank<'_>| {
        let rows = rows(policy, bank);
        policy.schedules.iter().filter(|schedule| meant(&schedule.name)).all(|schedule| {
            let row = rows.iter().find(|row| row.schedule == schedule.name);
            row.is_some_and(|row| row.last_run_now_token.as_deref() == Some(&request.token))
        })
    };
    if !banks.is_empty() && banks.iter().all(has) { Some(request.to_string()) } else { before() }
}
