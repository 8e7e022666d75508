use memorybank::domain::{Payload, PointId, Severity, Verdict};
use memorybank::engine::consistency::Action;
use memorybank::engine::consistency::baseline::Share;

use crate::bed::{Bed, assert_sound, id, only, payload, row, seal};
use crate::common::GENERATIONS;

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_bank_is_never_accused() {
    for (generation, memories) in GENERATIONS.into_iter().zip([300, 0, 1, 300]) {
        let bed = Bed::of(generation, memories, "").await;
        for share in [Share::All, Share::Percent(10), Share::Percent(0), Share::All] {
            assert_sound(&bed.compare(share).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_is_missing_is_told() {
    let mut bed = Bed::new(300).await;
    let lost = bed.points.points.remove(40).id;
    let compared = bed.compare(Share::All).await;
    let (check, invariant, count, evidence) = only(&compared);
    assert_eq!((check, invariant, count), ("consistency-missing", Some("I1"), 1));
    assert!(evidence.ends_with(&lost.to_string()), "{evidence}");
    assert_eq!(compared.corruption[0].severity, Severity::High);
    let step = &compared.plan.steps[0];
    assert_eq!((step.action, step.embeddings, step.lossless), (Action::ReEmbed, 1, true));
    assert!(step.bytes > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_made_anew_is_critical_and_takes_a_second_pass() {
    let mut bed = Bed::large().await;
    let points = std::mem::take(&mut bed.points.points);
    assert!(points.len() > 4_096);
    let compared = bed.compare(Share::All).await;
    let (check, invariant, count, _) = only(&compared);
    assert_eq!((check, invariant, count), ("consistency-missing", Some("I1"), points.len() as u64));
    assert_eq!(compared.corruption[0].severity, Severity::Critical);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_of_a_deleted_memory_is_told() {
    let bed = Bed::new(300).await;
    let first = bed.points.points[9].id;
    bed.bank.change("UPDATE memories SET state = 'deleted', deleted_at = '2025-10-01 00:00:00' WHERE state <> 'deleted' AND id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1 OFFSET 9)").await;
    let compared = bed.compare(Share::All).await;
    let (check, invariant, count, evidence) = only(&compared);
    assert_eq!((check, invariant, count), ("consistency-deleted", Some("I2"), 1));
    assert!(evidence.ends_with(&first.to_string()), "{evidence}");
    assert_eq!(compared.corruption[0].severity, Severity::Critical);
}

#[tokio::test(flavor = "multi_thread")]
async fn points_without_a_row_are_told_whatever_their_ids_are() {
    let mut bed = Bed::new(300).await;
    let mut orphan = bed.points.points[9].clone();
    orphan.id = PointId::Uuid(u128::MAX);
    bed.points.points.push(orphan.clone());
    orphan.id = PointId::Number(7);
    bed.points.points.insert(0, orphan);
    let compared = bed.compare(Share::All).await;
    let (check, invariant, count, evidence) = only(&compared);
    assert_eq!((check, invariant, count), ("consistency-orphans", Some("I3"), 2));
    assert!(evidence.ends_with("7, ffffffff-ffff-ffff-ffff-ffffffffffff"), "{evidence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_text_hash_or_owner_is_told() {
    type Case = (fn(&mut Payload), &'static str, &'static str);
    let cases: [Case; 4] = [
        (|known| *known = payload("likes cocoa", "2025-01-01 00:00:00"), "consistency-text", "I4"),
        (|known| known.hash = None, "consistency-hash", "I5"),
        (|known| known.hash = Some("0".repeat(32)), "consistency-hash", "I5"),
        (|known| known.user_id = Some("eve".to_owned()), "consistency-owner", "I6"),
    ];
    let mut bed = Bed::new(300).await;
    for (change, check, invariant) in cases {
        let healthy = bed.point(33).clone();
        change(&mut bed.point(33).payload);
        seal(&mut bed.point(33).payload);
        let compared = bed.compare(Share::All).await;
        let told = only(&compared);
        assert_eq!((told.0, told.1, told.2), (check, Some(invariant), 1));
        assert!(told.3.ends_with(&healthy.id.to_string()), "{told:?}");
        *bed.point(33) = healthy;
        bed.kept.0.lock().unwrap().clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_sqlite_took_for_a_number_is_counted_and_keeps_orphans() {
    let bed = Bed::new(300).await;
    let broken =
        id(&row(&bed.bank.database, "SELECT +id FROM memories WHERE state = 'active' ORDER BY id LIMIT 1").await[0]);
    bed.bank.change("UPDATE memories SET id = 12345 WHERE id = (SELECT id FROM memories WHERE state = 'active' ORDER BY id LIMIT 1)").await;
    let compared = bed.compare(Share::All).await;
    let (check, _, count, evidence) = only(&compared);
    assert_eq!((check, count), ("consistency-orphans", 1));
    assert!(evidence.ends_with(&PointId::Uuid(broken).to_string()), "{evidence}");
    assert!(compared.corruption[0].advice.contains("Not yet: 1 rows"), "{}", compared.corruption[0].advice);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_as_a_bank_is_unknown() {
    let bed = Bed::new(30).await;
    bed.bank.change("ALTER TABLE memories RENAME COLUMN content TO contents").await;
    let compared = bed.compare(Share::All).await;
    assert!(compared.checks.iter().all(|check| check.verdict == Verdict::Unknown), "{:#?}", compared.checks);
    assert_eq!((compared.outputs, compared.coverage_percent), (vec![], None));
}
