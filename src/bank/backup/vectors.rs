//! Has a server make a snapshot of a collection, takes it into a set, and has the server forget it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{BackupError, at};
use super::litter::Litter;
use super::pipe::{Counted, Passed};
use super::repository::Repository;
use super::seal::Recipients;
use super::sink::Sink;
use super::write::{BUFFER, Begun, SPARE_ROOM, part};
use crate::bank::Meter;
use crate::bank::qdrant::{Client, Downloaded, QdrantError, Snapshot};
use crate::bank::sqlite::free;
use crate::engine::backup::{Missing, Part, PartKind, snapshot_file};

/// How often the lock is looked after while a snapshot is made and fetched.
const LOOK: Duration = Duration::from_secs(30);
/// How often a snapshot is tried to be removed, how long that may take, and the wait before the second attempt.
const ATTEMPTS: u32 = 3;
const REMOVAL: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);
/// Where a snapshot is in scratch until it is stored, where it cannot go into the set at once.
const SCRATCH: &str = "collection.snapshot";

/// A collection that goes into a set.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// Its server.
    pub client: Client,
    /// Its name there.
    pub collection: String,
    /// What it is of the bank.
    pub component: &'static str,
    /// Whether the bank is whole without it.
    pub optional: bool,
}

/// Why a snapshot did not come.
enum Missed {
    /// The server has no such collection.
    Nowhere(String),
    /// As the server says, or what came from it.
    There(String),
    /// Something on this side, which ends the set.
    Here(BackupError),
}

impl From<QdrantError> for Missed {
    fn from(error: QdrantError) -> Self {
        match error {
            QdrantError::File { path, source, .. } => Self::Here(BackupError::of(Path::new(&path), source)),
            error => Self::There(error.to_string()),
        }
    }
}

/// A snapshot that came whole.
struct Fetched {
    points: u64,
    came: Downloaded,
}

impl Begun {
    /// Takes a snapshot of a collection into the set, or tells it missing. For people what was left on the server.
    pub async fn take(&mut self, vectors: Vectors, meter: &Arc<Meter>) -> Result<Option<String>, BackupError> {
        let Vectors { component, optional, .. } = vectors;
        let Some(path) = snapshot_file(&vectors.collection) else {
            let why = "the collection has a name that is too long for a file".to_owned();
            self.miss(Missing { component: component.to_owned(), why });
            return Ok(None);
        };
        // Not in plain in the repository, for a moment either; and in a bucket only once it came whole.
        let plain = self.order.recipients.is_empty();
        let place = if plain { self.partial.place(&path)? } else { None };
        let path = self.order.recipients.stored(path);
        let staged = place.is_none();
        let to = place.unwrap_or_else(|| self.order.scratch.join(SCRATCH));
        // A task of its own: where nobody waits for it any more, it still removes the snapshot.
        let notes = self.order.repository.clone();
        let mut fetching = tokio::spawn(fetch(vectors, to.clone(), notes, Arc::clone(meter)));
        let (fetched, left) = loop {
            tokio::select! {
                ended = &mut fetching => break ended.map_err(|error| BackupError::of(&to, io::Error::other(error)))?,
                () = tokio::time::sleep(LOOK) => self.lock.renew()?,
            }
        };
        meter.check()?;
        match fetched {
            Ok(Fetched { points, came: Downloaded { size, digest } }) => {
                let passed = if staged {
                    self.store(to, &path, size, meter).await?
                } else {
                    Passed { bytes: size, raw: None, stored_bytes: size, stored: digest }
                };
                let part = part(component, PartKind::Vectors, path, &passed);
                self.parts.push(Part { points: Some(points), ..part });
            }
            Err(Missed::Here(error)) => return Err(error),
            Err(Missed::Nowhere(_)) if optional => {}
            Err(Missed::Nowhere(why) | Missed::There(why)) => {
                // A file that no manifest names would be a fault of the set.
                match fs::remove_file(&to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::of(&to, error)),
                    _ => {}
                }
                self.miss(Missing { component: component.to_owned(), why });
            }
        }
        Ok(left)
    }
}

impl Begun {
    /// Takes a file of scratch into the set, encrypted where that is asked for.
    async fn store(&mut self, from: PathBuf, path: &str, size: u64, meter: &Arc<Meter>) -> Result<Passed, BackupError> {
        self.partial.room(size.saturating_add(SPARE_ROOM))?;
        let (sink, to) = self.partial.create(path, meter)?;
        let (recipients, shared) = (self.order.recipients.clone(), Arc::clone(meter));
        let mut storing = tokio::task::spawn_blocking(move || store(&from, sink, &to, &recipients, &shared));
        loop {
            tokio::select! {
                ended = &mut storing => {
                    return ended.map_err(|error| BackupError::of(Path::new(path), io::Error::other(error)))?;
                }
                () = tokio::time::sleep(LOOK) => self.lock.renew()?,
            }
        }
    }
}

