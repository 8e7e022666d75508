use jiff::Timestamp;

use super::asked::{self, Answer, Asked};
use super::bank::Asks;
use super::queue::Held;
use super::reason::ConditionReason as Reason;
use super::run::RunView;
use crate::domain::{
    BankFacts, CorruptionEvent, CorruptionType, IntegrityScope, Level, Promise, SecurityEventType, Severity,
    SqlDatabase, Work,
};
use crate::engine::health;
use crate::engine::schedule::run_name;
use crate::resources::{Condition, Health, ScheduleStatus, Time, ValidBank};

/// A run is overdue when nothing ran for so many expected intervals.
const OVERDUE_INTERVALS: i64 = 2;

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub status: &'static str,
    pub reason: Reason,
    pub message: String,
}

impl State {
    pub fn good(message: &str) -> Self {
        Self { status: "True", reason: Reason::AsExpected, message: message.to_owned() }
    }

    pub fn bad(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: "False", reason, message: message.into() }
    }

    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason, message: message.into() }
    }
}

/// All that the conditions of a bank are derived from.
pub(super) struct Basis<'a> {
    pub bank: &'a ValidBank,
    pub asks: &'a Asks<'a>,
    pub facts: &'a BankFacts,
    pub rows: &'a [ScheduleStatus],
    pub too_many_rows: bool,
    pub runs: &'a [RunView],
    pub held: &'a [Held],
    pub now: Timestamp,
}

/// The promises, in the order in which Ready names the first that fails: worst first.
const PROMISES: [&str; 7] = ["Intact", "Consistent", "Secure", "BackedUp", "Reachable", "OnSchedule", "Stable"];

