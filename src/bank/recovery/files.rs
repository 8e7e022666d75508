//! Single files of a tree, put back from the archive of a set.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::journal::{QuarantineError, at, sync};
use super::tree::{ArchivedFile, TreeError, archived};
use crate::bank::Meter;
use crate::domain::Digest;
use crate::engine::integrity::files::TreePath;

/// What a file is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// SHA-256 of its content.
    pub digest: Digest,
    /// When its content was last changed.
    pub modified: Timestamp,
}

/// Where a file of a tree is; an error where a link would lead out of it. Folders that are gone are made where asked.
pub fn within(root: &Path, path: &TreePath, make: bool) -> Result<PathBuf, QuarantineError> {
    let (folder, name) = path.split();
    let mut place = root.to_owned();
    for part in folder.iter().flat_map(|folder| folder.split(|byte| *byte == b'/')) {
        place.push(OsStr::from_bytes(part));
        match place.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(at(&place)(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                DirBuilder::new().mode(0o755).create(&place).map_err(at(&place))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&place)(error)),
        }
    }
    place.push(OsStr::from_bytes(name));
    Ok(place)
}

/// Puts files back as they are to be, each by one rename; gives those that the archive did not have so. Blocks.
pub fn put_files(
    archive: &Path,
    root: &Path,
    wanted: &BTreeMap<TreePath, Right>,
    meter: &Meter,
) -> Result<Vec<TreePath>, TreeError> {
    let failed = RefCell::new(None);
    let left = RefCell::new(wanted.clone());
    let note = |error: QuarantineError| {
        failed.borrow_mut().get_or_insert(error);
    };
    let open = |path: &TreePath| {
        if !left.borrow().contains_key(path) {
            return Ok(None);
        }
        let new = within(root, path, true).map(|place| beside(&place)).map_err(io::Error::other)?;
        create(&new).map(Some)
    };
    let take = |file: ArchivedFile| {
        let right = left.borrow().get(&file.path).copied();
        let Some(right) = right else { return };
        match put(root, &file, right) {
            Ok(true) => {
                left.borrow_mut().remove(&file.path);
            }
            Ok(false) => {}
            Err(error) => note(error),
        }
    };
    archived(archive, meter, open, take)?;
    if let Some(QuarantineError::Io { path, source }) = failed.into_inner() {
        return Err(TreeError::Io { path, source });
    }
    Ok(left.into_inner().into_keys().collect())
}

/// The new file's place until it is whole.
fn beside(place: &Path) -> PathBuf {
    let mut new = place.as_os_str().to_owned();
    new.push(".memorybank-new");
    PathBuf::from(new)
}

/// A new file of that place, whatever stood there: no link is followed.
fn create(new: &Path) -> io::Result<File> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)
}

/// Whether what stands at a path can be nothing that somebody wrote: it is gone, or its time is that of the manifest.
pub fn is_lost(root: &Path, path: &TreePath, modified: Timestamp) -> bool {
    let Ok(place) = within(root, path, false) else { return false };
    match fs::symlink_metadata(place) {
        Ok(found) => {
            let time = found.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
            found.is_file() && time == Some(modified)
        }
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn put(root: &Path, file: &ArchivedFile, right: Right) -> Result<bool, QuarantineError> {
    let place = within(root, &file.path, false)?;
    let new = beside(&place);
    // Asked again: somebody may have written to it since the plan was made.
    if file.digest != right.digest || !is_lost(root, &file.path, right.modified) {
        fs::remove_file(&new).map_err(at(&new))?;
        return Ok(false);
    }
    settle(&new, &place, file.mode, right.modified.into())?;
    Ok(true)
}

/// Gives a whole new file its mode, its time and its name.
fn settle(new: &Path, place: &Path, mode: u32, modified: SystemTime) -> Result<(), QuarantineError> {
    let settle = || -> io::Result<()> {
        let file = File::options().write(true).open(new)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.set_modified(modified)?;
        file.sync_all()?;
        fs::rename(new, place)
    };
    settle().map_err(at(place))?;
    place.parent().map_or(Ok(()), sync)
}

/// Puts one file back as it was kept, with its mode and time; or removes what was not there. Blocks.
pub fn put_file_back(root: &Path, path: &TreePath, kept: Option<&Path>) -> Result<(), QuarantineError> {
    let place = within(root, path, kept.is_some())?;
    let Some(kept) = kept else {
        return match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&place)(error)),
            _ => Ok(()),
        };
    };
    let found = fs::metadata(kept).map_err(at(kept))?;
    let new = beside(&place);
    let copy = || io::copy(&mut File::open(kept)?, &mut create(&new)?);
    copy().map_err(at(&new))?;
    let modified = found.modified().map_err(at(kept))?;
    settle(&new, &place, found.permissions().mode() & 0o7777, modified)
}

/// Gives a kept file the mode and the time of the one that it is a copy of.
pub fn like(kept: &Path, of: &Path) -> Result<(), QuarantineError> {
    let found = fs::metadata(of).map_err(at(of))?;
    let modified = found.modified().map_err(at(of))?;
    let file = File::options().write(true).open(kept).map_err(at(kept))?;
    file.set_modified(modified).map_err(at(kept))?;
    file.set_permissions(found.permissions()).map_err(at(kept))
}
