use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// How the beginning of a set's name shows its start, in UTC.
const START: &str = "%Y%m%dT%H%M%SZ";
/// A set that is newer by as much was named by another clock.
const BEHIND: SignedDuration = SignedDuration::from_mins(1);
/// The longest uid of a run that a name holds.
const MAX_RUN: usize = 64;

/// The name of a set: `YYYYMMDDTHHMMSSZ-RUNUID`, so that names sort by time and no two runs meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName {
    started: Timestamp,
    run: String,
}

/// A text that is no name of a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no name of a backup set: expected YYYYMMDDTHHMMSSZ-RUNUID, the uid of letters, digits and hyphens")]
pub struct NameError(String);

impl SetName {
    /// The name of the set that a run begins at a moment.
    pub fn new(started: Timestamp, run: &str) -> Result<Self, NameError> {
        format!("{}-{run}", started.strftime(START)).parse()
    }

    /// The same, after the newest that there is: names have seconds, and two sets may be begun in one of them.
    pub fn after(newest: Option<&Self>, started: Timestamp, run: &str) -> Result<Self, NameError> {
        let next = newest.and_then(|newest| newest.started.checked_add(SignedDuration::from_secs(1)).ok());
        let next = next.filter(|next| *next > started && next.duration_since(started) < BEHIND);
        Self::new(next.unwrap_or(started), run)
    }

    /// When it was begun, to the second.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// The uid of the run that made it.
    pub fn run(&self) -> &str {
        &self.run
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.started.strftime(START), self.run)
    }
}

impl FromStr for SetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError(text.chars().take(100).collect());
        let (start, run) = text.split_once('-').ok_or_else(bad)?;
        let civil = DateTime::strptime(START, start).map_err(|_| bad())?;
        let started = civil.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if run.is_empty() || run.len() > MAX_RUN || !run.bytes().all(plain) {
            return Err(bad());
        }
        let name = Self { started, run: run.to_owned() };
        if name.to_string() == text { Ok(name) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_after_one_of_the_same_second_and_not_after_another_clocks() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let newest = SetName::new(at("2026-11-22T05:00:00Z"), "z").unwrap();
        for (started, expected) in [
            ("2026-11-22T05:00:00.2Z", "20261122T050001Z-a"),
            ("2026-11-22T04:59:58Z", "20261122T050001Z-a"),
            ("2026-11-22T05:00:01.2Z", "20261122T050001Z-a"),
            ("2026-11-22T05:00:09Z", "20261122T050009Z-a"),
            ("2026-11-22T04:50:00Z", "20261122T045000Z-a"),
        ] {
            let name = SetName::after(Some(&newest), at(started), "a").unwrap();
            assert_eq!(name.to_string(), expected);
        }
        assert_eq!(SetName::after(None, at("2026-11-22T05:00:00Z"), "z").unwrap(), newest);
    }

    #[test]
    fn names_sort_by_time_and_have_one_form() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = SetName::new(at("2026-11-22T05:00:00.9Z"), "b-1").unwrap();
        assert_eq!(first.to_string(), "20261122T050000Z-b-1");
        assert_eq!(first.to_string().parse(), Ok(first.clone()));
        assert_eq!((first.started(), first.run()), (at("2026-11-22T05:00:00Z"), "b-1"));
        let second = SetName::new(at("2026-11-22T05:00:01Z"), "a").unwrap();
        assert!(first < second && first.to_string() < second.to_string());
        for bad in ["", "20261122T050000Z", "20261122T050000Z-", "20261322T050000Z-a", "20261122T050000Z-a/b"] {
            assert!(bad.parse::<SetName>().is_err(), "{bad}");
        }
        for bad in ["20261122T050000Z-a.partial", "2026122T050000Z-a", "20261122T050000Z-..", " 20261122T050000Z-a"] {
            assert!(bad.parse::<SetName>().is_err(), "{bad}");
        }
        assert!(SetName::new(first.started(), "..").is_err());
    }
}
