use jiff::Timestamp;

use super::asked::Asked;
use super::reason::ConditionReason;
use super::row::Row;
use super::run_spec::{audit_scopes, integrity_scopes};
use super::view::Asks;
use super::wake::{Wake, after};
use crate::domain::{Bank, BankFacts, Digest, Level, Outcome, Task, TaskKind, TaskReport, Work};

/// The newest execution of a check or an audit, as its report tells it.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// The run's name.
    pub run: &'a str,
    /// When it ended.
    pub finished: Timestamp,
    /// The digest of its report.
    pub report: Option<Digest>,
    /// The report of its one task.
    pub task: &'a TaskReport,
}

/// A measurement that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub task: TaskKind,
    pub level: Option<Level>,
    pub scope: &'static str,
    /// The shortest expected interval of those who ask on a schedule, in seconds.
    pub interval: Option<i64>,
}

impl Wanted {
    fn shown(&self) -> String {
        let level = self.level.map(|level| format!(" at level {}", level.name())).unwrap_or_default();
        format!("{} of {}{level}", self.task.name(), self.scope)
    }
}

/// What a promise that measurements prove comes to, apart from what they found.
pub enum Proof {
    /// Nobody asks for any of them.
    NotAsked,
    /// All were measured, and are fresh.
    Fresh,
    /// What is missing: the first, and how many more.
    Missing(Lack, String),
}

/// How a measurement is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Never,
    Incomplete,
    Stale,
}

/// All measurements that are asked for by schedules, checks and audits that are not suspended.
pub fn wanted(rows: &[Row<'_>], asks: &Asks<'_>, bank: &Bank, now: Timestamp) -> Vec<Wanted> {
    let mut all = Vec::new();
    for row in rows.iter().filter(|row| !row.policy.suspend) {
        for task in &row.schedule.tasks {
            add(&mut all, task, row.status.expected_interval_seconds, bank);
        }
    }
    let checks = asks.checks.iter().map(Asked::check);
    for asked in checks.chain(asks.audits.iter().map(Asked::audit)).filter(|asked| !asked.suspend) {
        let interval = asked.schedule.and_then(|cron| i64::try_from(cron.expected_interval_seconds(now)).ok());
        add(&mut all, asked.task, interval, bank);
    }
    all
}

fn add(all: &mut Vec<Wanted>, task: &Task, interval: Option<i64>, bank: &Bank) {
    let kind = task.work.kind();
    let (level, scopes): (_, Vec<&'static str>) = match &task.work {
        Work::IntegrityCheck { level, scopes, .. } => {
            (Some(*level), integrity_scopes(scopes, bank).iter().map(|scope| scope.name()).collect())
        }
        Work::SecurityAudit { scopes } => (None, audit_scopes(scopes, bank).iter().map(|scope| scope.name()).collect()),
        _ => (None, vec![""]),
    };
    for scope in scopes {
        let same = all.iter_mut().find(|w| w.task == kind && w.level == level && w.scope == scope);
        match same {
            Some(wanted) => wanted.interval = [wanted.interval, interval].into_iter().flatten().min(),
            None => all.push(Wanted { task: kind, level, scope, interval }),
        }
    }
}

/// Whether what is wanted was measured, completely and not too long ago: at most twice the interval.
pub fn proof(wanted: &[&Wanted], facts: &BankFacts, wake: &mut Wake) -> Proof {
    if wanted.is_empty() {
        return Proof::NotAsked;
    }
    let lacks: Vec<_> = wanted.iter().filter_map(|w| lack(w, facts, wake)).collect();
    // Never measured is worse than not measured now, and that worse than measured long ago.
    let first = [Lack::Never, Lack::Incomplete, Lack::Stale].into_iter().find_map(|k| lacks.iter().find(|l| l.0 == k));
    let Some((kind, message)) = first else { return Proof::Fresh };
    let more = lacks.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Proof::Missing(*kind, format!("{message}{more}"))
}

fn lack(wanted: &Wanted, facts: &BankFacts, wake: &mut Wake) -> Option<(Lack, String)> {
    let shown = wanted.shown();
    let newest = facts
        .measurements
        .iter()
        .filter(|m| m.task == wanted.task && m.level == wanted.level && m.scope == wanted.scope)
        .max_by_key(|m| m.finished);
    let Some(newest) = newest else {
        return Some((
            Lack::Never,
            format!("{shown} is asked for and was never measured: wait for its run, or ask for one now"),
        ));
    };
    if newest.outcome != Outcome::Succeeded {
        let (run, why) = (&newest.run, &newest.message);
        return Some((Lack::Incomplete, format!("{shown} could not be measured by run {run}: {why}")));
    }
    let limit = after(newest.finished, wanted.interval?.saturating_mul(2));
    wake.passed(limit).then(|| {
        let message = format!(
            "{shown} was last measured at {}, more than twice its interval ago: look at its runs",
            newest.finished
        );
        (Lack::Stale, message)
    })
}

impl Lack {
    /// The reason of Intact and Consistent.
    pub const fn of_check(self) -> ConditionReason {
        match self {
            Self::Never => ConditionReason::NotChecked,
            Self::Incomplete => ConditionReason::CheckIncomplete,
            Self::Stale => ConditionReason::CheckStale,
        }
    }

    /// The reason of Secure.
    pub const fn of_audit(self) -> ConditionReason {
        match self {
            Self::Never | Self::Incomplete => ConditionReason::NotAudited,
            Self::Stale => ConditionReason::AuditStale,
        }
    }
}
