//! 1,000,000 memories in SQLite and their points of 384 numbers: the whole comparison against a bare scroll of the same
//! points by the same client, then one in which 100 rows changed, turn by turn in one run, the better of two each.
//! `cargo bench --bench consistency_pass`; `MEMORYBANK_BENCH_POINTS` says how many otherwise, and
//! `MEMORYBANK_BENCH_STORE=pgvector` takes a real PostgreSQL in place of the stand-in for Qdrant. The stand-in is of this
//! process: its work is in all times, its memory in the peak.
#![allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[allow(dead_code)] // The bench needs the empty schema only.
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "common/peak.rs"]
mod peak;
#[path = "../tests/common/postgres.rs"]
mod postgres;
#[path = "../tests/common/qdrant/mod.rs"]
mod qdrant;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Generation, change, schema};
use jiff::Timestamp;
use memorybank::bank::consistency::{Compared, Database, Points, Settings, Shelf, SqlSide, StoredPoints, compare};
use memorybank::bank::vectors::{Reading, VectorSource};
use memorybank::bank::{FolderSecrets, Meter};
use memorybank::domain::{
    Digest, Output, PgvectorEndpoint, Point, PointId, QdrantEndpoint, SecretKey, Trust, VectorStore, Verdict,
};
use memorybank::engine::consistency::baseline::Share;
use peak::Peak;
use postgres::Postgres;
use qdrant::{Config, Generated, Qdrant};
use sqlx::{AssertSqlSafe, Connection as _};

const POINTS: u64 = 1_000_000;
const SIZE: usize = 384;
const NAME: &str = "openmemory";
const SEED: u64 = 7;
const CHANGED: u64 = 100;
const ROUNDS: u64 = 2;

/// What runs leave for later ones.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Vec<u8>>>);

impl Shelf for Kept {
    async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn keep(&self, name: String, bytes: Vec<u8>) -> Result<Output, String> {
        let digest = Digest::of(&bytes);
        self.0.lock().unwrap().insert(name.clone(), bytes);
        Ok(Output { name, digest })
    }
}

/// Points that are counted as they are fetched.
struct Counted {
    points: StoredPoints,
    fetched: Arc<AtomicU64>,
}

impl Points for Counted {
    async fn page(&mut self, from: PointId, most: usize) -> Result<Vec<Point>, String> {
        let page = self.points.page(from, most).await?;
        self.fetched.fetch_add(page.len() as u64, Ordering::Relaxed);
        Ok(page)
    }

    fn renew(&mut self) {
        self.points.renew();
    }
}

fn main() {
    let count = std::env::var("MEMORYBANK_BENCH_POINTS").map_or(POINTS, |text| text.parse().unwrap());
    let pgvector = std::env::var("MEMORYBANK_BENCH_STORE").is_ok_and(|store| store == "pgvector");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let generated = Generated { seed: SEED, count, size: SIZE };
    rows(&folder.path().join("openmemory.db"), generated);
    if pgvector {
        let Some(server) = Postgres::with_pgvector() else { return println!("no PostgreSQL with pgvector") };
        let url = server.database();
        runtime.block_on(table(&url, generated));
        fs::create_dir(folder.path().join("db")).unwrap();
        fs::write(folder.path().join("db/url"), &url).unwrap();
        let url = SecretKey { name: "db".to_owned(), key: "url".to_owned() };
        let store = VectorStore::Pgvector(PgvectorEndpoint { url, table: NAME.to_owned() });
        runtime.block_on(measure(folder.path(), &store, count));
    } else {
        let server = Qdrant::start();
        server.generate(NAME, Config::cosine(SIZE), SEED, count);
        let endpoint =
            QdrantEndpoint { url: server.url(), api_key: None, collection: NAME.to_owned(), tls: Trust::default() };
        runtime.block_on(measure(folder.path(), &VectorStore::Qdrant(endpoint), count));
    }
}

async fn measure(folder: &Path, store: &VectorStore, count: u64) {
    println!("{count} memories, and points of {SIZE} numbers");
    let peak = Peak::watch();
    let kept = Kept::default();
    let (mut bare, mut full, mut some, mut few) = (Duration::MAX, Duration::MAX, Duration::MAX, 0);
    for day in 21..21 + ROUNDS {
        let began = Instant::now();
        assert_eq!(scroll(folder, store).await, count);
        let scrolled = began.elapsed();
        println!("  bare scroll: {:.1} s", scrolled.as_secs_f64());
        let (whole, read) = Box::pin(pass(folder, store, &kept, Share::All)).await;
        println!("  whole comparison: {:.1} s, {read} points read", whole.as_secs_f64());
        let edit = format!(
            "UPDATE memories SET updated_at = '2026-11-{day} 08:00:00.000001' WHERE rowid % {} = 0",
            (count / CHANGED).max(1)
        );
        change(&folder.join("openmemory.db"), &edit).await;
        let (quick, read) = Box::pin(pass(folder, store, &kept, Share::Percent(0))).await;
        println!("  after {CHANGED} rows changed: {:.1} s, {read} points read", quick.as_secs_f64());
        (bare, full, some, few) = (bare.min(scrolled), full.min(whole), some.min(quick), few.max(read));
    }
    println!("ratio, whole to bare: {:.2} (at most 1.3)", full.as_secs_f64() / bare.as_secs_f64());
    println!("ratio, some to whole: {:.2} (at most 0.20)", some.as_secs_f64() / full.as_secs_f64());
    println!("points read: {:.2} % (below 1)", few as f64 * 100.0 / count as f64);
    let baseline: usize = kept.0.lock().unwrap().values().map(Vec::len).sum();
    let most = peak.end().saturating_sub(baseline as u64);
    println!(
        "peak anonymous memory, without the {} MB that are kept: {} MB (at most 150)",
        baseline / 1_000_000,
        most / 1_000_000
    );
}

