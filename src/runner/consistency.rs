use std::sync::Arc;
use std::time::Duration;

use super::body::Body;
use super::copies::Copies;
use super::{Exchange, Runner};
use crate::bank::consistency::{Compared, Database, Settings, Shelf, SqlSide, StoredPoints, check_links, compare};
use crate::bank::embed::{self, Embedder};
use crate::bank::postgres::PostgresMemories;
use crate::bank::vectors::VectorSource;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Check, Flavor, Level, Output, Reason, RunSpec, SqlDatabase, VectorStore, Verdict};
use crate::engine::consistency::baseline::Share;
use crate::engine::consistency::{Fault, RepairPlan, Sampled};

/// How long a change may take to reach both sides of a bank.
pub(super) const GRACE: Duration = Duration::from_mins(1);
/// The check of the links of entities.
const ENTITIES: &str = "consistency-entities";
/// The output that says what would mend what was found.
pub(super) const PLAN: &str = "repair/plan";

/// No point has its turn.
const NOTHING: Share = Share::Percent(0);

/// How much of the points a level reads.
pub(super) const fn share(level: Level, percent: u8) -> Share {
    match level {
        Level::Quick => NOTHING,
        Level::Checksum => Share::Percent(percent),
        Level::Full => Share::All,
    }
}

/// Inputs and outputs of a run, as a comparison wants them.
pub(super) struct Outputs<'a, E>(pub &'a E);

impl<E: Exchange> Shelf for Outputs<'_, E> {
    async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.input(name).await.map_err(|error| error.to_string())
    }

    async fn keep(&self, name: String, bytes: Vec<u8>) -> Result<Output, String> {
        let digest = self.0.output(&name, bytes).await.map_err(|error| error.to_string())?;
        Ok(Output { name, digest })
    }
}

impl<E: Exchange> Runner<E> {
    /// Compares the memories of a bank with their points, and both with what they were.
    pub(super) async fn check_consistency(
        &self,
        spec: &RunSpec,
        share: Share,
        patience: Duration,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        if share == NOTHING
            && let Some(checks) = self.still(spec).await
        {
            body.checks.extend(checks);
            return Ok(());
        }
        let (side, store) = match self.sides(spec, copies, meter).await? {
            Ok(sides) => sides,
            Err(why) => {
                body.checks.push(Check::unknown(Fault::Missing.check(), Fault::Missing.component(), why));
                return Ok(());
            }
        };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let settings = Settings { share, grace: GRACE, patience };
        let points = match StoredPoints::memories(&spec.namespace, store, &secrets).await {
            Ok(points) => points,
            Err(why) => {
                body.checks.push(Check::unknown(Fault::Missing.check(), Fault::Missing.component(), why));
                return Ok(());
            }
        };
        let compared = compare(&side, points, &Outputs(&self.exchange), settings, meter).await;
        let plan = take(body, compared.map_err(|cancelled| cancelled.to_string())?);
        if let Some(plan) = plan {
            let bytes = serde_json::to_vec(&plan).map_err(|error| error.to_string())?;
            body.outputs.push(Outputs(&self.exchange).keep(PLAN.to_owned(), bytes).await?);
            if let Some(copied) = copies.database(&spec.bank, meter).await? {
                body.outputs.extend(self.made_of(&copied, &body.outputs).await?);
            }
        }
        match StoredPoints::entities(&spec.namespace, store, &secrets).await {
            Ok(entities) => {
                let links = check_links(&side, entities, settings, meter).await;
                let links = links.map_err(|cancelled| cancelled.to_string())?;
                body.checks.push(links.check);
                body.corruption.extend(links.corruption);
            }
            Err(why) => body.checks.push(Check::unknown(ENTITIES, Fault::Missing.component(), why)),
        }
        if share != NOTHING
            && let Some(embedding) = &spec.bank.embedding
        {
            let sampled = meter.unless_cancelled(self.sample(spec)).await.map_err(|cancelled| cancelled.to_string())?;
            let (check, event) = match sampled {
                Ok(sampled) => sampled.judge(&embedding.model),
                Err(why) => (Sampled::unknown(why), None),
            };
            body.checks.push(check);
            body.corruption.extend(event);
        }
        Ok(())
    }

