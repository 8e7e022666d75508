//! What changes while both sides are read is no fault of the bank.

use memorybank::domain::Verdict;
use memorybank::engine::consistency::baseline::Share;

use crate::bed::{Bed, assert_sound, only};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_deleted_between_both_readings_is_not_missing() {
    let mut bed = Bed::new(300).await;
    let copy = bed.copy();
    bed.points.points.remove(0);
    bed.bank.change("UPDATE memories SET state = 'deleted', deleted_at = '2025-10-01 00:00:00' WHERE id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1)").await;
    let compared = bed.compare_copy(&copy, bed.points.clone(), Share::All).await;
    assert_sound(&compared);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_imported_between_both_readings_is_no_orphan() {
    let bed = Bed::new(300).await;
    let copy = bed.copy();
    crate::common::change(
        &copy,
        "DELETE FROM memories WHERE id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1)",
    )
    .await;
    assert_sound(&bed.compare_copy(&copy, bed.points.clone(), Share::All).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_deleted_between_both_readings_are_not_missing() {
    let mut bed = Bed::large().await;
    let copy = bed.copy();
    let lost = bed.points.points.len() - 1_000;
    assert!(lost > 4_096);
    bed.points.points.truncate(1_000);
    bed.bank.change("UPDATE memories SET state = 'deleted', deleted_at = '2025-10-01 00:00:00' WHERE id IN (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT -1 OFFSET 1001)").await;
    let compared = bed.compare_copy(&copy, bed.points.clone(), Share::All).await;
    assert_eq!((only(&compared).0, only(&compared).2), ("consistency-missing", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_look_nothing_is_proven() {
    let mut bed = Bed::new(100).await;
    let copy = bed.copy();
    bed.points.points.remove(0);
    std::fs::remove_file(&bed.bank.database).unwrap();
    let compared = bed.compare_copy(&copy, bed.points.clone(), Share::All).await;
    assert_eq!(compared.corruption, []);
    let missing = compared.checks.iter().find(|check| check.id == "consistency-missing").unwrap();
    assert_eq!(missing.verdict, Verdict::Unknown, "{missing:?}");
}
