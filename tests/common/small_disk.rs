//! A disk with little room.
#![allow(clippy::unwrap_used)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system over a folder, until it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// With the files that were in the folder; none where this system does not let the test mount it, which is a failure
    /// where every tier is required.
    pub fn over(folder: &Path, size: &str) -> Option<Self> {
        let content: Vec<_> = files(folder)
            .into_iter()
            .map(|path| (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap(), path))
            .collect();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            let why = "skipped: this system does not let the test mount a small tmpfs (needs root)";
            assert!(std::env::var_os("MEMORYBANK_REQUIRE_ALL_TIERS").is_none_or(|v| v != "1"), "{why}");
            eprintln!("{why}");
            return None;
        }
        for (bytes, time, path) in content {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        Some(Self(folder.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all room that is left, to the last block; the file that has it.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
