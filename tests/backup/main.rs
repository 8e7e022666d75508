//! Backup sets from outside: real SQLite files and trees, sets that are altered byte by byte, processes that are killed,
//! disks that are full.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

#[path = "../common/guardian.rs"]
mod guardian;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/postgres_bank.rs"]
mod postgres_bank;
#[path = "../common/qdrant/mod.rs"]
mod qdrant;
#[path = "../common/small_disk.rs"]
mod small_disk;

mod altered;
mod bed;
mod deaths;
mod edge;
mod empty;
mod fill;
mod full_disk;
mod legacy;
mod older;
mod prune;
mod purge;
mod purge_faults;
mod restored;
mod scratch;
mod sealed;
mod tables;
mod vectors;
mod whole;
