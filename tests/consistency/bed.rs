//! A bank with the points that its database should have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use memorybank::bank::Meter;
use memorybank::bank::consistency::{Compared, Database, MemoryPoints, Points, Settings, Shelf, SqlSide, compare};
use memorybank::domain::{Digest, Output, Payload, Point, PointId, Verdict};
use memorybank::engine::consistency::baseline::Share;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

use crate::common::{Bank, Generation};

/// What runs leave for later ones.
#[derive(Default)]
pub struct Kept(pub Mutex<BTreeMap<String, Vec<u8>>>);

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

/// Points that count what is asked of them.
pub struct Counted {
    pub source: MemoryPoints,
    pub fetched: Arc<Mutex<usize>>,
}

impl Points for Counted {
    async fn page(&mut self, from: PointId, most: usize) -> Result<Vec<Point>, String> {
        let page = self.source.page(from, most).await?;
        *self.fetched.lock().unwrap() += page.len();
        Ok(page)
    }

    fn renew(&mut self) {
        self.source.renew();
    }
}

pub struct Bed {
    folder: TempDir,
    pub bank: Bank,
    pub points: MemoryPoints,
    pub kept: Kept,
}

impl Bed {
    pub async fn new(memories: u64) -> Self {
        Self::of(Generation::Application, memories, "").await
    }

    /// Of 8,000 memories.
    pub async fn large() -> Self {
        let many = "INSERT OR IGNORE INTO memories SELECT substr('0123456789abcdef', n, 1) || substr(id, 2), user_id, \
            app_id, content, vector, metadata, state, created_at, updated_at, archived_at, deleted_at FROM memories, \
            (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 16) SELECT n FROM c)";
        Self::of(Generation::Application, 500, many).await
    }

    pub async fn of(generation: Generation, memories: u64, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let bank = Bank::build(folder.path(), generation, 7, memories).await;
        // Spread over all ranges, as mem0's own ids are; never only digits, or digits and an e.
        bank.change("UPDATE memories SET id = substr(id, 3) || 'ab'").await;
        bank.change(more).await;
        let points = MemoryPoints { points: points(&bank.database).await };
        Self { folder, bank, points, kept: Kept::default() }
    }

    /// Compares with a copy of the database as it is now, which is a healthy one's: it is not written to.
    pub async fn compare(&self, share: Share) -> Compared {
        self.compare_with(self.points.clone(), share).await
    }

    pub async fn compare_with<P: Points>(&self, points: P, share: Share) -> Compared {
        let copy = self.folder.path().join("copy.db");
        std::fs::copy(&self.bank.database, &copy).unwrap();
        self.compare_copy(&copy, points, share).await
    }

    /// Compares with a copy that was made earlier; the second look sees the database as it is now.
    pub async fn compare_copy<P: Points>(&self, copy: &Path, points: P, share: Share) -> Compared {
        let (database, settings) = self.ends(copy);
        let settings = Settings { share, ..settings };
        let compared = compare(&database, points, &self.kept, settings, &Arc::new(Meter::default())).await.unwrap();
        for event in &compared.corruption {
            let check = compared.checks.iter().find(|check| check.id == event.check).unwrap();
            assert_eq!((&check.component, check.verdict), (&event.component, Verdict::Failed), "{event:?}");
            assert!(!format!("{event:?}").contains("likes"), "content of a memory in {event:?}");
        }
        compared
    }

    /// What a comparison is given, with a copy that was made just now.
    pub fn ends(&self, copy: &Path) -> (SqlSide, Settings) {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        let database = Database {
            copy: copy.to_owned(),
            copied: Timestamp::now(),
            root: self.folder.path().to_owned(),
            path: "openmemory.db".to_owned(),
            scratch,
        };
        (SqlSide::Sqlite(database), Settings { share: Share::All, grace: Duration::ZERO, patience: Duration::ZERO })
    }

    /// Sets the time of the last write back, so that no later one could have the same.
    pub fn settle(&self) {
        let file = std::fs::File::options().write(true).open(&self.bank.database).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_mins(5)).unwrap();
    }

    /// A copy of the database as it is now.
    pub fn copy(&self) -> std::path::PathBuf {
        let copy = self.folder.path().join("earlier.db");
        std::fs::copy(&self.bank.database, &copy).unwrap();
        copy
    }

    /// The place of a point among all.
    pub fn point(&mut self, number: usize) -> &mut Point {
        &mut self.points.points[number]
    }
}

/// The event of the only fault.
pub fn only(compared: &Compared) -> (&str, Option<&str>, u64, &str) {
    let [event] = compared.corruption.as_slice() else { panic!("{compared:#?}") };
    (&event.check, event.invariant.as_deref(), event.count, &event.evidence)
}

/// Nothing was seen, and everything was looked at.
pub fn assert_sound(compared: &Compared) {
    assert_eq!(compared.corruption, []);
    assert!(compared.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:#?}", compared.checks);
    assert_eq!(compared.plan.steps, []);
}

pub fn id(row: &str) -> u128 {
    u128::from_str_radix(row, 16).unwrap()
}

/// The first row of a query, as texts.
pub async fn row(database: &Path, sql: &'static str) -> Vec<String> {
    rows(database, sql).await.remove(0)
}

async fn rows(database: &Path, sql: &'static str) -> Vec<Vec<String>> {
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| (0..row.len()).map(|at| row.get::<String, _>(at)).collect()).collect()
}

/// What mem0 keeps of a text.
pub fn payload(text: &str, created: &str) -> Payload {
    let mut payload = Payload {
        data: Some(text.to_owned()),
        hash: Some(format!("{:032x}", u128::from_be_bytes(Md5::digest(text).into()))),
        user_id: Some("ada".to_owned()),
        created_at: Some(created.replace(' ', "T") + "+00:00"),
        ..Payload::default()
    };
    seal(&mut payload);
    payload
}

/// Makes the digest that of the payload.
pub fn seal(payload: &mut Payload) {
    payload.digest = [0; 32];
    payload.digest = *Digest::of(format!("{payload:?}").as_bytes()).as_bytes();
}

async fn points(database: &Path) -> Vec<Point> {
    let sql = "SELECT +id, +content, +created_at FROM memories WHERE state <> 'deleted' ORDER BY id";
    let rows = rows(database, sql).await;
    rows.iter()
        .map(|row| {
            let id = id(&row[0]);
            let vector = id.to_be_bytes().map(|byte| f32::from(byte) / 256.0).to_vec();
            Point { id: PointId::Uuid(id), payload: payload(&row[1], &row[2]), vector: Some(vector) }
        })
        .collect()
}
