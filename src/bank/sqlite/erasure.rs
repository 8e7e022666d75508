//! Text of deleted memories that can still be read, in both databases.

use std::path::Path;

use super::checks::size;
use super::query::{Reader, SqliteError, Stop, Trouble};
use super::rows::{id, readable};
use super::schema::Schema;
use super::table::{self, Wanted, text};
use crate::bank::Meter;
use crate::domain::{Check, Finding};
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::directory::Part;
use crate::engine::integrity::sqlite::erasure::{Deleted, Remains};
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::text::Encoding;

const CHECK: &str = "erasure";
const MEMORIES: [Wanted<'_>; 3] = [text("id"), text("state"), text("content")];
const HISTORY: [Wanted<'_>; 4] = [text("memory_id"), text("event"), text("old_memory"), text("new_memory")];

/// Looks for text of deleted memories in a copy of the database and, where there is one, of the history.
/// One check `erasure` for each, and at most one finding per table.
///
/// # Errors
/// There is no copy, or the meter is cancelled.
pub async fn erasure(
    database: &Path,
    history: Option<&Path>,
    fingerprint_key: &[u8; 32],
    meter: &Meter,
) -> Result<(Vec<Check>, Vec<Finding>), SqliteError> {
    let stop = Stop::default();
    let sizes = (size(database)?, history.map(size).transpose()?.unwrap_or_default());
    meter.grow(sizes.0 + sizes.1);
    let (in_database, in_history) = meter
        .unless_cancelled(async {
            let in_database = in_database(database, sizes.0, &stop).await;
            let in_history = match history {
                Some(history) => Some(in_history(database, history, sizes, &stop).await),
                None => None,
            };
            (in_database, in_history)
        })
        .await?;
    meter.advance(sizes.0 + sizes.1);
    let mut findings = Vec::new();
    let mut checks = Vec::new();
    for (component, result) in [("database", Some(in_database)), ("history", in_history)] {
        checks.extend(result.map(|result| match result {
            Ok(remains) => {
                let before = findings.len();
                let remains = remains.into_iter().filter(|(_, rows)| *rows > 0);
                findings.extend(remains.map(|(place, rows)| place.finding(rows, fingerprint_key)));
                if findings.len() == before {
                    Check::passed(CHECK, component, "no text of a deleted memory can be read")
                } else {
                    Check::failed(CHECK, component, "text of deleted memories can still be read")
                }
            }
            Err(trouble) => Check::unknown(CHECK, component, trouble.words()),
        }));
    }
    Ok((checks, findings))
}

type Counts = Vec<(Remains, u64)>;

async fn in_database(copy: &Path, size: u64, stop: &Stop) -> Result<Counts, Trouble> {
    let mut reader = Reader::open(copy, size, stop).await?;
    whole(&mut reader, SchemaKind::OpenMemory, "memories", &MEMORIES).await?;
    let count = "SELECT count(*) FROM memories NOT INDEXED WHERE state = 'deleted' AND length(content) > 0";
    let rows = reader.number(count).await?;
    Ok(vec![(Remains::Memories, u64::try_from(rows).unwrap_or_default())])
}

async fn in_history(database: &Path, history: &Path, sizes: (u64, u64), stop: &Stop) -> Result<Counts, Trouble> {
    let mut memories = Reader::open(database, sizes.0, stop).await?;
    let mut events = Reader::open(history, sizes.1, stop).await?;
    whole(&mut memories, SchemaKind::OpenMemory, "memories", &MEMORIES).await?;
    let schema = whole(&mut events, SchemaKind::Mem0History, "history", &HISTORY).await?;
    let messages = schema.has("messages", &["content"]);
    let rows = memories.number("SELECT count(state) FROM memories NOT INDEXED").await?
        + events.number("SELECT count(event) FROM history NOT INDEXED").await?;
    let mut in_history = 0;
    let mut in_messages = 0;
    for part in Part::all(u64::try_from(rows).unwrap_or_default()) {
        let mut deleted = Deleted::new(part);
        table::rows(&mut events, "history", &HISTORY[..2], Encoding::Utf8, |_, cells| {
            if let (Some(id), Some("DELETE")) = (id(cells[0]), readable(cells[1])) {
                deleted.in_history(id);
            }
            Ok(())
        })
        .await?;
        table::rows(&mut memories, "memories", &MEMORIES, Encoding::Utf8, |_, cells| {
            if let (Some(id), Some(state)) = (id(cells[0]), readable(cells[1])) {
                deleted.memory(id, state != "deleted", readable(cells[2]).unwrap_or_default());
            }
            Ok(())
        })
        .await?;
        table::rows(&mut events, "history", &HISTORY, Encoding::Utf8, |_, cells| {
            let any_text = cells[2..].iter().any(|cell| !matches!(cell, Cell::Null | Cell::Text(b"")));
            in_history += u64::from(any_text && id(cells[0]).is_some_and(|id| deleted.has(id)));
            Ok(())
        })
        .await?;
        if messages {
            table::rows(&mut events, "messages", &[text("content")], Encoding::Utf8, |_, cells| {
                in_messages += u64::from(readable(cells[0]).is_some_and(|text| deleted.has_text(text)));
                Ok(())
            })
            .await?;
        }
    }
    Ok(vec![(Remains::History, in_history), (Remains::Messages, in_messages)])
}

async fn whole(reader: &mut Reader, kind: SchemaKind, table: &str, columns: &[Wanted<'_>]) -> Result<Schema, Trouble> {
    let schema = Schema::read(reader, kind).await?;
    if columns.iter().all(|column| schema.has(table, &[column.name])) {
        Ok(schema)
    } else {
        Err(Trouble::Unreadable(format!("table {table} or a column of it is missing")))
    }
}
