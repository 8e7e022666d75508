use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sample::SampleError;

/// A bank's two databases in one folder, with their side files.
#[derive(Clone, Debug)]
pub struct Set {
    folder: PathBuf,
}

/// A file of OpenMemory's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Database,
    Wal,
    Journal,
}

impl Set {
    /// The set in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// OpenMemory's database.
    pub fn database(&self) -> PathBuf {
        self.folder.join("openmemory.db")
    }

    /// mem0's history.
    pub fn history(&self) -> PathBuf {
        self.folder.join("history.db")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of OpenMemory's database.
    pub(super) fn part(&self, part: Part) -> PathBuf {
        let mut name = OsString::from(self.database());
        name.push(match part {
            Part::Database => "",
            Part::Wal => "-wal",
            Part::Journal => "-journal",
        });
        name.into()
    }

    pub(super) fn read(&self, part: Part) -> Result<Vec<u8>, SampleError> {
        let path = self.part(part);
        fs::read(&path).map_err(SampleError::io(&path))
    }

    /// Replaces a file, or removes it.
    pub(super) fn put(&self, part: Part, bytes: Option<&[u8]>) -> Result<(), SampleError> {
        let path = self.part(part);
        match bytes {
            Some(bytes) => fs::write(&path, bytes),
            None => fs::remove_file(&path),
        }
        .map_err(SampleError::io(&path))
    }

    /// Copies every file but the shared memory, which a crash does not keep, to an empty folder.
    pub(super) fn copy_to(&self, folder: &Path) -> Result<Self, SampleError> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(SampleError::io(folder)(error)),
            _ => fs::create_dir_all(folder).map_err(SampleError::io(folder))?,
        }
        for entry in fs::read_dir(&self.folder).map_err(SampleError::io(&self.folder))?.flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().ends_with("-shm") {
                fs::copy(entry.path(), folder.join(name)).map_err(SampleError::io(&entry.path()))?;
            }
        }
        Ok(Self::new(folder))
    }
}
