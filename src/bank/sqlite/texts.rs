//! Memories of a private copy as their points are made from them, a few at a time.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::json;
use thiserror::Error;

use crate::domain::PointId;
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::integrity::sqlite::uuid;
use crate::engine::recovery::MemoryText;

/// A copy that does not give them.
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

/// Of memories with the texts of their points: those whose point has the very first text, which mem0 never changed, so
/// that the row was edited since. `history` is a private copy of mem0's history. Blocks.
pub fn originals(history: &Path, points: &BTreeMap<u128, String>) -> Result<Vec<u128>, TextError> {
    let connection = Connection::open(history).map_err(|error| told(&error))?;
    let mut list = connection
        .prepare(
            "SELECT memory_id, event, new_memory FROM history \
             WHERE memory_id IN (SELECT value FROM json_each(?1)) ORDER BY rowid",
        )
        .map_err(|error| told(&error))?;
    let dashed: Vec<String> = points.keys().map(|id| PointId::Uuid(*id).to_string()).collect();
    let mut last: BTreeMap<u128, bool> = BTreeMap::new();
    let mut rows = list.query(params![json!(dashed).to_string()]).map_err(|error| told(&error))?;
    while let Some(row) = rows.next().map_err(|error| told(&error))? {
        let text = |at: usize| row.get::<_, String>(at).ok();
        if let Some(id) = text(0).and_then(|id| uuid::any(id.as_bytes())) {
            let first = text(1).as_deref() == Some("ADD") && text(2).as_ref() == points.get(&id);
            last.insert(id, first);
        }
    }
    Ok(last.into_iter().filter(|(_, first)| *first).map(|(id, _)| id).collect())
}

/// As OpenMemory writes ids: 32 hex digits.
fn plain(ids: &[u128]) -> Vec<String> {
    ids.iter().map(|id| format!("{id:032x}")).collect()
}
