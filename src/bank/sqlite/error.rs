use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::geteuid;
use thiserror::Error;

use crate::bank::Cancelled;
use crate::domain::{Check, CorruptionEvent, CorruptionType, Severity};
use crate::engine::integrity::sqlite::Judgement;

/// Why a database could not be copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// There is no such file.
    #[error("{path} does not exist; check the path in the MemoryBank, and whether the application ever started")]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{path} is {kind}, not a regular file")]
    NotRegular {
        /// The database, or a file beside it.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A link leads out of the volume.
    #[error("{path} leads out of its volume; declare the volume that the file really is in")]
    OutsideVolume {
        /// The database.
        path: PathBuf,
    },
    /// The file, or a folder above it, may not be read.
    #[error("uid {uid} may not read {path}; let it, or run as the owner (jobTemplate.podSecurity.runAsUser)")]
    PermissionDenied {
        /// The database, or a file beside it.
        path: PathBuf,
        /// Who tried.
        uid: u32,
    },
    /// The copy does not fit.
    #[error("{scratch} has {free} bytes free, the copy needs {needed}; give scratch more room")]
    NoRoom {
        /// The folder for copies.
        scratch: PathBuf,
        /// In bytes, with room for recovery.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// The database never stood still.
    #[error("{path} could not be copied in {tries} tries: {reason}; run when less is written")]
    CheckIncomplete {
        /// The database.
        path: PathBuf,
        /// How often it was tried.
        tries: u32,
        /// Why the last one failed.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("{path} could not be copied: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The run was stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl CopyError {
    /// The error of a system call on `path`.
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR) => Self::Missing { path },
            Some(Errno::EACCES | Errno::EPERM) => Self::PermissionDenied { path, uid: geteuid().as_raw() },
            Some(Errno::EXDEV | Errno::ELOOP) => Self::OutsideVolume { path },
            _ => Self::Io { path, source },
        }
    }

    /// The row of the check `sqlite-copy`: a database that is missing, or is none, is damage; whatever else kept us
    /// from copying it leaves it unknown.
    pub fn judge(&self, component: &str, object: &str) -> Judgement {
        let id = "sqlite-copy";
        let mut judgement = Judgement::default();
        if !matches!(self, Self::Missing { .. } | Self::NotRegular { .. }) {
            judgement.checks.push(Check::unknown(id, component, self.to_string()));
            return judgement;
        }
        judgement.checks.push(Check::failed(id, component, self.to_string()));
        judgement.events.push(CorruptionEvent {
            check: id.to_owned(),
            component: component.to_owned(),
            corruption_type: CorruptionType::FileCorruption,
            invariant: None,
            severity: Severity::Critical,
            object: object.to_owned(),
            count: 1,
            evidence: self.to_string(),
            advice: "Stop the application before it makes a new database, and restore the newest verified backup."
                .to_owned(),
        });
        judgement
    }
}
