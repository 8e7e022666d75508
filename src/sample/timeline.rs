use jiff::{SignedDuration, Timestamp};

use super::random::Random;

/// Where the bank's time begins: 2025-06-02 07:00 UTC, when OpenMemory was in use; fixed, so that a sample
/// does not depend on the day it is made.
const START: i64 = 1_748_847_600;
/// How long the bank was in use: 120 days, in microseconds.
const SPAN: u64 = 120 * 86_400 * 1_000_000;

/// The times of a sample: memories spread evenly over [`SPAN`], with chance between them.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    step: u64,
}

impl Timeline {
    /// For `count` memories.
    pub fn new(count: usize) -> Self {
        Self { step: (SPAN / (count as u64).max(1)).max(1) }
    }

    /// When memory number `index` was made.
    pub fn created(self, index: usize, random: &mut Random) -> Timestamp {
        plus(start(), (self.step * index as u64).min(SPAN) + random.below_u64(self.step))
    }

    /// Some time after `from`, at most `hours` later, and never after the bank's last day.
    pub fn later(from: Timestamp, hours: u64, random: &mut Random) -> Timestamp {
        plus(from, 1_000_000 + random.below_u64(hours * 3_600_000_000)).min(end())
    }
}

/// When the bank was set up.
pub fn start() -> Timestamp {
    Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When the bank was used last.
pub fn end() -> Timestamp {
    plus(start(), SPAN + 40 * 86_400 * 1_000_000)
}

/// A time so many microseconds later.
pub fn plus(from: Timestamp, microseconds: u64) -> Timestamp {
    let by = SignedDuration::from_micros(i64::try_from(microseconds).unwrap_or(i64::MAX));
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// As `SQLAlchemy` stores it on SQLite: naive UTC with microseconds.
pub fn sql(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// As mem0 stores it: ISO 8601 with the offset of UTC, or before its version 1.0 of US/Pacific summer time.
pub fn iso(time: Timestamp, pacific: bool) -> String {
    if pacific {
        plus(time, 0)
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-7)))
            .strftime("%Y-%m-%dT%H:%M:%S%.6f-07:00")
            .to_string()
    } else {
        time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_forms_are_those_of_the_writers() {
        let time = plus(start(), 5);
        assert_eq!(sql(time), "2025-06-02 07:00:00.000005");
        assert_eq!(iso(time, false), "2025-06-02T07:00:00.000005+00:00");
        assert_eq!(iso(time, true), "2025-06-02T00:00:00.000005-07:00");
    }
}
