//! Rows that go for good, from a bank's own files: through SQLite and under its locks, a few at a time, so that whoever
//! has them open goes on. What they held is overwritten in the file (`secure_delete`), and looked for afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use serde_json::json;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::scratch::free;
use crate::domain::PointId;
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::integrity::sqlite::uuid;

/// How long another connection's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many rows of a log go in one transaction.
const AT_ONCE: u32 = 5_000;
/// How OpenMemory writes a time.
const SQL_TIME: &str = "%Y-%m-%d %H:%M:%S%.6f";
/// The tables with what belongs to a memory.
const OF_A_MEMORY: [&str; 3] = ["memory_access_logs", "memory_status_history", "memory_categories"];
/// So much of the beginning of a text is looked for: enough to be of no other, and it lies on one page.
const NEEDLE: usize = 48;
/// Shorter texts are found anywhere.
const SHORTEST: usize = 12;
/// After so many steps of SQLite's, a few microseconds, it is asked whether to stop.
const STEPS: i32 = 1_000;

/// Why rows are still there. What was removed before stays so.
#[derive(Debug, Error)]
pub enum PurgeError {
    /// Somebody uses it.
    #[error("{0} is in use: another process has had a transaction open for 10 s; the next run goes on")]
    Busy(PathBuf),
    /// As SQLite says.
    #[error("{path}: {told}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        told: String,
    },
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was asked to stop.
    #[error("{0}: stopped before it was written anew; the next run goes on")]
    Stopped(PathBuf),
    /// Too little room to write the file anew.
    #[error("{folder}: {needed} bytes are needed to write the database anew and {free} are free: make room")]
    NoRoom {
        /// The folder of the database.
        folder: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
}

/// A memory that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its id.
    pub id: u128,
    /// Its text; empty where there is none.
    pub text: String,
    /// The name of its user.
    pub user: Option<String>,
}

/// Some memories that were deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedPage {
    /// Their ids.
    pub ids: Vec<u128>,
    /// The last id as it is stored, whether or not it is one; none at the end.
    pub last: Option<String>,
}

/// A bank's own SQLite file, open for a purge.
#[derive(Debug)]
pub struct Purged {
    path: PathBuf,
    connection: Connection,
}

impl Purged {
    /// Opens a file that is there. Blocks, as all of it does.
    pub fn open(path: &Path) -> Result<Self, PurgeError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let told = of(path);
        let connection = Connection::open_with_flags(path, flags).map_err(&told)?;
        connection.busy_timeout(PATIENCE).map_err(&told)?;
        connection
            .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON")
            .map_err(&told)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Memories that were deleted before a moment, in the order of their ids as they are stored after one, at most `most`;
    /// with those that have no time where `undated`.
    pub fn deleted(&self, before: Timestamp, undated: bool, after: &str, most: u32) -> Result<DeletedPage, PurgeError> {
        let told = of(&self.path);
        let sql = format!(
            "SELECT id FROM memories WHERE state = 'deleted' AND typeof(id) = 'text' AND id > ?1 \
             AND ((?3 AND deleted_at IS NULL) OR ({} AND deleted_at < ?2)) ORDER BY id LIMIT ?4",
            is_time("deleted_at")
        );
        let mut list = self.connection.prepare(&sql).map_err(&told)?;
        let before = before.strftime(SQL_TIME).to_string();
        let found = list.query_map(params![after, before, undated, most], |row| row.get::<_, String>(0));
        let found: Vec<String> = found.and_then(Iterator::collect).map_err(&told)?;
        let ids = found.iter().filter_map(|id| uuid::plain(id.as_bytes())).collect();
        Ok(DeletedPage { ids, last: found.into_iter().last() })
    }

    /// How many deleted memories have an id that is none (I14): nothing else is known of them.
    pub fn nameless(&self) -> Result<u64, PurgeError> {
        let sql =
            "SELECT count(*) FROM memories WHERE state = 'deleted' AND (typeof(id) <> 'text' OR length(id) <> 32)";
        let count: i64 = self.connection.query_row(sql, [], |row| row.get(0)).map_err(of(&self.path))?;
        Ok(count.unsigned_abs())
    }

