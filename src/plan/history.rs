use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::bank::Asks;
use super::run::{RunOwner, RunView};
use crate::domain::Phase;

/// Runs of a policy that is gone stay this long.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many runs of a check or an audit are kept: succeeded, and others.
const OWN_LIMITS: (usize, usize) = (1, 3);

/// The finished runs that are beyond the limits of who asked for them. What a person made is never
/// deleted here: whoever keeps documents in Git would make it again, and it would run again.
pub(super) fn surplus(asks: &Asks<'_>, runs: &[RunView], now: Timestamp) -> Vec<String> {
    let mut groups: BTreeMap<&RunOwner, Vec<&RunView>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.phase.finished() && run.owner != RunOwner::Hand) {
        groups.entry(&run.owner).or_default().push(run);
    }
    let mut surplus = Vec::new();
    for (owner, mut group) in groups {
        let Some((succeeded, others)) = limits(asks, owner) else {
            let old = |run: &&&RunView| run.finished.is_none_or(|time| now.duration_since(time) > ORPHAN_AGE);
            surplus.extend(group.iter().filter(old).map(|run| run.name.clone()));
            continue;
        };
        group.sort_by_key(|run| std::cmp::Reverse(run.finished.unwrap_or(run.created)));
        let of = |wanted: bool, keep: usize| {
            group.iter().filter(move |run| (run.phase == Phase::Succeeded) == wanted).skip(keep)
        };
        surplus.extend(of(true, succeeded).chain(of(false, others)).map(|run| run.name.clone()));
    }
    surplus.sort();
    surplus
}

/// How many succeeded runs, and how many others, are kept; none where the owner is gone.
fn limits(asks: &Asks<'_>, owner: &RunOwner) -> Option<(usize, usize)> {
    match owner {
        RunOwner::Policy { policy, .. } => {
            let policy = asks.policies.iter().find(|known| known.meta.name == *policy)?;
            Some((policy.successful_runs_history_limit as usize, policy.failed_runs_history_limit as usize))
        }
        RunOwner::Check { check } => asks.checks.iter().any(|known| known.meta.name == *check).then_some(OWN_LIMITS),
        RunOwner::Audit { audit } => asks.audits.iter().any(|known| known.meta.name == *audit).then_some(OWN_LIMITS),
        RunOwner::Hand => None,
    }
}
