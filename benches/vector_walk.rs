//! A collection of 1,000,000 points of 384 numbers: the full check against a bare scroll of the same points by the
//! same client, in one run. `cargo bench --bench vector_walk`; `MEMORYBANK_BENCH_POINTS` says how many otherwise. The
//! server is a stand-in of this process, whose work is in both times and whose memory is in the peak.
#![allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "common/peak.rs"]
mod peak;
#[path = "../tests/common/qdrant/mod.rs"]
mod qdrant;

use std::time::{Duration, Instant};

use memorybank::bank::FolderSecrets;
use memorybank::bank::vectors::{Reading, VectorSource};
use memorybank::domain::{
    Bank, Digest, Flavor, IntegrityScope, Level, QdrantEndpoint, RunSpec, Task, TaskReport, Trust, VectorStore, Work,
};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use peak::Peak;
use qdrant::{Config, Qdrant};
use tokio_util::sync::CancellationToken;

const POINTS: u64 = 1_000_000;
const SIZE: usize = 384;
const ROUNDS: usize = 2;

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

fn main() {
    let points = std::env::var("MEMORYBANK_BENCH_POINTS").map_or(POINTS, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(points));
}

async fn measure(points: u64) {
    let server = Qdrant::start();
    server.generate("openmemory", Config::cosine(SIZE), 7, points);
    let endpoint =
        QdrantEndpoint { url: server.url(), api_key: None, collection: "openmemory".to_owned(), tls: Trust::default() };
    let store = VectorStore::Qdrant(endpoint);
    let source = VectorSource::open("default", &store, &FolderSecrets::new("/nonexistent")).await.unwrap();
    println!("{points} points of {SIZE} numbers");
    let peak = Peak::watch();
    let (mut bare, mut full) = (Duration::MAX, Duration::MAX);
    // Turn by turn, so that a busy moment of the machine does not meet one of them alone.
    for _ in 0..ROUNDS {
        let began = Instant::now();
        assert_eq!(scroll(&source).await, points);
        bare = bare.min(began.elapsed());
        println!("  bare scroll: {:.1} s", began.elapsed().as_secs_f64());
        let began = Instant::now();
        let task = check(&store).await;
        full = full.min(began.elapsed());
        println!("  full check: {:.1} s; {}", began.elapsed().as_secs_f64(), task.message);
        assert!(task.corruption.is_empty(), "{:?}", task.corruption);
    }
    let rate = points as f64 / full.as_secs_f64();
    println!("ratio: {:.2} (at most 1.3); {rate:.0} points/s", full.as_secs_f64() / bare.as_secs_f64());
    println!("peak anonymous memory, the server with it: {} MB (at most 150)", peak.end() / 1_000_000);
}

/// Pages fetched and decoded, nothing looked at.
async fn scroll(source: &VectorSource) -> u64 {
    let collection = source.collection().await.unwrap();
    let mut walk = source.walk(&collection, Reading::ALL).await.unwrap();
    let mut met = 0;
    while let Some(page) = walk.next().await.unwrap() {
        met += page.len() as u64;
    }
    met
}

async fn check(store: &VectorStore) -> TaskReport {
    let folder = tempfile::tempdir().unwrap();
    let places = Places { scratch: folder.path().join("scratch"), ..Places::default() };
    let bank = Bank {
        name: "bench".to_owned(),
        flavor: Flavor::OpenMemory,
        database: None,
        history: None,
        vector_store: Some(store.clone()),
        embedding: None,
        api: None,
        volumes: Vec::new(),
        files: Vec::new(),
        backups: Vec::new(),
        repository: None,
        compose: None,
    };
    let work =
        Work::IntegrityCheck { level: Level::Full, scopes: vec![IntegrityScope::VectorStore], share_percent: 100 };
    let spec = RunSpec {
        namespace: "default".to_owned(),
        run: "run".to_owned(),
        bank,
        tasks: vec![Task { name: "check".to_owned(), work, active_deadline_seconds: None }],
        active_deadline_seconds: 3_600,
    };
    let runner = Runner { exchange: NoExchange, places, threads: 1 };
    let report = runner.execute(&spec, "uid", &CancellationToken::new(), &Progress::new().0).await;
    report.tasks.into_iter().next().unwrap()
}
