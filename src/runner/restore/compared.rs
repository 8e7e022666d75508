//! What was restored of a bank, held against itself and against what the living one is known to be.

use std::time::Duration;

use super::trial::{Stop, Trial, fault};
use crate::bank::Secrets;
use crate::bank::consistency::{Settings, Shelf, SqlSide, StoredPoints, compare};
use crate::domain::{Bank, CorruptionEvent, CorruptionType, Digest, Level, Output, VectorStore, Verdict};
use crate::engine::backup::Part;
use crate::engine::consistency::RepairPlan;
use crate::engine::consistency::baseline::Share;
use crate::engine::recovery::excess;
use crate::runner::Exchange;
use crate::runner::body::Body;
use crate::runner::consistency::{Outputs, PLAN};
use crate::runner::vectors::check_store;

/// The baseline of the living bank, of which nothing is changed.
struct ReadOnly<'a, E>(&'a E);

impl<E: Exchange> Shelf for ReadOnly<'_, E> {
    async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Outputs(self.0).load(name).await
    }

    async fn keep(&self, name: String, bytes: Vec<u8>) -> Result<Output, String> {
        Ok(Output { name, digest: Digest::of(&bytes) })
    }
}

impl<E: Exchange> Trial<'_, E> {
    /// Reads every restored point.
    pub async fn judged(&self, part: &Part, store: &VectorStore, secrets: &impl Secrets) -> Result<String, Stop> {
        let bank = Bank { vector_store: Some(store.clone()), ..self.spec.bank.clone() };
        let mut body = Body::default();
        let held = (self.spec.namespace.as_str(), secrets);
        let checking = check_store(held, &bank, Level::Full, self.meter, &mut body);
        Box::pin(self.unless_cancelled(checking)).await?.map_err(Stop::Broken)?;
        // What only a writer can have done is the bank's own state.
        let broken = |event: &&CorruptionEvent| event.corruption_type == CorruptionType::FileCorruption;
        if let Some(event) = body.corruption.iter().find(broken) {
            let evidence = format!("restored, {}: {}", event.object, event.evidence);
            return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
        }
        match body.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            Some(check) => Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail))),
            None => Ok(", each read".to_owned()),
        }
    }

    /// Holds the restored rows and points against each other, and both against what the living ones are known to be.
    pub async fn compared(
        &self,
        rows: Option<&SqlSide>,
        part: &Part,
        store: &VectorStore,
        secrets: &impl Secrets,
    ) -> Result<String, Stop> {
        let Some(rows) = rows else { return Ok(String::new()) };
        let points = StoredPoints::memories(&self.spec.namespace, store, secrets).await.map_err(Stop::Unknown)?;
        let settings = Settings { share: Share::All, grace: Duration::ZERO, patience: Duration::ZERO };
        let shelf = ReadOnly(&self.runner.exchange);
        let compared = compare(rows, points, &shelf, settings, self.meter).await;
        let compared = compared.map_err(|cancelled| Stop::Broken(cancelled.to_string()))?;
        if let Some(check) = compared.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            return Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail)));
        }
        let silent = |event: &&CorruptionEvent| event.corruption_type == CorruptionType::ChecksumMismatch;
        if let Some(event) = compared.corruption.iter().find(silent) {
            let evidence = format!("restored, {}: {}", event.object, event.evidence);
            return Err(fault(&part.path, CorruptionType::ChecksumMismatch, evidence));
        }
        let living = self.runner.exchange.input(PLAN).await.map_err(|error| Stop::Broken(error.to_string()))?;
        let living: Option<RepairPlan> = living.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(why) = excess(&compared.plan, living.as_ref(), part.points.unwrap_or_default()) {
            return Err(fault(&part.path, CorruptionType::DataInconsistency, why));
        }
        Ok(match compared.plan.steps.iter().map(|step| step.count).sum::<u64>() {
            0 => ", as the rows say".to_owned(),
            count => format!(", {count} of them or of the rows without their other side, as in a bank that drifts"),
        })
    }
}
