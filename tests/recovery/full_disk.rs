//! No room for what is to be kept, or in the bank's own volume: nothing is begun.

use std::fs;
use std::path::Path;
use std::process::Command;

use memorybank::domain::{Consent, RecoveryState};

use crate::bed::noise;
use crate::damaged::Damaged;
use crate::guardian::{files, skipped};

/// A small file system of its own, with what was there.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn over(at: &Path, size: &str) -> Option<Self> {
        let content: Vec<_> = files(at).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
        let times: Vec<_> = content.iter().map(|(_, path)| path.metadata().unwrap().modified().unwrap()).collect();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            skipped("this system does not let the test mount a small tmpfs (needs root)");
            return None;
        }
        for ((bytes, path), time) in content.into_iter().zip(times) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_before_anything_is_changed() {
    let bank = Damaged::new(40);
    bank.tear((bank.root("memories") - 1) * 4_096, &[0xa5; 4_096]);
    for volume in [bank.bed.volume(), bank.bed.live()] {
        let Some(disk) = SmallDisk::over(&volume, "40m") else { return };
        let ballast = volume.join("ballast");
        fs::write(&ballast, noise(28 << 20)).unwrap();
        let before = bank.bytes();
        let (task, report) = bank.recover("full", Consent::Lossless);
        assert_eq!((report.state, report.quarantine), (RecoveryState::Refused, None), "{task:#?}");
        assert!(task.message.contains("bytes free"), "{}", task.message);
        assert_eq!(bank.bytes(), before);
        drop(disk);
    }
    let (task, report) = bank.recover("roomy", Consent::Lossless);
    assert_eq!(report.state, RecoveryState::Succeeded, "{task:#?}");
}
