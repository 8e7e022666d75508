//! Every row of the known tables, read once in the order of storage, and what must be compared across rows.

use std::borrow::Cow;

use sqlx::sqlite::SqliteRow;

use super::query::{Reader, Trouble, cell, quoted};
use super::schema::Schema;
use crate::domain::CorruptionEvent;
use crate::engine::integrity::sqlite::cell::{Cell, Judge};
use crate::engine::integrity::sqlite::directory::Part;
use crate::engine::integrity::sqlite::duplicates::{Duplicates, REPEATED};
use crate::engine::integrity::sqlite::schema::{ColumnKind, SchemaKind, Table};
use crate::engine::integrity::sqlite::states::{BROKEN_CHAIN, Chains, State, times};
use crate::engine::integrity::sqlite::tally::{Rows, Tally};
use crate::engine::integrity::sqlite::text::Encoding;
use crate::engine::integrity::sqlite::{date, uuid};

/// What the rows of a database say.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) events: Vec<CorruptionEvent>,
    /// Rows read.
    pub(super) rows: u64,
    /// Memories that are not deleted, where they could be counted.
    pub(super) live: Option<u64>,
    /// What could not be read to its end.
    pub(super) unread: Vec<(&'static str, Trouble)>,
}

/// Reads and judges all rows.
pub(super) async fn judge(
    reader: &mut Reader,
    component: &str,
    kind: SchemaKind,
    schema: &Schema,
    judge: Judge,
) -> Judged {
    let mut judged = Judged::default();
    let mut tally = Tally::default();
    let mut memories = 0;
    for table in kind.tables().iter().filter(|table| schema.known.contains_key(table.name)) {
        let mut scan = Scan::new(table, schema, judge, &mut tally);
        if let Err(trouble) = scan.run(reader).await {
            judged.unread.push((table.name, trouble));
        }
        judged.rows += scan.rows;
        if table.name == "memories" {
            judged.live = schema.has("memories", &["state"]).then_some(scan.live);
            memories = scan.rows;
        }
    }
    judged.events = tally.events(component);
    if kind == SchemaKind::OpenMemory && !judged.unread.iter().any(|(table, _)| *table == "memories") {
        match broken_chains(reader, schema, memories).await {
            Ok(rows) if rows.count > 0 => {
                judged.events.push(BROKEN_CHAIN.event(component, "memories.state", &rows));
            }
            Ok(_) => {}
            Err(trouble) => judged.unread.push(("memory_status_history", trouble)),
        }
        match duplicates(reader, schema, memories).await {
            Ok(rows) if rows.count > 0 => judged.events.push(REPEATED.event(component, "memories.content", &rows)),
            Ok(_) => {}
            Err(trouble) => judged.unread.push(("memories", trouble)),
        }
    }
    judged
}

/// The text of a cell.
pub(super) fn readable(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(bytes) = cell { std::str::from_utf8(bytes).ok() } else { None }
}

/// The id in a cell.
pub(super) fn id(cell: Cell<'_>) -> Option<u128> {
    uuid::any(readable(cell)?.as_bytes())
}

/// A table as the file declares it.
struct Shape<'a> {
    table: &'static str,
    columns: Vec<(&'a str, ColumnKind)>,
    encoding: Encoding,
}

impl Shape<'_> {
    fn query(&self) -> String {
        let column = |name| match self.encoding {
            Encoding::Utf8 => format!("+{name}"),
            // SQLite gives text in UTF-8 and mends it on the way; only as a blob it comes as it is.
            _ => format!("CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"),
        };
        let columns = self.columns.iter().map(|(name, _)| column(quoted(name)));
        let columns: Vec<_> = std::iter::once("+rowid".to_owned()).chain(columns).collect();
        format!("SELECT {} FROM \"{}\" NOT INDEXED", columns.join(", "), self.table)
    }

    fn at<'r>(&self, row: &'r SqliteRow, column: usize) -> Cell<'r> {
        match cell(row, column + 1) {
            Cell::Blob(bytes) if self.encoding != Encoding::Utf8 => Cell::Text(bytes),
            cell => cell,
        }
    }

    fn named<'r>(&self, row: &'r SqliteRow, name: &str) -> Option<Cell<'r>> {
        let at = self.columns.iter().position(|(column, _)| *column == name)?;
        Some(self.at(row, at))
    }

    fn text<'r>(&self, row: &'r SqliteRow, name: &str) -> Option<Cow<'r, str>> {
        if let Cell::Text(bytes) = self.named(row, name)? { self.encoding.decode(bytes) } else { None }
    }

    /// The row's id, where it is sound; ids are no personal data.
    fn name(&self, row: &SqliteRow, rowid: i64) -> String {
        let id = self.text(row, "id").and_then(|text| uuid::any(text.as_bytes()));
        id.map_or_else(|| format!("row {rowid}"), |id| format!("{id:032x}"))
    }
}

