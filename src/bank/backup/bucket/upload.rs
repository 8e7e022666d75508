use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::lock::{Noted, Shared};
use super::{Bucket, wait};
use crate::bank::Cancelled;
use crate::bank::backup::error::BackupError;

/// The size of a part but the last; what is smaller is put at once. Servers ask for 5 MiB, and some for equal parts.
const PART: usize = 16 << 20;
/// How many parts are on their way at once, beside the one that is filled.
const FLYING: usize = 2;
/// The most parts that servers take.
const MAX_PARTS: usize = 10_000;
/// A file that is smaller gets no room for a whole part.
const SMALL: usize = 1 << 20;

/// A new object, written as it comes: what is large goes in parts. It is none until it is finished; what was not, ends who
/// gives the lock up or takes it over, which names it.
pub(in crate::bank::backup) struct Upload {
    bucket: Bucket,
    key: Path,
    lock: Arc<Shared>,
    stop: CancellationToken,
    part: Vec<u8>,
    begun: Option<Noted>,
    sent: usize,
    flying: JoinSet<Result<(usize, PartId), BackupError>>,
    done: Vec<(usize, PartId)>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}, {} parts sent", self.bucket, self.key, self.sent)
    }
}

impl Upload {
    pub(super) fn new(bucket: Bucket, key: Path, lock: Arc<Shared>, stop: CancellationToken) -> Self {
        let (part, flying, done) = (Vec::new(), JoinSet::new(), Vec::new());
        Self { bucket, key, lock, stop, part, begun: None, sent: 0, flying, done }
    }

    /// Ends it: from then on it is there. Blocks.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let (runtime, stop) = (self.bucket.runtime.clone(), self.stop.clone());
        wait(
            &runtime,
            unless(&stop, async {
                let Some(noted) = self.begun.clone() else {
                    let whole = PutPayload::from(Bytes::from(std::mem::take(&mut self.part)));
                    let put = self.bucket.store.put(&self.key, whole).await;
                    return put.map(drop).map_err(self.bucket.told(&self.key));
                };
                if !self.part.is_empty() {
                    self.send().await?;
                }
                while !self.flying.is_empty() {
                    self.land().await?;
                }
                self.done.sort_by_key(|(number, _)| *number);
                let parts = std::mem::take(&mut self.done).into_iter().map(|(_, part)| part).collect();
                let ended = self.bucket.store.complete_multipart(&self.key, &noted.id, parts).await;
                ended.map_err(self.bucket.told(&self.key))?;
                self.lock.forget(&noted).await
            }),
        )
    }

    /// Sends the part that is full, and waits while too many are on their way.
    async fn send(&mut self) -> Result<(), BackupError> {
        let noted = match &self.begun {
            Some(noted) => noted.clone(),
            None => self.begin().await?,
        };
        if self.sent == MAX_PARTS {
            let most = MAX_PARTS * PART / 1_000_000_000;
            return Err(self
                .bucket
                .wrong(&self.key, format!("it is larger than the {most} GB that an object can be here")));
        }
        while self.flying.len() >= FLYING {
            self.land().await?;
        }
        let payload = PutPayload::from(Bytes::from(std::mem::take(&mut self.part)));
        let (bucket, key, number) = (self.bucket.clone(), self.key.clone(), self.sent);
        self.sent += 1;
        self.flying.spawn(async move {
            let put = bucket.store.put_part(&key, &noted.id, number, payload).await;
            put.map(|part| (number, part)).map_err(bucket.told(&key))
        });
        Ok(())
    }

    /// Begins it, and notes it before anything is stored that would have to be paid for.
    async fn begin(&mut self) -> Result<Noted, BackupError> {
        let id: MultipartId =
            self.bucket.store.create_multipart(&self.key).await.map_err(self.bucket.told(&self.key))?;
        let noted = Noted { key: self.key.to_string(), id };
        self.begun = Some(noted.clone());
        self.lock.note(noted.clone()).await?;
        Ok(noted)
    }

    /// Waits for a part.
    async fn land(&mut self) -> Result<(), BackupError> {
        let Some(landed) = self.flying.join_next().await else { return Ok(()) };
        let part = landed.map_err(|error| self.bucket.wrong(&self.key, format!("internal failure: {error}")))??;
        self.done.push(part);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART - self.part.len());
        let full = self.part.len() + taken;
        if full > SMALL && self.part.capacity() < PART {
            self.part.reserve_exact(PART - self.part.len());
        }
        self.part.extend_from_slice(&bytes[..taken]);
        if full == PART {
            let (runtime, stop) = (self.bucket.runtime.clone(), self.stop.clone());
            wait(&runtime, unless(&stop, self.send())).map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn unless<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, BackupError>>,
) -> Result<T, BackupError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Cancelled.into()),
        done = work => done,
    }
}
