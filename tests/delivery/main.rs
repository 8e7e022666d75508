//! How a Job reports: a real server with real certificates on loopback, a real store, and the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

#[path = "../common/guardian.rs"]
mod guardian;
#[path = "../common/reports.rs"]
mod reports;

mod authority;
mod bed;
mod failures;
mod gate;
mod job;
mod refusals;
mod wire;
