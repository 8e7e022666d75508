//! Each invariant, planted: it is told as what it is, and nothing else is.

use std::path::Path;

use memorybank::domain::{
    Bank, CorruptionType, EmbeddingEndpoint, Flavor, Level, Outcome, PointId, Severity, TaskReport, Trust, Verdict,
};
use serde_json::{Value, json};

use crate::qdrant::{Config, Damage, Qdrant, memory, unit};
use crate::{NAME, SIZE, assert_healthy, check, check_with, detail, healthy, id, of_qdrant, only, verdict};

async fn full(server: &Qdrant) -> TaskReport {
    check(server, Level::Full).await
}

#[tokio::test]
async fn a_healthy_store_raises_no_alarm_whatever_the_form_of_its_vectors() {
    for (named, sparse) in [(None, false), (None, true), (Some("text"), false), (Some(""), true)] {
        let server = Qdrant::start();
        let config = Config { named: named.map(str::to_owned), sparse, ..Config::cosine(SIZE) };
        server.generate(NAME, config, 3, 2_500);
        // A count that is approximate by design is not judged.
        server.with(NAME, |collection| collection.approximate = Some(7));
        for level in Level::ALL {
            let task = check(&server, level).await;
            assert_healthy(&task);
            assert_eq!(task.samples.len(), 1);
            assert!(task.samples[0].metric == "vectors" && (task.samples[0].value - 2_500.0).abs() < 0.5);
        }
        assert!(detail(&full(&server).await, "vectors-values").contains("2500 points"));
    }
    let empty = Qdrant::start();
    empty.create(NAME, Config::cosine(SIZE));
    for level in Level::ALL {
        assert_healthy(&check(&empty, level).await);
    }
}

#[tokio::test]
async fn a_collection_for_another_embedder_is_told_at_every_level() {
    let server = healthy(30);
    for level in Level::ALL {
        for (dimensions, expected) in [(SIZE, Verdict::Passed), (SIZE * 2, Verdict::Failed)] {
            let embedding = EmbeddingEndpoint {
                url: "http://127.0.0.1:9/v1".to_owned(),
                model: "any".to_owned(),
                dimensions: u32::try_from(dimensions).unwrap(),
                api_key: None,
                tls: Trust::default(),
            };
            let bank = Bank { embedding: Some(embedding), ..of_qdrant(&server.url()) };
            let task = check_with(&bank, level, Path::new("/nonexistent/secrets")).await;
            assert_eq!(verdict(&task, "vectors-size"), Some(expected));
            let invariants = task.corruption.iter().map(|event| event.invariant.as_deref());
            assert!(invariants.eq((expected == Verdict::Failed).then_some(Some("I8"))), "{:?}", task.corruption);
        }
    }
}

#[tokio::test]
async fn vectors_that_no_embedder_made_are_corrupt() {
    let cases = [
        (Damage::Zero, "vector/zero"),
        (Damage::Nan, "vector/not-finite"),
        (Damage::Flip(30), "vector/norm"),
        (Damage::Flip(24), "vector/norm"),
        (Damage::NoVector, "vector/missing"),
    ];
    for (damage, object) in cases {
        let server = healthy(300);
        for number in [5, 280] {
            server.damage(NAME, id(number), damage);
        }
        let task = full(&server).await;
        let event = only(&task);
        assert_eq!((event.object.as_str(), event.count, event.severity), (object, 2, Severity::Critical), "{damage:?}");
        assert_eq!((event.invariant.as_deref(), event.corruption_type), (Some("I9"), CorruptionType::FileCorruption));
        assert_eq!(event.component, "vectors");
        assert!(event.evidence.ends_with(&format!("2 points: {}, {}", id(5), id(280))), "{}", event.evidence);
        assert_eq!(verdict(&task, "vectors-values"), Some(Verdict::Failed));
        assert_eq!(task.outcome, Outcome::Succeeded, "{}", task.message);
        let others = task.checks.iter().filter(|check| check.id != "vectors-values");
        assert!(others.map(|check| check.verdict).all(|verdict| verdict == Verdict::Passed), "{:?}", task.checks);
    }
}

#[tokio::test]
async fn a_vector_of_another_length_breaks_i8() {
    let server = healthy(10);
    let vector = unit(1, SIZE - 1);
    server.put(NAME, id(4), memory("short", "alice"), Some(vector));
    let task = full(&server).await;
    let event = only(&task);
    assert_eq!((event.invariant.as_deref(), event.object.as_str()), (Some("I8"), "vector/length"));
    assert_eq!((event.corruption_type, event.severity), (CorruptionType::DataInconsistency, Severity::Critical));
    assert_eq!(verdict(&task, "vectors-dimension"), Some(Verdict::Failed));
}

