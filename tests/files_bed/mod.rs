//! A tree of real files under test.
#![allow(dead_code)] // Each test binary uses its part.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use memorybank::bank::Meter;
use memorybank::bank::files::{Depth, TreeReport, check_tree};
use memorybank::domain::{Check, FileTree, Level, Mutable, PathInVolume, Severity, Verdict};
use memorybank::engine::integrity::files::{LEAF, Manifest};
use tempfile::TempDir;

/// A time that lies well behind every clock's tick.
pub fn then() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)
}

pub struct Bed {
    pub volume: TempDir,
}

impl Bed {
    pub fn new() -> Self {
        let bed = Self { volume: TempDir::new().unwrap() };
        fs::create_dir(bed.root()).unwrap();
        bed
    }

    pub fn root(&self) -> PathBuf {
        self.volume.path().join("tree")
    }

    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file with a time that every call shares, so that only content differs.
    pub fn silent(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        self.timed(path, bytes, then());
    }

    /// Writes a file with a newer time than [`then`], `n` seconds later.
    pub fn newer(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>, n: u64) {
        self.timed(path, bytes, then() + Duration::from_secs(n));
    }

    fn timed(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>, time: SystemTime) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    pub fn tree(mutable: Mutable) -> FileTree {
        let root = PathInVolume { volume: "data".into(), path: "tree".into() };
        FileTree { name: "uploads".into(), root, mutable }
    }

    pub fn check(&self, previous: Option<&Manifest>, level: Level, mutable: Mutable) -> TreeReport {
        self.share(previous, level, mutable, 10)
    }

    pub fn share(&self, previous: Option<&Manifest>, level: Level, mutable: Mutable, share: u8) -> TreeReport {
        let depth = Depth { level, share_percent: share, threads: 2 };
        let (tree, meter) = (Self::tree(mutable), Meter::default());
        check_tree(self.volume.path(), &tree, previous, depth, &meter, Timestamp::UNIX_EPOCH).unwrap()
    }

    /// The manifest of the tree as it is.
    pub fn manifest(&self) -> Manifest {
        self.check(None, Level::Full, Mutable::Never).next.unwrap()
    }
}

/// The next manifest, which is the previous one where nothing is to be kept.
pub fn next(report: &TreeReport, previous: &Manifest) -> Manifest {
    report.next.clone().unwrap_or_else(|| previous.clone())
}

/// The events, as check, type, severity and object.
pub fn told(report: &TreeReport) -> Vec<(&str, &str, Severity, &str)> {
    report
        .corruption
        .iter()
        .map(|e| (e.check.as_str(), e.corruption_type.name(), e.severity, e.object.as_str()))
        .collect()
}

pub fn row<'a>(report: &'a TreeReport, id: &str) -> &'a Check {
    report.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no {id}: {report:?}"))
}

pub fn verdicts(report: &TreeReport) -> Vec<Verdict> {
    report.checks.iter().map(|check| check.verdict).collect()
}

/// Bytes that differ from leaf to leaf.
pub fn bytes(size: u64) -> Vec<u8> {
    (0..size).map(|i| (i % 251 + i / LEAF) as u8).collect()
}
