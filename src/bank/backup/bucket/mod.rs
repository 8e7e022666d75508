//! The sets of one bank in a bucket of S3, or of a server that speaks its protocol.
//!
//! `object_store` signs, retries and takes answers apart; the HTTP client is ours, so that it trusts whom we trust and calls
//! whom we call.

mod download;
mod lock;
mod open;
mod told;
mod unfinished;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion,
};
use tokio::runtime::Handle;
use tokio_util::bytes::Bytes;

use super::error::BackupError;
use super::repository::{MAX_ENTRIES, MAX_NOTE, MAX_NOTES};
use crate::bank::Meter;
use crate::engine::backup::{MANIFEST, SetName};

pub use told::BucketError;

pub(super) use download::Download;
pub(super) use lock::BucketLock;
pub(super) use unfinished::Unfinished;
pub(super) use upload::Upload;

/// The most keys that are looked at under one name: beyond, a listing would not end.
const MAX_KEYS: usize = 1_000_000;

/// A place in a bucket: that of a bank's sets, or of one set. Names are within it.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    runtime: Handle,
    /// The bucket and its server, for people.
    place: Arc<str>,
    base: Path,
}

/// Without what it is opened with.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.place, self.base)
    }
}

impl Bucket {
    /// The place of this name in it.
    pub(super) fn within(&self, name: &str) -> Self {
        Self { base: self.base.clone().join(name), ..self.clone() }
    }

