use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::engine::schedule::{CronSchedule, Window};

/// Where the search begins: some midnight, so that the answer does not depend on when it is asked.
const BEGIN: Timestamp = Timestamp::constant(1_704_067_200, 0); // 2024-01-01T00:00:00Z
/// The calendar repeats its weekdays after 28 years (until 2100), so a rarer slot than that does not exist.
const YEARS: i64 = 28;
/// Enough slots for a fortnight of a cron that is due every minute, and for 28 years of a daily one.
const SLOTS: usize = 20_200;

/// Whether any slot of a cron lies within any of some windows. The answer is the same at any time.
pub(super) fn any_slot_within(cron: &CronSchedule, windows: &[Window]) -> bool {
    let Ok(zone) = TimeZone::get(cron.zone_name()) else { return false };
    let end = BEGIN.saturating_add((YEARS * 366 * 24).hours()).unwrap_or(Timestamp::MAX);
    let mut slot = BEGIN;
    for _ in 0..SLOTS {
        match cron.next_after(slot) {
            Some(next) if next <= end => slot = next,
            _ => return false,
        }
        let local = zone.to_datetime(slot);
        if windows.iter().any(|window| window.contains(local)) {
            return true;
        }
    }
    false
}
