//! What changed since the last run although no time of it did.

use std::sync::{Arc, Mutex};

use memorybank::domain::{CorruptionType, Severity, Verdict};
use memorybank::engine::consistency::baseline::{INDEX, Share};

use crate::bed::{Bed, Counted, assert_sound, only, row, seal};

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_of_one_vector_is_told_with_its_id_until_it_is_mended() {
    let mut bed = Bed::new(400).await;
    assert_sound(&bed.compare(Share::All).await);
    let healthy = bed.point(77).clone();
    let vector = bed.point(77).vector.as_mut().unwrap();
    vector[3] = f32::from_bits(vector[3].to_bits() ^ 1);
    // The second run reads it again because it is open, whatever its share.
    for share in [Share::All, Share::Percent(0)] {
        let compared = bed.compare(share).await;
        let (check, invariant, count, evidence) = only(&compared);
        assert_eq!((check, invariant, count), ("vectors-unchanged", None, 1));
        assert!(evidence.ends_with(&healthy.id.to_string()), "{evidence}");
        let event = &compared.corruption[0];
        assert_eq!((event.corruption_type, event.severity), (CorruptionType::ChecksumMismatch, Severity::High));
    }
    *bed.point(77) = healthy;
    assert_sound(&bed.compare(Share::Percent(0)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_time_tells_of_is_none() {
    let mut bed = Bed::new(400).await;
    assert_sound(&bed.compare(Share::All).await);
    let text =
        row(&bed.bank.database, "SELECT +content FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1 OFFSET 77")
            .await
            .remove(0);
    bed.bank.change("UPDATE memories SET content = content || ' too', updated_at = '2025-11-01 00:00:00.000000' WHERE id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1 OFFSET 77)").await;
    let point = bed.point(77);
    let created = point.payload.created_at.clone();
    point.payload = crate::bed::payload(&format!("{text} too"), "2025-01-01 00:00:00");
    point.payload.created_at = created;
    point.payload.updated_at = Some("2025-11-01T00:00:00+00:00".to_owned());
    seal(&mut point.payload);
    point.vector.as_mut().unwrap()[0] += 0.5;
    for _ in 0..2 {
        assert_sound(&bed.compare(Share::All).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_edited_past_the_application_is_told() {
    let mut bed = Bed::new(400).await;
    assert_sound(&bed.compare(Share::All).await);
    bed.bank.change("UPDATE memories SET content = '1 coffee' WHERE id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1)").await;
    let compared = bed.compare(Share::Percent(0)).await;
    let told: Vec<_> =
        compared.corruption.iter().map(|event| (event.check.as_str(), event.component.as_str())).collect();
    assert_eq!(told, [("consistency-text", "vectors"), ("rows-unchanged", "database")]);
    let first = bed.point(0).id.to_string();
    assert!(compared.corruption.iter().all(|event| event.evidence.ends_with(&first)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_reads_what_changed_and_its_share() {
    let bed = Bed::new(2_000).await;
    let all = bed.points.points.len();
    let fetched = Arc::new(Mutex::new(0));
    let run = async |share| {
        *fetched.lock().unwrap() = 0;
        let points = Counted { source: bed.points.clone(), fetched: Arc::clone(&fetched) };
        let compared = bed.compare_with(points, share).await;
        assert_eq!(compared.corruption, []);
        (*fetched.lock().unwrap(), compared.coverage_percent)
    };
    assert_eq!(run(Share::Percent(1)).await, (all, Some(100)), "there is no baseline yet");
    assert_eq!(run(Share::Percent(0)).await.0, 0);
    bed.bank.change("UPDATE memories SET updated_at = '2025-11-01 00:00:00' WHERE id IN (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 3)").await;
    let (few, _) = run(Share::Percent(0)).await;
    assert!((3..200).contains(&few), "{few} of {all}");
    let mut read = 0;
    for _ in 0..4 {
        let (part, coverage) = run(Share::Percent(25)).await;
        assert_eq!(coverage, Some(100));
        read += part;
    }
    assert!(read >= all, "{read} of {all} in four quarters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_turn_is_overdue_is_not_covered() {
    let bed = Bed::new(500).await;
    let coverage = async |share| bed.compare(share).await.coverage_percent;
    assert_eq!(coverage(Share::All).await, Some(100));
    assert_eq!(coverage(Share::Percent(0)).await, None, "nothing has its turn");
    assert_eq!(coverage(Share::Percent(25)).await, Some(100), "all was read within four runs");
    let two = coverage(Share::Percent(50)).await.unwrap();
    assert!(two < 100, "{two} percent were read within two runs");
    assert_eq!(coverage(Share::Percent(50)).await, Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_baseline_is_told_and_not_begun_anew() {
    for (name, bytes) in [(INDEX, b"other".to_vec()), ("baseline/points-0", b"other".to_vec())] {
        let bed = Bed::new(200).await;
        bed.compare(Share::All).await;
        bed.kept.0.lock().unwrap().insert(name.to_owned(), bytes);
        let compared = bed.compare(Share::All).await;
        for check in &compared.checks {
            // Without an index the next run reads all again; else it would forget what this one finds.
            let unknown = name != INDEX || check.id.ends_with("-unchanged");
            assert_eq!(check.verdict, if unknown { Verdict::Unknown } else { Verdict::Passed }, "{name}: {check:?}");
        }
        assert_eq!(compared.outputs, [], "{name}");
    }
}
