use super::Judged;
use crate::domain::{Bank, BankFacts, CorruptionEvent, CorruptionType, IntegrityScope, Level, Severity, TaskKind};
use crate::plan::measure::{Proof, Wanted, proof};
use crate::plan::reason::ConditionReason;
use crate::plan::wake::Wake;

/// Contradictions within one database are damage of it as well: a foreign key that leads nowhere (I7), an id
/// that is none (I14).
const ALSO_DAMAGE: [&str; 2] = ["I7", "I14"];

/// Below `Medium` an event is told and breaks nothing.
fn counts(event: &CorruptionEvent) -> bool {
    event.severity >= Severity::Medium
}

/// Whether an event says that data is damaged, not just that it disagrees with other data.
fn breaks_intact(event: &CorruptionEvent) -> bool {
    let agrees = event.invariant.as_deref().is_none_or(|invariant| ALSO_DAMAGE.contains(&invariant));
    counts(event) && (event.corruption_type != CorruptionType::DataInconsistency || agrees)
}

fn breaks_consistent(event: &CorruptionEvent) -> bool {
    counts(event) && event.invariant.is_some()
}

fn reason(event: &CorruptionEvent) -> ConditionReason {
    match event.corruption_type {
        CorruptionType::ChecksumMismatch => ConditionReason::ChecksumMismatch,
        CorruptionType::DataInconsistency => ConditionReason::DataInconsistency,
        CorruptionType::FileCorruption => match event.component.as_str() {
            "database" | "history" => ConditionReason::DatabaseCorrupt,
            "vectors" => ConditionReason::VectorsCorrupt,
            _ => ConditionReason::FileCorruption,
        },
    }
}

/// What Consistent is called when an invariant is broken, worst last among those of one severity: what shows one
/// person the memories of another, or brings back what was deleted, is worse than what is forgotten.
const BROKEN: [(&str, ConditionReason); 6] = [
    ("I3", ConditionReason::OrphanVectors),
    ("I4", ConditionReason::TextDiffers),
    ("I8", ConditionReason::DimensionMismatch),
    ("I1", ConditionReason::MissingVectors),
    ("I2", ConditionReason::DeletedStillRecallable),
    ("I6", ConditionReason::WrongOwner),
];

/// The place of an event's invariant among those that have a reason of their own.
fn broken(event: &CorruptionEvent) -> Option<usize> {
    BROKEN.iter().position(|(invariant, _)| event.invariant.as_deref() == Some(invariant))
}

/// Whether there may be events of `Medium` and above that the summary has no room to list.
fn more_than_listed(facts: &BankFacts) -> bool {
    let top = &facts.corruption.top;
    facts.corruption.open > top.len() as u64 && top.iter().all(|(_, event)| counts(event))
}

fn told(events: &[&CorruptionEvent], open: u64) -> String {
    let Some(worst) = events.first() else { return format!("{open} corruption events are open") };
    let more = if events.len() > 1 { format!(" (and {} more)", events.len() - 1) } else { String::new() };
    format!("{} in {}: {}{more}. {}", worst.object, worst.component, worst.evidence, worst.advice)
}

/// No damage is open, and the newest check of every level and scope asked for measured all.
pub fn intact(wanted: &[Wanted], facts: &BankFacts, wake: &mut Wake) -> Judged {
    let events: Vec<_> = facts.corruption.top.iter().map(|(_, event)| event).filter(|e| breaks_intact(e)).collect();
    if let Some(worst) = events.iter().max_by_key(|event| event.severity) {
        return Judged::bad(reason(worst), told(&events, facts.corruption.open));
    }
    if more_than_listed(facts) {
        return Judged::bad(ConditionReason::DataInconsistency, told(&[], facts.corruption.open));
    }
    let consistency = IntegrityScope::Consistency.name();
    let own: Vec<_> = wanted.iter().filter(|w| w.task == TaskKind::IntegrityCheck && w.scope != consistency).collect();
    match proof(&own, facts, wake) {
        Proof::Fresh => Judged::good("every check that is asked for passed"),
        Proof::Missing(lack, message) => Judged::unknown(lack.of_check(), message),
        Proof::NotAsked => Judged::unknown(
            ConditionReason::NotChecked,
            "nobody asks for an IntegrityCheck: add one, or a policy with such a task",
        ),
    }
}

/// No invariant is broken, and what measures the invariants measured all: with a vector store the comparison
/// of both sides, else the check of the database.
pub fn consistent(bank: &Bank, wanted: &[Wanted], facts: &BankFacts, wake: &mut Wake) -> Judged {
    let mut events: Vec<_> =
        facts.corruption.top.iter().map(|(_, event)| event).filter(|e| breaks_consistent(e)).collect();
    events.sort_by_key(|event| std::cmp::Reverse((event.severity, broken(event))));
    if let Some(worst) = events.first() {
        let reason = broken(worst).map_or(ConditionReason::Inconsistent, |place| BROKEN[place].1);
        return Judged::bad(reason, told(&events, facts.corruption.open));
    }
    if bank.database.is_none() && bank.history.is_none() && bank.vector_store.is_none() {
        return Judged::unknown(ConditionReason::NotConfigured, "this bank declares nothing that could disagree");
    }
    if more_than_listed(facts) {
        let message = format!("{} corruption events are open, too many to list all", facts.corruption.open);
        return Judged::unknown(ConditionReason::CheckIncomplete, message);
    }
    let compared = bank.vector_store.is_some();
    let scope = if compared { IntegrityScope::Consistency } else { IntegrityScope::Database };
    // A Quick check reads no rows, so it says nothing of whether they agree.
    let measures = |w: &&Wanted| {
        (w.task == TaskKind::IntegrityCheck && w.scope == scope.name() && w.level >= Some(Level::Checksum))
            || (compared && w.task == TaskKind::ConsistencyCheck)
    };
    let own: Vec<_> = wanted.iter().filter(measures).collect();
    match proof(&own, facts, wake) {
        Proof::Fresh => Judged::good("no invariant is broken"),
        Proof::Missing(lack, message) => Judged::unknown(lack.of_check(), message),
        Proof::NotAsked => Judged::unknown(
            ConditionReason::NotChecked,
            format!(
                "nobody asks for an IntegrityCheck of the scope {} at level Checksum or Full: add one",
                scope.name()
            ),
        ),
    }
}
