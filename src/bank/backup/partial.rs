use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::bucket::Unfinished;
use super::error::{BackupError, at};
use super::folder::Folder;
use super::lock::Lock;
use super::repository::Repository;
use super::sink::Sink;
use crate::bank::Meter;
use crate::bank::sqlite::free;
use crate::engine::backup::{MANIFEST, SetName};

/// A set that is being written. It is none until it is kept; what is not, goes when this is dropped, and from a bucket
/// when the lock is given up.
#[derive(Debug)]
pub(super) enum Partial {
    /// A folder of another name.
    Folder(FolderPartial),
    /// Objects without a manifest.
    Bucket(Unfinished),
}

impl Partial {
    /// Begins a set.
    pub fn make(repository: &Repository, name: &SetName, lock: &Lock) -> Result<Self, BackupError> {
        match (repository, lock) {
            (Repository::Folder(folder), _) => FolderPartial::make(folder, name).map(Self::Folder),
            (Repository::Bucket(bucket), Lock::Bucket(lock)) => Ok(Self::Bucket(lock.begin(bucket, name))),
            (Repository::Bucket(bucket), Lock::Folder(_)) => Err(bucket.lost()),
        }
    }

    /// Where a new file can be put that is as large as it will be; its folder is there. None where it has to be passed to a
    /// [`Sink`].
    pub fn place(&self, path: &str) -> Result<Option<PathBuf>, BackupError> {
        match self {
            Self::Folder(folder) => folder.place(path).map(Some),
            Self::Bucket(_) => Ok(None),
        }
    }

    /// A new file in it, and its name for people.
    pub fn create(&self, path: &str, meter: &Meter) -> Result<(Sink, PathBuf), BackupError> {
        match self {
            Self::Folder(folder) => {
                let (file, to) = folder.create(path)?;
                Ok((Sink::File(file), to))
            }
            Self::Bucket(set) => Ok((Sink::Upload(Box::new(set.create(path, meter)?)), PathBuf::from(path))),
        }
    }

    /// Looks whether so many bytes fit.
    pub fn room(&self, needed: u64) -> Result<(), BackupError> {
        let Self::Folder(FolderPartial { path, .. }) = self else { return Ok(()) };
        let free = free(path).map_err(at(path))?;
        if free < needed {
            let folder = path.parent().unwrap_or(path).to_owned();
            return Err(BackupError::NoRoom { folder, needed, free });
        }
        Ok(())
    }

    /// Removes all that was put under a path of two steps, and was finished.
    pub fn discard(&self, path: &str) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.discard(path),
            Self::Bucket(set) => set.discard(path),
        }
    }

    /// Makes it a set, by its manifest.
    pub fn keep(&mut self, manifest: &[u8]) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.keep(manifest),
            Self::Bucket(set) => set.keep(manifest),
        }
    }
}

/// The folder of a set that is being written; removed when dropped before it got its name.
#[derive(Debug)]
pub(super) struct FolderPartial {
    path: PathBuf,
    set: PathBuf,
    kept: bool,
}

impl FolderPartial {
    fn make(folder: &Folder, name: &SetName) -> Result<Self, BackupError> {
        let path = folder.partial(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(at(&path))?;
        Ok(Self { path, set: folder.set(name), kept: false })
    }

    fn place(&self, path: &str) -> Result<PathBuf, BackupError> {
        let to = self.path.join(path);
        if let Some(parent) = to.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(at(parent))?;
        }
        Ok(to)
    }

    fn create(&self, path: &str) -> Result<(File, PathBuf), BackupError> {
        let to = self.place(path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(at(&to))?;
        Ok((file, to))
    }

    fn discard(&self, path: &str) -> Result<(), BackupError> {
        let folder = self.path.join(path);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::of(&folder, error)),
            _ => {}
        }
        if let Some(parent) = folder.parent() {
            // Where others are in it, it stays.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Gives the set its name, once all of it is on the disk.
    fn keep(&mut self, manifest: &[u8]) -> Result<(), BackupError> {
        let (file, to) = self.create(MANIFEST)?;
        let mut sink = Sink::File(file);
        io::Write::write_all(&mut sink, manifest).and_then(|()| sink.finish()).map_err(at(&to))?;
        sync_all(&self.path)?;
        fs::rename(&self.path, &self.set).map_err(at(&self.set))?;
        self.kept = true;
        sync(self.set.parent().unwrap_or(&self.set))
    }
}

impl Drop for FolderPartial {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the beginning of a set could not be removed");
        }
    }
}

/// Makes the names in a folder outlive a crash of the machine.
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// The same for all folders in it.
fn sync_all(path: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(path).map_err(at(path))? {
        let entry = entry.map_err(at(path))?;
        if entry.file_type().map_err(at(path))?.is_dir() {
            sync_all(&entry.path())?;
        }
    }
    sync(path)
}
