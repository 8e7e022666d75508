//! Each kind of damage under each consent.

use std::fs;

use memorybank::domain::{Consent, Digest, Outcome, RecoveryState, RepairAction, Work};

use crate::damaged::{Damaged, NAME};
use crate::guardian::query;
use crate::qdrant::Answer;

/// A bank with a damage that its set mends whole: shown, mended by the approved plan, and mended where nothing is lost.
fn mended(harm: fn(&Damaged), actions: &[RepairAction]) {
    let bank = Damaged::new(40);
    let good = bank.content();
    harm(&bank);
    let (shown, digest) = bank.plan();
    let planned: Vec<_> = shown.plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(planned, actions, "{:#?}", shown.plan);
    assert!(shown.plan.steps.iter().all(|step| step.lossless), "{:#?}", shown.plan);
    let damaged = bank.bytes();
    let (task, other) = bank.recover("other", Consent::Plan(Digest::of(b"another plan")));
    assert_eq!((task.outcome, other.state), (Outcome::Succeeded, RecoveryState::Refused));
    assert_eq!(bank.bytes(), damaged, "another plan was approved");
    for consent in [Consent::Plan(digest), Consent::Lossless] {
        let (task, done) = bank.recover("mender", consent);
        assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
        assert_eq!(done.lost_memories, Some(0));
        assert!(!done.mended.is_empty() && done.mended.iter().all(|one| one.success), "{done:#?}");
        let kept = fs::read_dir(done.quarantine.unwrap()).unwrap().count();
        assert!(kept >= 1);
        assert_eq!(bank.content(), good);
        bank.is_sound();
        harm(&bank);
    }
}

#[test]
fn an_index_that_disagrees_is_made_anew() {
    // The last digit of a time: only a comparison with the table tells.
    let harm = |bank: &Damaged| {
        let page = (bank.root("ix_memories_created_at") - 1) * 4_096;
        let bytes = fs::read(bank.database()).unwrap();
        let within = &bytes[usize::try_from(page).unwrap()..][..4_096];
        let time = within.windows(5).rposition(|five| five == b"2025-").unwrap() + 25;
        bank.tear(page + time as u64, &[within[time] ^ 1]);
    };
    mended(harm, &[RepairAction::Reindex]);
}

#[test]
fn a_torn_table_is_put_back() {
    mended(|bank| bank.tear((bank.root("memories") - 1) * 4_096, &[0xa5; 4_096]), &[RepairAction::RestoreDatabase]);
}

#[test]
fn a_file_that_is_no_database_any_more_is_put_back() {
    mended(|bank| bank.tear(0, &[0; 200]), &[RepairAction::RestoreDatabase]);
}

#[test]
fn a_file_that_is_gone_is_put_back() {
    mended(|bank| fs::remove_file(bank.database()).unwrap(), &[RepairAction::RestoreDatabase]);
}

#[test]
fn a_file_whose_content_rotted_is_put_back() {
    mended(Damaged::rot, &[RepairAction::RestoreFiles]);
}

#[test]
fn a_file_of_a_tree_that_is_gone_is_put_back() {
    mended(|bank| fs::remove_file(bank.upload()).unwrap(), &[RepairAction::RestoreFiles]);
}

#[test]
fn a_vector_of_zeros_is_put_back() {
    mended(Damaged::zero, &[RepairAction::RestoreCollection]);
}

#[test]
fn a_collection_that_is_gone_is_put_back() {
    mended(|bank| bank.server.forget(NAME), &[RepairAction::RestoreCollection]);
}

/// Database, a file and the collection.
fn harm_all(bank: &Damaged) {
    bank.tear((bank.root("memories") - 1) * 4_096, &[0xa5; 4_096]);
    bank.rot();
    bank.server.forget(NAME);
}

#[test]
fn an_encrypted_set_puts_all_of_it_back() {
    let bank = Damaged::sealed(40);
    let good = bank.content();
    harm_all(&bank);
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    assert_eq!(done.plan.steps.len(), 3);
    assert_eq!(bank.content(), good);
    bank.is_sound();
    // Without the key nothing is begun.
    bank.bed.secret("age", "key", "no key");
    harm_all(&bank);
    let damaged = bank.bytes();
    let recover = Work::Recover { events: Vec::new(), set: None, consent: Consent::Lossless };
    let task = bank.bed.run("keyless", &[recover]).tasks.remove(0);
    assert_eq!((task.outcome, task.recovery), (Outcome::Unknown, None), "{}", task.message);
    assert_eq!(bank.bytes(), damaged);
}

#[test]
fn all_at_once_is_put_back_in_order() {
    mended(harm_all, &[RepairAction::RestoreDatabase, RepairAction::RestoreFiles, RepairAction::RestoreCollection]);
}

