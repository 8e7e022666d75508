//! Whether a bank stands still.

use std::sync::Arc;
use std::time::Duration;

use super::sqlite_files;
use crate::bank::Meter;
use crate::bank::postgres::Activity;
use crate::bank::qdrant::Client;
use crate::bank::sqlite::Stand;
use crate::domain::{RunSpec, VectorStore};
use crate::runner::{Exchange, Runner};

/// How long nothing may have been written before a bank is looked at, and how long that is waited for.
pub(super) const QUIET: Duration = Duration::from_secs(2);
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(500);

/// What changes whenever somebody writes to the bank.
pub(super) struct Standing {
    files: Vec<Stand>,
    points: Option<u64>,
    /// Of a server, as far as it tells: what is written there is told a little later.
    servers: Vec<Option<Activity>>,
}

impl Standing {
    pub fn same(&self, other: &Self) -> bool {
        let open = self.servers.iter().flatten().any(|server| server.open > 0);
        !open
            && self.points == other.points
            && self.servers == other.servers
            && self.files.iter().zip(&other.files).all(|(one, other)| one.same(other))
    }
}

impl<E: Exchange> Runner<E> {
    /// Waits until nothing writes to the bank; how it stands then, or none where that did not come.
    pub(super) async fn quiet(
        &self,
        spec: &RunSpec,
        client: Option<&Client>,
        meter: &Arc<Meter>,
    ) -> Result<Option<Standing>, String> {
        let begun = std::time::Instant::now();
        let (mut since, mut last) = (begun, self.standing(spec, client).await);
        while since.elapsed() < QUIET {
            if begun.elapsed() > PATIENCE {
                return Ok(None);
            }
            let pause = meter.unless_cancelled(tokio::time::sleep(LOOK)).await;
            pause.map_err(|cancelled| cancelled.to_string())?;
            let now = self.standing(spec, client).await;
            if !now.same(&last) {
                (since, last) = (std::time::Instant::now(), now);
            }
        }
        Ok(Some(last))
    }

    pub(super) async fn standing(&self, spec: &RunSpec, client: Option<&Client>) -> Standing {
        let bank = &spec.bank;
        let files = sqlite_files(bank).into_iter().filter_map(|(_, place)| {
            let root = self.places.volume(&place.volume).ok()?;
            Some(Stand::look(root, &place.path))
        });
        let files = files.collect();
        let points = match (client, &bank.vector_store) {
            (Some(client), Some(VectorStore::Qdrant(endpoint))) => client.count(&endpoint.collection).await.ok(),
            _ => None,
        };
        Standing { files, points, servers: self.activity(spec).await }
    }
}
