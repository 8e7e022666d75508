//! A bank that is damaged, on disk and on its server, and what becomes of it: mended and verified, or as it was. Also where
//! the process is killed, and where the disk is full.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

#[path = "../backup/bed.rs"]
#[allow(dead_code)] // What the tests of backups need besides.
mod bed;
#[path = "../common/embedder.rs"]
mod embedder;
#[path = "../backup/fill.rs"]
mod fill;
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

mod back;
mod damaged;
mod deaths;
mod full_disk;
mod matrix;
mod points;
mod server;
mod table;
