use std::sync::{Arc, Mutex, PoisonError};

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Unit};
use thiserror::Error;

/// The expected interval looks this far ahead.
const HORIZON_SECONDS: i64 = 366 * 86_400;
/// A cron with no more slots than these (twice a day over a year) is walked slot by slot.
const SPARSE_SLOTS: usize = 800;
/// The slots of two days of a cron that is due every minute, and one.
const TWO_DAYS_SLOTS: usize = 2_881;
/// More clock changes than any zone has in a year.
const CLOCK_CHANGES: usize = 8;
const DAY_SECONDS: i64 = 86_400;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// A zone within the expression, as some crons take it.
    #[error("found a time zone within the cron expression; expected it in the field timeZone")]
    ZoneInside,
    /// Not a cron expression.
    #[error(
        "found {found:?} ({why}); expected five fields: minute, hour, day of month, month, day of week, \
         or @hourly, @daily, @weekly, @monthly, @yearly"
    )]
    Expression {
        /// The text, shortened.
        found: String,
        /// What is wrong with it.
        why: String,
    },
    /// An expression that no day fulfils.
    #[error("found {found:?}, which no day fulfils, such as the 30th of February; expected one that comes")]
    Never {
        /// The text.
        found: String,
    },
    /// A zone that is not known.
    #[error("found time zone {found:?}; expected one of the IANA database, such as Europe/Berlin or UTC")]
    Zone {
        /// The text, shortened.
        found: String,
    },
}

/// A cron expression read in a time zone. The zones are those compiled in, so that the same text has the
/// same slots on every machine.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    cron: Cron,
    zone: TimeZone,
    text: String,
    zone_name: String,
    /// The expected interval, and the day (since 1970) on which it was computed: it costs a walk over a
    /// year, and thousands of banks share a schedule.
    interval: Arc<Mutex<Option<(i64, u64)>>>,
}

impl CronSchedule {
    /// Parses an expression of five fields, or a name such as `@daily`, in an IANA time zone.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, CronError> {
        let text = cron.trim();
        let shown = |text: &str| text.chars().take(64).collect::<String>();
        if text.contains("TZ=") {
            return Err(CronError::ZoneInside);
        }
        let zone =
            TimeZoneDatabase::bundled().get(time_zone).map_err(|_| CronError::Zone { found: shown(time_zone) })?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed =
            parser.parse(text).map_err(|error| CronError::Expression { found: shown(text), why: error.to_string() })?;
        let schedule = Self {
            cron: parsed,
            zone,
            text: text.to_owned(),
            zone_name: time_zone.to_owned(),
            interval: Arc::default(),
        };
        // Any moment will do: what never comes after this one never comes.
        if schedule.next_after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(CronError::Never { found: shown(text) });
        }
        Ok(schedule)
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone's name as written.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// The first slot after a moment.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut from = moment;
        // Two local times that a clock change puts on one minute are one slot.
        for _ in 0..3 {
            let found = self.cron.find_next_occurrence(&from.to_zoned(self.zone.clone()), false).ok()?.timestamp();
            let slot = minute(found)?;
            if slot > moment {
                return Some(slot);
            }
            from = found;
        }
        None
    }

    /// The newest slot that is not after a moment.
    pub fn at_or_before(&self, moment: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&moment.to_zoned(self.zone.clone()), true).ok()?;
        minute(found.timestamp())
    }

    /// The longest gap between two slots of the 366 days after `now`, in seconds. Where the next slot is
    /// farther away, the gap around `now`.
    pub fn expected_interval_seconds(&self, now: Timestamp) -> u64 {
        let today = now.as_second().div_euclid(DAY_SECONDS);
        let mut memo = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        match *memo {
            Some((day, seconds)) if day == today => seconds,
            _ => {
                let seconds = self.longest_gap(today * DAY_SECONDS);
                *memo = Some((today, seconds));
                seconds
            }
        }
    }

    /// A sparse cron is walked. Of a dense one, a gap of a day or more lies around some midnight (UTC); where
    /// there is none it is due on every day, and days differ only by clock changes: walk today, and around those.
    fn longest_gap(&self, from: i64) -> u64 {
        let end = from + HORIZON_SECONDS;
        let (mut longest, complete) = self.walk(from, end, SPARSE_SLOTS);
        if !complete {
            let midnights = (from..=end).step_by(86_400);
            longest = midnights.map(|midnight| self.walk(midnight, midnight, 1).0).fold(longest, i64::max);
            if longest < DAY_SECONDS {
                longest = longest.max(self.walk(from, from + 2 * DAY_SECONDS, TWO_DAYS_SLOTS).0);
                let changes = Timestamp::from_second(from).into_iter().flat_map(|from| self.zone.following(from));
                let changes: Vec<_> =
                    changes.map(|change| change.timestamp().as_second()).take(CLOCK_CHANGES).collect();
                for change in changes.into_iter().filter(|change| *change <= end) {
                    longest = longest.max(self.walk(change - DAY_SECONDS, change + DAY_SECONDS, TWO_DAYS_SLOTS).0);
                }
            }
        }
        u64::try_from(longest).unwrap_or_default()
    }

    /// The longest gap, in seconds, from the one around `from` to the one around `end`, and whether `slots`
    /// were enough to get there.
    fn walk(&self, from: i64, end: i64, slots: usize) -> (i64, bool) {
        let Ok(mut moment) = Timestamp::from_second(from) else { return (0, true) };
        let mut previous = self.at_or_before(moment);
        let mut longest = 0;
        for _ in 0..slots {
            let Some(slot) = self.next_after(moment) else { return (longest, true) };
            longest = previous.map_or(longest, |p| longest.max(slot.as_second() - p.as_second()));
            if slot.as_second() > end {
                return (longest, true);
            }
            previous = Some(slot);
            moment = slot;
        }
        (longest, false)
    }
}

