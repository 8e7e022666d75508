//! The ways in which a bank's own SQLite file is written to, by a recovery alone: its indexes made anew in one
//! transaction; its whole content replaced through SQLite's backup API, so that whoever has it open sees it whole; and,
//! where it is no database that SQLite opens, its bytes put in place under SQLite's own locks. It is never replaced by a
//! rename: a process that has it open would go on writing into the file that is gone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use super::locks::{self, Taken};
use super::set::{Marks, Part, Set};
use crate::domain::Digest;
use crate::engine::integrity::sqlite::structure::words;

/// How long another connection's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a bank's file was not changed; it is as it was.
#[derive(Debug, Error)]
pub enum MendError {
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody uses it.
    #[error("{0} is in use: another process has had a transaction open for 10 s; stop it, and recover again")]
    Busy(PathBuf),
    /// The path leads out of its volume, or to something that is no file.
    #[error("{0} leads out of its volume, or to no file")]
    Outside(PathBuf),
    /// SQLite refuses.
    #[error("{path}: {told}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's words.
        told: String,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> MendError + '_ {
    move |source| MendError::Io { path: path.to_owned(), source }
}

fn of(path: &Path) -> impl Fn(rusqlite::Error) -> MendError + '_ {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => MendError::Busy(path.to_owned()),
        _ => MendError::Sqlite { path: path.to_owned(), told: words(&error.to_string()) },
    }
}

/// What tells whether a database was written to since.
#[derive(Debug)]
pub struct Stand(Option<Marks>);

impl Stand {
    /// As it is now; a file that is not there stands too.
    pub fn look(root: &Path, relative: &str) -> Self {
        Self(Set::open(root, relative).and_then(|set| set.marks()).ok())
    }

    /// A digest of the marks of all files, by which a later look is known to see the same ones, unchanged. None where
    /// there is no database, or it was written to so shortly before that a later write could have the same time.
    pub fn digest(&self) -> Option<Digest> {
        self.0.as_ref().filter(|marks| !marks.fresh)?.digest()
    }

    /// Whether nothing was written between the two.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => one.same(other),
            (None, None) => true,
            _ => false,
        }
    }
}

/// Where a database lies, links followed; an error where that is not beneath its volume's folder.
pub fn locate(root: &Path, relative: &str) -> Result<PathBuf, MendError> {
    let path = root.join(relative);
    let outside = || MendError::Outside(path.clone());
    let root = root.canonicalize().map_err(at(root))?;
    let found = match path.canonicalize() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().ok_or_else(outside)?;
            folder.canonicalize().map_err(at(folder))?.join(path.file_name().ok_or_else(outside)?)
        }
        Err(error) => return Err(at(&path)(error)),
    };
    // What is not there can be made.
    let is_file = found.symlink_metadata().map_or(true, |found| found.is_file());
    if found.starts_with(&root) && is_file { Ok(found) } else { Err(outside()) }
}

fn open(path: &Path) -> Result<Connection, MendError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(of(path))?;
    connection.busy_timeout(PATIENCE).map_err(of(path))?;
    Ok(connection)
}

/// Makes every index of a database anew, and its full-text tables, in one transaction: all of it, or nothing. Blocks.
pub fn reindex(live: &Path) -> Result<(), MendError> {
    let mut connection = open(live)?;
    let told = of(live);
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(&told)?;
    rebuild(&change).map_err(&told)?;
    let line: String = change.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(&told)?;
    if line != "ok" {
        return Err(MendError::Sqlite { path: live.to_owned(), told: words(&line) });
    }
    change.commit().map_err(&told)
}

/// Whether that would leave a database sound, tried on a copy of it. Blocks.
pub fn reindex_mends(copy: &Path) -> bool {
    reindex(copy).is_ok()
}

fn rebuild(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("REINDEX")?;
    let mut tables =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")?;
    let named = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?.to_ascii_lowercase()));
    let tables: Vec<_> = tables.query_map([], named)?.collect::<Result<_, _>>()?;
    for (table, sql) in tables {
        if ["using fts5", "using fts4", "using fts3"].iter().any(|module| sql.contains(module)) {
            let name = format!("\"{}\"", table.replace('"', "\"\""));
            connection.execute_batch(&format!("INSERT INTO {name}({name}) VALUES('rebuild')"))?;
        }
    }
    Ok(())
}

