use jiff::Timestamp;

use super::bank::Asks;
use super::spec::filled;
use crate::domain::{AuditScope, BankFacts, IntegrityScope, Level, Measurement, Outcome, TaskKind, Work};
use crate::resources::ValidBank;

/// A piece of work that somebody asked for, and how often.
pub(super) struct Asked {
    pub work: Work,
    /// The expected interval in seconds; none of what is done once.
    pub interval: Option<u64>,
}

/// What a measurement that is asked for turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Measured whole and lately.
    Good,
    /// Never measured.
    Never,
    /// Measured, but not whole: why.
    Incomplete(String),
    /// Measured too long ago.
    Stale,
}

/// A measurement is stale when it is older than so many expected intervals.
const STALE_INTERVALS: i64 = 2;

/// Everything that policies, checks and audits ask of a bank, with its scopes filled in.
pub(super) fn asked(bank: &ValidBank, asks: &Asks<'_>, now: Timestamp) -> Vec<Asked> {
    let mut all = Vec::new();
    for policy in asks.policies.iter().filter(|policy| !policy.suspend) {
        for schedule in &policy.schedules {
            let interval = Some(schedule.cron.expected_interval_seconds(now));
            all.extend(schedule.tasks.iter().map(|task| Asked { work: filled(&task.work, &bank.bank), interval }));
        }
    }
    let checks = asks.checks.iter().filter(|check| !check.suspend).map(|check| (&check.task, &check.schedule));
    let audits = asks.audits.iter().filter(|audit| !audit.suspend).map(|audit| (&audit.task, &audit.schedule));
    all.extend(checks.chain(audits).map(|(task, schedule)| Asked {
        work: filled(&task.work, &bank.bank),
        interval: schedule.as_ref().map(|cron| cron.expected_interval_seconds(now)),
    }));
    all
}

/// The answer to one scope of an integrity check: a deeper level answers for a shallower one.
pub(super) fn integrity(
    facts: &BankFacts,
    scope: IntegrityScope,
    level: Level,
    interval: Option<u64>,
    now: Timestamp,
) -> Answer {
    let fits = |m: &&Measurement| {
        m.task == TaskKind::IntegrityCheck && m.scope == scope.name() && m.level.is_some_and(|l| l >= level)
    };
    best(facts.measurements.iter().filter(fits), interval, now)
}

/// The answer to one scope of an audit.
pub(super) fn audit(facts: &BankFacts, scope: AuditScope, interval: Option<u64>, now: Timestamp) -> Answer {
    let fits = |m: &&Measurement| m.task == TaskKind::SecurityAudit && m.scope == scope.name();
    best(facts.measurements.iter().filter(fits), interval, now)
}

/// The newest measurement answers.
fn best<'a>(measurements: impl Iterator<Item = &'a Measurement>, interval: Option<u64>, now: Timestamp) -> Answer {
    let Some(newest) = measurements.max_by_key(|m| m.finished) else { return Answer::Never };
    let age = now.as_second() - newest.finished.as_second();
    let limit = interval.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(STALE_INTERVALS));
    if newest.outcome != Outcome::Succeeded {
        Answer::Incomplete(newest.message.clone())
    } else if limit.is_some_and(|limit| age > limit) {
        Answer::Stale
    } else {
        Answer::Good
    }
}
