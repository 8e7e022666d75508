//! Slots where clocks change, against a walk over every minute; both hemispheres, and the odd zones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use memorybank::engine::schedule::CronSchedule;
use proptest::prelude::*;

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe", // half an hour
    "America/Santiago",    // at midnight
    "Africa/Cairo",        // at midnight
    "Asia/Kathmandu",      // 5:45, no change
    "UTC",
];

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn changes(zone: &TimeZone) -> Vec<Timestamp> {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let end = begin + SignedDuration::from_hours(24 * 366);
    zone.following(begin).map(|change| change.timestamp()).take_while(|at| *at < end).collect()
}

fn slots(cron: &CronSchedule, from: Timestamp, hours: i64) -> Vec<Timestamp> {
    let end = from + SignedDuration::from_hours(hours);
    let mut slots = Vec::new();
    let mut at = from;
    while let Some(slot) = cron.next_after(at).filter(|slot| *slot <= end) {
        slots.push(slot);
        at = slot;
    }
    slots
}

#[test]
fn a_daily_schedule_has_one_slot_on_every_local_day() {
    for name in ZONES {
        let zone = zone(name);
        for hour in 0..24 {
            let cron = CronSchedule::parse(&format!("30 {hour} * * *"), name).unwrap();
            let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let slots = slots(&cron, begin, 24 * 365);
            for pair in slots.windows(2) {
                let days = [pair[0], pair[1]].map(|slot| zone.to_datetime(slot).date());
                assert_eq!(days[0].checked_add(1.day()).unwrap(), days[1], "{name} {hour}:30 after {}", pair[0]);
            }
        }
    }
}

#[test]
fn a_quarter_hourly_schedule_has_every_quarter_that_clocks_show() {
    for name in ZONES {
        let zone = zone(name);
        let cron = CronSchedule::parse("*/15 * * * *", name).unwrap();
        for change in changes(&zone) {
            let from = change - SignedDuration::from_hours(3);
            let shown: Vec<_> = (1..=6 * 60)
                .map(|minute| from + SignedDuration::from_mins(minute))
                .filter(|at| zone.to_datetime(*at).minute() % 15 == 0)
                .collect();
            assert_eq!(slots(&cron, from, 6), shown, "{name} around {change}");
        }
    }
}

#[test]
fn northern_and_southern_changes_fall_where_they_do() {
    let cases = [
        // zone, cron, from, slots
        ("Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("Australia/Sydney", "2026-10-03T00:00:00Z", ["2026-10-03T16:00:00Z", "2026-10-04T15:30:00Z"]),
        ("Australia/Sydney", "2026-04-03T16:00:00Z", ["2026-04-04T15:30:00Z", "2026-04-05T16:30:00Z"]),
    ];
    for (name, from, expected) in cases {
        let cron = CronSchedule::parse("30 2 * * *", name).unwrap();
        let found: Vec<_> = slots(&cron, from.parse().unwrap(), 72).iter().take(2).map(ToString::to_string).collect();
        assert_eq!(found, expected, "{name} from {from}");
    }
}

proptest! {
    /// The newest slot, found directly, is the one that a walk finds; next and newest agree at any moment.
    #[test]
    fn newest_and_next_agree(
        zone in prop::sample::select(&ZONES[..]),
        cron in prop::sample::select(&["30 2 * * *", "0 0 * * *", "*/7 1-3 * * *", "0 2,14 * * 1-5", "15 1 1,15 * *", "0 */6 * * *"][..]),
        hours in 0i64..8_760,
        seconds in 0i64..3_600,
    ) {
        let cron = CronSchedule::parse(cron, zone).unwrap();
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let now = begin + SignedDuration::from_hours(hours) + SignedDuration::from_secs(seconds);
        let next = cron.next_after(now).unwrap();
        prop_assert!(next > now);
        prop_assert_eq!(cron.at_or_before(next), Some(next));
        let newest = cron.at_or_before(now).unwrap();
        prop_assert!(newest <= now);
        prop_assert_eq!(cron.next_after(newest), Some(next), "nothing lies between them");
    }

    /// Whatever somebody writes: an error or a schedule that has slots, never a panic or a hang.
    #[test]
    fn any_text_is_read_or_refused(text in "[-*/,0-9A-Za-z@#?+ ]{0,24}|\\PC{0,24}", zone in "[A-Za-z/_+-]{0,16}") {
        for zone in [zone.as_str(), "UTC"] {
            if let Ok(cron) = CronSchedule::parse(&text, zone) {
                let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
                let next = cron.next_after(now);
                prop_assert!(next.is_none_or(|next| next > now));
                cron.expected_interval_seconds(now);
            }
        }
    }
}
