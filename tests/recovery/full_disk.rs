//! No room for what is to be kept, or in the bank's own volume: nothing is begun.

use std::fs;

use memorybank::domain::{Consent, RecoveryState};

use crate::bed::noise;
use crate::damaged::Damaged;
use crate::small_disk::SmallDisk;

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