/// The conditions of a bank, and its health. Times of transition are kept where the status is the same.
pub(super) fn conditions(basis: &Basis<'_>, before: &[Condition]) -> (Vec<Condition>, Health) {
    let states: Vec<(&'static str, State)> = PROMISES.iter().map(|name| (*name, basis.state(name))).collect();
    let waived = |name: &str| basis.bank.waived_conditions.iter().any(|waived| waived.name() == name);
    let ready = basis.ready(&states, &waived);
    let counted: Vec<_> = states.iter().filter(|(name, _)| !waived(name)).collect();
    let promises: Vec<_> = counted
        .iter()
        .map(|(name, state)| health::Promise {
            name,
            weight: health::weight(name),
            holds: match state.status {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            },
        })
        .collect();
    let (score, summary) = health::score(&promises);
    let mut all = before.to_vec();
    for (name, state) in states.iter().map(|(name, state)| (*name, state)).chain([("Ready", &ready)]) {
        set_condition(
            &mut all,
            name,
            (state.status, state.reason, &state.message),
            basis.bank.meta.generation,
            basis.now,
        );
    }
    all.retain(|condition| condition.type_ == "Ready" || PROMISES.contains(&condition.type_.as_str()));
    (all, Health { score, summary: Some(summary) })
}

/// Sets one condition in a list; its time of transition changes only with its status.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    name: &str,
    (status, reason, message): (&str, Reason, &str),
    generation: Option<i64>,
    now: Timestamp,
) {
    let known = conditions.iter().position(|condition| condition.type_ == name);
    let since = match known.map(|index| &conditions[index]) {
        Some(condition) if condition.status == status => condition.last_transition_time.clone(),
        _ => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    let condition = Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.name().to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: generation,
    };
    match known {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

impl Basis<'_> {
    fn state(&self, name: &str) -> State {
        if self.bank.suspend {
            return State::unknown(Reason::Suspended, "the bank is suspended: nothing is run or measured");
        }
        match name {
            "Intact" => self.intact(),
            "Consistent" => self.consistent(),
            "Secure" => self.secure(),
            "BackedUp" => self.backed_up(),
            "Reachable" => self.reachable(),
            "OnSchedule" => self.on_schedule(),
            _ => State::unknown(Reason::Learning, "this version predicts nothing yet"),
        }
    }

    /// False with the worst promise that is broken; Unknown with the first that is not known; Stable counts
    /// only when it is False. What is waived does not count.
    fn ready(&self, states: &[(&'static str, State)], waived: &dyn Fn(&str) -> bool) -> State {
        if self.bank.suspend {
            return State::unknown(Reason::Suspended, "the bank is suspended");
        }
        let counts =
            |(name, state): &&(&'static str, State)| !waived(name) && (*name != "Stable" || state.status == "False");
        let counted: Vec<_> = states.iter().filter(counts).collect();
        let first = |status| counted.iter().find(|(_, state)| state.status == status);
        match first("False").or_else(|| first("Unknown")) {
            Some((name, state)) => State { message: format!("{name}: {}", state.message), ..state.clone() },
            None => State::good("every promise holds or is waived"),
        }
    }

    fn asked(&self) -> Vec<Asked> {
        asked::asked(self.bank, self.asks, self.now)
    }

    fn intact(&self) -> State {
        let corruption = &self.facts.corruption;
        if corruption.against_intact > 0 {
            let worst = corruption.top.iter().map(|(_, event)| event).find(|e| e.breaks() == Some(Promise::Intact));
            return State::bad(
                worst.map_or(Reason::DataInconsistency, reason_of),
                damage(corruption.against_intact, worst),
            );
        }
        let mut answers = Vec::new();
        for asked in self.asked() {
            let Work::IntegrityCheck { level, scopes, .. } = &asked.work else { continue };
            for scope in scopes {
                let answer = asked::integrity(self.facts, *scope, *level, asked.interval, self.now);
                answers.push((format!("{} at level {}", scope.name(), level.name()), answer));
            }
        }
        let nothing = "no policy or check asks for an IntegrityCheck of this bank";
        verdict(&answers, nothing, (Reason::NotChecked, Reason::CheckIncomplete, Reason::CheckStale))
            .unwrap_or_else(|| State::good("every check that is asked for passed"))
    }

    fn consistent(&self) -> State {
        let corruption = &self.facts.corruption;
        if corruption.against_consistent > 0 {
            let worst = corruption.top.iter().map(|(_, event)| event).find(|e| e.breaks() == Some(Promise::Consistent));
            return State::bad(Reason::Inconsistent, damage(corruption.against_consistent, worst));
        }
        let scope = match self.bank.bank.vector_store {
            Some(_) => IntegrityScope::Consistency,
            None => IntegrityScope::Database,
        };
        // A Quick check reads no rows, so it says nothing of what they hold.
        let mut answers = Vec::new();
        for asked in self.asked() {
            let Work::IntegrityCheck { level, scopes, .. } = &asked.work else { continue };
            if *level >= Level::Checksum && scopes.contains(&scope) {
                let answer = asked::integrity(self.facts, scope, *level, asked.interval, self.now);
                answers.push((format!("{} at level {}", scope.name(), level.name()), answer));
            }
        }
        let nothing = format!(
            "nothing asks for an IntegrityCheck with scope {} at level Checksum or Full: add one to a policy",
            scope.name()
        );
        verdict(&answers, &nothing, (Reason::NotChecked, Reason::CheckIncomplete, Reason::CheckStale))
            .unwrap_or_else(|| State::good("the stores that were compared agree"))
    }

    fn secure(&self) -> State {
        let of_policies = self.asks.policies.iter().map(|policy| policy.thresholds.min_severity);
        let of_audits = self.asks.audits.iter().map(|audit| audit.min_severity);
        let threshold = of_policies.chain(of_audits).min().unwrap_or(Severity::High);
        let findings = &self.facts.findings;
        let counts = [
            (Severity::Critical, findings.critical),
            (Severity::High, findings.high),
            (Severity::Medium, findings.medium),
            (Severity::Low, findings.low),
        ];
        let above: u64 = counts.iter().filter(|(severity, _)| *severity >= threshold).map(|(_, count)| count).sum();
        if above > 0 {
            let worst = findings.top.first().map(|(_, finding)| finding);
            let reason = match worst.map(|finding| finding.event_type) {
                Some(SecurityEventType::DataLeak) => Reason::LeakFound,
                Some(SecurityEventType::UnauthorizedAccess) => Reason::UnauthorizedAccess,
                Some(SecurityEventType::Vulnerability) => Reason::Vulnerable,
                Some(SecurityEventType::Audit) | None => Reason::FindingsAboveThreshold,
            };
            let first = worst.map_or_else(String::new, |f| format!(": {} in {} at {}", f.rule, f.component, f.place));
            return State::bad(reason, format!("{above} findings of severity {} or worse{first}", threshold.name()));
        }
        let mut answers = Vec::new();
        for asked in self.asked() {
            let Work::SecurityAudit { scopes } = &asked.work else { continue };
            for scope in scopes {
                answers.push((scope.name().to_owned(), asked::audit(self.facts, *scope, asked.interval, self.now)));
            }
        }
        let nothing = "no policy or audit asks for a SecurityAudit of this bank";
        verdict(&answers, nothing, (Reason::NotAudited, Reason::NotAudited, Reason::AuditStale))
            .unwrap_or_else(|| State::good("no finding at or above the threshold"))
    }

    fn backed_up(&self) -> State {
        let backs_up = self.asked().iter().any(|asked| matches!(asked.work, Work::Backup | Work::VerifyBackup));
        if backs_up || !self.bank.bank.backups.is_empty() {
            State::unknown(Reason::NotVerified, "no backup set has been verified; this version cannot verify one yet")
        } else {
            State::unknown(Reason::NotConfigured, "nothing backs this bank up: no policy has a Backup task")
        }
    }

    fn reachable(&self) -> State {
        let bank = &self.bank.bank;
        let postgres = matches!(bank.database, Some(SqlDatabase::Postgres));
        if bank.has_api || bank.vector_store.is_some() || postgres {
            State::unknown(Reason::NotSampled, "this version does not sample what answers over the network yet")
        } else {
            State::good("the bank declares no part that answers over the network")
        }
    }

    fn on_schedule(&self) -> State {
        if self.too_many_rows {
            return State::bad(
                Reason::TooManySchedules,
                "more than 64 schedules select this bank: narrow their selectors",
            );
        }
        if self.rows.is_empty() {
            return State::unknown(Reason::NoPolicy, "no policy selects this bank");
        }
        if let Some(row) = self.rows.iter().find(|row| self.missed(row)) {
            let slot = row.last_handled_slot_time.as_ref().map_or_else(String::new, |time| time.0.to_string());
            let message = format!("nothing ran for slot {slot} of {}/{}", row.policy, row.schedule);
            return State::bad(Reason::SlotMissed, message);
        }
        if let Some(row) = self.rows.iter().find(|row| row.consecutive_failures.unwrap_or_default() > 0) {
            let name = row.last_run_name.as_deref().unwrap_or_default();
            let message = format!("the newest run of {}/{} failed: see mrun {name}", row.policy, row.schedule);
            return State::bad(Reason::RunsFailing, message);
        }
        if let Some(row) = self.rows.iter().find(|row| self.overdue(row)) {
            let message = format!("nothing ran for {}/{} in two of its intervals", row.policy, row.schedule);
            return State::bad(Reason::Overdue, message);
        }
        if let Some(held) = self.held.first() {
            return State::unknown(Reason::Held, format!("run {} is held: {}", held.run, held.message));
        }
        State::good("every slot was run")
    }

    /// Whether the newest slot of a row went by without a run, and nothing succeeded since.
    fn missed(&self, row: &ScheduleStatus) -> bool {
        let Some(slot) = row.last_handled_slot_time.as_ref().map(|time| time.0) else { return false };
        if row.since_time.as_ref().is_none_or(|since| slot < since.0) {
            return false;
        }
        let name = run_name(&row.policy, &self.bank.meta.name, &row.schedule, slot);
        let made = row.last_run_name.as_deref() == Some(&name) || self.runs.iter().any(|run| run.name == name);
        !made && row.last_success_time.as_ref().is_none_or(|time| time.0 < slot)
    }

    fn overdue(&self, row: &ScheduleStatus) -> bool {
        let (Some(since), Some(interval)) = (&row.since_time, row.expected_interval_seconds) else { return false };
        let last = row.last_run_time.as_ref().map_or(since.0, |last| last.0.max(since.0));
        self.now.as_second() - last.as_second() > interval.saturating_mul(OVERDUE_INTERVALS)
    }
}

/// Unknown with the first answer that is not good: never measured before not whole before stale. None
/// where all are good.
fn verdict(answers: &[(String, Answer)], nothing: &str, reasons: (Reason, Reason, Reason)) -> Option<State> {
    if answers.is_empty() {
        return Some(State::unknown(reasons.0, nothing));
    }
    let never = answers.iter().find(|(_, answer)| *answer == Answer::Never);
    if let Some((what, _)) = never {
        return Some(State::unknown(reasons.0, format!("{what} has not been measured yet")));
    }
    for (what, answer) in answers {
        if let Answer::Incomplete(why) = answer {
            return Some(State::unknown(reasons.1, format!("{what} could not be measured: {why}")));
        }
    }
    let (what, _) = answers.iter().find(|(_, answer)| *answer == Answer::Stale)?;
    Some(State::unknown(reasons.2, format!("{what} was last measured more than two intervals ago")))
}

fn reason_of(event: &CorruptionEvent) -> Reason {
    let database = event.component == "database" || event.component == "history";
    match event.corruption_type {
        CorruptionType::ChecksumMismatch => Reason::ChecksumMismatch,
        CorruptionType::FileCorruption if database => Reason::DatabaseCorrupt,
        CorruptionType::FileCorruption => Reason::FileCorruption,
        CorruptionType::DataInconsistency => Reason::DataInconsistency,
    }
}

fn damage(count: u64, worst: Option<&CorruptionEvent>) -> String {
    let plural = if count == 1 { "damage" } else { "damages" };
    match worst {
        Some(event) => {
            let object = &event.object;
            format!(
                "{count} open {plural}; the worst: {} of {object} in {}. {}",
                event.check, event.component, event.advice
            )
        }
        None => format!("{count} open {plural}"),
    }
}
