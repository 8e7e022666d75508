//! Local mode from outside: the real binary, real files, real signals, real disks that are full.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests.

#[path = "../common/guardian.rs"]
mod guardian;
#[path = "../common/small_disk.rs"]
mod small_disk;
#[path = "../common/standin.rs"]
mod standin;

mod deaths;
mod exits;
mod exposition;
mod full_disk;
mod hammered;
mod one_run;
mod printed;
mod reach;
mod recover;
mod statuses;
mod watching;

/// A second bank on the sample's files with a check of its own, for tests of what comes and goes.
const SECOND: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: second}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - {name: data, folder: {path: ../bank}}
---
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {name: quick}
spec: {bankName: second, level: Quick}
";
