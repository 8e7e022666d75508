use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Statement, params_from_iter};

use super::{SalvageError, fresh, quoted};
use crate::engine::recovery::{Stored, record};

/// A table of the fresh database.
pub(super) struct Table<'c> {
    insert: Statement<'c>,
    pub columns: usize,
    /// The column that is the row's number, and is stored as nothing.
    alias: Option<usize>,
    pub rows: u64,
    pub refused: u64,
    /// Which columns have a default.
    defaults: Vec<bool>,
    /// Whether a row lacks a value of such a column, which was added later: SQLite reads the default, which is not stored.
    pub short: bool,
}

impl<'c> Table<'c> {
    pub fn prepare(connection: &'c Connection, name: &str) -> Result<Self, SalvageError> {
        let mut list = connection
            .prepare("SELECT name, type, pk, dflt_value IS NOT NULL FROM pragma_table_info(?1)")
            .map_err(fresh)?;
        let columns = list.query_map([name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, bool>(3)?))
        });
        let columns: Vec<_> = columns.map_err(fresh)?.collect::<Result<_, _>>().map_err(fresh)?;
        let keys = columns.iter().filter(|(_, _, key, _)| *key > 0).count();
        let alias =
            columns.iter().position(|(_, kind, key, _)| keys == 1 && *key == 1 && kind.eq_ignore_ascii_case("integer"));
        let names: Vec<_> = columns.iter().map(|(name, ..)| quoted(name)).collect();
        let (row, place) = if alias.is_some() { ("", "") } else { ("rowid, ", "?, ") };
        let insert = format!(
            "INSERT OR IGNORE INTO {} ({row}{}) VALUES ({place}{})",
            quoted(name),
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        let insert = connection.prepare(&insert).map_err(fresh)?;
        let defaults = columns.iter().map(|(.., default)| *default).collect();
        Ok(Self { insert, columns: names.len(), alias, defaults, rows: 0, refused: 0, short: false })
    }

    pub fn insert(&mut self, payload: &[u8], row: i64) -> bool {
        let values = record(payload).filter(|values| values.len() <= self.columns);
        let Some(values) = values else {
            self.refused += 1;
            return false;
        };
        self.short |= self.defaults.iter().skip(values.len()).any(|default| *default);
        let own = self.alias.is_none().then_some(Cell(Stored::Integer(row)));
        let cells = (0..self.columns).map(|at| match values.get(at) {
            Some(Stored::Null) if self.alias == Some(at) => Cell(Stored::Integer(row)),
            // A column that was added later is not in older rows.
            value => Cell(value.copied().unwrap_or(Stored::Null)),
        });
        let done = self.insert.execute(params_from_iter(own.into_iter().chain(cells)));
        let taken = matches!(done, Ok(1));
        self.rows += u64::from(taken);
        self.refused += u64::from(!taken);
        taken
    }
}

struct Cell<'a>(Stored<'a>);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Stored::Null => ToSqlOutput::Owned(Value::Null),
            Stored::Integer(number) => ToSqlOutput::Owned(Value::Integer(number)),
            Stored::Real(number) => ToSqlOutput::Owned(Value::Real(number)),
            Stored::Text(bytes) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
            Stored::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}