/// Cuts a moment to its minute.
fn minute(moment: Timestamp) -> Option<Timestamp> {
    let zoned = moment.round(jiff::TimestampRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Floor));
    zoned.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(cron: &str, zone: &str, from: &str) -> String {
        CronSchedule::parse(cron, zone).unwrap().next_after(at(from)).unwrap().to_string()
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_was_expected() {
        for (cron, zone, part) in [
            ("CRON_TZ=UTC 0 6 * * *", "UTC", "timeZone"),
            ("TZ=UTC 0 6 * * *", "UTC", "timeZone"),
            ("0 0 6 * * *", "UTC", "five fields"),
            ("", "UTC", "five fields"),
            ("61 * * * *", "UTC", "five fields"),
            ("0 6 * * *", "Mars/Olympus", "IANA"),
            ("0 0 30 2 *", "UTC", "30th of February"),
        ] {
            let error = CronSchedule::parse(cron, zone).unwrap_err().to_string();
            assert!(error.contains(part), "{cron}: {error}");
        }
    }

    #[test]
    fn a_slot_in_a_gap_of_the_clock_runs_once_and_one_in_an_overlap_once() {
        // Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00. Sydney: 2026-10-04 02:00 -> 03:00.
        let mut slots = Vec::new();
        let nightly = CronSchedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
        let mut moment = at("2026-03-28T00:00:00Z");
        for _ in 0..3 {
            moment = nightly.next_after(moment).unwrap();
            slots.push(moment.to_string());
        }
        assert_eq!(slots, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let overlap = nightly.next_after(at("2026-10-24T12:00:00Z")).unwrap();
        assert_eq!(overlap.to_string(), "2026-10-25T00:30:00Z");
        assert_eq!(nightly.next_after(overlap).unwrap().to_string(), "2026-10-26T01:30:00Z");
        assert_eq!(next("30 2 * * *", "Australia/Sydney", "2026-10-03T12:00:00Z"), "2026-10-03T16:00:00Z");
    }

    #[test]
    fn the_expected_interval_is_the_longest_gap() {
        let interval = |cron: &str, zone: &str| {
            CronSchedule::parse(cron, zone).unwrap().expected_interval_seconds(at("2026-11-24T12:34:56Z"))
        };
        assert_eq!(interval("*/15 * * * *", "UTC"), 900);
        assert_eq!(interval("0 6 * * *", "UTC"), 86_400);
        assert_eq!(interval("0 6 * * *", "Europe/Berlin"), 90_000, "the day on which the clock goes back");
        assert_eq!(interval("0 1 1 * *", "UTC"), 31 * 86_400);
        assert_eq!(interval("0 9 * * 1-5", "UTC"), 3 * 86_400);
        assert_eq!(interval("*/5 9-17 * * 1-5", "UTC"), 3 * 86_400 - 8 * 3_600 - 55 * 60, "dense, but not at weekends");
        assert_eq!(interval("* * * 1 *", "UTC"), 334 * 86_400 + 60, "dense in January alone");
        assert_eq!(interval("0 */2 * * *", "UTC"), 7_200);
        assert_eq!(interval("*/10 4-6 * * *", "Europe/Berlin"), 22 * 3_600 + 600, "a night of 25 hours");
        assert_eq!(interval("* * * * *", "America/New_York"), 60);
        assert_eq!(interval("0 0 29 2 *", "UTC"), 1461 * 86_400, "farther away than a year");
    }

    #[test]
    fn before_and_after_agree() {
        let cron = CronSchedule::parse("*/7 3 * * *", "America/New_York").unwrap();
        let mut moment = at("2026-01-01T00:00:00Z");
        for _ in 0..5_000 {
            moment = cron.next_after(moment).unwrap();
            assert_eq!(cron.at_or_before(moment), Some(moment));
        }
    }
}
