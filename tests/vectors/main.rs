//! Reading vector stores and judging what they hold, against stores that answer as the real ones do, and fail as
//! they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails as the test does.

#[path = "../common/postgres.rs"]
mod postgres_server;
#[path = "../common/qdrant/mod.rs"]
mod qdrant;

mod busy;
mod client;
mod faults;
mod invariants;
mod pgvector;
mod snapshots;
mod source;

use std::fs;
use std::path::Path;

use memorybank::bank::FolderSecrets;
use memorybank::bank::qdrant::Client;
use memorybank::domain::{
    Bank, CorruptionEvent, Digest, Flavor, IntegrityScope, Level, Outcome, PgvectorEndpoint, PointId, QdrantEndpoint,
    RunSpec, SecretKey, Task, TaskReport, Trust, VectorStore, Verdict, Work,
};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use qdrant::{Config, Qdrant, memory, unit};
use tokio_util::sync::CancellationToken;

const NAME: &str = "openmemory";
const SIZE: usize = 8;

struct NoExchange;

impl Exchange for NoExchange {
    async fn input(&self, _: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        Ok(None)
    }
    async fn output(&self, _: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        Ok(Digest::of(&bytes))
    }
    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        Ok([7; 32])
    }
}

fn key(name: &str, key: &str) -> SecretKey {
    SecretKey { name: name.to_owned(), key: key.to_owned() }
}

fn put_secret(folder: &Path, secret: &SecretKey, text: &str) {
    fs::create_dir_all(folder.join(&secret.name)).unwrap();
    fs::write(folder.join(&secret.name).join(&secret.key), text).unwrap();
}

fn bank(store: VectorStore) -> Bank {
    Bank {
        name: "assistant".to_owned(),
        flavor: Flavor::OpenMemory,
        database: None,
        history: None,
        vector_store: Some(store),
        embedding: None,
        api: None,
        volumes: Vec::new(),
        files: Vec::new(),
        backups: Vec::new(),
        repository: None,
        compose: None,
    }
}

fn endpoint(url: &str) -> QdrantEndpoint {
    QdrantEndpoint { url: url.to_owned(), api_key: None, collection: NAME.to_owned(), tls: Trust::default() }
}

fn of_qdrant(url: &str) -> Bank {
    bank(VectorStore::Qdrant(endpoint(url)))
}

fn of_pgvector(table: &str) -> Bank {
    bank(VectorStore::Pgvector(PgvectorEndpoint { url: key("db", "url"), table: table.to_owned() }))
}

async fn client(server: &Qdrant) -> Client {
    Client::open("default", &endpoint(&server.url()), &no_secrets()).await.unwrap()
}

fn no_secrets() -> FolderSecrets {
    FolderSecrets::new("/nonexistent/secrets")
}

/// A server with a healthy collection of so many memories.
fn healthy(memories: u64) -> Qdrant {
    let server = Qdrant::start();
    server.create(NAME, Config::cosine(SIZE));
    for number in 0..memories {
        put_memory(&server, number);
    }
    server
}

/// The id of the memory of that number: they ascend.
fn id(number: u64) -> PointId {
    PointId::Uuid(u128::from(number) << 64 | 0x4abc_8def_0000_0000)
}

fn put_memory(server: &Qdrant, number: u64) {
    let payload = memory(&format!("memory {number}"), "alice");
    server.put(NAME, id(number), payload, Some(unit(number, SIZE)));
}

/// Checks the vector store of a bank within a run.
async fn check_with(bank: &Bank, level: Level, secrets: &Path) -> TaskReport {
    let folder = tempfile::tempdir().unwrap();
    let places = Places { scratch: folder.path().join("scratch"), secrets: secrets.to_owned(), ..Places::default() };
    let runner = Runner { exchange: NoExchange, places, threads: 1 };
    let work = Work::IntegrityCheck { level, scopes: vec![IntegrityScope::VectorStore], share_percent: 100 };
    let spec = RunSpec {
        namespace: "default".to_owned(),
        run: "run".to_owned(),
        bank: bank.clone(),
        tasks: vec![Task { name: "check".to_owned(), work, active_deadline_seconds: None }],
        active_deadline_seconds: 300,
    };
    let report = runner.execute(&spec, "uid", &CancellationToken::new(), &Progress::new().0).await;
    report.tasks.into_iter().next().unwrap()
}

async fn check(server: &Qdrant, level: Level) -> TaskReport {
    check_with(&of_qdrant(&server.url()), level, Path::new("/nonexistent/secrets")).await
}

fn verdict(task: &TaskReport, id: &str) -> Option<Verdict> {
    task.checks.iter().find(|check| check.id == id).map(|check| check.verdict)
}

fn detail(task: &TaskReport, id: &str) -> String {
    task.checks.iter().find(|check| check.id == id).map(|check| check.detail.clone()).unwrap_or_default()
}

/// The one event that was seen.
fn only(task: &TaskReport) -> CorruptionEvent {
    assert_eq!(task.corruption.len(), 1, "{:?}", task.corruption);
    task.corruption[0].clone()
}

fn assert_healthy(task: &TaskReport) {
    assert_eq!(task.corruption, [], "{task:?}");
    assert_eq!(task.outcome, Outcome::Succeeded, "{}", task.message);
    assert!(task.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:?}", task.checks);
}