/// Stores a file, and removes it.
fn store(from: &Path, to: Sink, name: &Path, recipients: &Recipients, meter: &Meter) -> Result<Passed, BackupError> {
    let mut plain = Counted::new(File::open(from).map_err(at(from))?);
    let mut sealing = recipients.seal(Counted::new(to)).map_err(at(name))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        meter.check()?;
        let read = plain.read(&mut buffer).map_err(at(from))?;
        if read == 0 {
            break;
        }
        sealing.write_all(&buffer[..read]).map_err(at(name))?;
    }
    let stored = sealing.finish().map_err(at(name))?;
    // Of what is stored as it is one digest is enough.
    let raw = (!recipients.is_empty()).then(|| plain.digest());
    let passed = Passed { bytes: plain.bytes, raw, stored_bytes: stored.bytes, stored: stored.digest() };
    stored.inner.finish().map_err(at(name))?;
    fs::remove_file(from).map_err(at(from))?;
    Ok(passed)
}

/// Fetches a snapshot that is counted before and after, and in every case removes it from the server; the second is
/// why that could not be done.
async fn fetch(
    vectors: Vectors,
    to: PathBuf,
    notes: Repository,
    meter: Arc<Meter>,
) -> (Result<Fetched, Missed>, Option<String>) {
    let Vectors { client, collection, .. } = vectors;
    let (before, snapshot) = match begin(&client, &collection).await {
        Ok(begun) => begun,
        Err(missed) => return (Err(missed), None),
    };
    let litter = Litter { collection: collection.clone(), snapshot: snapshot.name.clone() };
    let noted = litter.note(&notes).await;
    let came = match noted {
        Ok(()) => download(&client, &collection, &snapshot, &to, &meter).await,
        Err(error) => Err(Missed::Here(error)),
    };
    let removed = remove(&client, &collection, &snapshot).await;
    if removed.is_ok()
        && let Err(error) = litter.forget(&notes).await
    {
        tracing::warn!(%error, "the note of a snapshot that is gone could not be removed; Prune does");
    }
    let left = removed.err().map(|error| {
        format!(
            "the snapshot {} of {collection} could not be removed from the server, remove it: {error}",
            snapshot.name
        )
    });
    let fetched = async {
        let came = came?;
        let after = client.count(&collection).await?;
        Ok(Fetched { points: before.min(after), came })
    };
    (fetched.await, left)
}

async fn begin(client: &Client, collection: &str) -> Result<(u64, Snapshot), Missed> {
    let before = client.count(collection).await.map_err(|error| match error {
        error if error.is_missing() => Missed::Nowhere(error.to_string()),
        error => error.into(),
    })?;
    let shards = client.shards(collection).await?;
    let peers: BTreeSet<u64> = shards.shards.iter().map(|shard| shard.peer).collect();
    if peers.len() > 1 {
        let why = format!("the collection lies on {} servers, each of which makes a snapshot of its own", peers.len());
        return Err(Missed::There(format!("{why}: this version backs up none of several")));
    }
    Ok((before, client.create_snapshot(collection).await?))
}

async fn download(
    client: &Client,
    collection: &str,
    snapshot: &Snapshot,
    to: &Path,
    meter: &Meter,
) -> Result<Downloaded, Missed> {
    let folder = to.parent().unwrap_or(to);
    let free = free(folder).map_err(at(folder)).map_err(Missed::Here)?;
    let needed = snapshot.size.saturating_add(SPARE_ROOM);
    if free < needed {
        return Err(Missed::Here(BackupError::NoRoom { folder: folder.to_owned(), needed, free }));
    }
    meter.grow(snapshot.size);
    let came = client.download_snapshot(collection, snapshot, to, free - SPARE_ROOM, meter).await?;
    // All that an old server tells of it.
    if came.size != snapshot.size {
        let why = format!("{} bytes came of a snapshot of {}: look at the server's log", came.size, snapshot.size);
        return Err(Missed::There(why));
    }
    Ok(came)
}

/// Removes a snapshot from the server, whose disk it would fill.
async fn remove(client: &Client, collection: &str, snapshot: &Snapshot) -> Result<(), String> {
    let mut tries = 1;
    loop {
        let why = match tokio::time::timeout(REMOVAL, client.delete_snapshot(collection, &snapshot.name)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.is_missing() => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", REMOVAL.as_secs()),
        };
        if tries == ATTEMPTS {
            tracing::warn!(snapshot = snapshot.name, "a snapshot is left on the server: {why}");
            return Err(why);
        }
        tokio::time::sleep(PAUSE * tries).await;
        tries += 1;
    }
}
