//! One pass over one table, from its first row to its last.

use std::borrow::Cow;

use sqlx::sqlite::SqliteRow;

use super::query::{Reader, Trouble, cell, quoted};
use super::schema::Schema;
use crate::engine::integrity::sqlite::cell::{Cell, Judge};
use crate::engine::integrity::sqlite::directory::Part;
use crate::engine::integrity::sqlite::duplicates::Duplicates;
use crate::engine::integrity::sqlite::schema::{ColumnKind, Table};
use crate::engine::integrity::sqlite::states::{Chains, State, times};
use crate::engine::integrity::sqlite::tally::Tally;
use crate::engine::integrity::sqlite::text::Encoding;
use crate::engine::integrity::sqlite::{date, uuid};

/// What must be compared across the rows of a bank, for one part of its memories.
pub(super) struct Across {
    pub(super) chains: Chains,
    pub(super) duplicates: Duplicates,
}

impl Across {
    pub(super) fn new(part: Part, memories: u64) -> Self {
        Self { chains: Chains::new(part, memories), duplicates: Duplicates::new(part, memories) }
    }

    fn memory(&mut self, shape: &Shape<'_>, row: &SqliteRow, rowid: i64, state: &str) {
        let Some(state) = State::parse(state.as_bytes()) else { return };
        if let Some(id) = shape.id(row, "id") {
            self.chains.memory(id, state);
        }
        if state != State::DELETED
            && let (Some(user), Some(content)) = (shape.text(row, "user_id"), shape.text(row, "content"))
        {
            self.duplicates.add(rowid, user.as_bytes(), content.as_bytes());
        }
    }

    fn change(&mut self, shape: &Shape<'_>, row: &SqliteRow) {
        let state = shape.text(row, "new_state").and_then(|state| State::parse(state.as_bytes()));
        let at = shape.text(row, "changed_at").and_then(|text| date::parse(&text));
        if let (Some(id), Some(state), Some(at)) = (shape.id(row, "memory_id"), state, at) {
            self.chains.change(id, state, at);
        }
    }
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

    fn id(&self, row: &SqliteRow, name: &str) -> Option<u128> {
        uuid::any(self.text(row, name)?.as_bytes())
    }

    /// The row's id, where it is sound; ids are no personal data.
    fn name(&self, row: &SqliteRow, rowid: i64) -> String {
        self.id(row, "id").map_or_else(|| format!("row {rowid}"), |id| format!("{id:032x}"))
    }
}

/// A pass and what it counts.
pub(super) struct Scan<'a> {
    shape: Shape<'a>,
    judge: Judge,
    last: Option<i64>,
    /// Rows read.
    pub(super) rows: u64,
    /// Memories that are not deleted.
    pub(super) live: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(table: &Table, schema: &'a Schema, judge: Judge) -> Self {
        let columns = schema.known.get(table.name).into_iter().flatten();
        let columns = columns.map(|name| (name.as_str(), table.kind(name))).collect();
        let shape = Shape { table: table.name, columns, encoding: judge.encoding };
        Self { shape, judge, last: None, rows: 0, live: 0 }
    }

    /// Reads the table. Cells are judged where there is a tally for it.
    pub(super) async fn run(
        &mut self,
        reader: &mut Reader,
        mut tally: Option<&mut Tally>,
        across: &mut Across,
    ) -> Result<(), Trouble> {
        reader.each(self.shape.query(), |row| self.row(row, tally.as_deref_mut(), across)).await
    }

    fn row(&mut self, row: &SqliteRow, tally: Option<&mut Tally>, across: &mut Across) -> Result<(), Trouble> {
        let rowid = if let Cell::Integer(rowid) = cell(row, 0) { rowid } else { 0 };
        // A table is stored in the order of its row numbers. Where it is not, pages point at each other in
        // a circle, and reading on would never end.
        if self.last.replace(rowid).is_some_and(|last| last >= rowid) {
            return Err(Trouble::Damaged(format!("row {rowid} comes out of order")));
        }
        self.rows += 1;
        let state = if self.shape.table == "memories" { self.shape.text(row, "state") } else { None };
        if let Some(tally) = tally {
            self.cells(row, rowid, tally);
            if let Some(state) = &state {
                self.times(row, rowid, state, tally);
            }
        }
        if let Some(state) = state {
            self.live += u64::from(&*state != "deleted");
            across.memory(&self.shape, row, rowid, &state);
        } else if self.shape.table == "memory_status_history" {
            across.change(&self.shape, row);
        }
        Ok(())
    }

    fn cells(&self, row: &SqliteRow, rowid: i64, tally: &mut Tally) {
        for (at, (column, kind)) in self.shape.columns.iter().enumerate() {
            if let Some(defect) = self.judge.cell(*kind, self.shape.at(row, at)) {
                tally.see(defect, self.shape.table, column, || self.shape.name(row, rowid));
            }
        }
    }

    fn times(&self, row: &SqliteRow, rowid: i64, state: &str, tally: &mut Tally) {
        let set = |column| self.shape.named(row, column).is_none_or(|cell| cell != Cell::Null);
        if let Some((defect, column)) = times(state.as_bytes(), set("archived_at"), set("deleted_at")) {
            tally.see(defect, "memories", column, || self.shape.name(row, rowid));
        }
    }
}
