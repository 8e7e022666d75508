//! The conditions of a bank: each a pure function of what is asked for and what is known.

mod backed_up;
mod data;
mod on_schedule;
pub mod reachable;
mod ready;
mod secure;

use jiff::Timestamp;

use super::measure::{Wanted, wanted};
use super::reason::ConditionReason;
use super::row::Row;
use super::view::{Asks, Observed, RunView};
use super::wake::Wake;
use crate::resources::{Condition, ConditionName, ConditionStatus, Time, ValidBank};

pub use ready::{counted, ready};

/// A condition as it is judged now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub status: ConditionStatus,
    pub reason: ConditionReason,
    pub message: String,
}

impl Judged {
    pub fn good(message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::True, reason: ConditionReason::AsExpected, message: message.into() }
    }

    pub fn bad(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::False, reason, message: message.into() }
    }

    pub fn unknown(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::Unknown, reason, message: message.into() }
    }
}

/// What conditions are judged by.
pub struct Known<'a> {
    pub bank: &'a ValidBank,
    pub asks: &'a Asks<'a>,
    pub observed: &'a Observed,
    pub rows: &'a [Row<'a>],
    /// Rows that found no place.
    pub omitted: usize,
    pub now: Timestamp,
}

/// What runs measure: the promises of a bank but `OnSchedule`, in the order in which documents show them.
/// `Guarded` is there with a guard only.
pub fn judge(known: &Known<'_>, wake: &mut Wake) -> Vec<(ConditionName, Judged)> {
    const MEASURED: [ConditionName; 6] = [
        ConditionName::Reachable,
        ConditionName::Intact,
        ConditionName::Consistent,
        ConditionName::Secure,
        ConditionName::BackedUp,
        ConditionName::Stable,
    ];
    if known.bank.suspend {
        return MEASURED.map(|name| (name, suspended())).into();
    }
    let wanted = wanted(known.rows, known.asks, &known.bank.bank, known.now);
    let mut judged = Vec::with_capacity(MEASURED.len() + 1);
    for name in MEASURED {
        judged.push((name, one(name, known, &wanted, wake)));
    }
    judged
}

/// Adds `OnSchedule`, before `Stable`. It is judged last, by the runs that wait once the plan is carried out, and so
/// holds none of them.
pub fn add_on_schedule(
    judged: &mut Vec<(ConditionName, Judged)>,
    known: &Known<'_>,
    waiting: &[&RunView],
    wake: &mut Wake,
) {
    let on_schedule = if known.bank.suspend { suspended() } else { on_schedule::on_schedule(known, waiting, wake) };
    let place = judged.len().saturating_sub(1);
    judged.insert(place, (ConditionName::OnSchedule, on_schedule));
}

/// What every condition of a suspended bank is.
pub fn suspended() -> Judged {
    Judged::unknown(ConditionReason::Suspended, "spec.suspend is set: nothing is run or judged")
}

fn one(name: ConditionName, known: &Known<'_>, wanted: &[Wanted], wake: &mut Wake) -> Judged {
    let facts = &known.observed.facts;
    match name {
        ConditionName::Intact => data::intact(wanted, facts, wake),
        ConditionName::Consistent => data::consistent(&known.bank.bank, wanted, facts, wake),
        ConditionName::Secure => secure::secure(known.asks, wanted, facts, wake),
        ConditionName::BackedUp => backed_up::backed_up(&known.bank.bank, known.asks, wanted, facts, wake),
        ConditionName::Reachable => reachable::reachable(known.bank, facts, wake),
        ConditionName::OnSchedule | ConditionName::Stable | ConditionName::Guarded => {
            Judged::unknown(ConditionReason::Learning, "no predictions yet: too little is known of this bank")
        }
    }
}

/// The condition as it is written. `lastTransitionTime` moves with the status alone, and never back.
pub fn written(type_: &str, judged: Judged, old: &[Condition], generation: Option<i64>, now: Timestamp) -> Condition {
    let status = judged.status.name();
    let old = old.iter().find(|condition| condition.type_ == type_);
    let since = match old {
        Some(old) if old.status == status => old.last_transition_time.0,
        Some(old) => now.max(old.last_transition_time.0),
        None => now,
    };
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: judged.reason.name().to_owned(),
        message: judged.message,
        observed_generation: generation,
        last_transition_time: Time(since),
    }
}
