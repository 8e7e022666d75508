use std::fmt::Display;
use std::io;
use std::path::Path;

use thiserror::Error;

/// Why the store did not do what it was asked. `place` names a file or a server, never a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The disk or a quota is full; nothing of the request was kept.
    #[error("no space left for {place} ({detail}): free some; the store goes on by itself")]
    Full {
        /// Where.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// Somebody else holds it.
    #[error("{place} is locked ({detail}): end what holds it; the store goes on by itself")]
    Locked {
        /// What is locked.
        place: String,
        /// By whom, or what the database said.
        detail: String,
    },
    /// The content cannot be trusted.
    #[error(
        "{place} is damaged ({detail}): stop everything that uses it, keep a copy, restore it from a backup (docs/store.md)"
    )]
    Damaged {
        /// The file, or the server and table.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// It is not there.
    #[error("{place} is not there: {detail}")]
    Absent {
        /// What was looked for.
        place: String,
        /// What to do.
        detail: String,
    },
    /// The system or the server refuses.
    #[error("no permission for {place} ({detail}): give it to the user that runs this process")]
    Denied {
        /// What was refused.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// A file is where a folder must be.
    #[error("{place} cannot be a folder ({detail}): a file is in its place, name another data folder")]
    NotAFolder {
        /// What was to be a folder, or to lie in one.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// It does not answer, or the device fails.
    #[error("{place} cannot be reached ({detail}); the store goes on by itself once it answers")]
    Unavailable {
        /// What does not answer.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// A newer version of this program has changed the tables.
    #[error("{place} has schema {found}, this version knows {known}: use the newer version, or restore a backup")]
    Newer {
        /// The database.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// Read-only use of tables that this version must change first.
    #[error("{place} has schema {found}, this version needs {known}: start `memorybank local` once on it")]
    Older {
        /// The database.
        place: String,
        /// Its schema.
        found: i64,
        /// The one that this version needs.
        known: i64,
    },
    /// A blob over [`super::Store::MAX_BLOB`].
    #[error("a blob of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A fault of this program.
    #[error("the store failed on {place}: {detail}")]
    Internal {
        /// The database.
        place: String,
        /// What it said.
        detail: String,
    },
}

/// The extended result codes of SQLite that mean more than their primary code (sqlite.org/rescode.html).
const IOERR_SHMSIZE: i32 = 4874;
const IOERR_SHORT_READ: i32 = 522;
const IOERR_CORRUPTFS: i32 = 8458;
const IOERR_DATA: i32 = 8202;

impl StoreError {
    /// The kind: a closed set, for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Full { .. } => "Full",
            Self::Locked { .. } => "Locked",
            Self::Damaged { .. } => "Damaged",
            Self::Absent { .. } => "Absent",
            Self::Denied { .. } => "Denied",
            Self::NotAFolder { .. } => "NotAFolder",
            Self::Unavailable { .. } => "Unavailable",
            Self::Newer { .. } => "Newer",
            Self::Older { .. } => "Older",
            Self::TooLarge { .. } => "TooLarge",
            Self::Internal { .. } => "Internal",
        }
    }

    /// Whether the same request can succeed later without a change to it or to the configuration.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Locked { .. } | Self::Unavailable { .. })
    }

    pub(super) fn damaged(place: impl Display, detail: impl Display) -> Self {
        Self::Damaged { place: place.to_string(), detail: detail.to_string() }
    }

    pub(super) fn io(place: impl Display, error: &io::Error) -> Self {
        let (place, detail) = (place.to_string(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { place, detail }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { place, detail },
            io::ErrorKind::NotADirectory => Self::NotAFolder { place, detail },
            _ => Self::Unavailable { place, detail },
        }
    }

    /// A folder that could not be made.
    pub(super) fn folder(folder: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Self::NotAFolder { place: folder.display().to_string(), detail: error.to_string() }
            }
            _ => Self::io(folder.display(), error),
        }
    }

    pub(super) fn sqlx(place: &str, error: &sqlx::Error) -> Self {
        let (place, detail) = (place.to_owned(), error.to_string());
        match error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.parse::<i32>() {
                    // SQLite's are decimal, at most four digits; PostgreSQL's have five characters.
                    Ok(sqlite) if code.len() < 5 => Self::sqlite(sqlite, place, detail),
                    _ => Self::postgres(&code, place, detail),
                }
            }
            sqlx::Error::Io(error) => Self::io(place, error),
            sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { place, detail },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged { place, detail },
            _ => Self::Internal { place, detail },
        }
    }

    fn sqlite(code: i32, place: String, detail: String) -> Self {
        match (code, code & 0xff) {
            (IOERR_SHMSIZE, _) | (_, 13) => Self::Full { place, detail },
            (IOERR_SHORT_READ | IOERR_CORRUPTFS | IOERR_DATA, _) | (_, 11 | 26) => Self::Damaged { place, detail },
            (_, 5 | 6) => Self::Locked { place, detail },
            (_, 3 | 8 | 23) => Self::Denied { place, detail },
            (_, 10 | 14) => Self::Unavailable { place, detail },
            _ => Self::Internal { place, detail },
        }
    }

    /// By SQLSTATE (postgresql.org, appendix A).
    fn postgres(code: &str, place: String, detail: String) -> Self {
        match code {
            "53100" => Self::Full { place, detail },
            "55P03" | "40P01" | "40001" => Self::Locked { place, detail },
            "XX001" | "XX002" => Self::Damaged { place, detail },
            "42501" | "28000" | "28P01" => Self::Denied { place, detail },
            "3D000" => Self::Absent { place, detail },
            "57014" => Self::Unavailable { place, detail },
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => {
                Self::Unavailable { place, detail }
            }
            _ => Self::Internal { place, detail },
        }
    }
}
