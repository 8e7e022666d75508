use std::io::{self, Read};
use std::ops::Range;

use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _};
use tokio::task::JoinSet;
use tokio_util::bytes::{Buf as _, Bytes};
use tokio_util::sync::CancellationToken;

use super::{Bucket, BucketError, wait};
use crate::bank::backup::error::BackupError;

/// How much is asked for at once. Two of these are held: one is read while the next comes.
const PIECE: u64 = 8 << 20;

/// An object that is read in pieces, all of one version of it.
pub(in crate::bank::backup) struct Download {
    bucket: Bucket,
    key: Path,
    tag: Option<String>,
    /// Where the piece after those that were asked for begins, and where the last one ends.
    left: Range<u64>,
    here: Bytes,
    coming: JoinSet<Result<Bytes, BackupError>>,
    stop: CancellationToken,
    /// What went wrong; it stays so.
    failed: Option<BucketError>,
}

impl Download {
    pub(super) fn new(bucket: Bucket, key: Path, tag: Option<String>, size: u64, stop: CancellationToken) -> Self {
        let (here, coming) = (Bytes::new(), JoinSet::new());
        Self { bucket, key, tag, left: 0..size, here, coming, stop, failed: None }
    }

    /// Asks for the next piece, where there is one.
    fn ask(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let end = self.left.end.min(self.left.start + PIECE);
        let range = self.left.start..end;
        self.left.start = end;
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let piece = async move {
            let got = bucket.store.get_opts(&key, options).await.map_err(bucket.told(&key))?;
            let most = range.end - range.start;
            let bytes = bucket.take(&key, got, most).await?;
            if (bytes.len() as u64) < most {
                return Err(bucket.wrong(&key, "the server breaks off in the middle of its answer"));
            }
            Ok(Bytes::from(bytes))
        };
        self.coming.spawn_on(piece, &self.bucket.runtime);
    }

    fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        if self.coming.is_empty() {
            self.ask();
        }
        let runtime = self.bucket.runtime.clone();
        let (stop, coming) = (&self.stop, &mut self.coming);
        let came = wait(&runtime, async {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(BackupError::Cancelled(crate::bank::Cancelled)),
                came = coming.join_next() => Ok(came),
            }
        });
        let Some(came) = came? else { return Ok(None) };
        let piece = came.map_err(|error| self.bucket.wrong(&self.key, format!("internal failure: {error}")))??;
        self.ask();
        Ok(Some(piece))
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failed) = &self.failed {
            return Err(io::Error::other(BackupError::Bucket(failed.clone())));
        }
        while self.here.is_empty() {
            match self.next() {
                Ok(Some(piece)) => self.here = piece,
                Ok(None) => return Ok(0),
                Err(error) => {
                    if let BackupError::Bucket(error) = &error {
                        self.failed = Some(error.clone());
                    }
                    return Err(io::Error::other(error));
                }
            }
        }
        let read = buffer.len().min(self.here.len());
        self.here.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