    /// Waits for something, on a thread that may block.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        wait(&self.runtime, work)
    }

    /// Names of ours have no character that a key would have to be written otherwise for.
    fn key(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.base))
    }

    /// The name of a key that is in it.
    fn name<'a>(&self, key: &'a Path) -> Option<&'a str> {
        key.as_ref().strip_prefix(self.base.as_ref())?.strip_prefix('/')
    }

    fn told<'a>(&'a self, key: &'a Path) -> impl FnOnce(Error) -> BackupError + 'a {
        |error| BucketError::of(&self.place, key, &error).into()
    }

    fn wrong(&self, key: &Path, told: impl Into<String>) -> BackupError {
        BucketError::new(&self.place, key, told).into()
    }

    /// A bug of ours: what belongs to a folder was given in its place.
    pub(super) fn lost(&self) -> BackupError {
        self.wrong(&self.base, "internal failure: the lock is that of a folder")
    }

    /// The names of all sets: those with a manifest.
    pub(super) async fn sets(&self) -> Result<Vec<SetName>, BackupError> {
        let scanned = self.scan().await?;
        Ok(scanned.into_iter().filter(|(_, whole)| *whole).map(|(name, _)| name).collect())
    }

    /// All that has the name of a set, and whether it is one.
    async fn scan(&self) -> Result<BTreeMap<SetName, bool>, BackupError> {
        let mut found = BTreeMap::new();
        let mut listed = self.store.list(Some(&self.base));
        let mut keys = 0;
        while let Some(object) = listed.try_next().await.map_err(self.told(&self.base))? {
            keys += 1;
            let Some((set, path)) = self.name(&object.location).and_then(|name| name.split_once('/')) else { continue };
            if let Ok(set) = set.parse::<SetName>() {
                *found.entry(set).or_default() |= path == MANIFEST;
            }
            if keys > MAX_KEYS || found.len() > MAX_ENTRIES {
                // What was not seen to its end would look as if it had no manifest.
                return Err(
                    self.wrong(&self.base, format!("there are more than {keys} keys: remove what is none of ours"))
                );
            }
        }
        Ok(found)
    }

    /// Removes what has the name of a set and is none: it was never finished, or not removed to its end.
    pub(super) async fn clean(&self) -> Result<(), BackupError> {
        for (set, whole) in self.scan().await? {
            let place = self.within(&set.to_string());
            // A listing may be older than what it lists.
            if !whole && !place.has(MANIFEST).await? {
                tracing::info!(set = %set, "removed the beginning of a set that was never finished");
                place.delete_all("").await?;
            }
        }
        Ok(())
    }

    /// Removes a set: the manifest first, for without it there is none. What a crash leaves the next run removes.
    pub(super) async fn remove(&self, name: &SetName) -> Result<(), BackupError> {
        let place = self.within(&name.to_string());
        place.delete(MANIFEST).await?;
        place.delete_all("").await
    }

    /// Whether there is an object of this name.
    async fn has(&self, name: &str) -> Result<bool, BackupError> {
        let key = self.key(name);
        match self.store.head(&key).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.told(&key)(error)),
        }
    }

    /// How large each object in it is, by its name; for people, why that is none of a set where there are more than `most`.
    pub(super) async fn sizes(&self, most: usize) -> Result<Result<BTreeMap<String, u64>, String>, BackupError> {
        let mut sizes = BTreeMap::new();
        let mut listed = self.store.list(Some(&self.base));
        while let Some(object) = listed.try_next().await.map_err(self.told(&self.base))? {
            let Some(name) = self.name(&object.location) else { continue };
            if sizes.len() == most {
                return Ok(Err(name.to_owned()));
            }
            sizes.insert(name.to_owned(), object.size);
        }
        Ok(Ok(sizes))
    }

    /// Begins to read an object; none where it is not there.
    pub(super) async fn open_object(&self, name: &str, meter: &Meter) -> Result<Option<(Download, u64)>, BackupError> {
        let key = self.key(name);
        match self.store.head(&key).await {
            Ok(about) => {
                let size = about.size;
                Ok(Some((Download::new(self.clone(), key, about.e_tag, size, meter.stop()), size)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.told(&key)(error)),
        }
    }

    /// A whole small object, and which version of it; none where it is not there, or is larger than `most` bytes.
    pub(super) async fn read(&self, name: &str, most: u64) -> Result<Option<(Vec<u8>, UpdateVersion)>, BackupError> {
        let key = self.key(name);
        let got = match self.store.get_opts(&key, GetOptions::default()).await {
            Err(error) if is_missing(&error) => return Ok(None),
            other => other.map_err(self.told(&key))?,
        };
        if got.meta.size > most {
            return Ok(None);
        }
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        let bytes = self.take(&key, got, most).await?;
        Ok(Some((bytes, version)))
    }

    /// Not a byte more than was announced, whatever comes.
    async fn take(&self, key: &Path, got: GetResult, most: u64) -> Result<Vec<u8>, BackupError> {
        let mut pieces = got.into_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(self.told(key))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > most {
                return Err(self.wrong(key, "more comes of it than the server announced"));
            }
        }
        Ok(bytes)
    }

    /// Writes a small object, whatever is there.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        let key = self.key(name);
        let put = self.store.put(&key, PutPayload::from(Bytes::from(bytes))).await;
        put.map(drop).map_err(self.told(&key))
    }

    /// Writes a small object where what is there is as `mode` has it; none where it is not.
    async fn put_if(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<Option<UpdateVersion>, BackupError> {
        let key = self.key(name);
        match self.store.put_opts(&key, PutPayload::from(Bytes::from(bytes)), mode.into()).await {
            Ok(put) => Ok(Some(UpdateVersion { e_tag: put.e_tag, version: put.version })),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(None),
            Err(error) => Err(self.told(&key)(error)),
        }
    }

    /// Removes an object, where it is there.
    pub(super) async fn delete(&self, name: &str) -> Result<(), BackupError> {
        let key = self.key(name);
        match self.store.delete(&key).await {
            Err(error) if !is_missing(&error) => Err(self.told(&key)(error)),
            _ => Ok(()),
        }
    }

    /// Removes all objects under a name; of this very place where it is empty.
    async fn delete_all(&self, name: &str) -> Result<(), BackupError> {
        let base = if name.is_empty() { self.base.clone() } else { self.key(name) };
        let listed = self.store.list(Some(&base)).map_ok(|object| object.location).take(MAX_KEYS).boxed();
        let removed = self.store.delete_stream(listed).try_for_each(|_| async { Ok(()) }).await;
        removed.map_err(self.told(&base))
    }

    /// Objects beside the sets whose names are of a kind, with what they say.
    pub(super) async fn notes(&self, kind: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, BackupError> {
        let listed = self.store.list_with_delimiter(Some(&self.base)).await.map_err(self.told(&self.base))?;
        let names = listed.objects.iter().filter_map(|object| self.name(&object.location)).filter(|name| kind(name));
        let mut found = Vec::new();
        for name in names.take(MAX_NOTES) {
            found.extend(self.read(name, MAX_NOTE).await?.map(|(text, _)| (name.to_owned(), text)));
        }
        Ok(found)
    }
}

/// Waits for something, also within what is waited for by the runtime: rows come by a server while they are written here.
fn wait<T>(runtime: &Handle, work: impl Future<Output = T>) -> T {
    let _within = runtime.enter();
    futures::executor::block_on(tokio::task::unconstrained(work))
}

/// Whether an object is not there. A bucket that is not there is another matter.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && told::code(error).is_none_or(|code| code != "NoSuchBucket")
}
