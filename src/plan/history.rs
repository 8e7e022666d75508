use std::collections::BTreeMap;

use super::row::Row;
use super::view::{RunOwner, RunView};
use super::wake::{Wake, after};
use crate::domain::Phase;

/// Runs of a policy, check or audit that is gone are kept for a week.
const ORPHAN_SECONDS: i64 = 7 * 86_400;
/// What a check or an audit keeps: as a policy by default.
const DEFAULT_LIMITS: (usize, usize) = (1, 3);

/// The ended runs to delete: beyond the limits of their schedule (as many skipped ones are kept as succeeded
/// ones; failed and unknown ones share a limit), of an owner that is gone, or past their own time to live. What
/// a person made has only the last.
pub fn expired(runs: &[RunView], rows: &[Row<'_>], owners: &[(RunOwner, bool)], wake: &mut Wake) -> Vec<String> {
    let mut expired = Vec::new();
    let mut by_owner: BTreeMap<&RunOwner, Vec<&RunView>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.phase.finished()) {
        let ended = run.finished.unwrap_or(run.created);
        let ttl = run.ttl_seconds_after_finished.map(i64::from);
        if ttl.is_some_and(|ttl| wake.passed(after(ended, ttl))) {
            expired.push(run.name.clone());
        } else if run.owner != RunOwner::Hand {
            by_owner.entry(&run.owner).or_default().push(run);
        }
    }
    for (owner, mut ended) in by_owner {
        let row = rows.iter().find(|row| row.owner() == *owner);
        let (succeeded, failed) = match row {
            Some(row) => {
                (row.policy.successful_runs_history_limit as usize, row.policy.failed_runs_history_limit as usize)
            }
            None if owners.iter().any(|(other, _)| other == owner) => DEFAULT_LIMITS,
            None => {
                ended.retain(|run| wake.passed(after(run.finished.unwrap_or(run.created), ORPHAN_SECONDS)));
                expired.extend(ended.iter().map(|run| run.name.clone()));
                continue;
            }
        };
        ended.sort_by(|a, b| (b.finished, b.created, &b.name).cmp(&(a.finished, a.created, &a.name)));
        for (phases, limit) in [
            (&[Phase::Succeeded][..], succeeded),
            (&[Phase::Skipped][..], succeeded),
            (&[Phase::Failed, Phase::Unknown][..], failed),
        ] {
            let beyond = ended.iter().filter(|run| phases.contains(&run.phase)).skip(limit);
            expired.extend(beyond.map(|run| run.name.clone()));
        }
    }
    expired
}
