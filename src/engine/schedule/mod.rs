//! When a schedule is due. Pure: the present comes in as an argument.
//!
//! A slot is the nominal UTC minute at which a cron expression, read in its time zone, is due.

mod cron;
mod due;
mod name;
mod run_now;
mod window;

pub use cron::{CronError, CronSchedule};
pub use due::{Due, MAX_MISSED, Rule, Since, due, spread_offset};
pub use name::{request_name, run_name};
pub use run_now::asked;
pub use window::{Blackout, Window, admits, next_admission};

/// What happens to a slot while an earlier run of its schedule is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// The slot is skipped.
    #[default]
    Forbid,
    /// Both run.
    Allow,
    /// The earlier run is cancelled.
    Replace,
}
