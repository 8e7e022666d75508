//! The client: what it asks, what it takes, and what it does when the server fails.

use std::time::{Duration, Instant};

use memorybank::bank::FolderSecrets;
use memorybank::bank::qdrant::{Client, QdrantError, Wanted};
use memorybank::domain::{PointId, QdrantEndpoint};
use memorybank::engine::integrity::vectors::{Colour, Distance};

use crate::qdrant::{Answer, Config, Qdrant, memory, unit};
use crate::{NAME, SIZE, client, endpoint, healthy, id, key, no_secrets, put_secret};

fn all() -> Wanted {
    Wanted { payload: true, vector: Some(String::new()) }
}

fn asked(server: &Qdrant, what: &str) -> usize {
    server.requests().iter().filter(|request| request.contains(what)).count()
}

#[tokio::test]
async fn a_collection_is_told_as_the_server_tells_it() {
    let server = healthy(3);
    server.create("other", Config { named: Some("text".to_owned()), sparse: true, ..Config::cosine(4) });
    server.with(NAME, |collection| collection.approximate = Some(99));
    let client = client(&server).await;
    assert_eq!(client.version().await.unwrap().version, "1.19.0");
    assert_eq!(client.collections().await.unwrap(), [NAME, "other"]);
    let told = client.collection(NAME).await.unwrap();
    assert_eq!((told.colour, told.optimizer_error.clone(), told.approximate_points), (Colour::Green, None, Some(99)));
    let dense = told.memories().unwrap();
    assert_eq!((dense.name.as_str(), dense.size, dense.distance), ("", Some(8), Distance::Cosine));
    assert_eq!(client.collection("other").await.unwrap().memories().unwrap().name, "text");
    assert_eq!(client.count(NAME).await.unwrap(), 3);
    assert_eq!(client.cluster().await.unwrap().status, "disabled");
    assert_eq!(client.issues().await.unwrap(), []);
    let shards = client.shards(NAME).await.unwrap();
    assert_eq!((shards.shards.len(), shards.shards[0].state.as_str(), shards.transfers), (1, "Active", 0));
    assert!(client.delete_collection("other").await.unwrap());
    assert_eq!(server.collections(), [NAME]);
}

#[tokio::test]
async fn points_come_page_by_page_numbers_before_uuids_whatever_the_form_of_their_vectors() {
    for (named, sparse) in [(None, false), (None, true), (Some("text"), false), (Some("text"), true)] {
        let server = Qdrant::start();
        server.create(NAME, Config { named: named.map(str::to_owned), sparse, ..Config::cosine(SIZE) });
        let ids = [id(2), PointId::Number(9), id(1), PointId::Number(7), id(3)];
        for (number, id) in (0_u64..).zip(ids) {
            server.put(NAME, id, memory("text", "alice"), Some(unit(number, SIZE)));
        }
        let client = client(&server).await;
        let wanted = Wanted { payload: true, vector: Some(named.unwrap_or_default().to_owned()) };
        let first = client.scroll(NAME, None, 3, &wanted).await.unwrap();
        let of = |page: &memorybank::bank::qdrant::Page| page.points.iter().map(|p| p.id).collect::<Vec<_>>();
        assert_eq!(of(&first), [PointId::Number(7), PointId::Number(9), id(1)]);
        assert_eq!(first.next, Some(id(2)));
        assert_eq!(first.points[2].vector, Some(unit(2, SIZE)), "{named:?} {sparse}");
        assert_eq!(first.points[2].payload.data.as_deref(), Some("text"));
        let second = client.scroll(NAME, first.next, 3, &wanted).await.unwrap();
        assert_eq!((of(&second), second.next), (vec![id(2), id(3)], None));
        let bare = client.scroll(NAME, None, 9, &Wanted { payload: false, vector: None }).await.unwrap();
        assert!(bare.points.iter().all(|point| point.vector.is_none() && point.payload.data.is_none()));
        let some = client.points(NAME, &[id(3), id(8)], &wanted).await.unwrap();
        assert_eq!(some.iter().map(|point| point.id).collect::<Vec<_>>(), [id(3)]);
    }
}

#[tokio::test]
async fn a_key_is_sent_and_a_wrong_one_is_told() {
    let server = healthy(1);
    server.require_key("k3y");
    let folder = tempfile::tempdir().unwrap();
    let secret = key("qdrant", "key");
    let endpoint = QdrantEndpoint { api_key: Some(secret.clone()), ..endpoint(&server.url()) };
    let secrets = FolderSecrets::new(folder.path());
    let open = || Client::open("default", &endpoint, &secrets);
    let error = open().await.unwrap_err();
    assert!(error.to_string().starts_with("secret qdrant, key key: there is no file "), "{error}");
    assert_eq!(server.requests(), Vec::<String>::new(), "without its secret nothing is asked");
    put_secret(folder.path(), &secret, "wr0ng");
    let error = open().await.unwrap().count(NAME).await.unwrap_err();
    assert!(matches!(error, QdrantError::Denied { status: 401, .. }), "{error}");
    assert!(error.to_string().contains("correct spec.vectorStore.qdrant.apiKeySecretRef"), "{error}");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
    assert_eq!(asked(&server, "count"), 1, "a wrong key is not tried again");
    put_secret(folder.path(), &secret, "k3y\n");
    let client = open().await.unwrap();
    assert_eq!(client.count(NAME).await.unwrap(), 1);
    assert!(!format!("{client:?}").contains("k3y"), "{client:?}");
}

