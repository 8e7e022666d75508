//! Sets that are older than the bank is by now, and sets that lack a part of it.

use std::fs;

use memorybank::domain::{Mutable, Outcome, Verdict, Work};

use crate::bed::{Bed, tree};
use crate::guardian;

const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];

#[test]
fn a_bank_that_grew_since_says_nothing_against_its_set() {
    let bed = Bed::new(30);
    fs::remove_dir_all(bed.live().join("uploads")).unwrap();
    fs::create_dir(bed.live().join("uploads")).unwrap();
    bed.back_up("one");
    let larger = guardian::Bed::new(3_000);
    for file in ["openmemory.db", ".mem0/history.db"] {
        fs::copy(larger.path("bank").join(file), bed.live().join(file)).unwrap();
    }
    for number in 0..20 {
        fs::write(bed.live().join(format!("uploads/{number}.md")), "new").unwrap();
    }
    assert_eq!(bed.refused(), None);
    assert!(bed.verdict().unwrap().verified.is_some());
}

#[test]
fn a_set_that_its_own_run_made_is_held_against_the_bank_in_all_it_counts() {
    let bed = Bed::new(30);
    let uploads = bed.live().join("uploads");
    // After the trees were read, before the set is verified.
    bed.at_next_output(move || {
        for number in 0..1_200 {
            fs::write(uploads.join(format!("{number}.md")), "new").unwrap();
        }
    });
    bed.run("one", &BOTH);
    let refused = bed.verdict().unwrap().refused.unwrap();
    assert!(refused.starts_with("files/uploads.tar.zst: it holds"), "{refused}");
    assert_eq!(bed.refused(), None, "a later run cannot tell that from growth");
}

#[test]
fn a_whole_set_that_lacks_a_part_ends_a_refusal_and_proves_nothing() {
    let mut bed = Bed::new(30);
    bed.run("good", &BOTH);
    let good = bed.verdict().unwrap().verified.unwrap();
    bed.run("bad", &BOTH);
    let path = bed.set().join("files/uploads.tar.zst");
    fs::write(&path, "short").unwrap();
    assert!(bed.refused().unwrap().starts_with("files/uploads.tar.zst"));

    // A tree that is not mounted.
    bed.bank.files.push(tree("more", "elsewhere", ".", Mutable::Append));
    bed.back_up("less");
    let report = bed.run("verifier", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    let check = |id: &str| report.tasks[0].checks.iter().find(|check| check.id == id).unwrap().verdict;
    assert_eq!((check("backup-set"), check("backup-whole")), (Verdict::Passed, Verdict::Unknown));
    let verdict = bed.verdict().unwrap();
    assert!(verdict.lacks.as_ref().unwrap().contains("lacks files/more"), "{verdict:?}");
    assert_eq!((verdict.refused, verdict.verified.unwrap().set), (None, good.set), "the good one is still good");

    // What is wrong with what it has is told before what it lacks.
    fs::write(bed.set().join("sqlite/history.db.zst"), "short").unwrap();
    assert!(bed.refused().unwrap().starts_with("sqlite/history.db.zst"));

    // A part that the bank declares since.
    bed.bank.files.pop();
    bed.run("whole", &BOTH);
    assert!(bed.verdict().unwrap().verified.unwrap().set.ends_with("whole"));
    bed.bank.files.push(tree("more", "data", ".mem0", Mutable::Append));
    bed.run("verifier", &[Work::VerifyBackup]);
    let lacks = bed.verdict().unwrap().lacks.unwrap();
    assert!(lacks.contains("lacks files/more: the bank declares it by now"), "{lacks}");
}
