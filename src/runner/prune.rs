use std::sync::Arc;

use jiff::Timestamp;

use super::backup::{REPOSITORY, collections};
use super::body::Body;
use super::copies::{Copies, blocking};
use super::{Exchange, Runner};
use crate::bank::backup::{self, Repository};
use crate::bank::qdrant::Client;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Check, Pruning, Reason, RestoreVerdict, Retention, RunSpec, VectorStore};
use crate::engine::integrity::vectors::VECTORS;

/// The checks that nothing is left which nobody keeps.
const SETS: &str = "backup-sets-pruned";
const SNAPSHOTS: &str = "snapshots-pruned";

impl<E: Exchange> Runner<E> {
    /// Removes what nobody keeps: sets of the bank's own repository, snapshots that backups left on its vector server, then
    /// records of the bank itself.
    pub(super) async fn prune(
        &self,
        spec: &RunSpec,
        pruning: &Pruning,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let mut verified = None;
        match self.repository(&spec.namespace, &spec.bank).await {
            Ok(repository) => {
                verified = self.prune_sets(&repository, &pruning.retention, copies, meter, body).await?;
                self.prune_snapshots(spec, &repository, body).await?;
            }
            Err(why) => {
                body.checks.push(Check::unknown(SETS, REPOSITORY, &why));
                body.unmeasured = Some((Reason::NotMeasured, why));
            }
        }
        match &pruning.purge {
            Some(purge) => self.purge(spec, purge, verified, meter, body).await,
            None => Ok(()),
        }
    }

    /// Removes the sets that no retention keeps; when the newest was begun that is verified still, and has all of its parts.
    async fn prune_sets(
        &self,
        repository: &Repository,
        retention: &[Retention],
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<Option<Timestamp>, String> {
        let mut verified = self.verified_sets(copies).await?;
        let told = |error: super::ExchangeError| error.to_string();
        let restored = self.exchange.input(RestoreVerdict::OUTPUT).await.map_err(told)?;
        let restored: Option<RestoreVerdict> = restored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let proven = restored.and_then(|verdict| verdict.restored).map(|restored| restored.set);
        let newest = self.latest_set(copies).await?.map(|latest| latest.set);
        let always: Vec<String> = proven.into_iter().chain(newest).collect();
        let (folder, run, known) = (repository.clone(), copies.uid.clone(), verified.clone());
        let (keep, shared) = (retention.to_vec(), Arc::clone(meter));
        let pruned = blocking(move || backup::prune(&folder, &run, (&known, &always), &keep, &shared)).await?;
        let pruned = pruned.map_err(|error| error.to_string())?;
        for name in &pruned.removed {
            tracing::info!(set = %name, "removed a set that no retention keeps");
            verified.remove(&name.to_string());
        }
        if !pruned.removed.is_empty() {
            self.leave_verified(verified, copies, body).await?;
        }
        let removed = pruned.removed.len();
        let detail = match (retention, pruned.verified) {
            ([], _) => format!("no policy of this bank has a retention: all {} sets stay", pruned.kept),
            (_, 0) => format!("no set is verified: all {} stay", pruned.kept),
            (_, verified) => format!("{removed} sets removed, {} stay, {verified} of them verified", pruned.kept),
        };
        if pruned.lacks.is_empty() {
            body.checks.push(Check::passed(SETS, REPOSITORY, &detail));
        } else {
            let lacks = pruned.lacks.join("; ");
            let why =
                format!("{lacks}: put back what is gone, or remove that set; until then it counts as not verified");
            body.checks.push(Check::unknown(SETS, REPOSITORY, &why));
            body.unmeasured = Some((Reason::NotMeasured, why));
        }
        body.done.push(detail);
        Ok(pruned.newest)
    }

    /// Removes from the vector server the snapshots that backups noted as theirs and left there.
    async fn prune_snapshots(&self, spec: &RunSpec, repository: &Repository, body: &mut Body) -> Result<(), String> {
        let Some(VectorStore::Qdrant(endpoint)) = &spec.bank.vector_store else { return Ok(()) };
        if repository.litter().await.map_err(|error| error.to_string())?.is_empty() {
            body.checks.push(Check::passed(SNAPSHOTS, VECTORS, "no backup left a snapshot on the server"));
            return Ok(());
        }
        let mut unmeasured = |why: String| {
            body.checks.push(Check::unknown(SNAPSHOTS, VECTORS, &why));
            body.unmeasured = Some((Reason::NotMeasured, why));
        };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let client = match Client::open(&spec.namespace, endpoint, &secrets).await {
            Ok(client) => client,
            Err(error) => {
                unmeasured(error.to_string());
                return Ok(());
            }
        };
        let collections = collections(endpoint).map(|(_, collection, _)| collection);
        let swept = backup::sweep(repository, &client, &collections).await.map_err(|error| error.to_string())?;
        let detail = format!("{} snapshots that backups left removed from the server", swept.removed.len());
        match swept.left.first() {
            None => {
                body.checks.push(Check::passed(SNAPSHOTS, VECTORS, &detail));
                body.done.push(detail);
            }
            Some((first, why)) => {
                let (left, name) = (swept.left.len(), &first.snapshot);
                unmeasured(format!("{detail}, {left} stay, such as {name}: {why}"));
            }
        }
        Ok(())
    }
}
