//! The rows of a damaged database that can still be read, in a fresh one. The leaves of each table are walked by their own
//! bytes: SQLite stops at the first page that is none.

mod loss;
mod table;
mod walk;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use thiserror::Error;

use crate::bank::{Cancelled, Meter};
use crate::engine::integrity::sqlite::structure::words;
use crate::engine::recovery::Salvaged;

pub use loss::{deleted, lacking, younger};

use table::Table;
use walk::Walk;

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::engine::recovery::Loss;

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
