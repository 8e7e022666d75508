//! Points that differ from their rows: embedded anew, given the text of the row, given a hash, or removed.

use std::collections::BTreeMap;

use memorybank::domain::{Consent, Outcome, PointId, RecoveryPlan, RecoveryState, RepairAction};
use serde_json::json;

use crate::damaged::{Damaged, NAME, SIZE};
use crate::embedder::{Embedder, MODEL, Mood, vector};
use crate::guardian::query;
use crate::qdrant::{Stored, hash, memory};

/// What steps there are: action, items, lossless, lost memories.
fn steps(plan: &RecoveryPlan) -> Vec<(RepairAction, u64, bool, u64)> {
    let told = |step: &memorybank::domain::RecoveryStep| (step.action, step.items, step.lossless, step.lost_memories);
    plan.steps.iter().map(told).collect()
}

/// Live memories: their ids, as points and as rows have them.
fn live(bank: &Damaged) -> Vec<(PointId, String)> {
    let rows = query(&bank.database(), "SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id");
    rows.into_iter().map(|row| (PointId::Uuid(u128::from_str_radix(&row[0], 16).unwrap()), row[0].clone())).collect()
}

/// Live memories that mem0 never changed.
fn unchanged(bank: &Damaged) -> Vec<(PointId, String)> {
    let history = bank.bed.live().join(".mem0/history.db");
    let changed = query(&history, "SELECT DISTINCT memory_id FROM history WHERE event <> 'ADD'");
    live(bank).into_iter().filter(|(id, _)| !changed.contains(&vec![id.to_string()])).collect()
}

/// Edits a row as the API does: SQL alone.
fn edit(bank: &Damaged, row: &str, text: &str) {
    let sql =
        format!("UPDATE memories SET content = '{text}', updated_at = '2026-11-21 10:00:00.000000' WHERE id = '{row}'");
    query(&bank.database(), &sql);
}

fn texts(bank: &Damaged) -> BTreeMap<PointId, String> {
    let rows = query(&bank.database(), "SELECT id, content FROM memories WHERE state <> 'deleted'");
    rows.into_iter().map(|row| (PointId::Uuid(u128::from_str_radix(&row[0], 16).unwrap()), row[1].clone())).collect()
}

/// Each live memory has its point, with its text, its hash and the vector of the model; and there is no other.
fn agrees(bank: &Damaged) {
    let texts = texts(bank);
    assert_eq!(bank.server.ids(NAME), texts.keys().copied().collect::<Vec<_>>());
    for (id, text) in texts {
        let Stored { payload, vector: stored, .. } = bank.server.point(NAME, id).unwrap();
        assert_eq!((&payload["data"], &payload["hash"]), (&json!(text), &json!(hash(&text))));
        let (stored, made) = (stored.unwrap(), vector(MODEL, &text, SIZE));
        assert!(stored.iter().zip(&made).all(|(a, b)| (a - b).abs() < 1e-5), "{id}");
    }
}

#[test]
fn memories_without_a_point_are_embedded_again() {
    let (bank, model) = Damaged::embedded(40);
    let rows = live(&bank);
    let removed = [rows[3].0, rows[20].0];
    let owner = bank.server.point(NAME, removed[0]).unwrap().payload["user_id"].clone();
    for id in removed {
        bank.server.remove(NAME, id);
    }
    let (shown, digest) = bank.plan();
    assert_eq!(steps(&shown.plan), [(RepairAction::ReEmbed, 2, true, 0)], "{shown:#?}");
    assert!(shown.plan.steps[0].estimated_seconds.is_some());
    assert_eq!(shown.plan.unmended, Vec::<String>::new());
    model.asked();
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!((done.state, done.lost_memories), (RecoveryState::Succeeded, Some(0)), "{task:#?}");
    let texts = texts(&bank);
    let mut batch: Vec<_> = removed.iter().map(|id| texts[id].replace('\n', " ")).collect();
    batch.sort();
    let mut asked = model.asked();
    for texts in &mut asked {
        texts.sort();
    }
    assert!(asked.contains(&batch), "in one call");
    agrees(&bank);
    let payload = bank.server.point(NAME, removed[0]).unwrap().payload;
    assert_eq!(payload["user_id"], owner);
    assert!(payload["created_at"].as_str().unwrap().ends_with("+00:00"), "{payload}");
    bank.is_sound();
}

