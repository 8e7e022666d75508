//! One try to get a database and its side files as they were at one moment.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::copy::JournalMode;
use super::error::CopyError;
use super::locks::{self, Taken};
use super::pour::{self, Stopped};
use super::raw;
use super::scratch::{self, Folder};
use super::set::{self, Mark, Marks, Part, Set};
use crate::bank::{Cancelled, Meter};
use crate::engine::integrity::sqlite::{Header, WalHeader, WalIndex};

/// How long a lock is held: a commit that waits for it stays below 2 s.
const LOCKED: Duration = Duration::from_millis(1500);
/// How long a try waits for a lock. Writers hold theirs for milliseconds, long transactions for as long as they last.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the first look a -wal that is gone is looked for again.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// How a try ended.
pub(super) enum Snapshot {
    /// Something was written meanwhile: why.
    Again(&'static str),
    /// The files in the folder belong together.
    Settled {
        mode: JournalMode,
        locked: Option<Duration>,
        /// What a live connection counts in the -wal.
        index: Option<WalIndex>,
        mended_pages: u64,
    },
}

/// Copies of the files so far, which a later try only has to mend.
pub(super) struct Bench<'a> {
    folder: &'a Folder,
    meter: &'a Meter,
    /// The identity of the database file that was copied, and its size.
    database: Option<((u64, u64), u64)>,
    /// The generation of the -wal that was copied, and how many frames of it.
    wal: Option<((u64, u64), [u8; 8], u32)>,
}

/// A database that is being copied, and its copy.
struct Pair<'a> {
    set: &'a Set,
    bank: File,
    copy: File,
    before: Marks,
}

impl<'a> Bench<'a> {
    pub fn new(folder: &'a Folder, meter: &'a Meter) -> Self {
        Self { folder, meter, database: None, wal: None }
    }

    /// How many bytes are copied already.
    pub fn copied(&self) -> u64 {
        self.database.map_or(0, |(_, size)| size)
    }