    /// Those of some memories that are in the database.
    pub fn there(&self, ids: &[u128]) -> Result<Vec<u128>, PurgeError> {
        let told = of(&self.path);
        let sql = "SELECT id FROM memories WHERE id IN (SELECT value FROM json_each(?1))";
        let mut list = self.connection.prepare(sql).map_err(&told)?;
        let found = list.query_map(params![plain(ids)], |row| row.get::<_, String>(0)).map_err(&told)?;
        let found: Vec<String> = found.collect::<Result<_, _>>().map_err(&told)?;
        Ok(found.iter().filter_map(|id| uuid::plain(id.as_bytes())).collect())
    }

    /// Those of some memories that are still deleted since before a moment, with their texts.
    pub fn still(&self, ids: &[u128], before: Timestamp) -> Result<Vec<Deleted>, PurgeError> {
        let told = of(&self.path);
        let sql = format!(
            "SELECT m.id, m.content, u.user_id FROM memories AS m LEFT JOIN users AS u ON u.id = m.user_id \
             WHERE m.state = 'deleted' AND {} AND m.deleted_at < ?2 AND m.id IN (SELECT value FROM json_each(?1))",
            is_time("m.deleted_at")
        );
        let mut list = self.connection.prepare(&sql).map_err(&told)?;
        let before = before.strftime(SQL_TIME).to_string();
        let mut rows = list.query(params![plain(ids), before]).map_err(&told)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(&told)? {
            let text = |at: usize| row.get::<_, String>(at).ok();
            if let Some(id) = text(0).and_then(|id| uuid::plain(id.as_bytes())) {
                found.push(Deleted { id, text: text(1).unwrap_or_default(), user: text(2) });
            }
        }
        Ok(found)
    }