const NEW: &str = "INSERT INTO categories (id, name) VALUES ('0123456789abcdef0123456789abcdef', 'new')";

#[test]
fn what_is_younger_than_the_set_is_not_given_up_without_a_word() {
    let bank = Damaged::new(40);
    let good = bank.content();
    query(&bank.database(), NEW);
    // A leaf of the memories: not all of them can be read any more.
    bank.tear((bank.leaf("memories") - 1) * 4_096, &[0xa5; 4_096]);
    let (shown, digest) = bank.plan();
    let [step] = &shown.plan.steps[..] else { panic!("{:#?}", shown.plan) };
    assert!(!step.lossless, "{step:#?}");
    let damaged = bank.bytes();
    let (_, refused) = bank.recover("careful", Consent::Lossless);
    assert_eq!((refused.state, refused.quarantine), (RecoveryState::Refused, None));
    assert_eq!(bank.bytes(), damaged);
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    let rows = query(&bank.database(), "SELECT * FROM memories ORDER BY 1");
    assert!(good.has(&rows), "nothing is invented");
}

#[test]
fn without_a_set_the_readable_rows_are_kept_and_told_as_partial() {
    let bank = Damaged::new(40);
    bank.bed.forget();
    bank.tear((bank.leaf("memories") - 1) * 4_096, &[0xa5; 4_096]);
    let (shown, digest) = bank.plan();
    let [step] = &shown.plan.steps[..] else { panic!("{:#?}", shown.plan) };
    assert_eq!((step.action, step.lossless), (RepairAction::SalvageDatabase, false), "{step:#?}");
    assert!(step.detail.starts_with("partial"), "{}", step.detail);
    assert_eq!(shown.plan.set, None);
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    assert_eq!(query(&bank.database(), "PRAGMA integrity_check"), [["ok"]]);
}

#[test]
fn a_healthy_bank_is_left_alone_and_what_nothing_mends_is_told() {
    let bank = Damaged::new(40);
    for consent in [Consent::None, Consent::Lossless] {
        let (_, nothing) = bank.recover("idle", consent);
        assert_eq!((nothing.state, nothing.plan.steps.len()), (RecoveryState::Nothing, 0), "{nothing:#?}");
    }
    // One text is another in SQL: a person decides which is right.
    query(
        &bank.database(),
        "UPDATE memories SET content = 'edited', updated_at = '2026-11-25 10:00:00.000000' \
                             WHERE rowid = (SELECT min(rowid) FROM memories WHERE state = 'active')",
    );
    let (_, told) = bank.recover("idle", Consent::Lossless);
    assert_eq!(told.state, RecoveryState::Nothing);
    assert!(told.plan.unmended.iter().any(|line| line.contains("payload.data of vectors")), "{told:#?}");
    // An event that was not asked for is left alone.
    bank.rot();
    let events = vec![Digest::of(b"another event")];
    let work = memorybank::domain::Work::Recover { events, set: None, consent: Consent::Lossless };
    let report = bank.bed.run("chosen", &[work]);
    assert_eq!(report.tasks[0].recovery.as_ref().unwrap().state, RecoveryState::Nothing);
    assert_eq!(report.tasks[0].corruption.iter().filter(|event| event.component == "files/uploads").count(), 1);
}

#[test]
fn a_plan_that_the_damage_outgrew_is_shown_anew_and_can_be_approved() {
    let bank = Damaged::new(40);
    let good = bank.content();
    bank.rot();
    let (_, outgrown) = bank.plan();
    bank.zero();
    let damaged = bank.bytes();
    let (_, refused) = bank.recover("late", Consent::Plan(outgrown));
    assert_eq!(refused.state, RecoveryState::Refused);
    assert_ne!(refused.plan_digest, outgrown);
    assert_eq!(bank.bytes(), damaged, "more than was approved is not done, nor a part of it");
    let (task, done) = bank.recover("mender", Consent::Plan(refused.plan_digest));
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    assert_eq!(bank.content(), good);
    bank.is_sound();
}

#[test]
fn what_cannot_be_looked_at_is_not_called_undamaged() {
    let bank = Damaged::new(40);
    bank.server.trouble("points/scroll", None, Answer::Status(503, "unavailable"));
    let recover = Work::Recover { events: Vec::new(), set: None, consent: Consent::None };
    let report = bank.bed.run("blind", &[recover]);
    let task = &report.tasks[0];
    assert_eq!((task.outcome, task.recovery.is_none()), (Outcome::Unknown, true), "{task:#?}");
    assert!(task.message.contains("is not known"), "{}", task.message);
}
