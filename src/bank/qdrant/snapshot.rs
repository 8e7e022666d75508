//! Snapshots of a collection: files that the server makes, gives, takes and restores.

use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::call::Call;
use super::{Client, QdrantError};
use crate::bank::Meter;
use crate::bank::net::http::{broken, failure};
use crate::domain::Digest;

/// A snapshot that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its file name.
    pub name: String,
    /// When it was made, as the server writes it.
    #[serde(default)]
    pub creation_time: Option<String>,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of the file in hex; old servers and those that keep snapshots in S3 tell none.
    #[serde(default)]
    pub checksum: Option<String>,
}

impl Snapshot {
    /// The digest that the server told, where it did.
    pub fn digest(&self) -> Option<Digest> {
        self.checksum.as_deref().and_then(|text| text.parse().ok())
    }
}

/// A snapshot that came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// In bytes.
    pub size: u64,
    /// SHA-256 of what was written.
    pub digest: Digest,
}

/// How long the next piece of a file may take.
const PIECE: Duration = Duration::from_mins(1);
/// How long a snapshot may take to be sent and restored.
const RESTORE: Duration = Duration::from_hours(6);

const SNAPSHOT: &str = "snapshot of the collection";

impl Client {
    /// Has a snapshot made, and waits for it.
    pub async fn create_snapshot(&self, collection: &str) -> Result<Snapshot, QdrantError> {
        self.result(&Call::change(SNAPSHOT, Method::POST, vec!["collections", collection, "snapshots"])).await
    }

    /// The snapshots of a collection that the server keeps.
    pub async fn snapshots(&self, collection: &str) -> Result<Vec<Snapshot>, QdrantError> {
        self.result(&Call::get("list of snapshots", vec!["collections", collection, "snapshots"])).await
    }

    /// Removes a snapshot from the server.
    pub async fn delete_snapshot(&self, collection: &str, name: &str) -> Result<bool, QdrantError> {
        let path = vec!["collections", collection, "snapshots", name];
        self.result(&Call::change(SNAPSHOT, Method::DELETE, path)).await
    }

    /// Writes a snapshot to a new file. What is larger than `limit` bytes, is not what the server announced or
    /// breaks off leaves no file. The error is told within it where `meter` is cancelled.
    pub async fn download_snapshot(
        &self,
        collection: &str,
        snapshot: &Snapshot,
        to: &Path,
        limit: u64,
        meter: &Meter,
    ) -> Result<Downloaded, QdrantError> {
        let url = self.url(&["collections", collection, "snapshots", &snapshot.name], &[])?;
        let asked = tokio::time::timeout(PIECE, self.http.get(url).headers(self.headers()).send()).await;
        let late = || self.broken_off("does not go on with its answer within 60 s");
        let response = asked.map_err(|_| late())?;
        let response = response.map_err(|error| QdrantError::of(failure(&error, PIECE), self.place()))?;
        let response = self.answer(SNAPSHOT, response).await?;
        // It holds every memory: for nobody else.
        let file = File::options().write(true).create_new(true).mode(0o600).open(to).await;
        let file = file.map_err(|error| file_error("write", to, error))?;
        let taken = self.pour(response, file, to, limit, meter).await.and_then(|found| match snapshot.digest() {
            Some(expected) if expected != found.digest => Err(QdrantError::Checksum { expected, found: found.digest }),
            _ => Ok(found),
        });
        if taken.is_err() {
            // Half a snapshot is none; if it cannot be removed, its own error is told, not this one.
            let _ = tokio::fs::remove_file(to).await;
        }
        taken
    }

    async fn pour(
        &self,
        mut response: reqwest::Response,
        mut file: File,
        to: &Path,
        limit: u64,
        meter: &Meter,
    ) -> Result<Downloaded, QdrantError> {
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        loop {
            meter.check().map_err(|cancelled| file_error("write", to, io::Error::other(cancelled)))?;
            let piece = tokio::time::timeout(PIECE, response.chunk()).await;
            let piece = piece.map_err(|_| self.broken_off("does not go on with its answer within 60 s"))?;
            let piece = piece.map_err(|error| QdrantError::of(broken(&error, PIECE), self.place()))?;
            let Some(piece) = piece else { break };
            size += piece.len() as u64;
            if size > limit {
                return Err(QdrantError::TooLarge { place: self.place().to_owned(), what: SNAPSHOT, limit });
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(|error| file_error("write", to, error))?;
            meter.advance(piece.len() as u64);
        }
        file.sync_all().await.map_err(|error| file_error("write", to, error))?;
        Ok(Downloaded { size, digest: Digest::from_bytes(hash.finalize().into()) })
    }

    /// Sends a snapshot, which becomes the collection's content; the server compares the digest first.
    pub async fn upload_snapshot(&self, collection: &str, from: &Path, digest: &Digest) -> Result<bool, QdrantError> {
        let query =
            [("wait", "true".to_owned()), ("priority", "snapshot".to_owned()), ("checksum", digest.to_string())];
        let url = self.url(&["collections", collection, "snapshots", "upload"], &query)?;
        let file = File::open(from).await.map_err(|error| file_error("read", from, error))?;
        let size = file.metadata().await.map_err(|error| file_error("read", from, error))?.len();
        let part = Part::stream_with_length(Body::from(file), size).file_name("snapshot");
        let request = self.http.post(url).headers(self.headers()).multipart(Form::new().part("snapshot", part));
        let response = request.timeout(RESTORE).send().await;
        let response = response.map_err(|error| QdrantError::of(failure(&error, RESTORE), self.place()))?;
        self.done(self.answer(SNAPSHOT, response).await?).await
    }

    /// Has a collection restored from a snapshot that the server can reach under `location` (`file://`, `http://`);
    /// it compares the digest first.
    pub async fn recover_snapshot(
        &self,
        collection: &str,
        location: &str,
        digest: &Digest,
    ) -> Result<bool, QdrantError> {
        let path = vec!["collections", collection, "snapshots", "recover"];
        let body = json!({"location": location, "priority": "snapshot", "checksum": digest.to_string()});
        let call = Call::change(SNAPSHOT, Method::PUT, path);
        self.result(&Call { body: Some(body), patience: RESTORE, ..call }).await
    }

    async fn done(&self, response: reqwest::Response) -> Result<bool, QdrantError> {
        #[derive(Deserialize)]
        struct Done {
            result: bool,
        }
        let body = response.bytes().await.map_err(|error| QdrantError::of(broken(&error, RESTORE), self.place()))?;
        let done: Done = serde_json::from_slice(&body).map_err(|_| self.malformed(SNAPSHOT))?;
        Ok(done.result)
    }

    fn broken_off(&self, told: &str) -> QdrantError {
        QdrantError::Broken { place: self.place().to_owned(), told: told.to_owned() }
    }
}

fn file_error(what: &'static str, path: &Path, source: io::Error) -> QdrantError {
    QdrantError::File { what, path: path.display().to_string(), source }
}
