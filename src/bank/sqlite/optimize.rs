//! Writes a database's log back, counts anew for its planner, and gives free pages back: on the bank's own file, through
//! SQLite and under its locks, so that whoever has it open goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use thiserror::Error;

use super::scratch::free;
use super::set::{Part, Set};
use crate::bank::{Cancelled, Meter};

/// How long a lock of the bank's own connections is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// Instructions of SQLite's virtual machine between two looks whether to stop.
const STEP: i32 = 4_096;
/// From which share of free pages on a file is written anew, in percent, and from how many bytes: below it the pages are
/// soon used again.
const FREE_PERCENT: u64 = 20;
const FREE_BYTES: u64 = 1 << 20;
/// `PRAGMA optimize` for all tables, also such as were not looked up yet: <https://www.sqlite.org/pragma.html#pragma_optimize>.
const ALL_TABLES: &str = "PRAGMA optimize = 0x10002";

/// What was done to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optimized {
    /// Bytes of the file before.
    pub before: u64,
    /// And after.
    pub after: u64,
    /// Whether all of the log was written back; a reader that is at work keeps some of it.
    pub log_written: bool,
    /// How many bytes of free pages are left in the file.
    pub free_bytes: u64,
}

/// Why a database was not optimized, or not wholly; it is as sound as before.
#[derive(Debug, Error)]
pub enum OptimizeError {
    /// It is not where it is declared.
    #[error("{0}")]
    Place(String),
    /// Too little room to write the file anew.
    #[error("{folder}: {needed} bytes are needed to write the database anew and {free} are free")]
    NoRoom {
        /// The folder of the database.
        folder: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// As SQLite says.
    #[error("the database was not optimized: {0}; it is as it was")]
    Refused(String),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<sqlx::Error> for OptimizeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Optimizes the database at a path within a volume. Only for one that is known to be sound: free pages are given back by
/// writing all of it anew.
pub async fn optimize(root: &Path, relative: &str, meter: &Meter) -> Result<Optimized, OptimizeError> {
    // Leads nowhere out of the volume.
    let set = Set::open(root, relative).map_err(|error| OptimizeError::Place(error.to_string()))?;
    let place =
        |error: std::io::Error| OptimizeError::Place(format!("{}: {error}", set.path(Part::Database).display()));
    let path = set.path(Part::Database).canonicalize().map_err(place)?;
    let stop = Arc::new(AtomicBool::new(false));
    let outcome = meter.unless_cancelled(work(&path, &stop)).await;
    // SQLite ends a statement that it is at, and undoes it.
    stop.store(true, Ordering::Relaxed);
    outcome?
}

async fn work(path: &Path, stop: &Arc<AtomicBool>) -> Result<Optimized, OptimizeError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        .pragma("trusted_schema", "OFF")
        .pragma("analysis_limit", "1000")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let stopped = Arc::clone(stop);
    connection.lock_handle().await?.set_progress_handler(STEP, move || !stopped.load(Ordering::Relaxed));
    let done = steps(&mut connection, path).await;
    // What is not written back now is by the next connection.
    let _ = connection.close().await;
    done
}

async fn steps(connection: &mut SqliteConnection, path: &Path) -> Result<Optimized, OptimizeError> {
    let page = number(connection, "PRAGMA page_size").await?;
    let before = page * number(connection, "PRAGMA page_count").await?;
    sqlx::query(ALL_TABLES).execute(&mut *connection).await?;
    let free_bytes = page * number(connection, "PRAGMA freelist_count").await?;
    if free_bytes >= FREE_BYTES && free_bytes * 100 >= before * FREE_PERCENT {
        room(path, before)?;
        sqlx::query("VACUUM").execute(&mut *connection).await?;
    }
    // In a journal mode without a log there is nothing to write back, which is told as no pages.
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
    let log_written = row.try_get::<i64, _>(0)? == 0;
    Ok(Optimized {
        before,
        after: page * number(connection, "PRAGMA page_count").await?,
        log_written,
        free_bytes: page * number(connection, "PRAGMA freelist_count").await?,
    })
}

/// The new file lies beside the old one, in a log or a journal, until it takes its place.
fn room(path: &Path, size: u64) -> Result<(), OptimizeError> {
    let folder = path.parent().unwrap_or(path).to_owned();
    let free = free(&folder).map_err(|error| OptimizeError::Place(format!("{}: {error}", folder.display())))?;
    let needed = size.saturating_mul(2);
    if free < needed { Err(OptimizeError::NoRoom { folder, needed, free }) } else { Ok(()) }
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<u64, OptimizeError> {
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
}
