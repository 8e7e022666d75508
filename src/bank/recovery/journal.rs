//! What a recovery overwrites, kept before it does, and how far it came.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{Digest, PathInVolume};
use crate::engine::backup::SetName;
use crate::engine::integrity::files::TreePath;

/// The folder of all quarantines of a bank, beside its sets.
pub const QUARANTINE: &str = "quarantine";
const NAME: &str = "journal.json";
/// A journal larger than this is none.
const MAX_JOURNAL: u64 = 64 << 20;
/// The most quarantines that are looked at.
const MAX_FOLDERS: usize = 10_000;

/// Why a quarantine could not be written or read.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A journal that says nothing: whether its recovery changed the bank is not known.
    #[error("{0} cannot be read: put back by hand what lies beside it if the bank needs it, and remove the folder")]
    Unreadable(PathBuf),
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> QuarantineError + '_ {
    move |source| QuarantineError::Io { path: path.to_owned(), source }
}

/// How far a recovery came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// What will be overwritten is being kept; nothing was changed yet.
    Keeping,
    /// The steps are carried out, or are to be rolled back.
    Working,
    /// All steps were carried out and verified.
    Whole,
    /// The bank is as it was.
    RolledBack,
}

/// Something that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "what")]
pub enum Kept {
    /// The files of a SQLite database, `COMPONENT` with each suffix; none where it was not there.
    Database {
        /// `database` or `history`.
        component: String,
        /// Where it belongs.
        place: PathInVolume,
        /// What is added to its name: nothing, `-wal`, `-journal`.
        suffixes: Vec<String>,
    },
    /// Files of a tree, by number in the folder of its name.
    Files {
        /// The tree's folder.
        place: PathInVolume,
        /// The folder in the quarantine.
        folder: String,
        /// Each path, and whether there was a file.
        files: Vec<(TreePath, bool)>,
    },
    /// A collection as a snapshot; none where it was not there.
    Collection {
        /// Its name on the server.
        name: String,
        /// SHA-256 of the snapshot.
        snapshot: Option<Digest>,
    },
    /// The table of the points on a PostgreSQL server, as `COPY` writes its rows.
    Table {
        /// How many rows it had.
        rows: u64,
    },
    /// No table of the points was there: one that is made goes, as long as nobody wrote to it.
    NoTable,
    /// A database that is made beside the one of the bank: it goes.
    Beside {
        /// Its name on the server.
        name: String,
    },
}

/// The journal of one recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The uid of the run.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// How far it came.
    pub phase: Phase,
    /// How many steps were begun.
    pub begun: usize,
    /// What was kept.
    pub kept: Vec<Kept>,
}

/// The folder of one recovery.
#[derive(Debug)]
pub struct Quarantine {
    folder: PathBuf,
    /// As it was last written.
    pub journal: Journal,
}

impl Quarantine {
    /// Makes the folder of a recovery that begins now, within the bank's folder.
    pub fn begin(bank: &Path, run: &str, started: Timestamp) -> Result<Self, QuarantineError> {
        let name = SetName::new(started, run).map_or_else(|_| "recovery".to_owned(), |name| name.to_string());
        let folder = bank.join(QUARANTINE).join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
        let journal = Journal { run: run.to_owned(), started, phase: Phase::Keeping, begun: 0, kept: Vec::new() };
        let mut quarantine = Self { folder, journal };
        quarantine.write()?;
        // The names of its own folders outlive a crash of the machine, too.
        for folder in quarantine.folder.ancestors().skip(1).take(2) {
            sync(folder)?;
        }
        for folder in quarantine.folder.ancestors().skip(3).take(3) {
            // Up to the volume's own folder; what is above it is not ours, and need not be readable.
            let _ = sync(folder);
        }
        Ok(quarantine)
    }

