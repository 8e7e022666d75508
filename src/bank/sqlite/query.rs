//! Reading a database that may be damaged: through sqlx, value by value as stored, with an end to every
//! query.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Decode, Row, Sqlite, SqliteConnection, TypeInfo, ValueRef};
use thiserror::Error;

use crate::bank::Cancelled;
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::integrity::sqlite::text::Encoding;

/// Instructions of SQLite's virtual machine between two looks at the stop flag: well below a millisecond.
const STEP: i32 = 4_096;
/// Instructions that any query may take, however small the file.
const EFFORT_BASE: i64 = 100_000_000;
/// Instructions more for each byte of the file. A healthy bank takes less than one; cycles between the
/// pages of a damaged one would take them without end.
const EFFORT_PER_BYTE: i64 = 4;
/// Rows between two pauses, in which other work of the same task gets its turn.
const BREATH: u32 = 1_024;
/// Pages are read through a map, so that they need no memory of our own and two readers do not wait for
/// each other's page cache. Nobody else has the copy, so it cannot shrink beneath the map.
const MAP_BYTES: &str = "2147418112";

/// Why a copy could not be checked at all.
#[derive(Debug, Error)]
pub enum SqliteError {
    /// There is no copy to check.
    #[error("{path}: {source}; the copy of the database must be made first")]
    Copy {
        /// Where it was looked for.
        path: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The copy could not be read, which says nothing of what is in it.
    #[error("the copy of the database cannot be read: {0}; look for room and memory where scratch is")]
    Unreadable(String),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why a query gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The file is damaged: SQLite's own words.
    Damaged(String),
    /// It could not be read for another reason.
    Unreadable(String),
}

impl Trouble {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Damaged(words) | Self::Unreadable(words) => words,
        }
    }
}

/// Stops the queries of its connections: when the check is cancelled, and when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection to a private copy.
pub(super) struct Reader {
    connection: SqliteConnection,
    effort: i64,
    left: Arc<AtomicI64>,
}

impl Reader {
    /// Opens the copy for reading and writing: recovery from a journal or WAL happens here.
    pub(super) async fn open(path: &Path, size: u64, stop: &Stop) -> Result<Self, Trouble> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false)
            .statement_cache_capacity(1)
            .pragma("trusted_schema", "OFF")
            .pragma("mmap_size", MAP_BYTES)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(trouble)?;
        let effort = EFFORT_BASE + EFFORT_PER_BYTE.saturating_mul(i64::try_from(size).unwrap_or(i64::MAX));
        let left = Arc::new(AtomicI64::new(effort));
        let (stop, budget) = (Arc::clone(&stop.0), Arc::clone(&left));
        connection.lock_handle().await.map_err(trouble)?.set_progress_handler(STEP, move || {
            !stop.load(Ordering::Relaxed) && budget.fetch_sub(i64::from(STEP), Ordering::Relaxed) > 0
        });
        let mut reader = Self { connection, effort, left };
        reader.each("SELECT count(*) FROM sqlite_schema", |_| Ok(())).await?;
        Ok(reader)
    }

    /// Gives each row of a query to `take`, until it has none left or `take` has trouble.
    ///
    /// Columns must be expressions (`+"name"`), as in [`super::table`].
    pub(super) async fn each(
        &mut self,
        sql: impl Into<String>,
        take: impl FnMut(&SqliteRow) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let query = sqlx::query(AssertSqlSafe(sql.into())).persistent(false);
        self.run(query, take).await
    }

    /// The same for one of many queries alike, which has `?1` for where to begin and `?2` for how many.
    pub(super) async fn each_from(
        &mut self,
        sql: &str,
        from: i64,
        limit: i64,
        take: impl FnMut(&SqliteRow) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(from).bind(limit);
        self.run(query, take).await
    }

    /// The same between two texts, `?1` and `?2`, with `?3` for how many.
    pub(super) async fn each_between(
        &mut self,
        sql: &str,
        (after, before): (&str, &str),
        limit: i64,
        take: impl FnMut(&SqliteRow) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let query =
            sqlx::query(AssertSqlSafe(sql.to_owned())).bind(after.to_owned()).bind(before.to_owned()).bind(limit);
        self.run(query, take).await
    }

    async fn run(
        &mut self,
        query: Query<'_, Sqlite, SqliteArguments>,
        mut take: impl FnMut(&SqliteRow) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.left.store(self.effort, Ordering::Relaxed);
        let mut rows = query.fetch(&mut self.connection);
        let mut until_breath = BREATH;
        while let Some(row) = rows.try_next().await.map_err(trouble)? {
            take(&row)?;
            until_breath -= 1;
            if until_breath == 0 {
                until_breath = BREATH;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// The first cell of the first row as a number.
    pub(super) async fn number(&mut self, sql: impl Into<String>) -> Result<i64, Trouble> {
        let mut number = None;
        self.each(sql, |row| {
            if let Cell::Integer(found) = cell(row, 0) {
                number = Some(found);
            }
            Ok(())
        })
        .await?;
        number.ok_or_else(|| Trouble::Unreadable("no number where one was expected".to_owned()))
    }

    /// The encoding of its text.
    pub(super) async fn encoding(&mut self) -> Result<Encoding, Trouble> {
        let mut encoding = None;
        self.each("PRAGMA encoding", |row| {
            encoding = Encoding::from_pragma(&text(row, 0));
            Ok(())
        })
        .await?;
        encoding.ok_or_else(|| Trouble::Damaged("unknown text encoding".to_owned()))
    }

    /// Ends the connection; SQLite removes a WAL that it has written back.
    pub(super) async fn close(self) {
        // A failure to write back loses nothing: the copy is thrown away.
        let _ = self.connection.close().await;
    }
}

/// A cell with the type and the bytes that are stored; text of a UTF-16 database in UTF-8, mended.
pub(super) fn cell(row: &SqliteRow, column: usize) -> Cell<'_> {
    let Ok(value) = row.try_get_raw(column) else { return Cell::Null };
    if value.is_null() {
        return Cell::Null;
    }
    let kind = value.type_info().into_owned();
    let bytes = |value| <&[u8] as Decode<Sqlite>>::decode(value).unwrap_or_default();
    match kind.name() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(value).map_or(Cell::Null, Cell::Integer),
        "REAL" => Cell::Real,
        "TEXT" => Cell::Text(bytes(value)),
        _ => Cell::Blob(bytes(value)),
    }
}

/// A cell of text of SQLite's own making, such as an answer of a pragma.
pub(super) fn text(row: &SqliteRow, column: usize) -> String {
    match cell(row, column) {
        Cell::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// A name as SQL text.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn trouble(error: sqlx::Error) -> Trouble {
    let sqlx::Error::Database(error) = error else {
        // A worker thread that ended: its own message may quote the file.
        return Trouble::Unreadable("the reader of the copy failed".to_owned());
    };
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    // The low byte is the primary code (sqlite.org/rescode.html).
    match (code & 0xff, code) {
        // SQLITE_CORRUPT, SQLITE_NOTADB, and IOERR_SHORT_READ: pages that the header promises are not there.
        (11 | 26, _) | (_, 522) => Trouble::Damaged(words(error.message())),
        (9, _) => Trouble::Unreadable("given up: more work than a sound file of this size can need".to_owned()),
        _ => Trouble::Unreadable(format!("SQLite error {code}: {}", words(error.message()))),
    }
}
