use std::fs;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnection, SqliteJournalMode};
use sqlx::{Connection as _, Executor as _};

use super::base::{crash_in_transaction, open, to_wal, with_journal, work};
use super::set::{Part, Set};
use crate::sample::SampleError;
use crate::sample::database::{self, Shape};
use crate::sample::insert::Format;
use crate::sample::random::Random;
use crate::sample::schema::Generation;

/// A healthy bank, as one may be found.
#[derive(Debug)]
pub struct Variant {
    /// What is special about it, for people.
    pub name: String,
    /// Its files.
    pub set: Set,
    /// Holds the files open as a live writer does.
    writer: Option<SqliteConnection>,
}

impl Variant {
    /// Ends the live writer, if there is one.
    pub async fn close(self) -> Result<(), SampleError> {
        let path = self.set.database();
        match self.writer {
            Some(writer) => writer.close().await.map_err(SampleError::sqlite(&path)),
            None => Ok(()),
        }
    }
}

/// Makes healthy variants one after the other, in one scratch folder.
#[derive(Debug)]
pub struct Healthy {
    scratch: PathBuf,
    seed: u64,
    count: usize,
    index: usize,
}

/// What happened to a bank before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Closed,
    FreePages,
    Vacuumed,
    JournalPersists,
    JournalTruncates,
    CrashedInTransaction,
    WalClosed,
    WalLive,
    WalCrashed,
    WalCrashedInTransaction,
    WalPartialFrame,
    WalAfterCheckpoint,
    MoreTables,
    FullText,
    Analyzed,
}

const PASTS: [Past; 15] = [
    Past::Closed,
    Past::FreePages,
    Past::Vacuumed,
    Past::JournalPersists,
    Past::JournalTruncates,
    Past::CrashedInTransaction,
    Past::WalClosed,
    Past::WalLive,
    Past::WalCrashed,
    Past::WalCrashedInTransaction,
    Past::WalPartialFrame,
    Past::WalAfterCheckpoint,
    Past::MoreTables,
    Past::FullText,
    Past::Analyzed,
];

const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
const ENCODINGS: [&str; 3] = ["'UTF-8'", "'UTF-16le'", "'UTF-16be'"];
const AUTO_VACUUM: [&str; 3] = ["NONE", "FULL", "INCREMENTAL"];

impl Healthy {
    /// So many variants: every past with, by chance, every page size, encoding, way of vacuum, generation.
    pub fn new(scratch: &Path, count: usize, seed: u64) -> Self {
        Self { scratch: scratch.to_owned(), seed, count, index: 0 }
    }

    /// The next variant; close it before the next.
    pub async fn next(&mut self) -> Result<Option<Variant>, SampleError> {
        if self.index == self.count {
            return Ok(None);
        }
        let random = &mut Random::new(self.seed, 1_000_000 + self.index as u64);
        let past = PASTS.get(self.index % PASTS.len()).copied().unwrap_or(Past::Closed);
        self.index += 1;
        let format = Format {
            page_size: PAGE_SIZES.get(random.below(PAGE_SIZES.len())).copied().unwrap_or(4096),
            // Most banks are UTF-8.
            encoding: ENCODINGS.get(random.below(6)).copied().unwrap_or("'UTF-8'"),
            auto_vacuum: AUTO_VACUUM.get(random.below(3)).copied().unwrap_or("NONE"),
        };
        let generation = Generation::ALL.get(random.below(3)).copied().unwrap_or_default();
        let shape = Shape { memories: random.below(160), seed: random.below_u64(1 << 40), generation, format };
        let name = format!(
            "{past:?}, {generation:?}, pages of {}, {}, auto_vacuum {}",
            format.page_size, format.encoding, format.auto_vacuum
        );
        let folder = self.scratch.join("healthy");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(SampleError::io(&folder)(error)),
            _ => {}
        }
        let set = Set::new(folder.join("bank"));
        fs::create_dir_all(set.folder()).map_err(SampleError::io(&folder))?;
        database::write(&set.database(), &set.history(), shape).await?;
        let (set, writer) = live_through(past, set, &folder.join("image"), random).await?;
        Ok(Some(Variant { name, set, writer }))
    }
}

