use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::{BackupError, at};
use crate::engine::backup::{MANIFEST, PARTIAL, SetName};

/// The most names in a bank's folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// The sets of one bank in a folder: `NAMESPACE/BANK/SET`.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// The sets of a bank beneath the repository's folder `path` of the volume at `root`. Nothing is made yet.
    pub fn new(root: &Path, path: &str, namespace: &str, bank: &str) -> Self {
        Self { folder: root.join(path).join(namespace).join(bank) }
    }

    /// The bank's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a set.
    pub fn set(&self, name: &SetName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// The names of all sets, oldest first: folders with a manifest, whatever that says.
    pub fn sets(&self) -> Result<Vec<SetName>, BackupError> {
        let mut sets = Vec::new();
        for name in self.names()? {
            if let Ok(set) = name.parse::<SetName>()
                && self.folder.join(&name).join(MANIFEST).symlink_metadata().is_ok_and(|found| found.is_file())
            {
                sets.push(set);
            }
        }
        sets.sort();
        Ok(sets)
    }

    /// Makes the bank's folder.
    pub(super) fn make(&self) -> Result<(), BackupError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(at(&self.folder))
    }

    /// Removes what runs left that were killed while they wrote a set. Only who holds the lock may.
    pub(super) fn clean(&self) -> Result<usize, BackupError> {
        let mut removed = 0;
        for name in self.names()? {
            let partial = name.strip_suffix(PARTIAL).is_some_and(|set| set.parse::<SetName>().is_ok());
            let path = self.folder.join(&name);
            if partial && path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                tracing::info!(path = %path.display(), "removed the beginning of a set that was never finished");
                fs::remove_dir_all(&path).map_err(at(&path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// What stands in the bank's folder.
    pub(super) fn names(&self) -> Result<Vec<String>, BackupError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(at(&self.folder))?,
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_ENTRIES) {
            names.extend(entry.map_err(at(&self.folder))?.file_name().into_string());
        }
        Ok(names)
    }
}
