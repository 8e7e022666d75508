//! Snapshots of a set, in collections beside those of the bank.

use super::trial::{Stop, Trial, fault, is};
use crate::bank::FolderSecrets;
use crate::bank::consistency::SqlSide;
use crate::bank::qdrant::{Client, QdrantError};
use crate::bank::recovery::{Temporary, leftovers};
use crate::domain::{CorruptionType, QdrantEndpoint, VectorStore};
use crate::engine::backup::{Part, PartKind};
use crate::engine::integrity::vectors::VECTORS;
use crate::runner::Exchange;
use crate::runner::backup::collections;

impl<E: Exchange> Trial<'_, E> {
    /// Restores each snapshot into a collection of its own, which is removed again.
    pub async fn collections(&self, rows: Option<&SqlSide>, run: &str) -> Result<Vec<String>, Stop> {
        let parts: Vec<_> = self.manifest.parts.iter().filter(|part| part.kind == PartKind::Vectors).collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let Some(VectorStore::Qdrant(endpoint)) = &self.spec.bank.vector_store else {
            return Err(Stop::Unknown("the set has a snapshot of Qdrant, and the bank declares none".to_owned()));
        };
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let client = Client::open(&self.spec.namespace, endpoint, &secrets).await.map_err(away)?;
        let mut told = Vec::new();
        for (component, collection, _) in collections(endpoint) {
            let Some(part) = parts.iter().find(|part| part.component == component) else { continue };
            told.extend(leftovers(&client, &collection).await.map_err(away)?);
            let snapshot = self.folder.join(&part.path);
            let restoring = Temporary::restore(&client, &collection, run, &snapshot, &part.sha256);
            let temporary = self.unless_cancelled(restoring).await?.map_err(|error| refused(part, error))?;
            let endpoint = QdrantEndpoint { collection: temporary.name().to_owned(), ..endpoint.clone() };
            let looked = async {
                let counted = self.counted(&client, part, temporary.name()).await?;
                if !is(part, VECTORS) {
                    return Ok(counted);
                }
                let store = VectorStore::Qdrant(endpoint.clone());
                let judged = Box::pin(self.judged(part, &store, &secrets)).await?;
                let compared = self.compared(rows, part, &store, &secrets).await?;
                Ok(format!("{counted}{judged}{compared}"))
            };
            let looked = looked.await;
            // Also of what was refused.
            told.extend(temporary.remove().await);
            told.push(looked?);
        }
        Ok(told)
    }

    async fn counted(&self, client: &Client, part: &Part, name: &str) -> Result<String, Stop> {
        let (found, put) = (client.count(name).await.map_err(away)?, part.points.unwrap_or_default());
        if found < put {
            let evidence = format!("restored, it holds {found} points, and {put} were counted when it was made");
            return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
        }
        Ok(format!("{}: {found} points", part.component))
    }
}

/// A server that cannot be asked says nothing against a set.
#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn away(error: QdrantError) -> Stop {
    Stop::Unknown(error.to_string())
}

/// A snapshot that the server does not restore: a set that is none, but for want of room or of a right.
fn refused(part: &Part, error: QdrantError) -> Stop {
    let full = |told: &str| ["space", "disk", "memory", "quota"].iter().any(|word| told.contains(word));
    match &error {
        QdrantError::Rejected { status: 400 | 500, told, .. } if !full(&told.to_ascii_lowercase()) => {
            fault(&part.path, CorruptionType::FileCorruption, error.to_string())
        }
        _ => away(error),
    }
}
