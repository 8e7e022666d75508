//! The operator is killed again and again, and the API server answers badly: what comes of it is what would have come
//! of it anyway. A real control plane, the real binary; the test plays the pods.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

#[path = "../common/control_plane.rs"]
mod control_plane;
#[path = "../common/operator_child.rs"]
mod operator_child;
#[path = "../common/reports.rs"]
mod reports;

mod answers;
mod bed;
mod kills;
mod proxy;
mod runner;