    /// Compares some points with what the declared model makes of their texts. Errors are words for people.
    pub(super) async fn sample(&self, spec: &RunSpec) -> Result<Sampled, String> {
        let (Some(endpoint), Some(store)) = (&spec.bank.embedding, &spec.bank.vector_store) else {
            return Err("the bank declares no embedding".to_owned());
        };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let told = |error: &dyn std::error::Error| error.to_string();
        let mut embedder = Embedder::open(&spec.namespace, endpoint, &secrets).await.map_err(|error| told(&error))?;
        let source = VectorSource::open(&spec.namespace, store, &secrets).await.map_err(|error| told(&error))?;
        let collection = source.collection().await.map_err(|error| told(&error))?;
        embed::sample(&mut embedder, &source, &collection).await.map_err(|error| told(&error))
    }

    /// The task `ConsistencyCheck`: it has no scopes, so that what could not be measured is told for the whole.
    pub(super) async fn consistency_task(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        self.check_consistency(spec, Share::All, GRACE, copies, meter, body).await?;
        if let Some(check) = body.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            let why = format!("{} of {}: {}", check.id, check.component, check.detail);
            body.unmeasured = Some((Reason::NotMeasured, why));
        }
        Ok(())
    }

    /// The rows and the vector store of a bank, or for people why they cannot be compared.
    pub(super) async fn sides<'s>(
        &self,
        spec: &'s RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Result<(SqlSide, &'s VectorStore), String>, String> {
        let bank = &spec.bank;
        let Some(store) = &bank.vector_store else { return Ok(Err("the bank declares no vector store".to_owned())) };
        let place = match &bank.database {
            Some(SqlDatabase::Sqlite(place)) => place,
            Some(SqlDatabase::Postgres(_)) if bank.flavor == Flavor::Mem0Server => {
                let why = "the database of mem0's server has no memories: they are in the vector store alone";
                return Ok(Err(why.to_owned()));
            }
            Some(SqlDatabase::Postgres(endpoint)) => {
                let secrets = FolderSecrets::new(&self.places.secrets);
                let memories = PostgresMemories::of(endpoint, (&spec.namespace, &secrets), None).await;
                return Ok(memories.map(|memories| (SqlSide::Postgres(memories), store)));
            }
            None => return Ok(Err("the bank declares no database".to_owned())),
        };
        let Some(copied) = copies.database(bank, meter).await? else {
            return Ok(Err("the bank declares no database".to_owned()));
        };
        let Some(copy) = &copied.copy else {
            let why = copied.checks.iter().find(|check| check.verdict != Verdict::Passed);
            return Ok(Err(why.map_or_else(|| "no copy of the database".to_owned(), |check| check.detail.clone())));
        };
        Ok(self.places.volume(&place.volume).map(|root| {
            let (root, path, scratch) = (root.to_owned(), place.path.clone(), self.places.scratch.clone());
            let database = Database { copy: copy.path(), copied: copied.at, root, path, scratch };
            (SqlSide::Sqlite(database), store)
        }))
    }
}

/// Takes what a comparison found; the plan, where everything was compared.
fn take(body: &mut Body, compared: Compared) -> Option<RepairPlan> {
    let whole = compared.checks.iter().all(|check| check.verdict != Verdict::Unknown);
    if let Some(covered) = compared.coverage_percent {
        body.coverage_percent = Some(body.coverage_percent.map_or(covered, |before| before.min(covered)));
    }
    body.checks.extend(compared.checks);
    body.corruption.extend(compared.corruption);
    body.outputs.extend(compared.outputs);
    whole.then_some(compared.plan)
}
