use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::{BackupError, at};
use super::examine::Examined;
use super::pipe::Counted;
use super::seal::{Closed, Identity};
use super::write::{BUFFER, SPARE_ROOM};
use crate::bank::Meter;
use crate::bank::sqlite::free;
use crate::engine::backup::PartKind;

/// Opens the archives, snapshots and tables of an encrypted set that was examined and is whole, in a folder of its own beside
/// its databases. From then on the set is as if it had been plain, in the folder that is returned: that of the set where
/// it is. Blocks.
pub fn unseal(
    examined: &mut Examined,
    set: PathBuf,
    identity: &Identity,
    scratch: &Path,
    meter: &Meter,
) -> Result<PathBuf, BackupError> {
    let Some(manifest) = examined.manifest.as_mut().filter(|manifest| !manifest.recipients.is_empty()) else {
        return Ok(set);
    };
    let needed = manifest.stored_bytes().saturating_add(SPARE_ROOM);
    let free = free(scratch).map_err(at(scratch))?;
    if free < needed {
        return Err(BackupError::NoRoom { folder: scratch.to_owned(), needed, free });
    }
    let folder = scratch.join("set");
    for part in &mut manifest.parts {
        let plain = part.plain_path().to_owned();
        if matches!(part.kind, PartKind::Files | PartKind::Vectors | PartKind::Ddl | PartKind::Rows) {
            let opened = open(&set.join(&part.path), &folder.join(&plain), identity, meter)?;
            (part.stored_bytes, part.sha256) = (opened.bytes, opened.digest());
        }
        part.path = plain;
    }
    manifest.recipients.clear();
    for database in &mut examined.databases {
        database.part.path = database.part.plain_path().to_owned();
    }
    Ok(folder)
}

fn open(from: &Path, to: &Path, identity: &Identity, meter: &Meter) -> Result<Counted<File>, BackupError> {
    let sealed = File::open(from).map_err(at(from))?;
    let mut opened = identity.open(sealed).map_err(|closed| match closed {
        Closed::NoKey(why) | Closed::Broken(why) => BackupError::of(from, std::io::Error::other(why)),
        Closed::Changed(fault) => BackupError::of(from, std::io::Error::other(fault.evidence)),
    })?;
    if let Some(parent) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at(parent))?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to).map_err(at(to))?;
    let mut plain = Counted::new(file);
    let mut buffer = vec![0; BUFFER];
    loop {
        meter.check()?;
        let read = opened.read(&mut buffer).map_err(at(from))?;
        if read == 0 {
            return Ok(plain);
        }
        plain.write_all(&buffer[..read]).map_err(at(to))?;
    }
}