    /// Removes memories that are still deleted, with all that belongs to them, in one transaction. How many.
    pub fn memories(&mut self, ids: &[u128]) -> Result<u64, PurgeError> {
        let list = plain(ids);
        let chosen = "SELECT id FROM memories WHERE state = 'deleted' AND id IN (SELECT value FROM json_each(?1))";
        let told = of(&self.path);
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&told)?;
        for table in OF_A_MEMORY {
            if has(&change, table).map_err(&told)? {
                let sql = format!("DELETE FROM {table} WHERE memory_id IN ({chosen})");
                change.execute(&sql, params![list]).map_err(&told)?;
            }
        }
        let removed = change.execute(&format!("DELETE FROM memories WHERE id IN ({chosen})"), params![list]);
        let removed = removed.map_err(&told)? as u64;
        change.commit().map_err(&told)?;
        Ok(removed)
    }

    /// Those of some texts that a memory which is not deleted has too.
    pub fn alive(&self, texts: &[String]) -> Result<Vec<String>, PurgeError> {
        let sql = "SELECT DISTINCT content FROM memories WHERE state <> 'deleted' \
                   AND content IN (SELECT value FROM json_each(?1))";
        self.column(sql, texts)
    }

    /// Those of some texts that are a message.
    pub fn messages(&self, texts: &[String]) -> Result<Vec<String>, PurgeError> {
        if !has(&self.connection, "messages").map_err(of(&self.path))? {
            return Ok(Vec::new());
        }
        self.column("SELECT DISTINCT content FROM messages WHERE content IN (SELECT value FROM json_each(?1))", texts)
    }

    fn column(&self, sql: &str, texts: &[String]) -> Result<Vec<String>, PurgeError> {
        let told = of(&self.path);
        let mut list = self.connection.prepare(sql).map_err(&told)?;
        let found = list.query_map(params![json!(texts).to_string()], |row| row.get(0)).map_err(&told)?;
        found.collect::<Result<_, _>>().map_err(&told)
    }

    /// Of mem0's history: removes all changes of some memories, and of the messages of their users those which are their
    /// text; not those of `but`.
    pub fn history(&mut self, memories: &[Deleted], but: &[String]) -> Result<(), PurgeError> {
        let ids = dashed(&memories.iter().map(|memory| memory.id).collect::<Vec<_>>());
        let said = memories.iter().filter(|memory| !memory.text.is_empty() && !but.contains(&memory.text));
        let said: Vec<_> = said.filter_map(|memory| Some(json!([memory.text, memory.user.as_ref()?]))).collect();
        let told = of(&self.path);
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&told)?;
        let sql = "DELETE FROM history WHERE memory_id IN (SELECT value FROM json_each(?1))";
        change.execute(sql, params![ids]).map_err(&told)?;
        if !said.is_empty() && has(&change, "messages").map_err(&told)? {
            // A scope is `user_id=NAME&agent_id=...`.
            let sql = "DELETE FROM messages WHERE rowid IN (SELECT m.rowid FROM json_each(?1) AS j \
                       JOIN messages AS m ON m.content = j.value ->> 0 \
                       WHERE instr('&' || m.session_scope || '&', '&user_id=' || (j.value ->> 1) || '&') > 0)";
            change.execute(sql, params![json!(said).to_string()]).map_err(&told)?;
        }
        change.commit().map_err(&told)
    }

    /// Removes some accesses from before a moment; 0 once there are none.
    pub fn accesses(&mut self, before: Timestamp) -> Result<u64, PurgeError> {
        let sql = format!(
            "DELETE FROM memory_access_logs WHERE rowid IN \
             (SELECT rowid FROM memory_access_logs WHERE {} AND accessed_at < ?1 LIMIT ?2)",
            is_time("accessed_at")
        );
        self.some(&sql, &before.strftime(SQL_TIME).to_string())
    }

    /// Removes some changes from before a moment that are neither the first nor the last of their memory; 0 once there are
    /// none.
    pub fn changes(&mut self, before: Timestamp) -> Result<u64, PurgeError> {
        // Times have offsets of their own: SQLite takes them into account.
        let sql = "DELETE FROM history WHERE rowid IN (SELECT h.rowid FROM history AS h \
                   JOIN (SELECT memory_id, min(rowid) AS first, max(rowid) AS last FROM history GROUP BY memory_id) AS e \
                   ON e.memory_id = h.memory_id WHERE h.rowid NOT IN (e.first, e.last) AND h.event = 'UPDATE' \
                   AND julianday(coalesce(h.updated_at, h.created_at)) < julianday(?1) LIMIT ?2)";
        self.some(sql, &before.to_string())
    }

    fn some(&self, sql: &str, before: &str) -> Result<u64, PurgeError> {
        let removed = self.connection.execute(sql, params![before, AT_ONCE]).map_err(of(&self.path))?;
        Ok(removed as u64)
    }

    /// How many rows there are still of some memories, in whichever database of both it is.
    pub fn left(&self, ids: &[u128]) -> Result<u64, PurgeError> {
        let told = of(&self.path);
        let (plain, dashed) = (plain(ids), dashed(ids));
        let of_memories = OF_A_MEMORY.map(|table| (table, "memory_id", &plain));
        let mut left = 0;
        for (table, column, list) in
            of_memories.into_iter().chain([("memories", "id", &plain), ("history", "memory_id", &dashed)])
        {
            if has(&self.connection, table).map_err(&told)? {
                let sql = format!("SELECT count(*) FROM {table} WHERE {column} IN (SELECT value FROM json_each(?1))");
                let count: i64 = self.connection.query_row(&sql, params![list], |row| row.get(0)).map_err(&told)?;
                left += count.unsigned_abs();
            }
        }
        Ok(left)
    }

    /// Writes the log back and cuts it, so that what was overwritten is not in it; whether that could be done.
    pub fn cut_log(&self) -> Result<bool, PurgeError> {
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        Ok(busy.map_err(of(&self.path))? == 0)
    }

    /// Writes the whole file anew, without what its free pages hold, unless it is to stop: then the file is as it was.
    pub fn renew(&self, stop: &CancellationToken) -> Result<(), PurgeError> {
        let size = std::fs::metadata(&self.path).map_err(at(&self.path))?.len();
        let folder = self.path.parent().unwrap_or(&self.path).to_owned();
        let (free, needed) = (free(&folder).map_err(at(&folder))?, size.saturating_mul(2));
        if free < needed {
            return Err(PurgeError::NoRoom { folder, needed, free });
        }
        let (told, stop) = (of(&self.path), stop.clone());
        self.connection.progress_handler(STEPS, Some(move || stop.is_cancelled())).map_err(&told)?;
        let written = self.connection.execute_batch("VACUUM");
        self.connection.progress_handler(0, None::<fn() -> bool>).map_err(&told)?;
        written.map_err(&told)?;
        self.cut_log().map(|_| ())
    }

    /// Of some texts, those whose bytes are in the file or one beside it, and which no row has: they can be read by whoever
    /// has the file.
    pub fn remains(&self, texts: &[String]) -> Result<Vec<usize>, PurgeError> {
        let mut found = vec![false; texts.len()];
        let needles: Vec<(usize, &str)> =
            texts.iter().enumerate().filter_map(|(at, text)| Some((at, needle(text)?))).collect();
        let Ok(search) = AhoCorasick::new(needles.iter().map(|(_, needle)| needle)) else { return Ok(Vec::new()) };
        for suffix in ["", "-wal", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            for met in search.stream_find_iter(file) {
                found[needles[met.map_err(at(&path))?.pattern().as_usize()].0] = true;
            }
        }
        let mut left = Vec::new();
        for (index, needle) in needles.into_iter().filter(|(index, _)| found[*index]) {
            if !self.said(needle)? {
                left.push(index);
            }
        }
        Ok(left)
    }

    /// Whether a row has a text.
    fn said(&self, needle: &str) -> Result<bool, PurgeError> {
        let told = of(&self.path);
        let columns = [
            ("memories", "content"),
            ("memory_access_logs", "metadata"),
            ("history", "old_memory"),
            ("history", "new_memory"),
            ("messages", "content"),
        ];
        for (table, column) in columns {
            if has(&self.connection, table).map_err(&told)? {
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE instr({column}, ?1) > 0)");
                if self.connection.query_row(&sql, params![needle], |row| row.get(0)).map_err(&told)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Ids as OpenMemory writes them, as a list in JSON.
fn plain(ids: &[u128]) -> String {
    json!(ids.iter().map(|id| format!("{id:032x}")).collect::<Vec<_>>()).to_string()
}

/// The same as mem0 writes them.
fn dashed(ids: &[u128]) -> String {
    json!(ids.iter().map(|id| PointId::Uuid(*id).to_string()).collect::<Vec<_>>()).to_string()
}

/// That a column holds a time as OpenMemory writes it: numbers and other texts sort before all of these.
fn is_time(column: &str) -> String {
    format!("typeof({column}) = 'text' AND {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'")
}

/// What of a text is looked for; none where that would be found anywhere.
fn needle(text: &str) -> Option<&str> {
    let end = (0..=NEEDLE.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
    (end >= SHORTEST).then_some(&text[..end])
}

fn has(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, params![table], |row| row.get(0))
}

fn of(path: &Path) -> impl Fn(rusqlite::Error) -> PurgeError + use<> {
    let path = path.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => PurgeError::Busy(path.clone()),
        Some(ErrorCode::OperationInterrupted) => PurgeError::Stopped(path.clone()),
        _ => PurgeError::Sqlite { path: path.clone(), told: words(&error.to_string()) },
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PurgeError + '_ {
    move |source| PurgeError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_to_be_written_anew_is_as_it_was_where_that_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE kept AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) \
                 SELECT n, 'the text number ' || n AS text FROM c; \
                 CREATE TABLE gone AS SELECT * FROM kept; DROP TABLE gone",
            )
            .unwrap();
        let free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0)).unwrap();
        let (file, before, stop) =
            (Purged::open(&path).unwrap(), std::fs::read(&path).unwrap(), CancellationToken::new());
        stop.cancel();
        assert!(matches!(file.renew(&stop), Err(PurgeError::Stopped(_))));
        assert!(free() > 0 && std::fs::read(&path).unwrap() == before);
        file.renew(&CancellationToken::new()).unwrap();
        assert_eq!(free(), 0);
        assert!(std::fs::read_dir(folder.path()).unwrap().count() == 1, "no journal is left");
    }
}
