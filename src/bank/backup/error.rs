use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use super::bucket::BucketError;
use jiff::Timestamp;
use nix::errno::Errno;

use crate::bank::Cancelled;
use crate::engine::backup::{NameError, SetError};

/// Why a set was not written or not read. Nothing of it stays, and older sets are as they were.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The repository may not be written to.
    #[error("{path} may not be written to: {source}; let uid {uid} write there (jobTemplate.podSecurity.fsGroup)")]
    Denied {
        /// What was written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// Who tried.
        uid: u32,
    },
    /// It does not fit, as is known before.
    #[error(
        "{folder} has {free} bytes free, and a set may need {needed}: give it more room, or keep fewer sets; nothing was written"
    )]
    NoRoom {
        /// The repository.
        folder: PathBuf,
        /// The set before compression, in bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// There is no room in scratch to open a set.
    #[error("{folder} has {free} bytes free, and the set needs {needed} there: give the run more scratch")]
    NoScratch {
        /// The scratch folder.
        folder: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// A bucket does not do what is asked of it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// It did not fit.
    #[error("the disk of {path} is full: give it more room, or keep fewer sets; nothing of the new set was kept")]
    Full {
        /// What was written.
        path: PathBuf,
    },
    /// Another run writes a set of this bank.
    #[error("run {run} writes a set of this bank until {until}: wait, or remove {path} if that run is gone")]
    Locked {
        /// The lock.
        path: PathBuf,
        /// The other run's uid.
        run: String,
        /// When it ends unless it is renewed.
        until: Timestamp,
    },
    /// Another run has taken the lock since.
    #[error("{0} is another run's by now: this one was stopped for too long, and its set was given up")]
    LockLost(PathBuf),
    /// There was nothing that a set could hold.
    #[error("nothing of the bank could be copied: {0}")]
    Nothing(String),
    /// The run's uid fits no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A bug of ours.
    #[error(transparent)]
    Manifest(#[from] SetError),
}

impl BackupError {
    /// The error of a system call on a path, or of the bucket where it was one.
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        if let Some(error) = in_bucket(&source) {
            return Self::Bucket(error);
        }
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::Full { path },
            Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
                Self::Denied { path, source, uid: nix::unistd::geteuid().as_raw() }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// What a bucket said, where libraries have wrapped it.
fn in_bucket(error: &(dyn Error + 'static)) -> Option<BucketError> {
    if let Some(BackupError::Bucket(error)) = error.downcast_ref() {
        return Some(error.clone());
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) => in_bucket(error.get_ref()?),
        None => in_bucket(error.source()?),
    }
}

/// Names the path of a system call that failed.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    move |source| BackupError::of(path, source)
}
