//! The copy of a database at one moment, made beside its writers.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::error::CopyError;
use super::raw;
use super::scratch::Folder;
use super::set::{self, Part, Set};
use super::snapshot::{Bench, Snapshot};
use crate::bank::Meter;
use crate::domain::Check;
use crate::engine::integrity::sqlite::{Pairing, RawFacts, pair_journal, pair_wal};

/// How a database keeps its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMode {
    /// A rollback journal: delete, truncate or persist.
    Rollback,
    /// A write-ahead log.
    Wal,
}

/// What it took to make a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Tries, the last of which succeeded.
    pub tries: u32,
    /// How long the last one held a lock; none where there was nothing to lock against.
    pub locked: Option<Duration>,
    /// Pages that had changed between copying and locking.
    pub mended_pages: u64,
}

/// A copy of a database and its side files in scratch; removed when dropped.
#[derive(Debug)]
pub struct SqliteCopy {
    folder: Folder,
    /// The size of the database file in bytes.
    pub size: u64,
    /// How it keeps its transactions.
    pub mode: JournalMode,
    /// What it took.
    pub effort: Effort,
    /// What its bytes tell.
    pub raw: RawFacts,
}

const TRIES: u32 = 6;
/// Beside the files: SQLite's -shm, sorting, rounding up to blocks.
const SPARE_ROOM: u64 = 16 << 20;

/// Copies the database at `relative` beneath the volume's folder `root` into the folder `scratch`. Blocks.
///
/// SQLite never opens the bank's own file, and nothing is made or changed beside it. A writer waits for 1.5 seconds at
/// the most; a database that does not stand still for that long in six tries is [`CopyError::CheckIncomplete`].
pub fn copy(root: &Path, relative: &str, scratch: &Path, meter: &Meter) -> Result<SqliteCopy, CopyError> {
    let in_scratch = |source| CopyError::Io { path: scratch.to_owned(), source };
    let folder = Folder::create(scratch).map_err(in_scratch)?;
    let mut bench = Bench::new(&folder, meter);
    let mut reason = "";
    for tries in 1..=TRIES {
        if tries > 1 {
            // Not in step with whatever writes at intervals.
            thread::sleep(Duration::from_millis(rand::random_range(40..120)) * tries);
        }
        meter.check()?;
        let set = Set::open(root, relative)?;
        room(&set, scratch, bench.copied())?;
        let snapshot = bench.take(&set)?;
        let (mode, locked, index, mended_pages) = match snapshot {
            Snapshot::Again(why) => {
                tracing::debug!(path = %set.path(Part::Database).display(), tries, why, "copied again");
                reason = why;
                continue;
            }
            Snapshot::Settled { mode, locked, index, mended_pages } => (mode, locked, index, mended_pages),
        };
        let mut raw = raw::read(&folder, relative, index, meter).map_err(|e| bench.error(scratch, e))?;
        if let Some(journal) = &mut raw.journal {
            journal.committed = journal.super_journal.as_ref().is_some_and(|name| !set.has(name));
        }
        let effort = Effort { tries, locked, mended_pages };
        return Ok(SqliteCopy { size: raw.size, folder, mode, effort, raw });
    }
    Err(CopyError::CheckIncomplete { path: root.join(relative), tries: TRIES, reason })
}

/// Recovery grows the database by up to the -wal, and writes a -wal of its own while it is checked.
fn room(set: &Set, scratch: &Path, copied: u64) -> Result<(), CopyError> {
    let marks = set.marks()?;
    let size = |mark: Option<set::Mark>| mark.map_or(0, |mark| mark.size);
    let needed = size(marks.database) + 2 * size(marks.wal) + size(marks.journal) + SPARE_ROOM;
    let free = super::scratch::free(scratch)
        .map_err(|source| CopyError::Io { path: scratch.to_owned(), source })?
        .saturating_add(copied);
    if free < needed { Err(CopyError::NoRoom { scratch: scratch.to_owned(), needed, free }) } else { Ok(()) }
}

impl SqliteCopy {
    /// The database file of the copy.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(raw::NAME)
    }

    /// The files of the copy with what is added to the database's name: once SQLite has recovered and closed a sound
    /// one, the database alone.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let all = [Part::Database, Part::Wal, Part::Journal];
        let paths = all.map(|part| (part.suffix(), self.folder.path().join(raw::name(part))));
        paths.into_iter().filter(|(_, path)| path.exists()).collect()
    }

    /// Makes the copy fit for SQLite to open read-write and recover: what does not belong to the database gets
    /// another name, so that it is not applied and stays to be looked at.
    pub fn prepare(&mut self) -> io::Result<()> {
        let journal = pair_journal(&self.raw);
        if matches!(pair_wal(&self.raw), Pairing::Foreign(_)) {
            self.set_aside(Part::Wal)?;
        }
        let Some(facts) = &self.raw.journal else { return Ok(()) };
        if facts.committed || matches!(journal, Pairing::Foreign(_)) {
            self.set_aside(Part::Journal)?;
        } else if facts.super_journal.is_some() {
            // SQLite would look for the super-journal in the bank's folder, and remove it there. Without the magic
            // number at its end the journal names none, and is rolled back as it must be.
            let file = File::options().write(true).open(self.folder.path().join(raw::name(Part::Journal)))?;
            file.set_len(set::size(&file)?.saturating_sub(8))?;
        }
        Ok(())
    }

    fn set_aside(&self, part: Part) -> io::Result<()> {
        let path = self.folder.path().join(raw::name(part));
        let mut aside = path.clone().into_os_string();
        aside.push(".aside");
        match std::fs::rename(path, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The row of the check `sqlite-copy`.
    pub fn check(&self, component: &str) -> Check {
        let Effort { tries, locked, mended_pages } = self.effort;
        let locked = locked.map_or("without a lock".to_owned(), |l| format!("locked for {} ms", l.as_millis()));
        let detail =
            format!("{} bytes copied ({tries} of {TRIES} tries), {locked}, {mended_pages} pages mended", self.size);
        Check::passed("sqlite-copy", component, detail)
    }
}
