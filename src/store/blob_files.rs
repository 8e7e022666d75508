use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::StoreError;
use super::sqlite_file::sync_folder;
use crate::domain::Digest;

/// The folder's name within the data folder.
pub(super) const FOLDER: &str = "blobs";

/// `blobs/ab/cdef….zst`: the digest's first two digits are the folder.
fn path(folder: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    let (first, rest) = name.split_at(2);
    folder.join(first).join(format!("{rest}.zst"))
}

/// Writes a blob so that it is whole under its name or not there at all, also after a loss of power.
/// One that is there already is written again: that mends it if it was damaged.
pub(super) fn write(folder: &Path, digest: &Digest, packed: &[u8]) -> Result<(), StoreError> {
    let path = path(folder, digest);
    let failed = |error| StoreError::io(path.display(), &error);
    let parent = path.parent().unwrap_or(folder);
    if !parent.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        folder.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
    }
    let temporary = path.with_extension("new");
    let written =
        write_whole(&temporary, packed).and_then(|()| fs::rename(&temporary, &path)).and_then(|()| sync_folder(parent));
    if written.is_err() {
        // What is left of it would only take room; failing to remove it adds nothing to the first error.
        let _best_effort = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a blob's compressed bytes, at most `limit`; none where it is not there.
pub(super) fn read(folder: &Path, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let path = path(folder, digest);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path.display(), &error)),
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|error| StoreError::io(path.display(), &error))?;
    Ok(Some(bytes))
}

/// The name that errors give a blob.
pub(super) fn place(folder: &Path, digest: &Digest) -> String {
    path(folder, digest).display().to_string()
}

/// Removes a blob; fine where it is not there.
pub(super) fn remove(folder: &Path, digest: &Digest) -> Result<(), StoreError> {
    let path = path(folder, digest);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path.display(), &error)),
        _ => Ok(()),
    }
}

/// Files that have not changed for `age`: the digest of each that has a blob's name, and none for
/// leftovers of a write that was cut short.
pub(super) fn older_than(folder: &Path, age: Duration) -> io::Result<Vec<(PathBuf, Option<Digest>)>> {
    let mut found = Vec::new();
    let Some(limit) = SystemTime::now().checked_sub(age) else { return Ok(found) };
    let folders = match fs::read_dir(folder) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for sub in folders {
        let sub = sub?;
        if !sub.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(sub.path())? {
            let file = file?;
            let metadata = file.metadata()?;
            if metadata.is_file() && metadata.modified()? < limit {
                let name = format!("{}{}", sub.file_name().to_string_lossy(), file.file_name().to_string_lossy());
                let digest = name.strip_suffix(".zst").and_then(|hex| hex.parse().ok());
                found.push((file.path(), digest));
            }
        }
    }
    Ok(found)
}
