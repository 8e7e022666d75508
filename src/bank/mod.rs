//! Effects on the parts of a bank: its SQLite files, its file trees, its texts.

pub mod files;
pub mod leaks;
pub mod sqlite;

mod meter;
pub use meter::{Cancelled, Meter};
