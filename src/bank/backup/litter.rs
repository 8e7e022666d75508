//! Notes of the snapshots that a backup had a server make: whatever kills the run, the next one knows which of the
//! server's snapshots are ours.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Repository;
use super::error::{BackupError, at};
use crate::bank::qdrant::{Client, QdrantError};
use crate::domain::Digest;

/// A note has this before and after the digest of what it says.
const PREFIX: &str = "snapshot-";
const ENDING: &str = ".json";
/// A note that is larger is none.
const MAX_NOTE: u64 = 4 << 10;
/// More notes than this are looked at another time.
const MAX_NOTES: usize = 1_000;

/// A snapshot on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Litter {
    /// The collection that it is of.
    pub collection: String,
    /// Its name on the server.
    pub snapshot: String,
}

/// What came of the snapshots that were noted.
#[derive(Debug, Default)]
pub struct Swept {
    /// Those that are gone from the server.
    pub removed: Vec<Litter>,
    /// Those that could not be removed, and why.
    pub left: Vec<(Litter, String)>,
}

impl Litter {
    fn path(&self, folder: &Path) -> PathBuf {
        let digest = Digest::of(format!("{}\n{}", self.collection, self.snapshot).as_bytes());
        folder.join(format!("{PREFIX}{digest}{ENDING}"))
    }

    /// Notes it in a bank's folder, before anything is done with it.
    pub(super) fn note(&self, folder: &Path) -> Result<(), BackupError> {
        let path = self.path(folder);
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        if written.is_err() {
            // On a full disk half a note would say nothing.
            let _ = fs::remove_file(&path);
        }
        written.map_err(at(&path))
    }

    /// Takes the note back: the snapshot is gone.
    pub(super) fn forget(&self, folder: &Path) -> Result<(), BackupError> {
        let path = self.path(folder);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::of(&path, error)),
            _ => Ok(()),
        }
    }

    /// Whether a server would name a snapshot of the collection so: a note that says otherwise is not ours.
    fn is_of(&self, collections: &[String]) -> bool {
        let named = |rest: &str| rest.starts_with('-') && rest.ends_with(".snapshot") && !rest.contains('/');
        collections.contains(&self.collection) && self.snapshot.strip_prefix(&self.collection).is_some_and(named)
    }
}

impl Repository {
    /// The snapshots that were noted and not taken back. What is no note is none.
    pub fn litter(&self) -> Result<Vec<Litter>, BackupError> {
        let mut found = Vec::new();
        for name in self.names()? {
            let path = self.folder().join(&name);
            let is_note = name.starts_with(PREFIX) && name.ends_with(ENDING);
            if !is_note || found.len() == MAX_NOTES {
                continue;
            }
            let Ok(about) = path.symlink_metadata() else { continue };
            if about.is_file() && about.len() <= MAX_NOTE {
                let text = fs::read(&path).map_err(at(&path))?;
                let litter = serde_json::from_slice::<Litter>(&text).ok();
                found.extend(litter.filter(|litter| litter.path(self.folder()) == path));
            }
        }
        Ok(found)
    }
}

/// Removes from a server what earlier runs had it make and did not remove: only what is noted, and only of these
/// collections. To be called while nobody writes a set.
pub async fn sweep(repository: &Repository, client: &Client, collections: &[String]) -> Result<Swept, BackupError> {
    let mut swept = Swept::default();
    for litter in repository.litter()? {
        if !litter.is_of(collections) {
            let why = format!("the bank has no collection {} by now, whose snapshot it is", litter.collection);
            swept.left.push((litter, why));
            continue;
        }
        match client.delete_snapshot(&litter.collection, &litter.snapshot).await {
            Err(error) if !QdrantError::is_missing(&error) => swept.left.push((litter, error.to_string())),
            _ => {
                litter.forget(repository.folder())?;
                swept.removed.push(litter);
            }
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_lasts_until_it_is_taken_back_and_none_is_believed_that_is_not_ours() {
        let volume = tempfile::tempdir().unwrap();
        let repository = Repository::new(volume.path(), "", "stores", "assistant");
        assert_eq!(repository.litter().unwrap(), []);
        fs::create_dir_all(repository.folder()).unwrap();
        let litter = |snapshot: &str| Litter { collection: "openmemory".to_owned(), snapshot: snapshot.to_owned() };
        let noted = litter("openmemory-7-2026-11-22-05-00-00.snapshot");
        noted.note(repository.folder()).unwrap();
        assert_eq!(repository.litter().unwrap(), std::slice::from_ref(&noted));
        // A note that was changed, and what only looks like one.
        let other = litter("openmemory-8.snapshot");
        fs::write(noted.path(repository.folder()), serde_json::to_vec(&other).unwrap()).unwrap();
        fs::write(repository.folder().join("snapshot-x.json"), serde_json::to_vec(&other).unwrap()).unwrap();
        assert_eq!(repository.litter().unwrap(), []);
        noted.forget(repository.folder()).unwrap();
        noted.forget(repository.folder()).unwrap();

        let ours = ["openmemory".to_owned()];
        assert!(noted.is_of(&ours) && other.is_of(&ours));
        for stranger in ["openmemory_entities-7.snapshot", "full.snapshot", "openmemory-7", "openmemory-/../x.snapshot"]
        {
            assert!(!litter(stranger).is_of(&ours), "{stranger}");
        }
        assert!(!noted.is_of(&["other".to_owned()]));
    }
}
