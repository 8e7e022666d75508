//! What the server says is wrong, and a server that fails: damage is told where it is damage, else it is unknown.

use std::path::Path;

use memorybank::domain::{Bank, CorruptionType, Level, Outcome, Severity, TaskReport, VectorStore, Verdict};

use crate::qdrant::{Answer, Config, Damage, Qdrant};
use crate::{NAME, SIZE, check, check_with, detail, healthy, id, key, of_qdrant, only, put_secret, verdict};

/// Nothing is accused, and the check says that it does not know and why.
fn assert_unknown(task: &TaskReport, id: &str, words: &str) {
    assert_eq!(task.corruption, [], "{task:?}");
    assert_eq!(task.outcome, Outcome::Unknown, "{}", task.message);
    assert_eq!(verdict(task, id), Some(Verdict::Unknown), "{:?}", task.checks);
    assert!(detail(task, id).contains(words), "{}", detail(task, id));
}

#[tokio::test]
async fn what_the_server_says_is_wrong_is_structural_damage() {
    type Plant = fn(&mut crate::qdrant::Collection);
    let cases: [(&str, &str, Severity, Plant); 4] = [
        ("collection", "vectors-collection", Severity::High, |c| c.colour = "red".to_owned()),
        ("optimizer", "vectors-collection", Severity::High, |c| {
            c.optimizer_error = Some("Service internal error: No space left on device".to_owned());
        }),
        ("shards/dead", "vectors-shards", Severity::Critical, |c| c.shard_state = "Dead".to_owned()),
        ("shards/partial", "vectors-shards", Severity::Medium, |c| c.shard_state = "Partial".to_owned()),
    ];
    for (object, id, severity, plant) in cases {
        let server = healthy(10);
        server.with(NAME, plant);
        for level in Level::ALL {
            let task = check(&server, level).await;
            let event = only(&task);
            assert_eq!((event.object.as_str(), event.severity), (object, severity));
            assert_eq!((event.invariant, event.corruption_type), (None, CorruptionType::FileCorruption));
            assert_eq!(verdict(&task, id), Some(Verdict::Failed), "{:?}", task.checks);
            assert_eq!(task.outcome, Outcome::Succeeded, "{}", task.message);
        }
    }
    let server = healthy(10);
    server.with(NAME, |collection| {
        collection.shard_state = "Partial".to_owned();
        collection.transfers = 1;
    });
    assert_eq!(check(&server, Level::Quick).await.corruption, [], "it is being made whole");
}

#[tokio::test]
async fn points_that_cannot_be_read_are_damage_that_no_count_tells() {
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(SIZE), 3, 3_000);
    let ids = server.ids(NAME);
    server.damage(NAME, ids[2_500], Damage::Unreadable);
    server.damage(NAME, ids[7], Damage::Zero);
    let task = check(&server, Level::Full).await;
    let event = task.corruption.iter().find(|event| event.object == "points").unwrap();
    assert_eq!((event.check.as_str(), event.severity), ("vectors-read", Severity::Critical));
    assert!(event.evidence.contains("OutputTooSmall"), "{}", event.evidence);
    assert!(event.evidence.contains(&format!("after {}", ids[2_499])), "{}", event.evidence);
    assert_eq!(verdict(&task, "vectors-read"), Some(Verdict::Failed));
    assert_eq!(verdict(&task, "vectors-first-page"), Some(Verdict::Passed));
    // What was read is told, and of the rest nothing is said.
    assert!(task.corruption.iter().any(|event| event.object == "vector/zero"));
    for id in ["vectors-values", "vectors-payload", "vectors-hash", "vectors-dimension", "vectors-count"] {
        assert_eq!(verdict(&task, id), Some(Verdict::Unknown), "{id}");
    }
    for first in [0, 5] {
        let server = healthy(10);
        server.damage(NAME, id(first), Damage::Unreadable);
        for level in Level::ALL {
            let task = check(&server, level).await;
            assert_eq!(only(&task).check, "vectors-first-page");
            assert_eq!(verdict(&task, "vectors-first-page"), Some(Verdict::Failed));
        }
    }
}

#[tokio::test]
async fn one_error_alone_accuses_nobody() {
    for times in 1..4 {
        let server = healthy(10);
        server.trouble("points/scroll", Some(times), Answer::Status(500, "Service internal error: task was cancelled"));
        crate::assert_healthy(&check(&server, Level::Full).await);
    }
}

