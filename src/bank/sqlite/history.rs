//! OpenMemory's memories against mem0's history of them, across both copies (I11).

use std::collections::BTreeMap;
use std::path::Path;

use super::checks::{SqliteReport, size};
use super::query::{Reader, SqliteError, Stop, Trouble, cell};
use super::rows::{id, readable};
use super::schema::Schema;
use super::table::{self, Wanted, text};
use crate::bank::Meter;
use crate::domain::Check;
use crate::engine::integrity::sqlite::date;
use crate::engine::integrity::sqlite::directory::Part;
use crate::engine::integrity::sqlite::history::{Comparison, Disagreement, Happened};
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::tally::Rows;
use crate::engine::integrity::sqlite::text::Encoding;

const CHECK: &str = "sqlite-history";
const MEMORIES: [Wanted<'_>; 4] = [text("id"), text("state"), text("created_at"), text("content")];
const EVENTS: [Wanted<'_>; 3] = [text("memory_id"), text("event"), text("new_memory")];
/// The history only grows at its end, so that its beginning is among its first rows.
const BEGINNING: &str = "SELECT +created_at FROM history NOT INDEXED WHERE event = 'ADD' LIMIT 1000";

/// Compares the memories of one copy with the history in another. One check, `sqlite-history`.
///
/// # Errors
/// There is no copy, or the meter is cancelled.
pub async fn check_history(
    database: &Path,
    history: &Path,
    component: &str,
    meter: &Meter,
) -> Result<SqliteReport, SqliteError> {
    let sizes = (size(database)?, size(history)?);
    meter.grow(sizes.0 + sizes.1);
    let stop = Stop::default();
    let compared = meter
        .unless_cancelled(async {
            let (mut memories, mut events) = open(database, history, sizes, &stop).await?;
            compare(&mut memories, &mut events).await
        })
        .await?;
    meter.advance(sizes.0 + sizes.1);
    Ok(match compared {
        Ok(Compared { memories, rows }) if rows.is_empty() => SqliteReport {
            checks: vec![Check::passed(CHECK, component, format!("{memories} memories compared with their history"))],
            ..SqliteReport::default()
        },
        Ok(Compared { memories, rows }) => SqliteReport {
            checks: vec![Check::failed(CHECK, component, format!("{memories} memories compared with their history"))],
            corruption: rows.iter().map(|(kind, rows)| kind.event(component, rows)).collect(),
            ..SqliteReport::default()
        },
        Err(trouble) => {
            SqliteReport { checks: vec![Check::unknown(CHECK, component, trouble.words())], ..SqliteReport::default() }
        }
    })
}

struct Compared {
    memories: u64,
    rows: BTreeMap<Disagreement, Rows>,
}

/// Opens both, if both have what is compared.
async fn open(database: &Path, history: &Path, sizes: (u64, u64), stop: &Stop) -> Result<(Reader, Reader), Trouble> {
    let mut memories = Reader::open(database, sizes.0, stop).await?;
    let mut events = Reader::open(history, sizes.1, stop).await?;
    let whole = Schema::read(&mut memories, SchemaKind::OpenMemory)
        .await?
        .has("memories", &["id", "state", "created_at", "content"])
        && Schema::read(&mut events, SchemaKind::Mem0History)
            .await?
            .has("history", &["memory_id", "event", "old_memory", "new_memory", "created_at"]);
    if whole {
        Ok((memories, events))
    } else {
        Err(Trouble::Unreadable("a table or column that is compared is missing".to_owned()))
    }
}

async fn compare(memories: &mut Reader, events: &mut Reader) -> Result<Compared, Trouble> {
    let mut compared = Compared { memories: 0, rows: BTreeMap::new() };
    let Some(beginning) = beginning(events).await? else { return Ok(compared) };
    let rows = memories.number("SELECT count(state) FROM memories NOT INDEXED").await?;
    let rows = u64::try_from(rows).unwrap_or_default();
    for part in Part::all(rows) {
        let mut comparison = Comparison::new(part, rows);
        table::rows(memories, "memories", &MEMORIES, Encoding::Utf8, |_, cells| {
            let created = readable(cells[2]).and_then(date::parse);
            if let (Some(id), Some(state), true) =
                (id(cells[0]), readable(cells[1]), created.is_some_and(|created| created >= beginning))
            {
                let text = readable(cells[3]).unwrap_or_default();
                comparison.memory(id, state != "deleted", text.as_bytes());
            }
            Ok(())
        })
        .await?;
        table::rows(events, "history", &EVENTS, Encoding::Utf8, |_, cells| {
            let what = readable(cells[1]).and_then(|name| Happened::parse(name.as_bytes()));
            if let (Some(id), Some(what)) = (id(cells[0]), what) {
                comparison.happened(id, what, readable(cells[2]).map(str::as_bytes));
            }
            Ok(())
        })
        .await?;
        compared.memories += comparison.count();
        if comparison.any() {
            table::rows(memories, "memories", &MEMORIES[..1], Encoding::Utf8, |_, cells| {
                let Some(id) = id(cells[0]) else { return Ok(()) };
                if let Some(kind) = comparison.disagreement(id) {
                    compared.rows.entry(kind).or_default().add(|| format!("{id:032x}"));
                }
                Ok(())
            })
            .await?;
        }
    }
    Ok(compared)
}

/// When the history began, as far as it reaches back: memories that are older say nothing.
async fn beginning(events: &mut Reader) -> Result<Option<i64>, Trouble> {
    let mut first: Option<i64> = None;
    events
        .each(BEGINNING, |row| {
            if let Some(at) = readable(cell(row, 0)).and_then(date::parse) {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
            Ok(())
        })
        .await?;
    Ok(first)
}
