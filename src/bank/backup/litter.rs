//! Notes of the snapshots that a backup had a server make: whatever kills the run, the next one knows which of the
//! server's snapshots are ours.

use serde::{Deserialize, Serialize};

use super::error::BackupError;
use super::repository::Repository;
use crate::bank::qdrant::{Client, QdrantError};
use crate::domain::Digest;

/// A note has this before and after the digest of what it says.
const PREFIX: &str = "snapshot-";
const ENDING: &str = ".json";

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
    fn name(&self) -> String {
        let digest = Digest::of(format!("{}\n{}", self.collection, self.snapshot).as_bytes());
        format!("{PREFIX}{digest}{ENDING}")
    }

    /// Notes it beside a bank's sets, before anything is done with it.
    pub(super) async fn note(&self, repository: &Repository) -> Result<(), BackupError> {
        repository.note(&self.name(), &serde_json::to_vec(self).unwrap_or_default()).await
    }

    /// Takes the note back: the snapshot is gone.
    pub(super) async fn forget(&self, repository: &Repository) -> Result<(), BackupError> {
        repository.forget(&self.name()).await
    }

    /// Whether a server would name a snapshot of the collection so: a note that says otherwise is not ours.
    fn is_of(&self, collections: &[String]) -> bool {
        let named = |rest: &str| rest.starts_with('-') && rest.ends_with(".snapshot") && !rest.contains('/');
        collections.contains(&self.collection) && self.snapshot.strip_prefix(&self.collection).is_some_and(named)
    }
}

impl Repository {
    /// The snapshots that were noted and not taken back. What is no note is none.
    pub async fn litter(&self) -> Result<Vec<Litter>, BackupError> {
        let notes = self.notes(|name| name.starts_with(PREFIX) && name.ends_with(ENDING)).await?;
        let read = |(name, text): (String, Vec<u8>)| {
            serde_json::from_slice::<Litter>(&text).ok().filter(|litter| litter.name() == name)
        };
        Ok(notes.into_iter().filter_map(read).collect())
    }
}

/// Removes from a server what earlier runs had it make and did not remove: only what is noted, and only of these
/// collections. To be called while nobody writes a set.
pub async fn sweep(repository: &Repository, client: &Client, collections: &[String]) -> Result<Swept, BackupError> {
    let mut swept = Swept::default();
    for litter in repository.litter().await? {
        if !litter.is_of(collections) {
            let why = format!("the bank has no collection {} by now, whose snapshot it is", litter.collection);
            swept.left.push((litter, why));
            continue;
        }
        match client.delete_snapshot(&litter.collection, &litter.snapshot).await {
            Err(error) if !QdrantError::is_missing(&error) => swept.left.push((litter, error.to_string())),
            _ => {
                litter.forget(repository).await?;
                swept.removed.push(litter);
            }
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_note_lasts_until_it_is_taken_back_and_none_is_believed_that_is_not_ours() {
        let volume = tempfile::tempdir().unwrap();
        let repository = Repository::folder(volume.path(), "", "stores", "assistant");
        assert_eq!(repository.litter().await.unwrap(), []);
        let folder = volume.path().join("stores/assistant");
        std::fs::create_dir_all(&folder).unwrap();
        let litter = |snapshot: &str| Litter { collection: "openmemory".to_owned(), snapshot: snapshot.to_owned() };
        let noted = litter("openmemory-7-2026-11-22-05-00-00.snapshot");
        noted.note(&repository).await.unwrap();
        assert_eq!(repository.litter().await.unwrap(), std::slice::from_ref(&noted));
        // A note that was changed, and what only looks like one.
        let other = litter("openmemory-8.snapshot");
        std::fs::write(folder.join(noted.name()), serde_json::to_vec(&other).unwrap()).unwrap();
        std::fs::write(folder.join("snapshot-x.json"), serde_json::to_vec(&other).unwrap()).unwrap();
        assert_eq!(repository.litter().await.unwrap(), []);
        noted.forget(&repository).await.unwrap();
        noted.forget(&repository).await.unwrap();

        let ours = ["openmemory".to_owned()];
        assert!(noted.is_of(&ours) && other.is_of(&ours));
        for stranger in ["openmemory_entities-7.snapshot", "full.snapshot", "openmemory-7", "openmemory-/../x.snapshot"]
        {
            assert!(!litter(stranger).is_of(&ours), "{stranger}");
        }
        assert!(!noted.is_of(&["other".to_owned()]));
    }
}