#[tokio::test]
async fn a_server_that_answers_every_read_with_an_error_is_unwell() {
    let server = healthy(10);
    server.trouble("points/scroll", None, Answer::Status(500, "Service internal error: too many open files"));
    for level in Level::ALL {
        let task = check(&server, level).await;
        assert_eq!(task.corruption, [], "{level:?}");
        assert_unknown(&task, "vectors-first-page", "HTTP 500");
    }
}

#[tokio::test]
async fn a_collection_that_is_gone_is_the_loss_of_all_vectors() {
    let server = healthy(10);
    server.forget(NAME);
    for level in Level::ALL {
        let task = check(&server, level).await;
        let event = only(&task);
        assert_eq!((event.check.as_str(), event.severity), ("vectors-collection", Severity::Critical));
        assert_eq!(event.corruption_type, CorruptionType::FileCorruption);
        assert!(event.evidence.contains("nothing at all"), "{}", event.evidence);
        assert!(event.advice.contains("/qdrant/storage"), "{}", event.advice);
        assert_eq!(verdict(&task, "vectors-collection"), Some(Verdict::Failed));
    }
    server.create("other", Config::cosine(SIZE));
    let event = only(&check(&server, Level::Quick).await);
    assert!(event.evidence.contains("1 others"), "{}", event.evidence);
    // Only a server that answers well says so.
    server.trouble("GET /collections", None, Answer::Status(404, "Not found"));
    let task = check(&server, Level::Quick).await;
    assert_unknown(&task, "vectors-collection", "HTTP 404");
}

#[tokio::test]
async fn a_server_that_fails_is_unknown_and_never_damage() {
    let troubles = [
        (Answer::Drop, "closes the connection"),
        (Answer::Status(503, "Service unavailable"), "HTTP 503"),
        (Answer::Status(401, "Unauthorized"), "does not accept the API key"),
        (Answer::Status(403, "Forbidden"), "does not accept the API key"),
        (Answer::Half, "breaks off in the middle"),
        (Answer::HalfJson, "ends its answer in the middle"),
        (Answer::Body("<html></html>".to_owned()), "does not answer"),
    ];
    for (trouble, words) in troubles {
        let server = healthy(10);
        server.trouble("GET /collections/openmemory", None, trouble.clone());
        assert_unknown(&check(&server, Level::Full).await, "vectors-collection", words);
        server.heal();
        server.trouble("points/scroll", None, trouble.clone());
        assert_unknown(&check(&server, Level::Full).await, "vectors-first-page", words);
        assert_unknown(&check(&server, Level::Quick).await, "vectors-first-page", words);
        server.heal();
        server.trouble("points/count", None, trouble.clone());
        assert_unknown(&check(&server, Level::Full).await, "vectors-count", words);
        server.heal();
        server.trouble("openmemory/cluster", None, trouble);
        assert_unknown(&check(&server, Level::Full).await, "vectors-shards", words);
    }
    let server = healthy(10);
    let bank = of_qdrant(&server.url());
    drop(server);
    let task = check_with(&bank, Level::Full, Path::new("/nonexistent")).await;
    assert_unknown(&task, "vectors-collection", "refuses connections: start it");
}

#[tokio::test]
async fn which_of_several_vectors_is_meant_is_not_guessed() {
    let server = Qdrant::start();
    let body = r#"{"result":{"status":"green","optimizer_status":"ok","config":{"params":{"vectors":
        {"text":{"size":4,"distance":"Cosine"},"image":{"size":8,"distance":"Dot"}}}}},"status":"ok","time":0.1}"#;
    server.create(NAME, Config::cosine(SIZE));
    server.trouble("GET /collections/openmemory", Some(1), Answer::Body(body.to_owned()));
    assert_unknown(&check(&server, Level::Full).await, "vectors-first-page", "2 named vectors");
}

#[tokio::test]
async fn the_key_of_the_bank_is_used_and_one_that_is_missing_is_told() {
    let server = healthy(10);
    server.require_key("k3y");
    let secret = key("qdrant", "key");
    let mut bank: Bank = of_qdrant(&server.url());
    if let Some(VectorStore::Qdrant(qdrant)) = &mut bank.vector_store {
        qdrant.api_key = Some(secret.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    let task = check_with(&bank, Level::Full, folder.path()).await;
    assert_unknown(&task, "vectors-collection", "secret qdrant, key key: there is no file ");
    put_secret(folder.path(), &secret, "k3y");
    crate::assert_healthy(&check_with(&bank, Level::Full, folder.path()).await);
}
