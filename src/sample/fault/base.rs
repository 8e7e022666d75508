use std::fs;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, query_scalar};

use super::set::{Part, Set};
use super::truth;
use crate::domain::Digest;
use crate::sample::SampleError;
use crate::sample::database::{self, Shape};
use crate::sample::insert::Format;
use crate::sample::random::Random;
use crate::sample::schema::Generation;

/// In which state of the set a damage strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Closed cleanly, rollback mode.
    Closed,
    /// WAL mode, the writer crashed: transactions lie in the -wal.
    Wal,
    /// Rollback mode, the writer crashed in a transaction: the journal is hot.
    Hot,
}

/// A healthy bank in three states, with all that mutators need to know of it.
#[derive(Debug)]
pub struct Base {
    /// What it is, for people.
    pub name: String,
    sets: [(Set, Digest); 3],
    /// The closed database, and as it was before its last transaction.
    pub database: Vec<u8>,
    pub before: Vec<u8>,
    /// The log of the crashed writer, the one before its checkpoint, and that of another database.
    pub wal: Vec<u8>,
    pub stale_wal: Vec<u8>,
    pub foreign_wal: Vec<u8>,
    pub journal: Vec<u8>,
    pub foreign_journal: Vec<u8>,
    /// Texts to be found in the pages.
    pub contents: Vec<String>,
    pub queries: Vec<String>,
    pub ids: Vec<String>,
    pub dates: Vec<String>,
}

impl Base {
    /// Makes base number `index` below a scratch folder.
    pub async fn make(scratch: &Path, index: usize, seed: u64) -> Result<Self, SampleError> {
        let page_size = [4096, 1024, 4096, 8192, 4096, 512].get(index % 6).copied().unwrap_or(4096);
        let generation = Generation::ALL.get(index % 3).copied().unwrap_or_default();
        let shape = Shape {
            memories: 250 + 50 * (index % 4),
            seed: seed.wrapping_add(index as u64),
            generation,
            format: Format { page_size, ..Format::default() },
        };
        let mut made = Images::make(&scratch.join("base"), shape).await?;
        let foreign = Shape { memories: 300, seed: shape.seed ^ 0xF0F0, ..shape };
        let other = Images::make(&scratch.join("other"), foreign).await?;

        let path = || scratch.to_owned();
        let mut sets = Vec::new();
        for set in made.sets.drain(..) {
            let digest = truth::content(&set.copy_to(&scratch.join("truth"))?).await;
            sets.push((set, digest.ok_or_else(|| SampleError::Unsound(path()))?));
        }
        let sets = <[_; 3]>::try_from(sets).map_err(|_| SampleError::Unsound(path()))?;
        let [closed, wal, hot] = [&sets[0].0, &sets[1].0, &sets[2].0];
        let mut base = Self {
            name: format!("{generation:?}, pages of {page_size}"),
            database: closed.read(Part::Database)?,
            wal: wal.read(Part::Wal)?,
            journal: hot.read(Part::Journal)?,
            before: made.before,
            stale_wal: made.stale_wal,
            foreign_wal: other.wal,
            foreign_journal: other.journal,
            contents: Vec::new(),
            queries: Vec::new(),
            ids: Vec::new(),
            dates: Vec::new(),
            sets,
        };
        base.learn().await?;
        Ok(base)
    }

    /// The set in a state, and the digest of what it says.
    pub const fn state(&self, state: State) -> &(Set, Digest) {
        match state {
            State::Closed => &self.sets[0],
            State::Wal => &self.sets[1],
            State::Hot => &self.sets[2],
        }
    }

    async fn learn(&mut self) -> Result<(), SampleError> {
        let path = self.state(State::Closed).0.database();
        let mut connection = open(&path, 2_000).await.map_err(SampleError::sqlite(&path))?;
        for (sql, texts) in [
            ("SELECT content FROM memories WHERE state = 'active' AND length(content) < 90", &mut self.contents),
            ("SELECT metadata FROM memories WHERE state = 'active'", &mut self.queries),
            ("SELECT id FROM memories", &mut self.ids),
            ("SELECT created_at FROM memories", &mut self.dates),
        ] {
            *texts = query_scalar(sql).fetch_all(&mut connection).await.map_err(SampleError::sqlite(&path))?;
        }
        connection.close().await.map_err(SampleError::sqlite(&path))
    }
}

/// One bank, in three states, on its way to a base.
struct Images {
    sets: Vec<Set>,
    before: Vec<u8>,
    stale_wal: Vec<u8>,
    wal: Vec<u8>,
    journal: Vec<u8>,
}

