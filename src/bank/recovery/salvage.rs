//! The rows of a damaged database that can still be read, in a fresh one. The leaves of each table are walked by their own
//! bytes: SQLite stops at the first page that is none.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Statement, params_from_iter};
use thiserror::Error;

use crate::bank::{Cancelled, Meter};
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::recovery::{Geometry, LeafCell, Loss, Salvaged, Stored, TablePage, record};

/// The most pages of a file whose walk fits in memory, a bit for each: 4 TiB of 4 KiB pages take 128 MiB.
const MAX_PAGES: u64 = 1 << 30;
/// The deepest tree that is followed.
const MAX_DEPTH: u32 = 40;

/// Why nothing was salvaged.
#[derive(Debug, Error)]
pub enum SalvageError {
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing tells how the file is divided, or which tables it has.
    #[error("neither the file nor a set tells its tables")]
    NoSchema,
    /// The fresh database.
    #[error("the database of what could be read: {0}")]
    Fresh(String),
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn fresh(error: rusqlite::Error) -> SalvageError {
    SalvageError::Fresh(words(&error.to_string()))
}

/// An entry of a schema.
#[derive(Clone, Debug)]
struct Declared {
    kind: String,
    name: String,
    root: u32,
    sql: String,
}

/// Writes the rows of a damaged database that can be read into a new one at `to`. Where the file does not tell its own
/// tables, those of `like` are looked for at the same pages. Blocks.
pub fn salvage(damaged: &Path, like: Option<&Path>, to: &Path, meter: &Meter) -> Result<Salvaged, SalvageError> {
    let mut walk = Walk::open(damaged, like)?;
    let own = walk.schema(meter)?;
    let (schema, complete) = match (own, like) {
        ((schema, true), _) if !schema.is_empty() => (schema, true),
        ((schema, _), None) if !schema.is_empty() => (schema, false),
        (_, Some(like)) => (declared(like)?, false),
        (_, None) => return Err(SalvageError::NoSchema),
    };
    let connection = Connection::open(to).map_err(fresh)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN")
        .map_err(fresh)?;
    let mut salvaged = Salvaged { rows: 0, whole: complete, only_in_set: None };
    let mut loose: Vec<Table> = Vec::new();
    let mut left_out = Vec::new();
    for entry in schema.iter().filter(|entry| entry.kind == "table" && !entry.name.starts_with("sqlite_")) {
        let module = entry.sql.to_ascii_uppercase();
        if module.starts_with("CREATE VIRTUAL") || module.trim_end().ends_with("WITHOUT ROWID") {
            // Its rows are in no tree of a table.
            salvaged.whole = false;
            left_out.push(entry.name.clone());
            continue;
        }
        connection.execute_batch(&entry.sql).map_err(fresh)?;
        let mut table = Table::prepare(&connection, &entry.name)?;
        let before = walk.broken;
        walk.table(entry.root, &mut |payload, row| table.insert(payload, row), meter)?;
        let broken = walk.broken > before || table.refused > 0;
        salvaged.rows += table.rows;
        salvaged.whole &= !broken && !table.short;
        if broken {
            loose.push(table);
        }
    }
    if !loose.is_empty() {
        salvaged.rows += walk.strays(&mut loose, meter)?;
    }
    drop(loose);
    connection.execute_batch("COMMIT").map_err(fresh)?;
    keep_numbers(damaged, &connection)?;
    for entry in schema.iter().filter(|entry| entry.kind != "table" && !entry.sql.is_empty()) {
        // Of a table that is not there it would refuse every write.
        if entry.kind == "trigger" && left_out.iter().any(|name| entry.sql.contains(name.as_str())) {
            continue;
        }
        // An index that the rows do not allow is one that was broken before.
        if connection.execute_batch(&entry.sql).is_err() {
            salvaged.whole = false;
        }
    }
    let line: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(fresh)?;
    if line != "ok" {
        return Err(SalvageError::Fresh(words(&line)));
    }
    Ok(salvaged)
}

/// Gives a database the numbers that programs keep in the header of another, where that can be read:
/// <https://www.sqlite.org/fileformat2.html#the_database_header>.
fn keep_numbers(damaged: &Path, connection: &Connection) -> Result<(), SalvageError> {
    let mut header = [0; 100];
    let read = File::open(damaged).and_then(|mut file| file.read_exact(&mut header));
    if read.is_ok() && header.starts_with(b"SQLite format 3\0") {
        for (pragma, at) in [("user_version", 60), ("application_id", 68)] {
            let number = i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            connection.pragma_update(None, pragma, number).map_err(fresh)?;
        }
    }
    Ok(())
}

/// What is in one database and not in another, both sound; a full-text table that is not there counts as a row. Blocks.
pub fn lacking(of: &Path, within: &Path) -> Result<Loss, SalvageError> {
    let connection = Connection::open(of).map_err(fresh)?;
    let name = within.to_str().ok_or(SalvageError::NoSchema)?;
    connection.execute("ATTACH ?1 AS other", [name]).map_err(fresh)?;
    let tables = |database: &str| -> rusqlite::Result<BTreeSet<String>> {
        let list = format!(
            "SELECT name FROM {database}.sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite_%'"
        );
        connection.prepare(&list)?.query_map([], |row| row.get(0))?.collect()
    };
    let (own, other) = (tables("main").map_err(fresh)?, tables("other").map_err(fresh)?);
    let virtual_tables = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0 AND name NOT IN \
                          (SELECT name FROM other.sqlite_schema)";
    let missing: i64 = connection.query_row(virtual_tables, [], |row| row.get(0)).map_err(fresh)?;
    let mut loss = Loss { rows: u64::try_from(missing).unwrap_or_default(), ..Loss::default() };
    for table in own {
        let columns = |database: &str| -> rusqlite::Result<Vec<String>> {
            let list = format!("SELECT name FROM pragma_table_info(?1, '{database}') ORDER BY name");
            connection.prepare(&list)?.query_map([&table], |row| row.get::<_, String>(0).map(|n| quoted(&n)))?.collect()
        };
        let (mine, theirs) = (columns("main").map_err(fresh)?, columns("other").map_err(fresh)?);
        let name = quoted(&table);
        let count = if other.contains(&table) && mine == theirs {
            let list = mine.join(", ");
            format!("SELECT count(*) FROM (SELECT {list} FROM main.{name} EXCEPT SELECT {list} FROM other.{name})")
        } else {
            format!("SELECT count(*) FROM main.{name}")
        };
        let count: i64 = connection.query_row(&count, [], |row| row.get(0)).map_err(fresh)?;
        let count = u64::try_from(count).unwrap_or_default();
        loss.rows += count;
        if table == "memories" {
            loss.memories = count;
        }
    }
    Ok(loss)
}

/// How many live memories of a database changed at or after a moment, in the form in which OpenMemory writes it; none
/// where it cannot be asked. Blocks.
pub fn younger(database: &Path, moment: &str) -> Option<u64> {
    let sql =
        "SELECT count(*) FROM memories WHERE state <> 'deleted' AND max(created_at, coalesce(updated_at, '')) >= ?1";
    let count = Connection::open(database).and_then(|open| open.query_row(sql, [moment], |row| row.get::<_, i64>(0)));
    count.ok().and_then(|count| u64::try_from(count).ok())
}

/// The ids of deleted memories after one, in their order, at most `most`. Blocks.
pub fn deleted(database: &Path, after: &str, most: u32) -> Result<Vec<String>, SalvageError> {
    let connection = Connection::open(database).map_err(fresh)?;
    let sql =
        "SELECT id FROM memories WHERE state = 'deleted' AND typeof(id) = 'text' AND id > ?1 ORDER BY id LIMIT ?2";
    let mut list = connection.prepare(sql).map_err(fresh)?;
    let ids = list.query_map(rusqlite::params![after, most], |row| row.get(0)).map_err(fresh)?;
    ids.collect::<Result<_, _>>().map_err(fresh)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn declared(database: &Path) -> Result<Vec<Declared>, SalvageError> {
    let connection = Connection::open(database).map_err(fresh)?;
    let mut list = connection
        .prepare("SELECT type, name, rootpage, coalesce(sql, '') FROM sqlite_schema ORDER BY rowid")
        .map_err(fresh)?;
    let entries = list.query_map([], |row| {
        Ok(Declared { kind: row.get(0)?, name: row.get(1)?, root: row.get(2)?, sql: row.get(3)? })
    });
    entries.map_err(fresh)?.collect::<Result<_, _>>().map_err(fresh)
}

/// A table of the fresh database.
struct Table<'c> {
    insert: Statement<'c>,
    columns: usize,
    /// The column that is the row's number, and is stored as nothing.
    alias: Option<usize>,
    rows: u64,
    refused: u64,
    /// Which columns have a default.
    defaults: Vec<bool>,
    /// Whether a row lacks a value of such a column, which was added later: SQLite reads the default, which is not stored.
    short: bool,
}

impl<'c> Table<'c> {
    fn prepare(connection: &'c Connection, name: &str) -> Result<Self, SalvageError> {
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

    fn insert(&mut self, payload: &[u8], row: i64) -> bool {
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

/// What takes the payload and number of a row; whether it was one.
type Take<'a> = &'a mut dyn FnMut(&[u8], i64) -> bool;

/// A walk over the pages of a file.
struct Walk {
    file: File,
    path: PathBuf,
    geometry: Geometry,
    pages: u64,
    seen: Vec<u64>,
    /// Pages, pointers and rows that were none.
    broken: u64,
}

impl Walk {
    fn open(path: &Path, like: Option<&Path>) -> Result<Self, SalvageError> {
        let failed = |source| SalvageError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let head = |file: &File| {
            let mut bytes = [0; 100];
            file.read_exact_at(&mut bytes, 0).ok()?;
            Geometry::read(&bytes)
        };
        let other = || like.and_then(|like| head(&File::open(like).ok()?));
        let geometry = head(&file).or_else(other).ok_or(SalvageError::NoSchema)?;
        let pages = size / geometry.page as u64;
        if pages > MAX_PAGES {
            return Err(SalvageError::NoSchema);
        }
        let seen = vec![0; usize::try_from(pages / 64 + 1).unwrap_or_default()];
        Ok(Self { file, path: path.to_owned(), geometry, pages, seen, broken: 0 })
    }

    fn read(&self, page: u32) -> Result<Option<Vec<u8>>, SalvageError> {
        if page == 0 || u64::from(page) > self.pages {
            return Ok(None);
        }
        let mut bytes = vec![0; self.geometry.page];
        let at = u64::from(page - 1) * self.geometry.page as u64;
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            // A device that fails to give one page may give the others.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(None),
            Err(source) => Err(SalvageError::Io { path: self.path.clone(), source }),
        }
    }

    /// Marks a page; whether it was not before.
    fn mark(&mut self, page: u32) -> bool {
        let Some(word) = self.seen.get_mut(page as usize / 64) else { return false };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// The file's own schema, and whether all of it could be read.
    fn schema(&mut self, meter: &Meter) -> Result<(Vec<Declared>, bool), SalvageError> {
        let mut entries = Vec::new();
        self.table(
            1,
            &mut |payload, _| {
                let Some(values) = record(payload) else { return false };
                let text = |value: &Stored<'_>| match value {
                    Stored::Text(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
                    _ => None,
                };
                let [kind, name, _, root, sql] = &values[..] else { return false };
                let (Some(kind), Some(name)) = (text(kind), text(name)) else { return false };
                let root = if let Stored::Integer(root) = root { u32::try_from(*root).unwrap_or_default() } else { 0 };
                entries.push(Declared { kind, name, root, sql: text(sql).unwrap_or_default() });
                true
            },
            meter,
        )?;
        let whole = self.broken == 0;
        Ok((entries, whole))
    }

    /// Walks a table's tree from its root.
    fn table(&mut self, root: u32, take: Take<'_>, meter: &Meter) -> Result<(), SalvageError> {
        let mut left = vec![(root, 0)];
        while let Some((page, depth)) = left.pop() {
            meter.check()?;
            let bytes = if depth <= MAX_DEPTH && self.mark(page) { self.read(page)? } else { None };
            match bytes.as_deref().and_then(|bytes| self.geometry.table_page(bytes, page == 1)) {
                None => self.broken += 1,
                Some(TablePage::Interior(below, bad)) => {
                    self.broken += bad;
                    left.extend(below.into_iter().rev().map(|page| (page, depth + 1)));
                }
                Some(TablePage::Leaf(cells, bad)) => {
                    self.broken += bad;
                    for cell in cells {
                        match self.payload(bytes.as_deref().unwrap_or_default(), &cell)? {
                            Some(payload) if take(&payload, cell.row) => {}
                            _ => self.broken += 1,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// All bytes of a row.
    fn payload(&mut self, page: &[u8], cell: &LeafCell) -> Result<Option<Vec<u8>>, SalvageError> {
        let mut payload = page[cell.local.clone()].to_vec();
        let size = usize::try_from(cell.size).unwrap_or(usize::MAX);
        let mut next = cell.overflow;
        while payload.len() < size {
            let Some(number) = next else { return Ok(None) };
            let Some(bytes) = self.read(number)? else { return Ok(None) };
            let left = size - payload.len();
            let Some((after, part)) = self.geometry.overflow(&bytes, left) else { return Ok(None) };
            payload.extend_from_slice(part);
            // A page of no content would be followed for ever.
            next = (after > 1 && !part.is_empty()).then_some(after);
            self.mark(number);
        }
        Ok(Some(payload))
    }

    /// Takes the leaves that no tree leads to any more, each for the one broken table that its rows fit. What is on the list
    /// of free pages was deleted, and stays so.
    fn strays(&mut self, tables: &mut [Table<'_>], meter: &Meter) -> Result<u64, SalvageError> {
        if !self.mark_free()? {
            return Ok(0);
        }
        let mut found = 0;
        for page in 2..=u32::try_from(self.pages).unwrap_or(u32::MAX) {
            meter.check()?;
            if !self.mark(page) {
                continue;
            }
            let Some(bytes) = self.read(page)? else { continue };
            let Some(TablePage::Leaf(cells, 0)) = self.geometry.table_page(&bytes, false) else { continue };
            let mut rows = Vec::with_capacity(cells.len());
            for cell in &cells {
                if let Some(payload) = self.payload(&bytes, cell)? {
                    rows.push((payload, cell.row));
                }
            }
            if rows.len() < cells.len() || rows.is_empty() {
                continue;
            }
            // Rows that are older than the newest columns of their table are shorter.
            let fitting = |fits: fn(&Table<'_>, usize) -> bool| -> Vec<usize> {
                let all = |table: &Table<'_>| {
                    rows.iter().all(|(row, _)| record(row).is_some_and(|values| fits(table, values.len())))
                };
                (0..tables.len()).filter(|at| all(&tables[*at])).collect()
            };
            let mut places = fitting(|table, columns| columns == table.columns);
            if places.is_empty() {
                places = fitting(|table, columns| columns <= table.columns);
            }
            if let [only] = places[..] {
                let table = &mut tables[only];
                found += rows.iter().filter(|(payload, row)| table.insert(payload, *row)).count() as u64;
            }
        }
        Ok(found)
    }

    /// Marks the free pages; false where their list cannot be followed to its end.
    fn mark_free(&mut self) -> Result<bool, SalvageError> {
        let Some(first) = self.read(1)? else { return Ok(false) };
        let [a, b, c, d] = first[32..36] else { return Ok(false) };
        let mut next = u32::from_be_bytes([a, b, c, d]);
        let mut trunks = BTreeSet::new();
        while next != 0 {
            if !trunks.insert(next) {
                return Ok(false);
            }
            let Some(bytes) = self.read(next)? else { return Ok(false) };
            let Some((after, free)) = self.geometry.trunk(&bytes) else { return Ok(false) };
            self.mark(next);
            for page in free {
                self.mark(page);
            }
            next = after;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(folder: &Path, rows: u32) -> PathBuf {
        let path = folder.join("live.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE memories (id TEXT PRIMARY KEY, content TEXT, state TEXT, score REAL, data BLOB); \
                 CREATE TABLE counted (n INTEGER PRIMARY KEY, t); CREATE INDEX ix ON memories (state); BEGIN",
            )
            .unwrap();
        for row in 0..rows {
            // Some need pages of their own.
            let content = "é".repeat(if row % 50 == 0 { 9_000 } else { 40 });
            let values =
                rusqlite::params![format!("{row:032x}"), content, "active", f64::from(row) / 3.0, vec![7_u8; 3]];
            connection.execute("INSERT INTO memories VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
            connection.execute("INSERT INTO counted (t) VALUES (?1)", [row]).unwrap();
        }
        connection.execute_batch("COMMIT; ALTER TABLE memories ADD COLUMN later TEXT").unwrap();
        path
    }

    fn root(path: &Path, table: &str) -> u64 {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        Connection::open(path).unwrap().query_row(sql, [table], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    }

    fn tear(path: &Path, page: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&[0xa5; 4_096], (page - 1) * 4_096).unwrap();
    }

    #[test]
    fn a_sound_database_is_salvaged_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = bank(folder.path(), 400);
        let to = folder.path().join("salvaged.db");
        let salvaged = salvage(&path, None, &to, &Meter::default()).unwrap();
        assert_eq!(salvaged, Salvaged { rows: 800, whole: true, only_in_set: None });
        assert_eq!((lacking(&path, &to).unwrap(), lacking(&to, &path).unwrap()), (Loss::default(), Loss::default()));
    }

    #[test]
    fn what_a_torn_page_leaves_is_kept_and_told_as_partial() {
        let folder = tempfile::tempdir().unwrap();
        let path = bank(folder.path(), 2_000);
        let good = folder.path().join("good.db");
        std::fs::copy(&path, &good).unwrap();
        // The root of a table: its leaves are found by what they hold.
        tear(&path, root(&path, "memories"));
        let to = folder.path().join("salvaged.db");
        let salvaged = salvage(&path, None, &to, &Meter::default()).unwrap();
        assert!(!salvaged.whole);
        assert_eq!(lacking(&to, &good).unwrap(), Loss::default(), "nothing is invented");
        let lost = lacking(&good, &to).unwrap();
        assert!(lost.memories < 100 && lost.rows == lost.memories, "{lost:?}");

        // A leaf: what was in it is gone, and nothing else.
        std::fs::copy(&good, &path).unwrap();
        let leaf = root(&path, "counted") + 7;
        tear(&path, leaf);
        std::fs::remove_file(&to).unwrap();
        let salvaged = salvage(&path, Some(&good), &to, &Meter::default()).unwrap();
        let lost = lacking(&good, &to).unwrap();
        assert!(!salvaged.whole || lost == Loss::default(), "{salvaged:?} {lost:?}");
        assert_eq!(salvaged.rows + lost.rows, 4_000);
    }

    #[test]
    fn a_file_without_its_first_page_is_read_like_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = bank(folder.path(), 400);
        let good = folder.path().join("good.db");
        std::fs::copy(&path, &good).unwrap();
        tear(&path, 1);
        let to = folder.path().join("salvaged.db");
        assert!(matches!(salvage(&path, None, &to, &Meter::default()), Err(SalvageError::NoSchema)));
        let salvaged = salvage(&path, Some(&good), &to, &Meter::default()).unwrap();
        assert_eq!((salvaged.rows, salvaged.whole), (800, false));
        assert_eq!(lacking(&good, &to).unwrap(), Loss::default());
    }
}
