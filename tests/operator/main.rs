//! The operator from outside: the real binary under the chart's own rights, against a real control plane. There is
//! no node: each test says what became of the pods, as a kubelet would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

#[path = "../common/control_plane.rs"]
mod control_plane;
#[path = "../common/guardian.rs"]
mod guardian;
#[allow(dead_code)] // Only Helm itself.
#[path = "../chart/helm.rs"]
mod helm;
#[path = "../common/postgres.rs"]
mod postgres;

mod asked;
mod away;
mod bed;
mod ends;
mod kubelet;
mod limits;
mod quiesce;
mod recoveries;
mod replica;
mod replicas;
mod scraped;
mod stuck;
mod wholesome;
mod wide;
mod wrong;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
