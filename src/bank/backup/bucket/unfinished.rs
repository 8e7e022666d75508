use std::sync::Arc;

use object_store::PutMode;

use super::lock::Shared;
use super::{Bucket, Upload};
use crate::bank::Meter;
use crate::bank::backup::error::BackupError;
use crate::engine::backup::MANIFEST;

/// A set that is being written: objects under its name, and no manifest. What is not kept goes when the lock is given up.
#[derive(Debug)]
pub(in crate::bank::backup) struct Unfinished {
    bucket: Bucket,
    lock: Arc<Shared>,
}

impl Unfinished {
    pub(super) const fn new(bucket: Bucket, lock: Arc<Shared>) -> Self {
        Self { bucket, lock }
    }

    /// A new object in it.
    pub fn create(&self, path: &str, meter: &Meter) -> Result<Upload, BackupError> {
        meter.check()?;
        Ok(Upload::new(self.bucket.clone(), self.bucket.key(path), Arc::clone(&self.lock), meter.stop()))
    }

    /// Removes all that was put under a path. Blocks.
    pub fn discard(&self, path: &str) -> Result<(), BackupError> {
        self.bucket.wait(async {
            self.lock.end_uploads().await?;
            self.bucket.delete_all(path).await
        })
    }

    /// Puts the manifest, which makes it a set, where there is none. Blocks.
    pub fn keep(&self, manifest: &[u8]) -> Result<(), BackupError> {
        self.bucket.wait(async {
            let put = self.bucket.put_if(MANIFEST, manifest.to_vec(), PutMode::Create).await;
            // Where an answer was lost on its way, a second attempt meets what the first has put.
            let ours = if let Ok(Some(_)) = put {
                true
            } else {
                let there = self.bucket.read(MANIFEST, manifest.len() as u64).await;
                matches!(there, Ok(Some((there, _))) if there == manifest)
            };
            if !ours {
                put?;
                return Err(self.bucket.wrong(&self.bucket.key(MANIFEST), "another run has put it"));
            }
            // Who was stopped between the proof and this, for longer than a lock is good for, has made half a set.
            if let Err(lost) = self.lock.renew().await {
                self.bucket.delete(MANIFEST).await?;
                return Err(lost);
            }
            self.lock.kept();
            Ok(())
        })
    }
}
