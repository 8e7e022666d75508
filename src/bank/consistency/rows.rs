//! The SQL side of a comparison: a private copy of a SQLite database, or one moment of a database on a server.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use crate::bank::Meter;
use crate::bank::postgres::{PostgresMemories, PostgresReader};
use crate::bank::sqlite::{self, MemoryReader, MemorySpan, SqliteCopy};
use crate::engine::consistency::{Row, Sums};

/// A SQLite database: its private copy, and where a fresh one is had from.
#[derive(Clone, Debug)]
pub struct Database {
    /// The database file of the copy.
    pub copy: PathBuf,
    /// When the copy was made.
    pub copied: Timestamp,
    /// The folder of the volume.
    pub root: PathBuf,
    /// The database beneath it.
    pub path: String,
    /// Where fresh copies are made.
    pub scratch: PathBuf,
}

/// Where the rows of a bank are.
#[derive(Clone, Debug)]
pub enum SqlSide {
    /// In a file.
    Sqlite(Database),
    /// On a server.
    Postgres(PostgresMemories),
}

impl SqlSide {
    /// The rows as they were when the copy was made, or of a server as they are now.
    pub(super) async fn open(&self) -> Result<RowReader, String> {
        Ok(match self {
            Self::Sqlite(database) => {
                let bytes = std::fs::metadata(&database.copy).map_or(0, |file| file.len());
                let reader = MemoryReader::open(&database.copy).await?;
                RowReader { at: database.copied, bytes, side: Side::Sqlite(reader, MemorySpan::new(1, 0)), _copy: None }
            }
            Self::Postgres(memories) => {
                let reader = Box::pin(PostgresReader::open(memories)).await?;
                RowReader { at: reader.at, bytes: reader.bytes, side: Side::Postgres(reader), _copy: None }
            }
        })
    }

    /// Another reader of the rows at the very same moment; none of a server, whose rows go on changing.
    pub(super) async fn twin(&self) -> Result<Option<RowReader>, String> {
        match self {
            Self::Sqlite(_) => self.open().await.map(Some),
            Self::Postgres(_) => Ok(None),
        }
    }

    /// The rows as they are now.
    pub(super) async fn fresh(&self, meter: &Arc<Meter>) -> Result<RowReader, String> {
        let Self::Sqlite(database) = self else { return self.open().await };
        let at = Timestamp::now();
        let Database { root, path, scratch, .. } = database.clone();
        let meter = Arc::clone(meter);
        let copied = tokio::task::spawn_blocking(move || {
            let mut copy = sqlite::copy(&root, &path, &scratch, &meter).map_err(|error| error.to_string())?;
            copy.prepare().map_err(|error| error.to_string())?;
            Ok::<_, String>(copy)
        });
        let copy = copied.await.map_err(|error| format!("internal failure: {error}"))??;
        let reader = MemoryReader::open(&copy.path()).await?;
        Ok(RowReader { at, bytes: 0, side: Side::Sqlite(reader, MemorySpan::new(1, 0)), _copy: Some(copy) })
    }

    /// A reader of all of the rows, in ascending order.
    pub async fn all(&self) -> Result<RowReader, String> {
        let mut reader = self.open().await?;
        reader.enter(0, u128::MAX);
        Ok(reader)
    }

    /// How many rows have an id that is none (I14); a column of type `uuid` has no such.
    pub async fn broken(&self) -> Result<u64, String> {
        if matches!(self, Self::Postgres(_)) {
            return Ok(0);
        }
        let mut reader = self.open().await?;
        let broken = reader.sums(self.twin().await?).await?.broken;
        reader.close().await;
        Ok(broken)
    }

    /// The check that tells what is wrong with the index over ids.
    pub(super) const fn index_check(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite-integrity-check",
            Self::Postgres(_) => "postgres-btrees",
        }
    }
}

/// Reads the memories of one moment. Errors are words for people.
pub struct RowReader {
    /// That moment: what changed after it is not told.
    pub(super) at: Timestamp,
    /// About what there is to read.
    pub(super) bytes: u64,
    side: Side,
    /// Where the copy is this reader's alone: it goes with it.
    _copy: Option<SqliteCopy>,
}

enum Side {
    /// With what is left of the ids that were entered.
    Sqlite(MemoryReader, MemorySpan),
    Postgres(PostgresReader),
}

impl RowReader {
    /// The sums of all rows by range, read in the order of storage and by no index; half of them by a twin, where there is
    /// one.
    pub(super) async fn sums(&mut self, twin: Option<Self>) -> Result<Sums, String> {
        match (&mut self.side, twin.map(|twin| twin.side)) {
            (Side::Sqlite(reader, ..), Some(Side::Sqlite(mut twin, ..))) => {
                let middle = reader.middle().await?;
                let beyond = AbortOnDropHandle::new(tokio::spawn(async move {
                    let sums = twin.sums((middle.saturating_add(1), i64::MAX)).await;
                    twin.close().await;
                    sums
                }));
                let mut sums = reader.sums((i64::MIN, middle)).await?;
                sums.join(&beyond.await.map_err(|error| format!("internal failure: {error}"))??);
                Ok(sums)
            }
            (Side::Sqlite(reader, ..), _) => reader.sums((i64::MIN, i64::MAX)).await,
            (Side::Postgres(reader), _) => reader.sums().await,
        }
    }

    /// About how many memories there are.
    pub(super) async fn count(&mut self) -> Result<u64, String> {
        match &mut self.side {
            Side::Sqlite(reader, ..) => reader.count().await,
            Side::Postgres(reader) => reader.count().await,
        }
    }

    /// Gives the id of each memory that is not deleted.
    pub(super) async fn live(&mut self, take: impl FnMut(u128)) -> Result<(), String> {
        match &mut self.side {
            Side::Sqlite(reader, ..) => reader.live(take).await,
            Side::Postgres(reader) => reader.live(take).await,
        }
    }

    /// Goes on with the ids from one to another, both included.
    pub(super) fn enter(&mut self, first: u128, last: u128) {
        match &mut self.side {
            Side::Sqlite(_, span) => *span = MemorySpan::new(first, last),
            Side::Postgres(reader) => reader.enter(first, last),
        }
    }

    /// The next rows in ascending order; none at the end of the ids that were entered.
    pub async fn next(&mut self) -> Result<Vec<Row>, String> {
        match &mut self.side {
            Side::Sqlite(reader, span) => reader.next(span).await,
            Side::Postgres(reader) => reader.next().await,
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        match self.side {
            Side::Sqlite(reader, ..) => reader.close().await,
            Side::Postgres(reader) => reader.close().await,
        }
    }
}
