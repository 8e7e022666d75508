//! A backup of nothing is none.

use std::fs::{self, File};

use memorybank::domain::{Outcome, Work};

use crate::bed::Bed;

#[test]
fn of_an_empty_volume_there_is_no_set() {
    let bed = Bed::new(30);
    fs::remove_dir_all(bed.live()).unwrap();
    fs::create_dir(bed.live()).unwrap();
    let report = bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(report.tasks[0].message.contains("nothing of the bank could be copied"), "{report:#?}");
    assert_eq!(bed.names(), Vec::<String>::new());
    let report = bed.run("two", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    assert!(bed.verdict().unwrap().refused.unwrap().contains("no set of this bank was ever made"));
}

#[test]
fn a_set_of_a_bank_that_was_empty_never_passes() {
    let bed = Bed::new(30);
    fs::rename(bed.live(), bed.path("full")).unwrap();
    fs::create_dir_all(bed.live().join("uploads")).unwrap();
    fs::create_dir(bed.live().join(".mem0")).unwrap();
    for file in ["openmemory.db", ".mem0/history.db"] {
        File::create(bed.live().join(file)).unwrap();
    }
    bed.back_up("one");
    assert_eq!(bed.names().len(), 1);
    let refused = bed.refused().unwrap();
    assert!(refused.contains("no row and no file") || refused.contains("was damaged"), "{refused}");

    // One that has a user and nothing else is no copy of a bank that has memories.
    fs::remove_dir_all(bed.live()).unwrap();
    fs::rename(bed.path("full"), bed.live()).unwrap();
    let database = bed.live().join("openmemory.db");
    fs::copy(&database, bed.path("kept.db")).unwrap();
    crate::guardian::query(&database, "PRAGMA foreign_keys = OFF; DELETE FROM memories");
    bed.back_up("two");
    assert_eq!(bed.refused(), None, "as long as the bank is the same");
    fs::copy(bed.path("kept.db"), &database).unwrap();
    let refused = bed.refused().unwrap();
    assert!(refused.contains("no memory") && refused.starts_with("sqlite/database.db.zst"), "{refused}");
}
