use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

/// How many days ahead the next opening is looked for.
const SEARCH_DAYS: usize = 800;

/// A time of day in which runs may start, on some days. One that ends before it starts ends on the next
/// day, and belongs to the day on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it starts.
    pub days: Vec<Weekday>,
    /// Its first minute.
    pub start: Time,
    /// The first minute that is no longer in it.
    pub end: Time,
}

/// Days on which no run starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blackout {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

impl Window {
    /// The day on which it started, where a local time lies in it.
    pub fn start_day(&self, at: DateTime) -> Option<Date> {
        let (today, time) = (at.date(), at.time());
        let overnight = self.end <= self.start;
        let on = |day: Date| self.days.contains(&day.weekday());
        if on(today) && self.start <= time && (overnight || time < self.end) {
            return Some(today);
        }
        today.yesterday().ok().filter(|yesterday| overnight && time < self.end && on(*yesterday))
    }

    /// Whether a local time lies in it.
    pub fn contains(&self, at: DateTime) -> bool {
        self.start_day(at).is_some()
    }
}

impl Blackout {
    /// Whether a local day lies in it.
    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }
}

/// Whether runs may start at a moment: inside a window, where there are any, and on no blackout day. A window
/// over midnight is of the day on which it starts: a blackout of that day closes all of it, one of the next day
/// none of it.
pub fn admits(windows: &[Window], blackouts: &[Blackout], zone: &TimeZone, moment: Timestamp) -> bool {
    let local = zone.to_datetime(moment);
    let free = |day: Date| !blackouts.iter().any(|blackout| blackout.contains(day));
    if windows.is_empty() {
        return free(local.date());
    }
    windows.iter().filter_map(|window| window.start_day(local)).any(free)
}

/// The first moment from `now` on at which runs may start; none within about two years.
pub fn next_admission(
    windows: &[Window],
    blackouts: &[Blackout],
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    if admits(windows, blackouts, zone, now) {
        return Some(now);
    }
    let mut day = zone.to_datetime(now).date();
    for _ in 0..SEARCH_DAYS {
        let starts = windows.iter().map(|window| window.start).chain([Time::midnight()]);
        let first = starts
            .filter_map(|time| first_moment(zone, day.to_datetime(time)))
            .filter(|moment| *moment > now && admits(windows, blackouts, zone, *moment))
            .min();
        if first.is_some() {
            return first;
        }
        day = day.checked_add(1.day()).ok()?;
    }
    None
}

/// The first moment at which clocks show a local time, or a later one where they skip it.
fn first_moment(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    let found = zone.to_ambiguous_timestamp(local);
    if let AmbiguousOffset::Gap { .. } = found.offset() {
        let after = found.later().ok()?;
        return zone.preceding(after).next().map(|change| change.timestamp());
    }
    found.earlier().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::strptime("%H:%M", text).unwrap()
    }

    fn window(days: &[Weekday], start: &str, end: &str) -> Window {
        Window { days: days.to_vec(), start: time(start), end: time(end) }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_starts() {
        let night = window(&[Weekday::Monday], "22:00", "06:30");
        // 2026-11-23 is a Monday.
        for (local, inside) in [
            ("2026-11-23T21:59", false),
            ("2026-11-23T22:00", true),
            ("2026-11-24T06:29", true),
            ("2026-11-24T06:30", false),
            ("2026-11-24T23:00", false),
            ("2026-11-23T03:00", false),
        ] {
            assert_eq!(night.contains(local.parse().unwrap()), inside, "{local}");
        }
    }

    #[test]
    fn the_next_admission_is_the_first_moment_that_is_admitted() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let windows = [window(&[Weekday::Friday], "22:00", "04:00")];
        let blackout = [Blackout { from: "2026-12-24".parse().unwrap(), to: "2026-12-26".parse().unwrap() }];
        let next = |now: &str| next_admission(&windows, &blackout, &zone, now.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("2026-11-24T12:00:00Z"), "2026-11-27T21:00:00Z");
        assert_eq!(next("2026-11-27T23:00:00Z"), "2026-11-27T23:00:00Z");
        // Friday the 25th is blacked out, and so all of its night.
        assert_eq!(next("2026-12-24T12:00:00Z"), "2027-01-01T21:00:00Z");
        let eve = [Blackout { from: "2026-12-26".parse().unwrap(), to: "2026-12-26".parse().unwrap() }];
        let night = "2026-12-26T01:00:00Z".parse().unwrap();
        assert!(admits(&windows, &eve, &zone, night), "the night belongs to Friday");
        let friday = [Blackout { from: "2026-12-25".parse().unwrap(), to: "2026-12-25".parse().unwrap() }];
        assert!(!admits(&windows, &friday, &zone, night));
        // Berlin's clocks skip 02:00 to 03:00 on that Sunday: a window from 02:30 opens at 03:00.
        let gap = [window(&[Weekday::Sunday], "02:30", "05:00")];
        let sunday = "2026-03-28T23:30:00Z".parse().unwrap();
        assert_eq!(next_admission(&gap, &[], &zone, sunday).unwrap().to_string(), "2026-03-29T01:00:00Z");
        let days = [Blackout { from: "2026-12-24".parse().unwrap(), to: "2026-12-24".parse().unwrap() }];
        assert_eq!(
            next_admission(&[], &days, &zone, "2026-12-24T12:00:00Z".parse().unwrap()).unwrap().to_string(),
            "2026-12-24T23:00:00Z"
        );
    }
}