#[tokio::test]
async fn addresses_that_are_never_called_are_not() {
    for url in ["http://169.254.169.254:6333", "http://[fd00:ec2::254]", "not a url"] {
        let error = Client::open("default", &endpoint(url), &no_secrets()).await.unwrap_err();
        assert!(matches!(error, QdrantError::Forbidden(_) | QdrantError::NoUrl), "{error}");
        assert!(error.to_string().contains("correct"), "{error}");
    }
}

#[tokio::test]
async fn a_read_is_tried_again_where_the_server_is_busy_or_the_connection_breaks() {
    let troubles = [
        Answer::Status(503, "Service unavailable"),
        Answer::Status(429, "Rate limiting exceeded"),
        Answer::Status(408, "Timeout"),
        Answer::Drop,
        Answer::Half,
        Answer::HalfJson,
    ];
    for trouble in troubles {
        let server = healthy(2);
        let client = client(&server).await;
        server.trouble("points/scroll", Some(2), trouble.clone());
        let page = client.scroll(NAME, None, 10, &all()).await.unwrap();
        assert_eq!((page.points.len(), asked(&server, "scroll")), (2, 3), "{trouble:?}");
        server.trouble("points/scroll", None, trouble.clone());
        let error = client.scroll(NAME, None, 10, &all()).await.unwrap_err();
        assert_eq!(asked(&server, "scroll"), 7, "four attempts and no more: {trouble:?}");
        assert!(error.to_string().contains(&server.address().to_string()), "{error}");
    }
}

#[tokio::test]
async fn an_error_is_told_in_the_servers_words_and_not_tried_again() {
    let server = healthy(1);
    let client = client(&server).await;
    server.trouble("points/scroll", None, Answer::Status(500, "Service internal error: OutputTooSmall"));
    let error = client.scroll(NAME, None, 10, &all()).await.unwrap_err();
    assert!(error.to_string().contains("(HTTP 500): Service internal error: OutputTooSmall"), "{error}");
    assert_eq!((error.is_damage(), asked(&server, "scroll")), (Some("Service internal error: OutputTooSmall"), 1));
    server.heal();
    let with_200 = r#"{"result":null,"status":{"error":"Wrong input"},"time":0.1}"#;
    server.trouble("points/count", None, Answer::Body(with_200.to_owned()));
    let error = client.count(NAME).await.unwrap_err();
    assert!(matches!(&error, QdrantError::Rejected { status: 200, told, .. } if told == "Wrong input"), "{error}");
    for body in ["", "null", "<html></html>", "{}", r#"{"status":"ok"}"#, r#"{"result":{"count":"x"},"status":"ok"}"#] {
        server.heal();
        server.trouble("points/count", None, Answer::Body(body.to_owned()));
        let error = client.count(NAME).await.unwrap_err();
        assert!(matches!(error, QdrantError::Malformed { .. }), "{body}: {error}");
        assert!(error.to_string().contains("correct spec.vectorStore.qdrant.url"), "{error}");
    }
    server.heal();
    let error = client.collection("gone").await.unwrap_err();
    assert!(error.is_missing(), "{error}");
    let long = "x".repeat(10_000);
    let words = format!(r#"{{"result":null,"status":{{"error":"two\nlines {long}"}},"time":0.1}}"#);
    server.trouble("points/count", None, Answer::Body(words));
    let error = client.count(NAME).await.unwrap_err().to_string();
    assert!(error.len() < 500 && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_as_such_and_one_that_is_late_is_waited_for() {
    let server = healthy(1);
    let client = client(&server).await;
    server.trouble("points/count", None, Answer::Delay(Duration::from_millis(300)));
    let begun = Instant::now();
    assert_eq!(client.count(NAME).await.unwrap(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let address = server.address();
    drop(server);
    let error = client.count(NAME).await.unwrap_err();
    assert!(matches!(error, QdrantError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("start it, or correct spec.vectorStore.qdrant.url"), "{error}");
    // One that comes back is found again, with the same client.
    let server = Qdrant::at(address);
    server.create(NAME, Config::cosine(SIZE));
    assert_eq!(client.count(NAME).await.unwrap(), 0);
}