#[test]
fn a_row_that_was_edited_gives_its_point_the_new_text() {
    let (bank, _model) = Damaged::embedded(40);
    let rows = unchanged(&bank);
    edit(&bank, &rows[5].1, "drinks tea now");
    let (shown, _) = bank.plan();
    assert_eq!(steps(&shown.plan), [(RepairAction::SyncText, 1, true, 0)], "{shown:#?}");
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    agrees(&bank);
    let payload = bank.server.point(NAME, rows[5].0).unwrap().payload;
    assert_eq!((&payload["text_lemmatized"], &payload["source_app"]), (&json!("drinks tea now"), &json!("openmemory")));
    // mem0's history never has what it was not told.
    let (task, again) = bank.recover("again", Consent::Lossless);
    assert_eq!(again.state, RecoveryState::Nothing);
    assert!(task.corruption.iter().all(|event| event.invariant.as_deref() == Some("I11")), "{task:#?}");
}

#[test]
fn a_text_that_may_be_the_newer_one_is_given_up_only_by_approval() {
    let (bank, _model) = Damaged::embedded(40);
    let rows = unchanged(&bank);
    edit(&bank, &rows[5].1, "drinks tea now");
    // mem0 changed this one by itself, and never told SQL.
    let (id, _) = rows[9];
    let mut stored = bank.server.point(NAME, id).unwrap();
    let old = stored.payload["data"].as_str().unwrap().replace('\'', "''");
    stored.payload["data"] = json!("moved to Oslo");
    stored.payload["hash"] = json!(hash("moved to Oslo"));
    stored.payload["updated_at"] = json!("2026-11-21T08:00:00.000001+00:00");
    bank.server.put(NAME, id, stored.payload, Some(vector(MODEL, "moved to Oslo", SIZE)));
    let history = bank.bed.live().join(".mem0/history.db");
    let update = format!(
        "INSERT INTO history (id, memory_id, old_memory, new_memory, event, created_at, is_deleted) \
         VALUES ('11111111-2222-4333-8444-555555555555', '{id}', '{old}', 'moved to Oslo', 'UPDATE', \
         '2026-11-21T08:00:00.000001+00:00', 0)"
    );
    query(&history, &update);
    let (shown, digest) = bank.plan();
    let expected = [(RepairAction::SyncText, 1, true, 0), (RepairAction::SyncText, 1, false, 1)];
    assert_eq!(steps(&shown.plan), expected, "{shown:#?}");
    let (task, done) = bank.recover("careful", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    let data = |id| bank.server.point(NAME, id).unwrap().payload["data"].clone();
    assert_eq!((data(rows[5].0), data(id)), (json!("drinks tea now"), json!("moved to Oslo")));
    let (_, refused) = bank.recover("careful", Consent::Lossless);
    assert_eq!(refused.state, RecoveryState::Refused);
    // What is left is less than what was approved, and another plan.
    let (_, outgrown) = bank.recover("late", Consent::Plan(digest));
    assert_eq!(outgrown.state, RecoveryState::Refused);
    let (task, done) = bank.recover("mender", Consent::Plan(outgrown.plan_digest));
    assert_eq!((done.state, done.lost_memories), (RecoveryState::Succeeded, Some(1)), "{task:#?}");
    agrees(&bank);
}

#[test]
fn a_hash_that_is_not_there_is_written() {
    let bank = Damaged::new(40);
    for (id, _) in live(&bank).into_iter().take(3) {
        let mut stored = bank.server.point(NAME, id).unwrap();
        stored.payload.as_object_mut().unwrap().remove("hash");
        stored.payload["updated_at"] = json!("2026-11-21T08:00:00.000001+00:00");
        bank.server.put(NAME, id, stored.payload, stored.vector);
    }
    let (shown, _) = bank.plan();
    assert_eq!(steps(&shown.plan), [(RepairAction::WriteHash, 3, true, 0)], "{shown:#?}");
    let vectors =
        || -> Vec<_> { live(&bank).into_iter().map(|(id, _)| bank.server.point(NAME, id).unwrap().vector).collect() };
    let before = vectors();
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    assert_eq!(vectors(), before);
    for (id, _) in live(&bank) {
        let payload = bank.server.point(NAME, id).unwrap().payload;
        assert_eq!(payload["hash"], json!(hash(payload["data"].as_str().unwrap())));
    }
}

#[test]
fn points_without_a_row_go_by_approval_alone() {
    let bank = Damaged::new(40);
    let stranger = PointId::Uuid(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
    bank.server.put(NAME, stranger, memory("written by a script", "ada"), Some(crate::qdrant::unit(99, SIZE)));
    let (shown, digest) = bank.plan();
    assert_eq!(steps(&shown.plan), [(RepairAction::DeleteOrphans, 1, false, 1)], "{shown:#?}");
    let (_, refused) = bank.recover("careful", Consent::Lossless);
    assert_eq!(refused.state, RecoveryState::Refused);
    assert!(bank.server.point(NAME, stranger).is_some());
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!((done.state, done.lost_memories), (RecoveryState::Succeeded, Some(1)), "{task:#?}");
    assert!(bank.server.point(NAME, stranger).is_none());
    bank.is_sound();
}

#[test]
fn a_point_whose_row_lost_its_id_is_no_orphan() {
    let bank = Damaged::new(40);
    let (_, row) = &live(&bank)[0];
    // As SQLite takes an id of digits alone in a column that it thinks holds numbers.
    let lost = format!("PRAGMA foreign_keys = OFF; UPDATE memories SET id = 1.5e30 WHERE id = '{row}'");
    query(&bank.database(), &lost);
    let (_, told) = bank.recover("careful", Consent::Lossless);
    assert!(told.plan.steps.iter().all(|step| step.action != RepairAction::DeleteOrphans), "{told:#?}");
    assert!(told.plan.unmended.iter().any(|line| line.contains("(I14)")), "{told:#?}");
}

/// Nothing is written by a model that is not the bank's, or gives nothing of use; and it is told why.
#[test]
fn a_model_that_is_not_the_banks_embeds_nothing() {
    let (mut bank, model) = Damaged::embedded(40);
    bank.server.remove(NAME, live(&bank)[7].0);
    let damaged = bank.bytes();
    for (mood, words) in [
        (Mood::Status(500), "refuses to embed with the model small (HTTP 500)"),
        (Mood::Status(401), "(HTTP 401)"),
        (Mood::Short, "does not answer as an embedding model does"),
        (Mood::Zeros, "does not answer as an embedding model does"),
    ] {
        model.set(mood);
        let (task, told) = bank.recover("careful", Consent::Lossless);
        assert_eq!((told.state, told.plan.steps.len()), (RecoveryState::Nothing, 0), "{mood:?}: {told:#?}");
        assert!(told.plan.unmended.iter().any(|line| line.contains(words)), "{mood:?}: {told:#?}");
        let checked = task.checks.iter().find(|check| check.id == "vectors-model").unwrap();
        assert!(checked.detail.contains(words), "{checked:?}");
    }
    model.set(Mood::Well);
    bank.bed.bank.embedding.as_mut().unwrap().model = "another".to_owned();
    let (task, told) = bank.recover("careful", Consent::Lossless);
    assert_eq!((told.state, told.plan.steps.len()), (RecoveryState::Nothing, 0), "{told:#?}");
    assert!(told.plan.unmended.iter().any(|line| line.contains("another is not the model of")), "{told:#?}");
    assert!(task.corruption.iter().any(|event| event.invariant.as_deref() == Some("I10")), "{task:#?}");
    bank.bed.bank.embedding = None;
    let (_, told) = bank.recover("careful", Consent::Lossless);
    assert!(told.plan.unmended.iter().any(|line| line.contains("declare spec.embedding")), "{told:#?}");
    assert_eq!(bank.bytes(), damaged);
}

#[test]
fn a_model_that_makes_longer_vectors_is_asked_for_the_banks_length() {
    let (bank, model) = Damaged::embedded(40);
    bank.server.remove(NAME, live(&bank)[7].0);
    model.set(Mood::Long(SIZE * 2));
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    agrees(&bank);
}

#[test]
fn a_text_that_the_model_refuses_keeps_no_other_from_being_embedded() {
    let (bank, model) = Damaged::embedded(60);
    let rows = live(&bank);
    let removed: Vec<_> = rows.iter().step_by(15).map(|(id, _)| *id).collect();
    let refused = &rows[15].1;
    query(&bank.database(), &format!("UPDATE memories SET content = '~' || content WHERE id = '{refused}'"));
    for id in &removed {
        bank.server.remove(NAME, *id);
    }
    let (_, digest) = bank.plan();
    model.set(Mood::Refuses('~'));
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!(done.state, RecoveryState::Succeeded, "{task:#?}");
    let there: Vec<_> = removed.iter().filter(|id| bank.server.point(NAME, **id).is_some()).collect();
    assert_eq!(there.len(), removed.len() - 1);
    assert!(bank.server.point(NAME, rows[15].0).is_none());
}

#[test]
fn a_memory_that_mem0_deleted_is_not_brought_back() {
    let (bank, _model) = Damaged::embedded(40);
    let (id, _) = live(&bank)[3];
    bank.server.remove(NAME, id);
    let history = bank.bed.live().join(".mem0/history.db");
    let deleted = format!(
        "INSERT INTO history (id, memory_id, event, created_at, is_deleted) VALUES \
         ('11111111-2222-4333-8444-555555555555', '{id}', 'DELETE', '2026-11-21T08:00:00.000001+00:00', 1)"
    );
    query(&history, &deleted);
    let (_, told) = bank.recover("careful", Consent::Lossless);
    assert_eq!((told.state, told.plan.steps.len()), (RecoveryState::Nothing, 0), "{told:#?}");
    assert!(told.plan.unmended.iter().any(|line| line.contains("says that it was deleted")), "{told:#?}");
}

#[test]
fn the_text_of_one_user_is_not_put_into_the_point_of_another() {
    let (bank, _model) = Damaged::embedded(40);
    let (id, row) = unchanged(&bank)[5].clone();
    edit(&bank, &row, "drinks tea now");
    let mut stored = bank.server.point(NAME, id).unwrap();
    stored.payload["user_id"] = json!("somebody else");
    stored.payload["updated_at"] = json!("2026-11-20T09:00:00.000001+00:00");
    bank.server.put(NAME, id, stored.payload, stored.vector);
    let (_, told) = bank.recover("careful", Consent::Lossless);
    assert_eq!(told.plan.steps.len(), 0, "{told:#?}");
    assert!(told.plan.unmended.iter().any(|line| line.contains("another user owns the point")), "{told:#?}");
}

#[test]
fn a_model_that_fails_in_the_middle_leaves_the_bank_as_it_was() {
    let (bank, model) = Damaged::embedded(1_000);
    for (id, _) in live(&bank).into_iter().step_by(20) {
        bank.server.remove(NAME, id);
    }
    let damaged = bank.bytes();
    // Two samples before the steps, and the first of several pages.
    model.set(Mood::WellFor(3));
    let (task, done) = bank.recover("mender", Consent::Lossless);
    assert_eq!((task.outcome, done.state), (Outcome::Failed, RecoveryState::RolledBack), "{task:#?}");
    assert!(task.message.contains("ReEmbed of vectors"), "{}", task.message);
    assert_eq!(bank.bytes(), damaged);
    assert!(!format!("{task:?}").contains(Embedder::key()));
}