    /// The recoveries of a bank that neither came to their end nor were rolled back, oldest first.
    pub fn unfinished(bank: &Path) -> Result<Vec<Self>, QuarantineError> {
        let parent = bank.join(QUARANTINE);
        let entries = match fs::read_dir(&parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(at(&parent))?,
        };
        let mut found = Vec::new();
        for entry in entries.take(MAX_FOLDERS) {
            let folder = entry.map_err(at(&parent))?.path();
            let path = folder.join(NAME);
            let bytes = match fs::metadata(&path) {
                Ok(file) if file.len() <= MAX_JOURNAL => fs::read(&path).map_err(at(&path))?,
                Ok(_) => return Err(QuarantineError::Unreadable(path)),
                // Nothing was changed before the first journal was there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            let journal: Journal =
                serde_json::from_slice(&bytes).map_err(|_| QuarantineError::Unreadable(path.clone()))?;
            if matches!(journal.phase, Phase::Keeping | Phase::Working) {
                found.push(Self { folder, journal });
            }
        }
        found.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(found)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a database's file is kept.
    pub fn database(&self, component: &str, suffix: &str) -> PathBuf {
        self.folder.join(format!("{component}.db{suffix}"))
    }

    /// Where a file of a tree is kept.
    pub fn file(&self, folder: &str, number: usize) -> PathBuf {
        self.folder.join(folder).join(number.to_string())
    }

    /// Where a snapshot is kept.
    pub fn snapshot(&self) -> PathBuf {
        self.folder.join("collection.snapshot")
    }

    /// Where the rows of a table are kept.
    pub fn table(&self) -> PathBuf {
        self.folder.join("table.copy.zst")
    }

    /// Where it is noted that a table was made.
    pub fn made(&self) -> PathBuf {
        self.folder.join("table.made")
    }

    /// Where the points of it are noted that are written or removed.
    pub fn touched(&self) -> PathBuf {
        self.folder.join("points.touched")
    }

    /// Keeps a copy of a file, on the disk before this returns.
    pub fn keep(&self, from: &Path, to: &Path) -> Result<(), QuarantineError> {
        if let Some(folder) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        }
        let mut source = File::open(from).map_err(at(from))?;
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
        let mut file = new.map_err(at(to))?;
        io::copy(&mut source, &mut file).map_err(at(to))?;
        file.sync_all().map_err(at(to))?;
        to.parent().map_or(Ok(()), sync)
    }

    /// Says how far the recovery is; on the disk before this returns.
    pub fn enter(&mut self, phase: Phase, begun: usize) -> Result<(), QuarantineError> {
        (self.journal.phase, self.journal.begun) = (phase, begun);
        self.write()
    }

    /// Removes it: nothing was changed.
    pub fn abandon(self) -> Result<(), QuarantineError> {
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))
    }

    fn write(&mut self) -> Result<(), QuarantineError> {
        let (path, new) = (self.folder.join(NAME), self.folder.join("journal.new"));
        let text = serde_json::to_vec_pretty(&self.journal).unwrap_or_default();
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(at(&path))?;
        sync(&self.folder)
    }
}

/// Makes the names in a folder outlive a crash of the machine.
pub(super) fn sync(folder: &Path) -> Result<(), QuarantineError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_until_it_is_whole_or_back() {
        let bank = tempfile::tempdir().unwrap();
        assert!(Quarantine::unfinished(bank.path()).unwrap().is_empty());
        let now = Timestamp::now();
        for (phase, left) in
            [(Phase::Keeping, true), (Phase::Working, true), (Phase::Whole, false), (Phase::RolledBack, false)]
        {
            let mut quarantine = Quarantine::begin(bank.path(), "a-1", now).unwrap();
            quarantine.journal.kept.push(Kept::Collection { name: "memories".to_owned(), snapshot: None });
            quarantine.enter(phase, 1).unwrap();
            let found = Quarantine::unfinished(bank.path()).unwrap();
            assert_eq!(found.len(), usize::from(left), "{phase:?}");
            assert!(found.iter().all(|found| found.journal == quarantine.journal));
            quarantine.abandon().unwrap();
        }
        let quarantine = Quarantine::begin(bank.path(), "a-1", now).unwrap();
        fs::write(quarantine.folder().join(NAME), "{").unwrap();
        assert!(matches!(Quarantine::unfinished(bank.path()), Err(QuarantineError::Unreadable(_))));
    }
}
