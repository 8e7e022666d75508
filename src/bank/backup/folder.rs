use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::{BackupError, at};
use super::partial::sync;
use super::repository::{MAX_ENTRIES, MAX_NOTE, MAX_NOTES};
use crate::engine::backup::{MANIFEST, PARTIAL, SetName};

/// The sets of one bank in a folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The sets of a bank beneath the repository's folder `path` of the volume at `root`. Nothing is made yet.
    pub(super) fn new(root: &Path, path: &str, namespace: &str, bank: &str) -> Self {
        Self(root.join(path).join(namespace).join(bank))
    }

    /// The bank's folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of a set.
    pub(super) fn set(&self, name: &SetName) -> PathBuf {
        self.0.join(name.to_string())
    }

    /// The folder of a set while it is written or removed.
    pub(super) fn partial(&self, name: &SetName) -> PathBuf {
        self.0.join(format!("{name}{PARTIAL}"))
    }

    /// The names of all sets, in no order: folders with a manifest.
    pub(super) fn sets(&self) -> Result<Vec<SetName>, BackupError> {
        let mut sets = Vec::new();
        for name in self.names()? {
            if let Ok(set) = name.parse::<SetName>()
                && self.0.join(&name).join(MANIFEST).symlink_metadata().is_ok_and(|found| found.is_file())
            {
                sets.push(set);
            }
        }
        Ok(sets)
    }

    /// Makes the bank's folder.
    pub(super) fn make(&self) -> Result<(), BackupError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(at(&self.0))
    }

    /// Removes what runs left that were killed while they wrote a set. Only who holds the lock may.
    pub(super) fn clean(&self) -> Result<(), BackupError> {
        for name in self.names()? {
            let partial = name.strip_suffix(PARTIAL).is_some_and(|set| set.parse::<SetName>().is_ok());
            let path = self.0.join(&name);
            if partial && path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                tracing::info!(path = %path.display(), "removed the beginning of a set that was never finished");
                fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Removes a set. It first loses its name, so that no half of it is ever taken for one; what a crash leaves of it is
    /// cleaned away by the next run.
    pub(super) fn remove(&self, name: &SetName) -> Result<(), BackupError> {
        let (set, partial) = (self.set(name), self.partial(name));
        fs::rename(&set, &partial).map_err(at(&set))?;
        sync(&self.0)?;
        fs::remove_dir_all(&partial).map_err(at(&partial))
    }

    /// Keeps a small file beside the sets.
    pub(super) fn note(&self, name: &str, text: &[u8]) -> Result<(), BackupError> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()));
        if written.is_err() {
            // On a full disk half a note would say nothing.
            let _ = fs::remove_file(&path);
        }
        written.map_err(at(&path))
    }

    /// Removes one, where it is there.
    pub(super) fn forget(&self, name: &str) -> Result<(), BackupError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::of(&path, error)),
            _ => Ok(()),
        }
    }

    /// Those whose names are of a kind, with what they say.
    pub(super) fn notes(&self, kind: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
        let mut found = Vec::new();
        for name in self.names()?.into_iter().filter(|name| kind(name)).take(MAX_NOTES) {
            let path = self.0.join(&name);
            let Ok(about) = path.symlink_metadata() else { continue };
            if about.is_file() && about.len() <= MAX_NOTE {
                found.push((name, fs::read(&path).map_err(at(&path))?));
            }
        }
        Ok(found)
    }

    /// What stands in the bank's folder.
    fn names(&self) -> Result<Vec<String>, BackupError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(at(&self.0))?,
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_ENTRIES) {
            names.extend(entry.map_err(at(&self.0))?.file_name().into_string());
        }
        Ok(names)
    }
}
