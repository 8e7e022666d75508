//! One pass over one table, from its first row to its last.

use std::borrow::Cow;

use super::query::{Reader, Trouble};
use super::schema::Schema;
use super::table::{self, Wanted};
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

    fn memory(&mut self, shape: &Shape<'_>, row: i64, cells: &[Cell<'_>], state: &str) {
        let Some(state) = State::parse(state.as_bytes()) else { return };
        if let Some(id) = shape.id(cells, "id") {
            self.chains.memory(id, state);
        }
        if state != State::DELETED
            && let (Some(user), Some(content)) = (shape.text(cells, "user_id"), shape.text(cells, "content"))
        {
            self.duplicates.add(row, user.as_bytes(), content.as_bytes());
        }
    }

    fn change(&mut self, shape: &Shape<'_>, cells: &[Cell<'_>]) {
        let state = shape.text(cells, "new_state").and_then(|state| State::parse(state.as_bytes()));
        let at = shape.text(cells, "changed_at").and_then(|text| date::parse(&text));
        if let (Some(id), Some(state), Some(at)) = (shape.id(cells, "memory_id"), state, at) {
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
    fn named<'c>(&self, cells: &[Cell<'c>], name: &str) -> Option<Cell<'c>> {
        let at = self.columns.iter().position(|(column, _)| *column == name)?;
        cells.get(at).copied()
    }

    fn text<'c>(&self, cells: &[Cell<'c>], name: &str) -> Option<Cow<'c, str>> {
        if let Cell::Text(bytes) = self.named(cells, name)? { self.encoding.decode(bytes) } else { None }
    }

    fn id(&self, cells: &[Cell<'_>], name: &str) -> Option<u128> {
        uuid::any(self.text(cells, name)?.as_bytes())
    }

    /// The row's id, where it is sound; ids are no personal data.
    fn name(&self, row: i64, cells: &[Cell<'_>]) -> String {
        self.id(cells, "id").map_or_else(|| format!("row {row}"), |id| format!("{id:032x}"))
    }
}

/// A pass and what it counts.
pub(super) struct Scan<'a> {
    shape: Shape<'a>,
    judge: Judge,
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
        Self { shape, judge, rows: 0, live: 0 }
    }

    /// Reads the table. Cells are judged where there is a tally for it.
    pub(super) async fn run(
        &mut self,
        reader: &mut Reader,
        mut tally: Option<&mut Tally>,
        across: &mut Across,
    ) -> Result<(), Trouble> {
        let number = |kind| matches!(kind, ColumnKind::Boolean | ColumnKind::Integer);
        let wanted = self.shape.columns.iter().map(|(name, kind)| Wanted { name, number: number(*kind) });
        let wanted: Vec<_> = wanted.collect();
        let (table, encoding) = (self.shape.table, self.shape.encoding);
        table::rows(reader, table, &wanted, encoding, |row, cells| {
            self.row(row, cells, tally.as_deref_mut(), across);
            Ok(())
        })
        .await
    }

    fn row(&mut self, row: i64, cells: &[Cell<'_>], tally: Option<&mut Tally>, across: &mut Across) {
        self.rows += 1;
        let state = if self.shape.table == "memories" { self.shape.text(cells, "state") } else { None };
        if let Some(tally) = tally {
            self.cells(row, cells, tally);
            if let Some(state) = &state {
                self.times(row, cells, state, tally);
            }
        }
        if let Some(state) = state {
            self.live += u64::from(&*state != "deleted");
            across.memory(&self.shape, row, cells, &state);
        } else if self.shape.table == "memory_status_history" {
            across.change(&self.shape, cells);
        }
    }

    fn cells(&self, row: i64, cells: &[Cell<'_>], tally: &mut Tally) {
        for ((column, kind), cell) in self.shape.columns.iter().zip(cells) {
            if let Some(defect) = self.judge.cell(*kind, *cell) {
                tally.see(defect, self.shape.table, column, || self.shape.name(row, cells));
            }
        }
    }

    fn times(&self, row: i64, cells: &[Cell<'_>], state: &str, tally: &mut Tally) {
        let set = |column| self.shape.named(cells, column).is_none_or(|cell| cell != Cell::Null);
        if let Some((defect, column)) = times(state.as_bytes(), set("archived_at"), set("deleted_at")) {
            tally.see(defect, "memories", column, || self.shape.name(row, cells));
        }
    }
}
