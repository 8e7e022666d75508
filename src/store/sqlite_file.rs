use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The name of the database within the data folder.
pub(super) const DATABASE: &str = "memorybank.db";
/// What lies beside a database that was once in use: it tells a lost database from a new one.
const TRACES: [&str; 3] = [super::checkpoint::FILE, super::blob_files::FOLDER, "memorybank.db-wal"];

/// The database's file, known by device and inode. Only its metadata is ever read here: SQLite's locks
/// fall when this process closes any descriptor of the file.
#[derive(Debug)]
pub(super) struct SqliteFile {
    path: PathBuf,
    identity: (u64, u64),
    bytes: u64,
}

impl SqliteFile {
    /// Finds the database in a data folder, or makes a new empty file where there never was one.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(DATABASE);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .map_err(|error| StoreError::folder(data_dir, &error))?;
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io(path.display(), &error)),
        };
        if bytes.unwrap_or_default() == 0
            && let Some(trace) = TRACES.iter().find(|trace| data_dir.join(trace).exists())
        {
            let what = if bytes.is_none() { "it is missing" } else { "it is empty" };
            return Err(StoreError::damaged(
                path.display(),
                format_args!("{what}, yet {trace} is there; it is not made again by itself"),
            ));
        }
        if bytes.is_none() {
            create_new(&path).map_err(|error| StoreError::io(path.display(), &error))?;
        }
        Self::find(data_dir)
    }

    /// Finds the database in a data folder.
    pub fn find(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(DATABASE);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                Ok(Self { identity: (metadata.dev(), metadata.ino()), bytes: metadata.len(), path })
            }
            Ok(_) => Err(StoreError::damaged(path.display(), "it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Absent {
                place: path.display().to_string(),
                detail: "name the data folder of `memorybank local`".to_owned(),
            }),
            Err(error) => Err(StoreError::io(path.display(), &error)),
        }
    }

    /// An error where the path no longer leads to the file that was opened: what were written now would
    /// be lost with the last descriptor.
    pub fn still_there(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == self.identity => Ok(()),
            Ok(_) => Err(StoreError::damaged(self.path.display(), "it was replaced while in use: start again")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::damaged(self.path.display(), "it was removed while in use"))
            }
            Err(error) => Err(StoreError::io(self.path.display(), &error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes when it was found.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Makes an empty file that only its owner reads: it will hold the fingerprint keys. SQLite gives the
/// same mode to -wal and -shm.
fn create_new(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder survive a loss of power.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