    /// The error that ended a copy of `path`.
    pub fn error(&self, path: &Path, stopped: Stopped) -> CopyError {
        match stopped {
            Stopped::Stopped => CopyError::Cancelled(Cancelled),
            Stopped::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                let free = scratch::free(self.folder.path()).unwrap_or(0);
                CopyError::NoRoom { scratch: self.folder.path().to_owned(), needed: free + 1, free }
            }
            Stopped::Io(source) => CopyError::of(path, source),
        }
    }

    /// Tries once.
    pub fn take(&mut self, set: &Set) -> Result<Snapshot, CopyError> {
        let path = set.path(Part::Database);
        let before = set.marks()?;
        let Some(bank) = set.file(Part::Database)? else { return Err(CopyError::Missing { path }) };
        let copy = self.folder.file(raw::NAME).map_err(|e| self.error(self.folder.path(), e.into()))?;
        let pair = Pair { set, bank, copy, before };
        if pair.before.database.is_none_or(|mark| !is_open(&mark, &pair.bank)) {
            return Ok(Snapshot::Again("the file is being replaced"));
        }
        self.copy_database(&pair).map_err(|e| self.error(&path, e))?;
        let mode = mode(&pair.bank).map_err(|e| self.error(&path, e))?;
        let shm = if mode == JournalMode::Wal { set.file(Part::Shm)? } else { None };
        match (mode, shm) {
            (JournalMode::Wal, Some(shm)) if locks::has_connection(&shm) => self.beside_wal_writers(&pair, &shm),
            (JournalMode::Wal, _) => self.unlocked(&pair, mode),
            (JournalMode::Rollback, _) => self.beside_rollback_writers(&pair),
        }
    }

    /// Before any lock: whole, or what changed since the last try.
    fn copy_database(&mut self, pair: &Pair<'_>) -> Result<(), Stopped> {
        let Some(mark) = pair.before.database else { return Ok(()) };
        match self.database {
            Some((identity, _)) if identity == mark.identity => {
                pour::mend(&pair.bank, &pair.copy, mark.size, page_size(&pair.bank), None, self.meter)?;
            }
            _ => {
                self.meter.grow(mark.size);
                pair.copy.set_len(0)?;
                pour::pour(&pair.bank, &pair.copy, 0..mark.size, self.meter)?;
                pair.copy.set_len(mark.size)?;
            }
        }
        self.database = Some((mark.identity, mark.size));
        Ok(())
    }

    /// Under the SHARED lock nobody writes to the database.
    fn beside_rollback_writers(&mut self, pair: &Pair<'_>) -> Result<Snapshot, CopyError> {
        let lock = match locks::wait(PATIENCE, self.meter, || locks::shared(&pair.bank))? {
            Taken::Held(lock) => lock,
            Taken::Busy => return Ok(Snapshot::Again("a writer keeps it locked")),
            Taken::Unsupported => return self.unlocked(pair, JournalMode::Rollback),
        };
        let since = Instant::now();
        let at = pair.set.marks()?;
        let Some(mended_pages) = self.mend(pair, &at, since)? else {
            return Ok(Snapshot::Again("there was more to read under the lock than 1.5 s allow"));
        };
        // A journal that a live writer keeps is not hot: the database is as it was before the transaction. A writer
        // cannot have begun beside a hot one, as it would have had to roll it back under an EXCLUSIVE lock.
        let mut has_writer = locks::has_writer(&pair.bank);
        if !has_writer {
            self.copy_side(pair.set, Part::Journal)?;
        }
        self.copy_side(pair.set, Part::Wal)?;
        let after = pair.set.marks()?;
        has_writer |= locks::has_writer(&pair.bank);
        drop(lock);
        let locked = Some(since.elapsed());
        if has_writer {
            self.remove(Part::Journal)?;
        } else if after.journal != at.journal {
            return Ok(Snapshot::Again("a transaction began and ended"));
        }
        if after.database != at.database || after.wal != at.wal {
            return Ok(Snapshot::Again("it was replaced, or written without regard to the lock"));
        }
        self.settled(pair, JournalMode::Rollback, locked, None, mended_pages)
    }

    /// Under the checkpoint lock nobody writes to the database, and the committed frames of a -wal stay as they are.
    fn beside_wal_writers(&mut self, pair: &Pair<'_>, shm: &File) -> Result<Snapshot, CopyError> {
        // What is copied now need not be copied under the lock.
        if self.copy_frames(pair.set, shm)?.is_none() {
            return Ok(Snapshot::Again("the -wal began anew"));
        }
        let lock = match locks::wait(PATIENCE, self.meter, || locks::checkpoint(shm))? {
            Taken::Held(lock) => lock,
            Taken::Busy => return Ok(Snapshot::Again("a checkpoint goes on")),
            Taken::Unsupported => return self.unlocked(pair, JournalMode::Wal),
        };
        let since = Instant::now();
        let at = pair.set.marks()?;
        // A lock on a -shm that another has replaced keeps nobody out, and what it counts is over.
        if !at.shm.is_some_and(|path| identity(shm).is_ok_and(|open| open == path)) {
            return Ok(Snapshot::Again("the last connection closed"));
        }
        let Some(mended_pages) = self.mend(pair, &at, since)? else {
            return Ok(Snapshot::Again("there was more to read under the lock than 1.5 s allow"));
        };
        self.copy_side(pair.set, Part::Journal)?;
        let Some(index) = self.copy_frames(pair.set, shm)? else {
            return Ok(Snapshot::Again("the -wal began anew"));
        };
        let after = pair.set.marks()?;
        drop(lock);
        let locked = Some(since.elapsed());
        // The last connection to close writes the -wal back and removes it, whatever is locked.
        let file = |mark: Option<Mark>| mark.map(|mark| mark.identity);
        if after.database != at.database
            || after.journal != at.journal
            || after.shm != at.shm
            || file(after.wal) != file(at.wal)
            || file(after.wal) != self.wal.map(|wal| wal.0).or(file(after.wal))
        {
            return Ok(Snapshot::Again("the last connection closed, or it was replaced"));
        }
        if index.frames > 0 && after.wal.is_none() {
            thread::sleep(SECOND_LOOK);
            let later = pair.set.marks()?;
            if later.wal.is_some() || later.shm != at.shm || !locks::has_connection(shm) {
                return Ok(Snapshot::Again("the last connection closed"));
            }
        }
        self.settled(pair, JournalMode::Wal, locked, Some(index), mended_pages)
    }

    /// Nothing to lock against: nothing may have changed from before the first byte to after the last.
    fn unlocked(&mut self, pair: &Pair<'_>, mode: JournalMode) -> Result<Snapshot, CopyError> {
        self.wal = None;
        self.copy_side(pair.set, Part::Wal)?;
        self.copy_side(pair.set, Part::Journal)?;
        let shm = pair.set.file(Part::Shm)?;
        if pair.before.fresh || shm.is_some_and(|shm| locks::has_connection(&shm)) {
            return Ok(Snapshot::Again("it was written to a moment before"));
        }
        if !pair.set.marks()?.same(&pair.before) {
            return Ok(Snapshot::Again("it changed while it was copied"));
        }
        self.settled(pair, mode, None, None, 0)
    }

    fn settled(
        &self,
        pair: &Pair<'_>,
        mode: JournalMode,
        locked: Option<Duration>,
        index: Option<WalIndex>,
        mended_pages: u64,
    ) -> Result<Snapshot, CopyError> {
        let path = pair.set.path(Part::Database);
        if pair.set.marks()?.database.is_none_or(|mark| !is_open(&mark, &pair.bank)) {
            return Ok(Snapshot::Again("it was replaced"));
        }
        if self::mode(&pair.copy).map_err(|e| self.error(&path, e))? != mode {
            return Ok(Snapshot::Again("its journal mode changed"));
        }
        Ok(Snapshot::Settled { mode, locked, index, mended_pages })
    }

    /// Makes the copy equal to the database under a lock that was taken at `since`; none where time ran out.
    fn mend(&self, pair: &Pair<'_>, at: &Marks, since: Instant) -> Result<Option<u64>, CopyError> {
        if at.database == pair.before.database && !pair.before.fresh {
            return Ok(Some(0));
        }
        let deadline = Some(since + LOCKED);
        let size = at.database.map_or(0, |mark| mark.size);
        match pour::mend(&pair.bank, &pair.copy, size, page_size(&pair.bank), deadline, self.meter) {
            Ok(pages) => Ok(Some(pages)),
            Err(Stopped::Stopped) => self.meter.check().map(|()| None).map_err(Into::into),
            Err(error) => Err(self.error(&pair.set.path(Part::Database), error)),
        }
    }

    /// Copies a side file whole; one that is not there, or a journal that is not hot (SQLite too looks at its first
    /// byte), leaves none.
    fn copy_side(&self, set: &Set, part: Part) -> Result<(), CopyError> {
        self.remove(part)?;
        let Some(file) = set.file(part)? else { return Ok(()) };
        let fail = |e| self.error(&set.path(part), e);
        let size = set::size(&file).map_err(|e| fail(e.into()))?;
        let mut first = [0];
        let read = file.read_at(&mut first, 0).map_err(|e| fail(e.into()))?;
        if read == 0 || (part == Part::Journal && first == [0]) {
            return Ok(());
        }
        let copy = self.folder.file(&raw::name(part)).map_err(|e| fail(e.into()))?;
        pour::pour(&file, &copy, 0..size, self.meter).map_err(fail)
    }

    /// Copies the committed frames of the -wal, as far as they are there and not copied yet, and tells what there
    /// should be; none where the -wal began anew meanwhile.
    fn copy_frames(&mut self, set: &Set, shm: &File) -> Result<Option<WalIndex>, CopyError> {
        let fail = |bench: &Self, e| bench.error(&set.path(Part::Wal), e);
        let Some(index) = wal_index(shm) else { return Ok(None) };
        let file = set.file(Part::Wal)?;
        let (Some(file), true) = (file, index.frames > 0) else {
            // All is in the database, whatever the -wal still holds; or the -wal is gone.
            self.wal = None;
            self.remove(Part::Wal)?;
            return Ok(Some(index));
        };
        let identity = identity(&file).map_err(|e| fail(self, e))?;
        let have = match self.wal {
            Some((of, salts, frames)) if of == identity && salts == index.salts && frames <= index.frames => frames,
            _ => 0,
        };
        let end = |frames: u32| WalHeader::LEN as u64 + u64::from(frames) * (24 + u64::from(index.page_size));
        let start = if have == 0 { 0 } else { end(have) };
        let copy = self.folder.file(&raw::name(Part::Wal)).map_err(|e| fail(self, e.into()))?;
        copy.set_len(start).map_err(|e| fail(self, e.into()))?;
        pour::pour(&file, &copy, start..end(index.frames), self.meter).map_err(|e| fail(self, e))?;
        let mut salts = [0; 8];
        let read = file.read_at(&mut salts, 16).map_err(|e| fail(self, e.into()))?;
        if wal_index(shm).is_none_or(|after| after.salts != index.salts) {
            return Ok(None);
        }
        // Where the -wal has other salts than its own index, it is damaged: the walk will tell.
        self.wal = (read == 8 && salts == index.salts).then_some((identity, salts, index.frames));
        Ok(Some(index))
    }

    fn remove(&self, part: Part) -> Result<(), CopyError> {
        self.folder.remove(&raw::name(part)).map_err(|e| self.error(self.folder.path(), e.into()))
    }
}

fn identity(file: &File) -> Result<(u64, u64), Stopped> {
    use std::os::unix::fs::MetadataExt;
    let stat = file.metadata()?;
    Ok((stat.dev(), stat.ino()))
}

fn is_open(mark: &Mark, file: &File) -> bool {
    identity(file).is_ok_and(|identity| identity == mark.identity)
}

fn header(database: &File) -> Result<Option<Header>, Stopped> {
    let mut bytes = [0; Header::LEN];
    let read = database.read_at(&mut bytes, 0)?;
    Ok(Header::parse(&bytes[..read]).ok())
}

fn mode(database: &File) -> Result<JournalMode, Stopped> {
    Ok(if header(database)?.is_some_and(|h| h.is_wal()) { JournalMode::Wal } else { JournalMode::Rollback })
}

fn page_size(database: &File) -> u32 {
    header(database).ok().flatten().map_or(4096, |h| h.page_size)
}

/// The index of the -wal; it is written within microseconds, so a torn one is read again.
fn wal_index(shm: &File) -> Option<WalIndex> {
    (0..100).find_map(|_| {
        let mut bytes = [0; WalIndex::LEN];
        shm.read_exact_at(&mut bytes, 0).ok()?;
        WalIndex::parse(&bytes)
    })
}
