use jiff::Timestamp;

use super::conditions::{Judged, written};
use super::reason::ConditionReason;
use super::wake::second;
use crate::resources::{Condition, ConditionName, MemoryBankStatus};

/// Why nothing is run or judged of an object whose spec cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `InvalidSpec` or `HostPathForbidden`.
    pub reason: ConditionReason,
    /// For people: what is wrong with it, and what to do.
    pub message: String,
}

/// The status of a bank whose spec cannot be used: Ready is False, and nothing else is claimed. What was handled
/// stays handled.
pub fn refused(
    old: Option<&MemoryBankStatus>,
    generation: Option<i64>,
    refusal: &Refusal,
    now: Timestamp,
) -> MemoryBankStatus {
    let now = second(now);
    let old = old.cloned().unwrap_or_default();
    let ready = Judged::bad(refusal.reason, refusal.message.as_str());
    let mut conditions = vec![written("Ready", ready, &old.conditions, generation, now)];
    for name in ConditionName::ALL.into_iter().filter(|name| *name != ConditionName::Guarded) {
        let judged = Judged::unknown(refusal.reason, "the spec cannot be used, so nothing is run or judged: see Ready");
        conditions.push(written(name.name(), judged, &old.conditions, generation, now));
    }
    MemoryBankStatus { observed_generation: generation, conditions, active_alerts: Some(1), health: None, ..old }
}

/// The conditions of any other kind whose spec cannot be used: the first of its conditions is False.
pub fn refused_conditions(
    types: &[&str],
    old: &[Condition],
    generation: Option<i64>,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let now = second(now);
    let judged = |index: usize| match index {
        0 => Judged::bad(ConditionReason::InvalidSpec, message),
        _ => Judged::unknown(ConditionReason::InvalidSpec, "the spec cannot be used: see Ready"),
    };
    types.iter().enumerate().map(|(index, type_)| written(type_, judged(index), old, generation, now)).collect()
}
