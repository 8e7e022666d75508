use jiff::Timestamp;

use super::conditions::set_condition;
use super::reason::ConditionReason;
use crate::resources::{MaintenancePolicyStatus, MemoryBankStatus, Time, ValidPolicy, WorstBank};

/// A status lists no more late banks than this.
const MAX_WORST: usize = 10;

/// The status of a policy, counted from the statuses of the banks that it selects.
pub fn plan_policy(
    policy: &ValidPolicy,
    before: Option<&MaintenancePolicyStatus>,
    banks: &[(&str, &MemoryBankStatus)],
    now: Timestamp,
) -> MaintenancePolicyStatus {
    let mut status = before.cloned().unwrap_or_default();
    let name = &policy.meta.name;
    let rows =
        |bank: &MemoryBankStatus| bank.schedules.iter().filter(|row| row.policy == *name).cloned().collect::<Vec<_>>();
    let late: Vec<(&str, &str)> = banks
        .iter()
        .filter_map(|(bank, status)| {
            let condition = status.conditions.iter().find(|c| c.type_ == "OnSchedule" && c.status == "False")?;
            // The message names the schedule that is late; another policy's is not counted here.
            condition.message.contains(&format!("{name}/")).then_some((*bank, condition.reason.as_str()))
        })
        .collect();
    status.observed_generation = policy.meta.generation;
    status.banks = Some(banks.len() as u64);
    status.on_time = Some((banks.len() - late.len()) as u64);
    status.worst = late
        .iter()
        .take(MAX_WORST)
        .map(|(bank, reason)| WorstBank {
            bank: Some((*bank).to_owned()),
            schedule: None,
            reason: Some((*reason).to_owned()),
        })
        .collect();
    let slots = banks.iter().flat_map(|(_, bank)| rows(bank)).filter_map(|row| row.next_slot_time);
    status.next_slot_time = slots.map(|time| time.0).min().map(Time);
    let token = policy.run_now.as_ref().map(|request| request.token.as_str());
    let handled = banks.iter().all(|(_, bank)| {
        let asked = |schedule: &str| {
            policy.run_now.as_ref().is_some_and(|r| r.schedule.as_deref().is_none_or(|only| only == schedule))
        };
        rows(bank).iter().filter(|row| asked(&row.schedule)).all(|row| row.last_run_now_token.as_deref() == token)
    });
    if token.is_some() && handled {
        status.last_run_now_token = token.map(str::to_owned);
    }
    let state = if banks.is_empty() {
        ("Unknown", ConditionReason::NoBankSelected, "no bank has the labels that bankSelector asks for")
    } else {
        ("True", ConditionReason::AsExpected, "the policy is planned")
    };
    set_condition(&mut status.conditions, "Ready", state, policy.meta.generation, now);
    status
}