/// One table on its way from the first row to the last.
struct Scan<'a> {
    shape: Shape<'a>,
    judge: Judge,
    tally: &'a mut Tally,
    last: Option<i64>,
    rows: u64,
    live: u64,
}

impl<'a> Scan<'a> {
    fn new(table: &Table, schema: &'a Schema, judge: Judge, tally: &'a mut Tally) -> Self {
        let columns = schema.known.get(table.name).into_iter().flatten();
        let columns = columns.map(|name| (name.as_str(), table.kind(name))).collect();
        let shape = Shape { table: table.name, columns, encoding: judge.encoding };
        Self { shape, judge, tally, last: None, rows: 0, live: 0 }
    }

    async fn run(&mut self, reader: &mut Reader) -> Result<(), Trouble> {
        reader.each(self.shape.query(), |row| self.row(row)).await
    }

    fn row(&mut self, row: &SqliteRow) -> Result<(), Trouble> {
        let rowid = if let Cell::Integer(rowid) = cell(row, 0) { rowid } else { 0 };
        // A table is stored in the order of its row numbers. Where it is not, pages point at each other in
        // a circle, and reading on would never end.
        if self.last.replace(rowid).is_some_and(|last| last >= rowid) {
            return Err(Trouble::Damaged(format!("row {rowid} comes out of order")));
        }
        self.rows += 1;
        for (at, (column, kind)) in self.shape.columns.iter().enumerate() {
            if let Some(defect) = self.judge.cell(*kind, self.shape.at(row, at)) {
                self.tally.see(defect, self.shape.table, column, || self.shape.name(row, rowid));
            }
        }
        if self.shape.table == "memories" {
            self.memory(row, rowid);
        }
        Ok(())
    }

    fn memory(&mut self, row: &SqliteRow, rowid: i64) {
        let Some(state) = self.shape.text(row, "state") else { return };
        self.live += u64::from(&*state != "deleted");
        let set = |column| self.shape.named(row, column).is_none_or(|cell| cell != Cell::Null);
        if let Some((defect, column)) = times(state.as_bytes(), set("archived_at"), set("deleted_at")) {
            self.tally.see(defect, "memories", column, || self.shape.name(row, rowid));
        }
    }
}

/// Memories whose status history ends elsewhere (I12).
async fn broken_chains(reader: &mut Reader, schema: &Schema, memories: u64) -> Result<Rows, Trouble> {
    let mut broken = Rows::default();
    let complete = schema.has("memories", &["id", "state"])
        && schema.has("memory_status_history", &["memory_id", "new_state", "changed_at"]);
    if !complete {
        return Ok(broken);
    }
    for part in Part::all(memories) {
        let mut chains = Chains::new(part, memories);
        let state = |row: &SqliteRow| State::parse(readable(cell(row, 1))?.as_bytes());
        reader
            .each("SELECT +id, +state FROM memories NOT INDEXED", |row| {
                if let (Some(id), Some(state)) = (id(cell(row, 0)), state(row)) {
                    chains.memory(id, state);
                }
                Ok(())
            })
            .await?;
        reader
            .each("SELECT +memory_id, +new_state, +changed_at FROM memory_status_history NOT INDEXED", |row| {
                let at = readable(cell(row, 2)).and_then(date::parse);
                if let (Some(id), Some(state), Some(at)) = (id(cell(row, 0)), state(row), at) {
                    chains.change(id, state, at);
                }
                Ok(())
            })
            .await?;
        if chains.any_broken() {
            reader
                .each("SELECT +id FROM memories NOT INDEXED", |row| {
                    if let Some(id) = id(cell(row, 0)).filter(|id| chains.broken(*id)) {
                        broken.add(|| format!("{id:032x}"));
                    }
                    Ok(())
                })
                .await?;
        }
    }
    Ok(broken)
}

/// Live memories whose text the same user has already (I15).
async fn duplicates(reader: &mut Reader, schema: &Schema, memories: u64) -> Result<Rows, Trouble> {
    let mut repeated = Rows::default();
    if !schema.has("memories", &["user_id", "content", "state"]) {
        return Ok(repeated);
    }
    for part in Part::all(memories) {
        let mut duplicates = Duplicates::new(part, memories);
        reader
            .each(
                "SELECT +rowid, +user_id, +content FROM memories NOT INDEXED WHERE state IN ('active', 'paused', 'archived')",
                |row| {
                    if let (Cell::Integer(rowid), Cell::Text(user), Cell::Text(content)) =
                        (cell(row, 0), cell(row, 1), cell(row, 2))
                    {
                        duplicates.add(rowid, user, content);
                    }
                    Ok(())
                },
            )
            .await?;
        duplicates.repeats().for_each(|row| repeated.add(|| format!("row {row}")));
    }
    Ok(repeated)
}
