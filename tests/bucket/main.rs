//! Backup sets in a bucket of a real S3 server: made, verified, restored, pruned, recovered from; objects that are altered,
//! servers that are stopped, processes that are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

#[path = "../backup/bed.rs"]
#[allow(dead_code)] // What the tests of folders need besides.
mod bed;
#[path = "../recovery/damaged.rs"]
#[allow(dead_code)] // What the tests of recoveries need besides.
mod damaged;
#[path = "../common/embedder.rs"]
mod embedder;
#[path = "../backup/fill.rs"]
mod fill;
#[path = "../common/guardian.rs"]
mod guardian;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/qdrant/mod.rs"]
mod qdrant;
#[path = "../common/s3.rs"]
mod s3;
#[path = "../common/small_disk.rs"]
mod small_disk;

mod altered;
mod away;
mod deaths;
mod proxy;
mod whole;
