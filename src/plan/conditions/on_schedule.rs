use super::{Judged, Known};
use crate::plan::reason::ConditionReason;
use crate::plan::row::{Row, trouble};
use crate::plan::view::RunView;
use crate::plan::wake::{Wake, after};

/// No slot was missed, no run is overdue. The worst of all rows decides; a row of a suspended policy none. A run
/// that `waiting` holds back is held, not overdue.
pub fn on_schedule(known: &Known<'_>, waiting: &[&RunView], wake: &mut Wake) -> Judged {
    let rows = known.rows;
    if rows.is_empty() {
        return Judged::unknown(
            ConditionReason::NoPolicy,
            "no MaintenancePolicy selects this bank: label it, or widen a policy's bankSelector",
        );
    }
    if rows.iter().all(|row| row.policy.suspend) {
        return Judged::unknown(ConditionReason::Suspended, "every policy that selects this bank is suspended");
    }
    if known.omitted > 0 {
        let message =
            format!("{} schedules are not run: a bank has at most 64, so let fewer policies select it", known.omitted);
        return Judged::bad(ConditionReason::TooManySchedules, message);
    }
    let mut held = None;
    let mut worst: Option<(usize, ConditionReason, String)> = None;
    for row in rows {
        let late = held_late(row, waiting, wake);
        if let Some(run) = late {
            held.get_or_insert_with(|| format!("run {} still waits to start: its status says for what", run.name));
        }
        let found = trouble(&row.status, row.schedule.active_deadline_seconds, wake);
        if let Some((reason, message)) =
            found.filter(|(reason, _)| late.is_none() || *reason != ConditionReason::Overdue)
        {
            let rank = rank(reason);
            if worst.as_ref().is_none_or(|(other, ..)| rank < *other) {
                worst = Some((rank, reason, message));
            }
        }
    }
    match (worst, held) {
        (Some((_, reason, message)), _) => Judged::bad(reason, message),
        (None, Some(message)) => Judged::unknown(ConditionReason::Held, message),
        (None, None) => Judged::good("no slot was missed and no run is overdue"),
    }
}

fn rank(reason: ConditionReason) -> usize {
    [ConditionReason::SlotMissed, ConditionReason::Overdue].iter().position(|r| *r == reason).unwrap_or(2)
}

/// A run that waits for longer than its schedule grants for its beginning.
fn held_late<'a>(row: &Row<'_>, waiting: &[&'a RunView], wake: &mut Wake) -> Option<&'a RunView> {
    let owner = row.owner();
    let grace = row
        .schedule
        .starting_deadline_seconds
        .map_or_else(|| row.status.expected_interval_seconds.unwrap_or(0) / 5, i64::from);
    let grace = grace.saturating_add(i64::from(row.schedule.spread_seconds));
    let mut own: Vec<_> = waiting.iter().filter(|run| run.owner == owner).collect();
    own.sort_by_key(|run| (run.slot.unwrap_or(run.created), &run.name));
    own.into_iter().find(|run| wake.passed(after(run.slot.unwrap_or(run.created), grace))).copied()
}
