use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::db::Tx;
use super::value::args;
use super::{Store, StoreError, blob_files};
use crate::domain::Digest;

/// The bytes of one row of `blob_chunks`.
const CHUNK: usize = 1 << 20;
/// zstd's own default: reports and manifests shrink to a fifth or less at hundreds of MB/s.
const ZSTD_LEVEL: i32 = 3;

/// Where the content of blobs lies.
#[derive(Clone, Debug)]
pub(super) enum BlobPlace {
    /// Files in this folder.
    Files(PathBuf),
    /// Rows of `blob_chunks`.
    Rows,
}

/// A blob whose content is ready; it exists once [`Staged::record`] is committed.
pub(super) struct Staged {
    pub digest: Digest,
    bytes: u64,
    packed_bytes: u64,
    /// What goes into rows; none where a file has it.
    packed: Option<Vec<u8>>,
}

impl Store {
    /// The largest blob, in bytes before compression.
    pub const MAX_BLOB: u64 = 512 << 20;

    /// Keeps some bytes under their digest. Putting the same bytes again is cheap to ask and mends a
    /// damaged copy. Bytes that nothing refers to are collected after a day ([`Store::apply_retention`]).
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let _writer = self.writer.lock().await;
        let staged = self.stage(bytes).await?;
        let mut tx = self.db.write().await?;
        staged.record(&mut tx, Timestamp::now()).await?;
        tx.commit().await?;
        Ok(staged.digest)
    }

    /// The bytes under a digest, verified; none where they are not there. What does not match its
    /// digest is an error ([`StoreError::Damaged`]), never handed out.
    pub async fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let mut tx = self.db.read().await?;
        let Some(row) =
            tx.row("SELECT bytes, packed_bytes FROM blobs WHERE digest = $1", args![digest.to_string()]).await?
        else {
            return Ok(None);
        };
        let bytes = row.count("bytes")?;
        let digest = *digest;
        let (packed, place) = match &self.blobs {
            BlobPlace::Files(folder) => {
                drop(tx);
                let (folder, place) = (folder.clone(), blob_files::place(folder, &digest));
                // One byte more than there should be, so that a longer file is seen.
                let limit = row.count("packed_bytes")? + 1;
                (blocking(move || blob_files::read(&folder, &digest, limit)).await?, place)
            }
            BlobPlace::Rows => {
                let sql = "SELECT data FROM blob_chunks WHERE digest = $1 ORDER BY seq";
                let rows = tx.rows(sql, args![digest.to_string()]).await?;
                let chunks: Result<Vec<Vec<u8>>, StoreError> = rows.iter().map(|row| row.bytes("data")).collect();
                (Some(chunks?.concat()), format!("{}, blob {digest}", tx.place()))
            }
        };
        let Some(packed) = packed else { return Err(StoreError::damaged(place, "the file is missing")) };
        blocking(move || unpack(&packed, bytes, &digest, &place)).await.map(Some)
    }

    /// How many bytes a blob has; none where it is not there.
    pub async fn blob_bytes(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.row("SELECT bytes FROM blobs WHERE digest = $1", args![digest.to_string()]).await?;
        row.map(|row| row.count("bytes")).transpose()
    }

    /// The newest output of each name that reports of this bank left.
    pub async fn outputs(&self, namespace: &str, bank: &str) -> Result<BTreeMap<String, Digest>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT name, digest FROM outputs WHERE namespace = $1 AND bank = $2";
        let rows = tx.rows(sql, args![namespace, bank]).await?;
        rows.iter().map(|row| Ok((row.text("name")?, row.parsed("digest", |text| text.parse().ok())?))).collect()
    }

    /// Compresses and hashes; where blobs are files, writes the file. The caller holds `writer`.
    pub(super) async fn stage(&self, bytes: Vec<u8>) -> Result<Staged, StoreError> {
        let size = bytes.len() as u64;
        if size > Self::MAX_BLOB {
            return Err(StoreError::TooLarge { bytes: size, limit: Self::MAX_BLOB });
        }
        let place = self.blobs.clone();
        blocking(move || {
            let digest = Digest::of(&bytes);
            let packed = zstd::bulk::compress(&bytes, ZSTD_LEVEL).map_err(|error| StoreError::io("zstd", &error))?;
            let packed_bytes = packed.len() as u64;
            let packed = match place {
                BlobPlace::Files(folder) => {
                    blob_files::write(&folder, &digest, &packed)?;
                    None
                }
                BlobPlace::Rows => Some(packed),
            };
            Ok(Staged { digest, bytes: size, packed_bytes, packed })
        })
        .await
    }
}

impl Staged {
    /// Makes the blob exist with the transaction.
    pub async fn record(&self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        let digest = self.digest.to_string();
        let sql = "INSERT INTO blobs (digest, bytes, packed_bytes, touched) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (digest) DO UPDATE SET packed_bytes = excluded.packed_bytes, touched = excluded.touched";
        tx.execute(sql, args![&digest, self.bytes, self.packed_bytes, now]).await?;
        let Some(packed) = &self.packed else { return Ok(()) };
        tx.execute("DELETE FROM blob_chunks WHERE digest = $1", args![&digest]).await?;
        for (seq, chunk) in (0_i64..).zip(packed.chunks(CHUNK)) {
            let sql = "INSERT INTO blob_chunks (digest, seq, data) VALUES ($1, $2, $3)";
            tx.execute(sql, args![&digest, seq, chunk.to_vec()]).await?;
        }
        Ok(())
    }
}

fn unpack(packed: &[u8], bytes: u64, digest: &Digest, place: &str) -> Result<Vec<u8>, StoreError> {
    let limit = usize::try_from(bytes.min(Store::MAX_BLOB)).unwrap_or(usize::MAX);
    let content = zstd::bulk::decompress(packed, limit).map_err(|error| StoreError::damaged(place, error))?;
    if Digest::of(&content) == *digest {
        Ok(content)
    } else {
        Err(StoreError::damaged(place, "its content does not have its digest"))
    }
}

/// Runs blocking work away from the asynchronous threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StoreError::Internal { place: "a blocking task".to_owned(), detail: error.to_string() })
    })
}
