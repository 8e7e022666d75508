//! A recovery that does not end well leaves the bank as it was.

use memorybank::domain::{Consent, Outcome, RecoveryState};

use crate::damaged::{Damaged, NAME};
use crate::qdrant::Answer;

fn harmed() -> Damaged {
    let bank = Damaged::new(40);
    bank.tear((bank.root("memories") - 1) * 4_096, &[0xa5; 4_096]);
    bank.rot();
    bank.zero();
    bank
}

#[test]
fn a_step_that_fails_rolls_all_of_them_back() {
    let bank = harmed();
    let before = bank.bytes();
    for (on, words) in [
        ("POST /collections/openmemory/snapshots/upload", "Service internal error: disk is gone"),
        ("-restore-", "Service internal error: not restored"),
        ("POST /collections/openmemory/points/delete", "Service internal error: not now"),
    ] {
        bank.server.trouble(on, Some(1), Answer::Status(500, words));
        let (task, report) = bank.recover("unlucky", Consent::Lossless);
        assert_eq!((task.outcome, report.state), (Outcome::Failed, RecoveryState::RolledBack), "{on}: {task:#?}");
        assert!(task.message.contains("the bank is as it was"), "{}", task.message);
        assert!(report.mended.iter().all(|one| !one.success) && !report.mended.is_empty());
        assert_eq!(bank.bytes(), before, "{on}");
        bank.server.heal();
    }
    let (task, report) = bank.recover("lucky", Consent::Lossless);
    assert_eq!(report.state, RecoveryState::Succeeded, "{task:#?}");
    bank.is_sound();
}

#[test]
fn what_is_not_mended_after_all_is_rolled_back() {
    let bank = harmed();
    let before = bank.bytes();
    // The server gives another vector than it was given, for whatever reason.
    bank.server.trouble(
        "POST /collections/openmemory/snapshots/upload",
        Some(1),
        Answer::Body(r#"{"result": true, "status": "ok"}"#.to_owned()),
    );
    let (task, report) = bank.recover("unlucky", Consent::Lossless);
    assert_eq!(report.state, RecoveryState::RolledBack, "{task:#?}");
    assert!(task.message.contains("is still damaged"), "{}", task.message);
    assert!(report.verified_after.is_some());
    assert_eq!(bank.bytes(), before);
}

#[test]
fn what_cannot_be_kept_is_not_touched() {
    let bank = harmed();
    let before = bank.bytes();
    bank.server.trouble("POST /collections/openmemory/snapshots", Some(1), Answer::Status(500, "no space"));
    let (task, report) = bank.recover("unlucky", Consent::Lossless);
    assert_eq!((task.outcome, report.state), (Outcome::Unknown, RecoveryState::Refused), "{task:#?}");
    assert_eq!((bank.bytes(), report.quarantine), (before, None));
    assert_eq!(bank.server.collections(), [NAME]);
}