/// The names of a database's indexes, as far as they can be read. Blocks.
pub fn index_names(copy: &Path) -> Vec<String> {
    let names = || -> rusqlite::Result<Vec<String>> {
        let connection = Connection::open(copy)?;
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'index' LIMIT 10000")?;
        names.query_map([], |row| row.get(0))?.collect()
    };
    names().unwrap_or_default()
}

/// Puts the content of a sound database, which nobody else has, in place of a bank's, in one transaction; the bank's keeps
/// how it journals. Blocks.
pub fn overwrite(live: &Path, with: &Path) -> Result<(), MendError> {
    if live.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return put_bytes(live, with);
    }
    match through_api(live, with) {
        // Its first page is none: no connection can have read it either.
        Err(MendError::Sqlite { told, .. }) if told.contains("not a database") || told.contains("malformed") => {
            put_back(live, &[("", with.to_owned())], with.parent().unwrap_or(with))
        }
        done => done,
    }
}

fn through_api(live: &Path, with: &Path) -> Result<(), MendError> {
    let from = Connection::open_with_flags(with, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(of(with))?;
    // Else the header of the copy would turn the bank's into one with a write-ahead log.
    from.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(of(with))?;
    let mut to = open(live)?;
    let begun = Instant::now();
    let backup = Backup::new(&from, &mut to).map_err(of(live))?;
    loop {
        match backup.step(-1).map_err(of(live))? {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked if begun.elapsed() > PATIENCE => {
                return Err(MendError::Busy(live.to_owned()));
            }
            _ => thread::sleep(PAUSE),
        }
    }
}

/// Puts the files of a database back as they were, byte for byte, side files too: with the suffix that is added to the
/// database's name. Where a live connection has a write-ahead log open, through it, by way of `scratch`. Blocks.
pub fn put_back(live: &Path, files: &[(&str, PathBuf)], scratch: &Path) -> Result<(), MendError> {
    let side = |suffix: &str| {
        let mut path = live.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let shm = side("-shm");
    if File::open(&shm).is_ok_and(|shm| locks::has_connection(&shm)) {
        if !files.iter().any(|(suffix, _)| suffix.is_empty()) {
            return Err(MendError::Busy(live.to_owned()));
        }
        // A copy: SQLite writes the log of what it opens back, and what is kept must stay as it is.
        let with = scratch.join("kept.db");
        for (suffix, from) in files {
            let mut to = with.clone().into_os_string();
            to.push(suffix);
            fs::copy(from, &to).map_err(at(from))?;
        }
        return through_api(live, &with);
    }
    for (_, from) in files {
        // Nothing of the living file is touched while anything that was kept is missing.
        File::open(from).map_err(at(from))?;
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o644).open(live).map_err(at(live))?;
    let begun = Instant::now();
    let held = loop {
        match locks::exclusive(&file) {
            Taken::Busy if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Taken::Busy => return Err(MendError::Busy(live.to_owned())),
            taken => break taken,
        }
    };
    for suffix in [Part::Journal.suffix(), Part::Wal.suffix(), "-shm"] {
        match fs::remove_file(side(suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&side(suffix))(error)),
            _ => {}
        }
    }
    for (suffix, from) in files.iter().filter(|(suffix, _)| !suffix.is_empty()) {
        put_bytes(&side(suffix), from)?;
    }
    match files.iter().find(|(suffix, _)| suffix.is_empty()) {
        Some((_, from)) => {
            let mut source = File::open(from).map_err(at(from))?;
            let size = source.metadata().map_err(at(from))?.len();
            io::copy(&mut source, &mut &file).map_err(at(live))?;
            file.set_len(size).and_then(|()| file.sync_all()).map_err(at(live))?;
        }
        None => fs::remove_file(live).map_err(at(live))?,
    }
    drop(held);
    sync_folder(live)
}

/// A new file beside what is there, renamed in once it is on the disk.
fn put_bytes(to: &Path, from: &Path) -> Result<(), MendError> {
    let mut new = to.as_os_str().to_owned();
    new.push(".memorybank-new");
    let new = PathBuf::from(new);
    let write = || -> io::Result<()> {
        let mut source = File::open(from)?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        io::copy(&mut source, &mut file)?;
        file.sync_all()?;
        fs::rename(&new, to)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&new);
        return Err(at(to)(error));
    }
    sync_folder(to)
}

