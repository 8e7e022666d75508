use jiff::{SignedDuration, Timestamp};

use super::CronSchedule;
use crate::domain::Digest;

/// Missed slots are counted up to this; more are told as this many.
pub const MAX_MISSED: u64 = 10_000;

/// What decides when a schedule runs.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// When it is due.
    pub cron: &'a CronSchedule,
    /// How many seconds after its slot a run may still be made; unless set a fifth of the expected interval,
    /// and the offset of this bank on top.
    pub starting_deadline_seconds: Option<u32>,
    /// How many seconds after its slot this bank runs, so that not all banks run at once.
    pub offset_seconds: u32,
}

/// What has been handled already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Slots before this moment are neither missed nor caught up: bank or schedule new, changed, resumed.
    pub since: Timestamp,
    /// The newest slot that was run, skipped or counted as missed.
    pub handled: Option<Timestamp>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The slot to run, at most one: the newest, and only within its deadline.
    pub run: Option<Timestamp>,
    /// How many slots were missed that no earlier call told.
    pub missed: u64,
    /// The newest slot that is handled once this is carried out.
    pub handled: Option<Timestamp>,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// What is due at `now`. After a downtime the newest slot is caught up where its deadline allows; all
/// older ones are missed, and told once.
pub fn due(rule: Rule<'_>, since: Since, now: Timestamp) -> Due {
    let offset = SignedDuration::from_secs(i64::from(rule.offset_seconds));
    let next_look = |after| {
        let slot: Timestamp = rule.cron.next_after(after)?;
        slot.checked_add(offset).ok()
    };
    let idle = |handled| Due { run: None, missed: 0, handled, next: next_look(shifted(now, offset)) };
    let Some(newest) = rule.cron.at_or_before(shifted(now, offset)) else { return idle(since.handled) };
    if newest < since.since || since.handled.is_some_and(|handled| newest <= handled) {
        return idle(since.handled);
    }
    let by_default = || (rule.cron.expected_interval_seconds(now) / 5).saturating_add(u64::from(rule.offset_seconds));
    let deadline = rule.starting_deadline_seconds.map_or_else(by_default, u64::from);
    let in_time = u64::try_from(now.as_second() - newest.as_second()).is_ok_and(|late| late <= deadline);
    let older = slots_between(rule.cron, since, newest);
    Due {
        run: in_time.then_some(newest),
        missed: (older + u64::from(!in_time)).min(MAX_MISSED),
        handled: Some(newest),
        next: next_look(shifted(now, offset)),
    }
}

/// The offset of a bank within `spread_seconds`, always the same for the same name.
pub fn spread_offset(bank: &str, spread_seconds: u32) -> u32 {
    if spread_seconds == 0 {
        return 0;
    }
    let digest = Digest::of(bank.as_bytes());
    let bytes = digest.as_bytes();
    let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    number % spread_seconds
}

fn shifted(now: Timestamp, offset: SignedDuration) -> Timestamp {
    now.checked_sub(offset).unwrap_or(Timestamp::MIN)
}

/// The slots that are neither handled nor the newest.
fn slots_between(cron: &CronSchedule, since: Since, newest: Timestamp) -> u64 {
    let one = SignedDuration::from_nanos(1);
    let before = since.since.checked_sub(one).unwrap_or(Timestamp::MIN);
    let mut moment = since.handled.map_or(before, |handled| handled.max(before));
    let mut count = 0;
    while count < MAX_MISSED {
        match cron.next_after(moment) {
            Some(slot) if slot < newest => moment = slot,
            _ => break,
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rule(cron: &CronSchedule) -> Rule<'_> {
        Rule { cron, starting_deadline_seconds: None, offset_seconds: 0 }
    }

    #[test]
    fn a_day_down_runs_the_newest_slot_within_its_deadline_and_counts_the_others_once() {
        let cron = CronSchedule::parse("0 * * * *", "UTC").unwrap();
        let since = Since { since: at(0), handled: Some(at(0)) };
        let found = due(rule(&cron), since, at(86_400 + 60));
        assert_eq!((found.run, found.missed, found.handled), (Some(at(86_400)), 23, Some(at(86_400))));
        let again = due(rule(&cron), Since { handled: found.handled, ..since }, at(86_400 + 120));
        assert_eq!((again.run, again.missed), (None, 0));
        let late = due(rule(&cron), since, at(86_400 + 1_800));
        assert_eq!((late.run, late.missed), (None, 24));
    }

    #[test]
    fn slots_before_the_beginning_are_neither_missed_nor_run() {
        let cron = CronSchedule::parse("0 * * * *", "UTC").unwrap();
        let found = due(rule(&cron), Since { since: at(3_601), handled: None }, at(3_700));
        assert_eq!((found.run, found.missed, found.next), (None, 0, Some(at(7_200))));
    }

    #[test]
    fn a_spread_moves_the_run_and_not_the_slot() {
        let cron = CronSchedule::parse("0 * * * *", "UTC").unwrap();
        let spread = Rule { offset_seconds: 300, ..rule(&cron) };
        let since = Since { since: at(0), handled: Some(at(0)) };
        assert_eq!(due(spread, since, at(3_650)).run, None);
        assert_eq!(due(spread, since, at(3_650)).next, Some(at(3_900)));
        assert_eq!(due(spread, since, at(3_901)).run, Some(at(3_600)));
        assert!(spread_offset("assistant", 600) < 600);
        assert_eq!(spread_offset("assistant", 600), spread_offset("assistant", 600));
    }

    proptest! {
        /// Whatever the clock does, no slot is run twice, what was handled never goes back, and a clock that
        /// only goes forward neither loses nor doubles a slot: run and missed together are all of them.
        #[test]
        fn no_slot_twice_and_none_lost(steps in prop::collection::vec(-4_000i64..20_000, 1..60), forward: bool) {
            let cron = CronSchedule::parse("*/30 * * * *", "UTC").unwrap();
            let mut state = Since { since: at(1_000_000), handled: None };
            let mut now = 1_000_000;
            let mut newest = now;
            let mut run = std::collections::BTreeSet::new();
            let mut counted = 0;
            for step in steps {
                now += if forward { step.abs() } else { step };
                newest = newest.max(now);
                let found = due(rule(&cron), state, at(now));
                if let Some(slot) = found.run {
                    prop_assert!(run.insert(slot), "slot {slot} twice");
                    counted += 1;
                }
                counted += found.missed;
                prop_assert!(found.handled >= state.handled);
                state.handled = found.handled;
            }
            let all = u64::try_from(newest / 1_800 - 999_999 / 1_800).unwrap();
            prop_assert_eq!(counted, all);
        }
    }
}