/// Pages fetched and decoded, nothing looked at.
async fn scroll(folder: &Path, store: &VectorStore) -> u64 {
    let source = VectorSource::open("default", store, &FolderSecrets::new(folder)).await.unwrap();
    let collection = source.collection().await.unwrap();
    let mut walk = source.walk(&collection, Reading::ALL).await.unwrap();
    let mut met = 0;
    while let Some(page) = walk.next().await.unwrap() {
        met += page.len() as u64;
    }
    met
}

async fn pass(folder: &Path, store: &VectorStore, kept: &Kept, share: Share) -> (Duration, u64) {
    let fetched = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let database = Database {
        copy: folder.join("openmemory.db"),
        copied: Timestamp::now(),
        root: folder.to_owned(),
        path: "openmemory.db".to_owned(),
        scratch: folder.to_owned(),
    };
    let points = StoredPoints::memories("default", store, &FolderSecrets::new(folder)).await.unwrap();
    let points = Counted { points, fetched: Arc::clone(&fetched) };
    let settings = Settings { share, grace: Duration::from_mins(1), patience: Duration::ZERO };
    let meter = Arc::new(Meter::default());
    let compared = Box::pin(compare(&SqlSide::Sqlite(database), points, kept, settings, &meter)).await.unwrap();
    let took = began.elapsed();
    let Compared { checks, corruption, .. } = compared;
    assert!(checks.iter().all(|check| check.verdict != Verdict::Unknown), "{checks:#?}");
    // Ids that SQLite takes for a number are no ids (I14): one in a million.
    assert!(corruption.iter().map(|event| event.count).sum::<u64>() < 20, "{corruption:#?}");
    (took, fetched.load(Ordering::Relaxed))
}

/// The rows of all points.
fn rows(database: &Path, generated: Generated) {
    let mut connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -20000").unwrap();
    let insert = connection.transaction().unwrap();
    insert.execute_batch(&schema(Generation::Application).join(";")).unwrap();
    let id = |number: u64| format!("{number:031x}f");
    for user in 0..10 {
        let name = format!("user-{user}");
        insert.execute("INSERT INTO users (id, user_id, name) VALUES (?1, ?2, 'u')", [id(user), name]).unwrap();
    }
    insert.execute("INSERT INTO apps (id, owner_id, name) VALUES (?1, ?2, 'assistant')", [id(99), id(0)]).unwrap();
    let sql = "INSERT OR IGNORE INTO memories (id, user_id, app_id, content, state, created_at, updated_at) \
               VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?5)";
    let mut memory = insert.prepare(sql).unwrap();
    for index in 0..generated.count {
        let PointId::Uuid(point) = generated.id(index) else { unreachable!() };
        let text = generated.point(index).payload["data"].as_str().unwrap().to_owned();
        let time = "2026-11-20 08:00:00.000001".to_owned();
        memory.execute([format!("{point:032x}"), id(index % 10), id(99), text, time]).unwrap();
    }
    drop(memory);
    insert.commit().unwrap();
}

/// The same points in a table.
async fn table(url: &str, generated: Generated) {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    for sql in [
        "CREATE EXTENSION IF NOT EXISTS vector".to_owned(),
        format!("CREATE TABLE {NAME} (id uuid PRIMARY KEY, vector vector({SIZE}), payload jsonb)"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let mut copy = connection.copy_in_raw(&format!("COPY {NAME} (id, vector, payload) FROM STDIN")).await.unwrap();
    let mut lines = String::new();
    for index in 0..generated.count {
        let point = generated.point(index);
        let numbers: Vec<String> = point.vector.unwrap().iter().map(ToString::to_string).collect();
        writeln!(lines, "{}\t[{}]\t{}", generated.id(index), numbers.join(","), point.payload).unwrap();
        if lines.len() > 1 << 20 {
            copy.send(std::mem::take(&mut lines).into_bytes()).await.unwrap();
        }
    }
    copy.send(lines.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    // A server that has had its rows for a while is at rest: nothing of what it does after a load is in a pass.
    for sql in [format!("VACUUM (FREEZE, ANALYZE) {NAME}"), "CHECKPOINT".to_owned()] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