fn sync_folder(of: &Path) -> Result<(), MendError> {
    let Some(folder) = of.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path, name: &str, mode: &str, rows: i64) -> PathBuf {
        let path = folder.join(name);
        let connection = Connection::open(&path).unwrap();
        connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        connection.execute_batch("CREATE TABLE t (a); CREATE INDEX i ON t (a)").unwrap();
        for row in 0..rows {
            connection.execute("INSERT INTO t VALUES (?1)", [row]).unwrap();
        }
        path
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn who_has_a_database_open_sees_what_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        for (live, with) in [("DELETE", "DELETE"), ("WAL", "DELETE"), ("DELETE", "WAL"), ("WAL", "WAL")] {
            let path = database(folder.path(), &format!("{live}-{with}.db"), live, 3);
            let open = Connection::open(&path).unwrap();
            assert_eq!(rows(&open), 3);
            let other = database(folder.path(), &format!("other-{live}-{with}.db"), with, 700);
            overwrite(&path, &other).unwrap();
            assert_eq!(rows(&open), 700, "{live} {with}");
            let mode: String = open.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, live.to_lowercase());
            open.execute("INSERT INTO t VALUES (1)", []).unwrap();
            assert_eq!(rows(&Connection::open(&path).unwrap()), 701);
        }
    }

    #[test]
    fn what_is_no_database_any_more_is_put_in_place_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), "live.db", "DELETE", 3);
        let other = database(folder.path(), "other.db", "DELETE", 70);
        let torn = vec![7; 9_000];
        fs::write(&path, &torn).unwrap();
        let kept = folder.path().join("kept");
        fs::copy(&path, &kept).unwrap();
        overwrite(&path, &other).unwrap();
        assert_eq!(rows(&Connection::open(&path).unwrap()), 70);
        put_back(&path, &[("", kept)], folder.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), torn);
        fs::remove_file(&path).unwrap();
        overwrite(&path, &other).unwrap();
        assert_eq!(rows(&Connection::open(&path).unwrap()), 70);
        put_back(&path, &[], folder.path()).unwrap();
        assert!(!path.exists(), "it was not there");
    }

    #[test]
    fn indexes_are_made_anew_or_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), "live.db", "DELETE", 300);
        let connection = Connection::open(&path).unwrap();
        // The index no longer has what its declaration says.
        connection
            .execute_batch(
                "PRAGMA writable_schema = ON; \
                 UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t (a DESC)' WHERE name = 'i'",
            )
            .unwrap();
        drop(connection);
        let line = |path: &Path| -> String {
            Connection::open(path).unwrap().query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).unwrap()
        };
        assert_ne!(line(&path), "ok");
        reindex(&path).unwrap();
        assert_eq!((line(&path), index_names(&path)), ("ok".to_owned(), vec!["i".to_owned()]));
        fs::write(&path, vec![7; 9_000]).unwrap();
        assert!(!reindex_mends(&path));
        assert_eq!(fs::read(&path).unwrap(), vec![7; 9_000]);
    }

    #[test]
    fn a_path_stays_in_its_volume() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(folder.path().join("outside.db"), "x").unwrap();
        std::os::unix::fs::symlink("../outside.db", root.join("link.db")).unwrap();
        assert!(matches!(locate(&root, "link.db"), Err(MendError::Outside(_))));
        assert!(matches!(locate(&root, "../outside.db"), Err(MendError::Outside(_))));
        assert!(locate(&root, "new.db").unwrap().ends_with("root/new.db"));
    }
}
