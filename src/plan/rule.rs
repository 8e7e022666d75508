//! The recoveries that policies make by themselves.

use jiff::Timestamp;

use super::event::{EventDraft, EventReason};
use super::recovery::over;
use super::view::{Asks, Observed, RecoveryAsk};
use super::wake::{Wake, after};
use crate::engine::schedule::request_name;
use crate::resources::{Quiesce, RecoveryRule, RecoverySpec, ValidBank};

/// The annotation of a recovery that a policy made: the ids of the damage that was open then, with commas between. Its
/// spec names none, so that it mends all that is open when it looks.
pub const MADE_FOR: &str = "memorybank.dev/made-for";
/// How many ended recoveries that policies made are kept of a bank, and for how many seconds all of them.
const KEPT: usize = 10;
const DAY: i64 = 86_400;

/// A recovery to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRecovery {
    /// Its name: one that exists already is this recovery.
    pub name: String,
    /// Its spec.
    pub spec: RecoverySpec,
    /// Its annotation [`MADE_FOR`].
    pub made_for: String,
}

/// The recovery that the bank's policies make now, with what to tell of it. One at a time, and only where damage is open
/// for which none of theirs was made.
pub(super) fn wanted_recovery(
    bank: &ValidBank,
    asks: &Asks<'_>,
    observed: &Observed,
    now: Timestamp,
    wake: &mut Wake,
) -> Option<(PlannedRecovery, EventDraft)> {
    let rule = rule(asks).filter(|_| !bank.suspend)?;
    let open: Vec<&str> = observed.facts.corruption.top.iter().map(|(id, _)| id.as_str()).collect();
    let known: Vec<&str> = made(asks).flat_map(|(ask, _)| made_for(ask)).collect();
    if open.iter().all(|id| known.contains(id)) || !asks.recoveries.iter().all(over) {
        return None;
    }
    let mut newest: Vec<Timestamp> = made(asks).map(|(_, created)| created).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    let most = usize::try_from(rule.max_per_day).unwrap_or(usize::MAX);
    // The one that must be a day old before there may be another.
    let before = most.checked_sub(1)?;
    if let Some(before) = newest.get(before).map(|created| after(*created, DAY)).filter(|until| *until > now) {
        wake.at(before);
        return None;
    }
    let mut ids = open;
    ids.sort_unstable();
    let made_for = ids.join(",");
    let name = request_name("Recovery", &bank.meta.name, "damage", &made_for);
    // One that lost what it was made for.
    if asks.recoveries.iter().any(|ask| ask.recovery.meta.name == name) {
        return None;
    }
    let (count, mode) = (observed.facts.corruption.open, format!("{:?}", rule.mode));
    let message =
        format!("made the Recovery {name} ({mode}): {count} damages are open, and a policy has a rule for it");
    let spec = RecoverySpec {
        bank_name: bank.meta.name.clone(),
        mode: rule.mode,
        quiesce: Quiesce::Wait,
        events: Vec::new(),
        backup_name: None,
        approval: None,
    };
    Some((PlannedRecovery { name, spec, made_for }, EventDraft::new(EventReason::RecoveryMade, message)))
}

/// The ended recoveries that policies made and that go: all but the newest ones, and those of a day.
pub(super) fn old_recoveries(asks: &Asks<'_>, wake: &mut Wake) -> Vec<String> {
    let mut ended: Vec<_> =
        made(asks).filter(|(ask, _)| over(ask)).map(|(ask, at)| (at, &ask.recovery.meta.name)).collect();
    ended.sort_unstable_by(|a, b| b.cmp(a));
    let beyond = ended.into_iter().skip(KEPT);
    beyond.filter(|(created, _)| wake.passed(after(*created, DAY))).map(|(_, name)| name.clone()).collect()
}

/// The most cautious of all rules; a suspended policy has none.
fn rule(asks: &Asks<'_>) -> Option<RecoveryRule> {
    let rules = asks.policies.iter().filter(|ask| !ask.policy.suspend).filter_map(|ask| ask.policy.recovery.clone());
    rules.reduce(|a, b| RecoveryRule { mode: a.mode.min(b.mode), max_per_day: a.max_per_day.min(b.max_per_day) })
}

/// The recoveries that policies made, and when.
fn made<'a>(asks: &'a Asks<'a>) -> impl Iterator<Item = (&'a RecoveryAsk<'a>, Timestamp)> {
    asks.recoveries.iter().filter_map(|ask| Some((ask, ask.made?)))
}

/// The damage that a recovery was made for.
fn made_for<'a>(ask: &RecoveryAsk<'a>) -> impl Iterator<Item = &'a str> {
    ask.recovery.meta.annotations.get(MADE_FOR).into_iter().flat_map(|ids| ids.split(','))
}
