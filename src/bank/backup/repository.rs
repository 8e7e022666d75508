use std::path::Path;

use super::bucket::Bucket;
use super::error::BackupError;
use super::folder::Folder;
use super::lock::Lock;
use super::partial::Partial;
use super::set::Set;
use crate::engine::backup::SetName;

/// The most names beside and of the sets of a bank that are looked at.
pub(super) const MAX_ENTRIES: usize = 100_000;
/// A note that is larger is none, in bytes.
pub(super) const MAX_NOTE: u64 = 4 << 10;
/// More notes than this are looked at another time.
pub(super) const MAX_NOTES: usize = 1_000;

/// Where the sets of one bank are: `NAMESPACE/BANK/SET`. What is not `async` blocks.
#[derive(Clone, Debug)]
pub enum Repository {
    /// A folder. A set is made by one rename.
    Folder(Folder),
    /// A bucket. A set is made by its manifest.
    Bucket(Bucket),
}

impl Repository {
    /// The sets of a bank beneath the repository's folder `path` of the volume at `root`. Nothing is made yet.
    pub fn folder(root: &Path, path: &str, namespace: &str, bank: &str) -> Self {
        Self::Folder(Folder::new(root, path, namespace, bank))
    }

    /// A set of this name, be it there or not.
    pub fn set(&self, name: &SetName) -> Set {
        match self {
            Self::Folder(folder) => Set::Folder(folder.set(name)),
            Self::Bucket(bucket) => Set::Bucket(bucket.within(&name.to_string())),
        }
    }

    /// The names of all sets, oldest first: those with a manifest, whatever that says.
    pub fn sets(&self) -> Result<Vec<SetName>, BackupError> {
        let mut sets = match self {
            Self::Folder(folder) => folder.sets()?,
            Self::Bucket(bucket) => bucket.wait(bucket.sets())?,
        };
        sets.sort();
        Ok(sets)
    }

    /// Whether there may be something.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::Folder(folder) => folder.path().exists(),
            Self::Bucket(_) => true,
        }
    }

    /// Makes it, where it must be made, and takes the right to write to it.
    pub(super) fn lock(&self, run: &str) -> Result<Lock, BackupError> {
        match self {
            Self::Folder(folder) => {
                folder.make()?;
                Lock::in_folder(folder.path(), run)
            }
            Self::Bucket(bucket) => Lock::in_bucket(bucket, run),
        }
    }

    /// Removes what runs left that were killed while they wrote or removed a set. Only who holds the lock may.
    pub(super) fn clean(&self) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.clean(),
            Self::Bucket(bucket) => bucket.wait(bucket.clean()),
        }
    }

    /// Begins a set.
    pub(super) fn begin(&self, name: &SetName, lock: &Lock) -> Result<Partial, BackupError> {
        Partial::make(self, name, lock)
    }

    /// Removes a set, so that at no moment half of it looks like one.
    pub(super) fn remove(&self, name: &SetName) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.remove(name),
            Self::Bucket(bucket) => bucket.wait(bucket.remove(name)),
        }
    }

    /// Keeps a small file beside the sets.
    pub(super) async fn note(&self, name: &str, text: &[u8]) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.note(name, text),
            Self::Bucket(bucket) => bucket.put(name, text.to_vec()).await,
        }
    }

    /// Removes one, where it is there.
    pub(super) async fn forget(&self, name: &str) -> Result<(), BackupError> {
        match self {
            Self::Folder(folder) => folder.forget(name),
            Self::Bucket(bucket) => bucket.delete(name).await,
        }
    }

    /// Those whose names are of a kind, with what they say.
    pub(super) async fn notes(&self, kind: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
        match self {
            Self::Folder(folder) => folder.notes(kind),
            Self::Bucket(bucket) => bucket.notes(kind).await,
        }
    }
}
