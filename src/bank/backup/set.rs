use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::bucket::{Bucket, Download};
use super::error::{BackupError, at};
use super::write::{BUFFER, SPARE_ROOM};
use crate::bank::Meter;
use crate::bank::sqlite::free;
use crate::engine::backup::Part;

/// A set has a few dozen files.
const MAX_FILES: usize = 1_000;
/// How deep they lie.
const MAX_DEPTH: usize = 2;
/// The folder in scratch in which a set of a bucket is fetched.
const FETCHED: &str = "fetched";

/// A set where it lies. What is asked of it blocks.
#[derive(Clone, Debug)]
pub enum Set {
    /// In a folder of its own.
    Folder(PathBuf),
    /// In a bucket, under its name.
    Bucket(Bucket),
}

/// A file of a set that is read. No error in the middle is told as its end, however often it is read on.
pub(super) enum Stored {
    File(File),
    Object(Box<Download>),
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Object(object) => object.read(buffer),
        }
    }
}

impl Set {
    /// Every file of a set by its path, none where the set is not there; or, for people, which one does not belong in a set:
    /// a link, what is no file, what lies too deep, and too many.
    pub(super) fn files(&self) -> Result<Result<Option<BTreeSet<String>>, String>, BackupError> {
        match self {
            Self::Folder(folder) => in_folder(folder),
            Self::Bucket(bucket) => {
                let sizes = match bucket.wait(bucket.sizes(MAX_FILES))? {
                    Ok(sizes) => sizes,
                    Err(odd) => return Ok(Err(odd)),
                };
                let odd = sizes.keys().find(|path| !is_plain(path));
                let odd = odd.cloned();
                Ok(odd.map_or_else(|| Ok((!sizes.is_empty()).then(|| sizes.into_keys().collect())), Err))
            }
        }
    }

    /// For people, what it lacks: a part that is not there with the size that the manifest tells. None of them is read.
    pub(super) fn lack(&self, parts: &[Part]) -> Result<Option<String>, BackupError> {
        let sizes = match self {
            Self::Folder(folder) => {
                let mut sizes = BTreeMap::new();
                for part in parts {
                    let path = folder.join(&part.path);
                    match path.symlink_metadata() {
                        Ok(found) if found.is_file() => drop(sizes.insert(part.path.clone(), found.len())),
                        Err(error)
                            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                        {
                            return Err(at(&path)(error));
                        }
                        _ => {}
                    }
                }
                sizes
            }
            Self::Bucket(bucket) => match bucket.wait(bucket.sizes(MAX_FILES))? {
                Ok(sizes) => sizes,
                Err(name) => {
                    return Ok(Some(format!("has {name} besides more than {MAX_FILES} others, as no set has")));
                }
            },
        };
        let lacking = parts.iter().find(|part| sizes.get(&part.path) != Some(&part.stored_bytes));
        Ok(lacking.map(|Part { path, stored_bytes, .. }| format!("has {path} with {stored_bytes} bytes no more")))
    }

    /// One of its files, and how many bytes it has; none where it is not there.
    pub(super) fn open(&self, path: &str, meter: &Meter) -> Result<Option<(Stored, u64)>, BackupError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(path);
                let file = match open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    other => other.map_err(at(&path))?,
                };
                let size = file.metadata().map_err(at(&path))?.len();
                Ok(Some((Stored::File(file), size)))
            }
            Self::Bucket(bucket) => {
                let opened = bucket.wait(bucket.open_object(path, meter))?;
                Ok(opened.map(|(object, size)| (Stored::Object(Box::new(object)), size)))
            }
        }
    }

    /// A whole small file; none where it is not there, or is larger.
    pub(super) fn read_all(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, BackupError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(path);
                let file = match open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    other => other.map_err(at(&path))?,
                };
                let mut bytes = Vec::new();
                file.take(most + 1).read_to_end(&mut bytes).map_err(at(&path))?;
                Ok((bytes.len() as u64 <= most).then_some(bytes))
            }
            Self::Bucket(bucket) => Ok(bucket.wait(bucket.read(path, most))?.map(|(bytes, _)| bytes)),
        }
    }

    /// The set in a folder: that of a bucket is fetched into scratch, to be looked at, and restored from, there. One that
    /// holds what does not belong in a set is fetched without that.
    pub fn fetch(&self, scratch: &Path, meter: &Meter) -> Result<PathBuf, BackupError> {
        let bucket = match self {
            Self::Folder(folder) => return Ok(folder.clone()),
            Self::Bucket(bucket) => bucket,
        };
        let folder = scratch.join(FETCHED);
        drop_fetched(scratch)?;
        let sizes = bucket.wait(bucket.sizes(MAX_FILES))?.unwrap_or_default();
        let sizes: Vec<_> = sizes.into_iter().filter(|(path, _)| is_plain(path)).collect();
        let needed = sizes.iter().fold(SPARE_ROOM, |sum, (_, size)| sum.saturating_add(*size));
        let free = free(scratch).map_err(at(scratch))?;
        if free < needed {
            return Err(BackupError::NoScratch { folder: scratch.to_owned(), needed, free });
        }
        meter.grow(needed - SPARE_ROOM);
        let mut buffer = vec![0; BUFFER];
        for (path, _) in sizes {
            let Some((mut object, _)) = self.open(&path, meter)? else { continue };
            let to = folder.join(&path);
            if let Some(parent) = to.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at(parent))?;
            }
            let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
            let mut file = new.map_err(at(&to))?;
            loop {
                meter.check()?;
                let read = object.read(&mut buffer).map_err(at(&to))?;
                if read == 0 {
                    break;
                }
                file.write_all(&buffer[..read]).map_err(at(&to))?;
                meter.advance(read as u64);
            }
        }
        Ok(folder)
    }
}

/// Removes from scratch the set that was fetched last.
pub fn drop_fetched(scratch: &Path) -> Result<(), BackupError> {
    let folder = scratch.join(FETCHED);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::of(&folder, error)),
        _ => Ok(()),
    }
}

/// Whether a path is one that a file within a set can have.
fn is_plain(path: &str) -> bool {
    let steps = path.split('/').count();
    steps <= MAX_DEPTH + 1 && path.split('/').all(|step| !matches!(step, "" | "." | "..") && !step.contains('\0'))
}

fn in_folder(folder: &Path) -> Result<Result<Option<BTreeSet<String>>, String>, BackupError> {
    let mut found = BTreeSet::new();
    let mut folders = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = folders.pop() {
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth == 0 => return Ok(Ok(None)),
            other => other.map_err(at(&path))?,
        };
        for entry in entries {
            let entry = entry.map_err(at(&path))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(at(&path))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((entry.path(), format!("{name}/"), depth + 1));
            } else if kind.is_file() && found.len() < MAX_FILES {
                found.insert(name);
            } else {
                return Ok(Err(name));
            }
        }
    }
    Ok(Ok(Some(found)))
}

/// Does not follow a link that stands there by now.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_a_bucket_leads_out_of_the_folder_that_it_is_fetched_into() {
        for path in ["manifest.json", "sqlite/database.db.zst", "postgres/database/ddl.sql", "files/..tar"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/etc/passwd", "../manifest.json", "sqlite/../../x", "a//b", "a/b/c/d", "a/./b", "a/"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
