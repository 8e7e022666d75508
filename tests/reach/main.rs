//! Asking what answers over the network, against services that answer as the real ones do, and fail as they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails as the test does.

#[path = "../common/postgres.rs"]
mod postgres_server;
#[path = "../common/standin.rs"]
mod standin;

mod addresses;
mod http;
mod postgres;
mod probe_task;
mod sampler;

use std::fs;
use std::path::Path;

use memorybank::bank::FolderSecrets;
use memorybank::bank::reach::Probes;
use memorybank::domain::{
    ApiEndpoint, Bank, Canary, Flavor, NetworkPart, PartSample, QdrantEndpoint, Reach, ReachReason, SecretKey, Trust,
    VectorStore,
};

/// A bank that declares nothing.
fn bank() -> Bank {
    Bank {
        name: "assistant".to_owned(),
        flavor: Flavor::OpenMemory,
        database: None,
        history: None,
        vector_store: None,
        embedding: None,
        api: None,
        volumes: Vec::new(),
        files: Vec::new(),
        backups: Vec::new(),
        repository: None,
        compose: None,
    }
}

fn with_api(url: &str) -> Bank {
    let api = ApiEndpoint {
        url: url.to_owned(),
        user_id: Some(standin::USER.to_owned()),
        token: None,
        canary: Canary::ReadOnly,
        tls: Trust::default(),
    };
    Bank { api: Some(api), ..bank() }
}

fn with_qdrant(url: &str) -> Bank {
    let qdrant = QdrantEndpoint {
        url: url.to_owned(),
        api_key: None,
        collection: standin::COLLECTION.to_owned(),
        tls: Trust::default(),
    };
    Bank { vector_store: Some(VectorStore::Qdrant(qdrant)), ..bank() }
}

fn key(name: &str, key: &str) -> SecretKey {
    SecretKey { name: name.to_owned(), key: key.to_owned() }
}

fn put_secret(folder: &Path, secret: &SecretKey, text: &str) {
    fs::create_dir_all(folder.join(&secret.name)).unwrap();
    fs::write(folder.join(&secret.name).join(&secret.key), text).unwrap();
}

/// Asks the one part that the bank declares.
async fn ask(bank: &Bank, secrets: &Path) -> PartSample {
    let parts = bank.network_parts();
    assert_eq!(parts.len(), 1);
    Probes::new().unwrap().sample("default", bank, parts[0], &FolderSecrets::new(secrets)).await
}

/// The same, without secrets.
async fn ask_plainly(bank: &Bank) -> Reach {
    ask(bank, Path::new("/nonexistent/secrets")).await.outcome
}

/// Why a part was missed, and the words.
fn missed(outcome: Reach) -> (ReachReason, String) {
    match outcome {
        Reach::Reached => panic!("reached"),
        Reach::Missed { reason, message } => (reason, message),
    }
}

/// An address where nothing listens.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const API: NetworkPart = NetworkPart::Api;
