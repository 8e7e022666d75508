use jiff::{SignedDuration, Timestamp};
use memorybank::bank::Meter;
use memorybank::bank::consistency::{Links, MemoryPoints, check_links};
use memorybank::domain::{Point, PointId, Severity, Verdict};

use crate::bed::{Bed, payload};

fn entity(number: u128, linked: &[PointId], created: &str) -> Point {
    let mut payload = payload("tea", created);
    payload.linked = linked.iter().map(PointId::to_string).collect();
    Point { id: PointId::Uuid(number), payload, vector: None }
}

async fn links(bed: &Bed, entities: Vec<Point>) -> Links {
    let (database, settings) = bed.ends(&bed.copy());
    check_links(&database, Some(MemoryPoints { points: entities }), settings, &Meter::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_memory_that_is_gone_is_told() {
    let bed = Bed::new(100).await;
    let old = "2025-10-01 00:00:00";
    let ids: Vec<_> = bed.points.points.iter().map(|point| point.id).collect();
    let mut entities = vec![entity(1, &ids[..40], old), entity(2, &[], old), entity(3, &ids[40..41], old)];
    let links_of = links(&bed, entities.clone()).await;
    assert_eq!((links_of.check.verdict, links_of.corruption), (Verdict::Passed, None));
    assert_eq!(links_of.check.detail, "41 links looked at");

    // Deleted in SQL, unknown to SQL, and one that is no id at all.
    bed.bank.change("UPDATE memories SET state = 'deleted' WHERE id = (SELECT id FROM memories WHERE state <> 'deleted' ORDER BY id LIMIT 1)").await;
    entities.push(entity(4, &[PointId::Uuid(7), PointId::Uuid(8)], old));
    entities.push(entity(5, &[PointId::Number(9)], old));
    let soon = (Timestamp::now() + SignedDuration::from_hours(1)).strftime("%Y-%m-%d %H:%M:%S").to_string();
    // Too young: SQL may not have its memory yet.
    entities.push(entity(6, &[PointId::Uuid(7)], &soon));
    let links = links(&bed, entities).await;
    assert_eq!(links.check.verdict, Verdict::Failed);
    let event = links.corruption.unwrap();
    assert_eq!((event.invariant.as_deref(), event.severity, event.count), (Some("I13"), Severity::Low, 3));
    for number in [1, 4, 5] {
        assert!(event.evidence.contains(&PointId::Uuid(number).to_string()), "{}", event.evidence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_entities_nothing_is_linked_and_out_of_order_nothing_is_proven() {
    let bed = Bed::new(10).await;
    let (database, settings) = bed.ends(&bed.copy());
    let none = check_links(&database, None::<MemoryPoints>, settings, &Meter::default()).await.unwrap();
    assert_eq!(none.check.verdict, Verdict::Passed);
    let old = "2025-10-01 00:00:00";
    let unordered = links(&bed, vec![entity(1, &[], old), entity(1, &[], old)]).await;
    assert_eq!(unordered.check.verdict, Verdict::Unknown, "{unordered:?}");
}
