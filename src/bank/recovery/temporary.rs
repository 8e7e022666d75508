use std::path::Path;
use std::time::Duration;

use crate::bank::qdrant::{Client, QdrantError};
use crate::domain::Digest;

/// How often the removal is tried, how long that may take, and the wait before the second attempt.
const ATTEMPTS: u32 = 3;
const REMOVAL: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);
/// Between the name of the bank's collection and what is of the run.
const MARK: &str = "-memorybank-restore-";
/// How many hex digits of the SHA-256 of a run's uid a name has.
const RUN: usize = 8;

/// A collection beside the bank's own, for a snapshot to be looked at before it counts. It is removed whatever happens;
/// what a killed run leaves, the next one removes by its name ([`leftovers`]).
#[derive(Debug)]
pub struct Temporary {
    client: Client,
    name: String,
    removed: bool,
}

impl Temporary {
    /// Restores a snapshot into a collection of a name of this run.
    pub async fn restore(
        client: &Client,
        collection: &str,
        run: &str,
        snapshot: &Path,
        digest: &Digest,
    ) -> Result<Self, QdrantError> {
        let run = Digest::of(run.as_bytes()).to_string();
        let name = format!("{collection}{MARK}{}", &run[..RUN]);
        let temporary = Self { client: client.clone(), name, removed: false };
        match client.upload_snapshot(&temporary.name, snapshot, digest).await {
            Ok(_) => Ok(temporary),
            Err(error) => {
                // A restore that failed may leave half a collection, on which a server may not start again.
                if let Some(why) = temporary.remove().await {
                    tracing::warn!("{why}");
                }
                Err(error)
            }
        }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it; for people, why it could not be.
    pub async fn remove(mut self) -> Option<String> {
        self.removed = true;
        remove(&self.client, &self.name).await
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let (client, name) = (self.client.clone(), self.name.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove(&client, &name).await });
        }
    }
}

/// Removes what earlier runs left of temporary collections beside one; for people, what could not be removed.
pub async fn leftovers(client: &Client, collection: &str) -> Result<Vec<String>, QdrantError> {
    let ours = |name: &String| {
        let run = name.strip_prefix(collection).and_then(|rest| rest.strip_prefix(MARK));
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        run.is_some_and(|run| run.len() == RUN && run.bytes().all(hex))
    };
    let mut left = Vec::new();
    for name in client.collections().await?.into_iter().filter(ours) {
        left.extend(remove(client, &name).await);
    }
    Ok(left)
}

async fn remove(client: &Client, name: &str) -> Option<String> {
    let mut tries = 1;
    loop {
        let why = match tokio::time::timeout(REMOVAL, client.delete_collection(name)).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) if error.is_missing() => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", REMOVAL.as_secs()),
        };
        if tries == ATTEMPTS {
            return Some(format!("the temporary collection {name} could not be removed, remove it: {why}"));
        }
        tokio::time::sleep(PAUSE * tries).await;
        tries += 1;
    }
}
