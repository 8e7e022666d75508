//! Memories as their points are made from them, and what is known of them, a few at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use serde_json::json;
use thiserror::Error;

use crate::domain::PointId;
use crate::engine::integrity::sqlite::date;
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::integrity::sqlite::uuid;
use crate::engine::recovery::MemoryText;

/// How long another connection's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database that does not give them.
#[derive(Debug, Error)]
#[error("the texts of memories cannot be read: {0}")]
pub struct TextError(String);

fn told(error: &rusqlite::Error) -> TextError {
    TextError(words(&error.to_string()))
}

/// Those of some memories that are live, have a text and belong to a user. Blocks.
pub fn texts(copy: &Path, ids: &[u128]) -> Result<Vec<MemoryText>, TextError> {
    let connection = Connection::open(copy).map_err(|error| told(&error))?;
    let mut list = connection
        .prepare(
            "SELECT m.id, m.content, u.user_id, a.name, m.created_at, m.updated_at FROM memories AS m \
             JOIN users AS u ON u.id = m.user_id LEFT JOIN apps AS a ON a.id = m.app_id \
             WHERE m.id IN (SELECT value FROM json_each(?1)) AND m.state IN ('active', 'paused', 'archived')",
        )
        .map_err(|error| told(&error))?;
    let mut found = Vec::new();
    let mut rows = list.query(params![json!(plain(ids)).to_string()]).map_err(|error| told(&error))?;
    while let Some(row) = rows.next().map_err(|error| told(&error))? {
        // A cell that holds no text is none.
        let text = |at: usize| row.get::<_, String>(at).ok();
        if let (Some(id), Some(content), Some(user)) = (text(0), text(1), text(2))
            && let Some(id) = uuid::plain(id.as_bytes())
            && !content.is_empty()
        {
            found.push(MemoryText { id, content, user, app: text(3), created: text(4), updated: text(5) });
        }
    }
    Ok(found)
}

/// What mem0's history has last of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// `ADD`, `UPDATE` or `DELETE`.
    pub event: String,
    /// The text since then.
    pub text: Option<String>,
    /// When, in microseconds since 1970; none where that cannot be read.
    pub time: Option<i64>,
}

/// What a private copy of mem0's history has last of some memories. Blocks.
pub fn last_changes(history: &Path, ids: &[u128]) -> Result<BTreeMap<u128, LastChange>, TextError> {
    let connection = Connection::open(history).map_err(|error| told(&error))?;
    let mut list = connection
        .prepare(
            "SELECT memory_id, event, new_memory, coalesce(updated_at, created_at) FROM history \
             WHERE memory_id IN (SELECT value FROM json_each(?1)) ORDER BY rowid",
        )
        .map_err(|error| told(&error))?;
    let dashed: Vec<String> = ids.iter().map(|id| PointId::Uuid(*id).to_string()).collect();
    let mut last = BTreeMap::new();
    let mut rows = list.query(params![json!(dashed).to_string()]).map_err(|error| told(&error))?;
    while let Some(row) = rows.next().map_err(|error| told(&error))? {
        let text = |at: usize| row.get::<_, String>(at).ok();
        if let Some(id) = text(0).and_then(|id| uuid::any(id.as_bytes())) {
            let time = text(3).as_deref().and_then(date::parse);
            last.insert(id, LastChange { event: text(1).unwrap_or_default(), text: text(2), time });
        }
    }
    Ok(last)
}

/// Gives the ids of all memories of a private copy, whatever their state, as long as they are taken. Blocks.
pub fn each_memory(copy: &Path, take: impl FnMut(u128) -> bool) -> Result<(), TextError> {
    each_id(copy, "SELECT id FROM memories", take)
}

/// Gives the ids of the memories that a private copy of mem0's history says were deleted, as long as they are taken. Blocks.
pub fn each_deleted(history: &Path, take: impl FnMut(u128) -> bool) -> Result<(), TextError> {
    // Of each memory SQLite gives the row that has the last number.
    let last = "SELECT memory_id, event, max(rowid) FROM history GROUP BY memory_id";
    each_id(history, &format!("SELECT memory_id FROM ({last}) WHERE event = 'DELETE'"), take)
}

fn each_id(copy: &Path, question: &str, mut take: impl FnMut(u128) -> bool) -> Result<(), TextError> {
    let connection = Connection::open(copy).map_err(|error| told(&error))?;
    let mut list = connection.prepare(question).map_err(|error| told(&error))?;
    let mut rows = list.query([]).map_err(|error| told(&error))?;
    while let Some(row) = rows.next().map_err(|error| told(&error))? {
        // A cell that holds no text is no id.
        if let Some(id) = row.get::<_, String>(0).ok().and_then(|id| uuid::any(id.as_bytes()))
            && !take(id)
        {
            break;
        }
    }
    Ok(())
}

/// Those of some ids that have a row now, in the bank's own file. Blocks.
pub fn having_rows(live: &Path, ids: &[u128]) -> Result<Vec<u128>, TextError> {
    let connection = open(live)?;
    let sql = "SELECT id FROM memories WHERE id IN (SELECT value FROM json_each(?1))";
    let mut list = connection.prepare(sql).map_err(|error| told(&error))?;
    let found = list.query_map(params![json!(plain(ids)).to_string()], |row| row.get::<_, String>(0));
    let found: Vec<String> = found.and_then(Iterator::collect).map_err(|error| told(&error))?;
    Ok(found.iter().filter_map(|id| uuid::plain(id.as_bytes())).collect())
}

fn open(live: &Path) -> Result<Connection, TextError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(live, flags).map_err(|error| told(&error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| told(&error))?;
    Ok(connection)
}

/// As OpenMemory writes ids: 32 hex digits.
fn plain(ids: &[u128]) -> Vec<String> {
    ids.iter().map(|id| format!("{id:032x}")).collect()
}