impl Images {
    async fn make(folder: &Path, shape: Shape) -> Result<Self, SampleError> {
        let closed = Set::new(folder.join("closed"));
        fs::create_dir_all(closed.folder()).map_err(SampleError::io(folder))?;
        database::write(&closed.database(), &closed.history(), shape).await?;
        let random = &mut Random::new(shape.seed, 8);
        let path = closed.database();
        let wrong = || SampleError::sqlite(&path);

        let mut writer = open(&path, 2_000).await.map_err(wrong())?;
        writer.execute(sqlx::raw_sql(FULL_TEXT)).await.map_err(wrong())?;
        // Deleting most of a table leaves free pages.
        writer.execute("DELETE FROM memory_access_logs WHERE rowid > 20").await.map_err(wrong())?;
        let before = closed.read(Part::Database)?;
        work(&mut writer, random, 6).await.map_err(wrong())?;
        writer.close().await.map_err(wrong())?;

        let hot = closed.copy_to(&folder.join("hot-writer"))?;
        let hot = crash_in_transaction(&hot, &folder.join("hot")).await?;

        let live = closed.copy_to(&folder.join("wal-writer"))?;
        let mut writer = open(&live.database(), 2_000).await.map_err(wrong())?;
        to_wal(&mut writer).await.map_err(wrong())?;
        work(&mut writer, random, 5).await.map_err(wrong())?;
        let stale_wal = live.read(Part::Wal)?;
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(wrong())?;
        work(&mut writer, random, 5).await.map_err(wrong())?;
        let wal = live.copy_to(&folder.join("wal"))?;
        writer.close().await.map_err(wrong())?;

        let journal = hot.read(Part::Journal)?;
        let log = wal.read(Part::Wal)?;
        Ok(Self { sets: vec![closed, wal, hot], before, stale_wal, wal: log, journal })
    }
}

/// A full-text index beside OpenMemory's tables, as users add one to search their memories.
const FULL_TEXT: &str = "CREATE VIRTUAL TABLE memory_search USING fts5(content);
    INSERT INTO memory_search SELECT content FROM memories WHERE content <> '';";

/// Opens a database as OpenMemory does, with a cache of so many pages.
pub async fn open(path: &Path, cache_pages: u32) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    options.pragma("cache_size", cache_pages.to_string()).connect().await
}

/// Switches to WAL mode and never checkpoints by itself.
pub async fn to_wal(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    writer.execute("PRAGMA journal_mode = WAL").await?;
    writer.execute("PRAGMA wal_autocheckpoint = 0").await?;
    Ok(())
}

/// Some transactions as OpenMemory makes them: an access is logged, a memory archived.
pub async fn work(writer: &mut SqliteConnection, random: &mut Random, transactions: usize) -> Result<(), sqlx::Error> {
    for index in 0..transactions {
        let time = format!("2025-11-05 10:{:02}:{:02}.{:06}", index % 60, random.below(60), random.below(1_000_000));
        let (access, change) = (random.uuid().simple(), random.uuid().simple());
        let chosen =
            format!("(SELECT id FROM memories WHERE state = 'active' ORDER BY id LIMIT 1 OFFSET {})", random.below(20));
        let sql = format!(
            "BEGIN;
             INSERT INTO memory_access_logs SELECT '{access}', id, app_id, '{time}', 'list', '{{}}' FROM memories WHERE id = {chosen};
             INSERT INTO memory_status_history SELECT '{change}', id, user_id, 'active', 'archived', '{time}' FROM memories WHERE id = {chosen};
             UPDATE memories SET state = 'archived', archived_at = '{time}', updated_at = '{time}' WHERE id = {chosen};
             COMMIT;"
        );
        writer.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    }
    Ok(())
}

/// Starts a transaction that is too large for the cache, so that pages of it reach the file, and copies the
/// set in the midst of it to `image`. In WAL mode the pages reach the log and are not committed.
pub async fn crash_in_transaction(live: &Set, image: &Path) -> Result<Set, SampleError> {
    let path = live.database();
    let crash = async {
        let mut writer = open(&path, 4).await?;
        writer.execute("BEGIN").await?;
        writer
            .execute(
                "UPDATE memories SET content = upper(content) || content, updated_at = '2025-11-06 00:00:00.000000'",
            )
            .await?;
        Ok(writer)
    };
    let mut writer: SqliteConnection = crash.await.map_err(SampleError::sqlite(&path))?;
    let copy = live.copy_to(image)?;
    writer.execute("ROLLBACK").await.map_err(SampleError::sqlite(&path))?;
    writer.close().await.map_err(SampleError::sqlite(&path))?;
    Ok(copy)
}

/// Opens with another journal mode.
pub async fn with_journal(path: &Path, mode: SqliteJournalMode) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().filename(path).foreign_keys(false).journal_mode(mode).connect().await
}
