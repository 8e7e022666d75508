//! The texts of a bank that are scanned for leaks: columns of its databases, text files of its volumes.
//!
//! Nothing here decides what a leak is ([`crate::engine::audit::leak`]); it reads in bounded memory, names places,
//! and tells what it could not read.

mod collector;
mod database;
mod name;
mod text;
mod volume;

use crate::domain::{Check, Finding};

pub use database::{scan_database, scan_history};
pub use volume::scan_volume;

/// The id of the check that every scan reports.
pub const CHECK: &str = "leaks";

/// What the scan of one component saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakScan {
    /// One row: `Unknown` where something that was to be read was not.
    pub checks: Vec<Check>,
    /// One per rule, value and object, the worst of them where there are more than the bound of a report.
    pub findings: Vec<Finding>,
    /// How many further findings were left out.
    pub omitted: u64,
}