async fn live_through(
    past: Past,
    set: Set,
    image: &Path,
    random: &mut Random,
) -> Result<(Set, Option<SqliteConnection>), SampleError> {
    let path = set.database();
    let wrong = || SampleError::sqlite(&path);
    if past == Past::CrashedInTransaction {
        return Ok((crash_in_transaction(&set, image).await?, None));
    }
    let mode = match past {
        Past::JournalPersists => SqliteJournalMode::Persist,
        Past::JournalTruncates => SqliteJournalMode::Truncate,
        _ => SqliteJournalMode::Delete,
    };
    let mut writer = with_journal(&path, mode).await.map_err(wrong())?;
    let wal = matches!(
        past,
        Past::WalClosed
            | Past::WalLive
            | Past::WalCrashed
            | Past::WalCrashedInTransaction
            | Past::WalPartialFrame
            | Past::WalAfterCheckpoint
    );
    if wal {
        to_wal(&mut writer).await.map_err(wrong())?;
    }
    work(&mut writer, random, 4).await.map_err(wrong())?;
    match past {
        Past::FreePages => script(&mut writer, "DELETE FROM memory_access_logs; DROP INDEX ix_memories_state").await,
        Past::Vacuumed => script(&mut writer, "DELETE FROM memory_access_logs; VACUUM").await,
        Past::Analyzed => script(&mut writer, "ANALYZE").await,
        Past::MoreTables => script(&mut writer, MORE_TABLES).await,
        Past::FullText => script(&mut writer, FULL_TEXT).await,
        Past::WalAfterCheckpoint => {
            // The log begins anew and keeps, behind its new frames, those of before.
            let checkpoint = script(&mut writer, "PRAGMA wal_checkpoint(RESTART)").await;
            checkpoint.map_err(wrong())?;
            work(&mut writer, random, 1).await
        }
        _ => Ok(()),
    }
    .map_err(wrong())?;
    let crashed = match past {
        Past::WalLive => return Ok((set, Some(writer))),
        Past::WalCrashed | Past::WalAfterCheckpoint => set.copy_to(image)?,
        Past::WalCrashedInTransaction => {
            let mut other = open(&path, 4).await.map_err(wrong())?;
            script(&mut other, "BEGIN; UPDATE memories SET content = upper(content) || content")
                .await
                .map_err(wrong())?;
            let crashed = set.copy_to(image)?;
            other.close().await.map_err(wrong())?;
            crashed
        }
        Past::WalPartialFrame => {
            let crashed = set.copy_to(image)?;
            let mut log = crashed.read(Part::Wal)?;
            let begun = log.get(32..32 + 24 + random.below(400)).unwrap_or_default().to_vec();
            log.extend(begun);
            crashed.put(Part::Wal, Some(&log))?;
            crashed
        }
        _ => {
            writer.close().await.map_err(wrong())?;
            return Ok((set, None));
        }
    };
    writer.close().await.map_err(wrong())?;
    Ok((crashed, None))
}

async fn script(writer: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    writer.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

const MORE_TABLES: &str = "
    CREATE TABLE documents (id UUID NOT NULL, title VARCHAR, body BLOB, size INTEGER, ratio REAL, PRIMARY KEY (id));
    INSERT INTO documents VALUES ('0a', 'A', x'00ff00', 3, 0.5), ('0b', NULL, NULL, NULL, -1e300);
    CREATE TABLE tags (name TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID;
    INSERT INTO tags VALUES ('one', 'x'), ('zwei', 'ü'), ('三', '🙂');
    CREATE INDEX tag_notes ON tags (note COLLATE NOCASE DESC);
    CREATE INDEX short_contents ON memories (length(content)) WHERE state = 'active';
    CREATE VIEW active_memories AS SELECT id, content FROM memories WHERE state = 'active';
    CREATE TRIGGER tag_note AFTER INSERT ON tags BEGIN UPDATE tags SET note = upper(note) WHERE name = new.name; END;
    INSERT INTO tags VALUES ('late', 'y');";

const FULL_TEXT: &str = "
    CREATE VIRTUAL TABLE memory_search USING fts5(content);
    INSERT INTO memory_search SELECT content FROM memories WHERE content <> '';
    DELETE FROM memory_search WHERE rowid % 5 = 0;";