#[tokio::test]
async fn payloads_without_what_a_memory_needs_break_i16() {
    let cases: [(&str, Value, &str); 5] = [
        ("data", Value::Null, "payload.data"),
        ("user_id", json!(7), "payload.user_id"),
        ("created_at", Value::Null, "payload.created_at"),
        ("created_at", json!("yesterday"), "payload.created_at/value"),
        ("created_at", json!("2026-02-30T00:00:00+00:00"), "payload.created_at/value"),
    ];
    for (key, value, object) in cases {
        let server = healthy(10);
        let mut payload = memory("text", "alice");
        payload[key] = value;
        server.put(NAME, id(4), payload, Some(unit(4, SIZE)));
        let task = full(&server).await;
        let event = only(&task);
        assert_eq!((event.invariant.as_deref(), event.object.as_str()), (Some("I16"), object));
        assert_eq!(verdict(&task, "vectors-payload"), Some(Verdict::Failed));
        assert!(!event.evidence.contains("text") || event.evidence.contains("no text"), "{}", event.evidence);
    }
    // An empty payload lacks all of it.
    let server = healthy(3);
    server.put(NAME, id(1), Value::Null, Some(unit(1, SIZE)));
    assert_eq!(full(&server).await.corruption.len(), 3);
}

#[tokio::test]
async fn a_mem0_server_may_have_memories_without_a_user() {
    let server = healthy(3);
    let mut payload = memory("text", "alice");
    payload["user_id"] = Value::Null;
    payload["agent_id"] = json!("helper");
    server.put(NAME, id(1), payload, Some(unit(1, SIZE)));
    let mut bank = of_qdrant(&server.url());
    bank.flavor = Flavor::Mem0Server;
    let task = check_with(&bank, Level::Full, std::path::Path::new("/nonexistent")).await;
    assert_healthy(&task);
}

#[tokio::test]
async fn a_hash_that_is_not_that_of_the_text_or_is_missing_breaks_i5() {
    let server = healthy(10);
    let mut payload = memory("text", "alice");
    payload["data"] = json!("texT");
    server.put(NAME, id(4), payload, Some(unit(4, SIZE)));
    let event = only(&full(&server).await);
    assert_eq!((event.invariant.as_deref(), event.object.as_str()), (Some("I5"), "payload.hash"));
    assert_eq!(event.severity, Severity::Medium);
    assert!(!event.evidence.contains("texT"), "{}", event.evidence);

    let server = healthy(10);
    let mut payload = memory("text", "alice");
    payload.as_object_mut().unwrap().remove("hash");
    server.put(NAME, id(4), payload, Some(unit(4, SIZE)));
    let event = only(&full(&server).await);
    assert_eq!((event.invariant.as_deref(), event.object.as_str()), (Some("I5"), "payload.hash/missing"));
    assert_eq!(event.severity, Severity::Low, "an import of OpenMemory drops it");
}

#[tokio::test]
async fn points_that_are_counted_and_not_returned_break_i17() {
    let server = healthy(300);
    for number in [5, 6, 280] {
        server.damage(NAME, id(number), Damage::Hidden);
    }
    let task = full(&server).await;
    let event = only(&task);
    assert_eq!((event.invariant.as_deref(), event.count, event.severity), (Some("I17"), 3, Severity::High));
    assert_eq!(verdict(&task, "vectors-count"), Some(Verdict::Failed));
    assert!(event.evidence.contains("300 points are counted exactly, 297 are returned"), "{}", event.evidence);
    let counts = server.requests().iter().filter(|request| request.contains("points/count")).count();
    assert_eq!(counts, 4, "before and after each of two walks");

    // More than are counted is as wrong.
    let server = healthy(300);
    server.with(NAME, |collection| collection.counted = Some(200));
    assert_eq!(only(&full(&server).await).count, 100);
}

#[tokio::test]
async fn many_points_with_one_fault_are_one_event() {
    let server = healthy(2_000);
    for number in 0..2_000 {
        server.damage(NAME, id(number), Damage::Zero);
    }
    let event = only(&full(&server).await);
    assert_eq!(event.count, 2_000);
    assert_eq!(event.evidence.matches("4abc8def").count() + event.evidence.matches("4abc-8def").count(), 5);
    assert!(event.evidence.ends_with(", ..."), "{}", event.evidence);
}

#[tokio::test]
async fn a_quick_check_tells_of_its_page_what_is_wrong_and_passes_nothing_of_the_rest() {
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(SIZE), 3, 3_000);
    let ids = server.ids(NAME);
    server.damage(NAME, ids[2_900], Damage::Zero);
    let task = check(&server, Level::Quick).await;
    assert_healthy(&task);
    assert_eq!(verdict(&task, "vectors-values"), None, "not all was read");
    server.damage(NAME, ids[3], Damage::Zero);
    let task = check(&server, Level::Quick).await;
    assert_eq!(only(&task).count, 1);
    assert_eq!(verdict(&task, "vectors-values"), Some(Verdict::Unknown));
    assert_eq!(task.outcome, Outcome::Unknown);
    assert_eq!(only(&check(&server, Level::Checksum).await).count, 2);
}

#[tokio::test]
async fn numbers_as_ids_are_walked_like_all_others() {
    let server = healthy(5);
    server.put(NAME, PointId::Number(7), memory("seven", "alice"), Some(unit(7, SIZE)));
    let task = full(&server).await;
    assert_healthy(&task);
    assert!(detail(&task, "vectors-count").starts_with("6 points"));
}
