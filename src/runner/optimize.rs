use std::sync::Arc;

use super::body::Body;
use super::copies::{Copies, DATABASE, HISTORY};
use super::{Exchange, Runner};
use crate::bank::postgres::{self, optimize_pgvector, optimize_postgres};
use crate::bank::qdrant::{Client, Heeded};
use crate::bank::sqlite::{Optimized, optimize, take_stock};
use crate::bank::{Cancelled, FolderSecrets, Meter};
use crate::domain::{
    Check, PathInVolume, PostgresEndpoint, QdrantEndpoint, Reason, RunSpec, Severity, SqlDatabase, VectorStore, Verdict,
};
use crate::engine::integrity::vectors::VECTORS;

/// The check that an optimization is.
const OPTIMIZED: &str = "optimized";

impl<E: Exchange> Runner<E> {
    /// Has each database of a bank and its vector store looked after. A database that is damaged is left alone: it is
    /// for a recovery.
    pub(super) async fn optimize(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let bank = &spec.bank;
        if let Some(SqlDatabase::Postgres(endpoint)) = &bank.database {
            self.optimize_server(&spec.namespace, endpoint, meter, body).await?;
        }
        let sqlite = match &bank.database {
            Some(SqlDatabase::Sqlite(place)) => Some((DATABASE, place)),
            _ => None,
        };
        for (component, place) in sqlite.into_iter().chain(bank.history.as_ref().map(|place| (HISTORY, place))) {
            let check = match unsound(spec, component, copies, meter).await? {
                Some(why) => Check::unknown(OPTIMIZED, component, why),
                None => self.optimize_file(component, place, meter).await?,
            };
            body.checks.push(check);
        }
        // What they hold now, and that it is sound, is not what was copied before.
        copies.renew();
        for (component, _) in sqlite.into_iter().chain(bank.history.as_ref().map(|place| (HISTORY, place))) {
            if let Some(why) = unsound(spec, component, copies, meter).await? {
                body.checks.push(Check::failed(OPTIMIZED, component, format!("it is not sound afterwards: {why}")));
            }
        }
        if let Some(store) = &bank.vector_store {
            let check = self.optimize_vectors(&spec.namespace, store, meter).await;
            body.checks.push(check.map_err(|cancelled| cancelled.to_string())?);
        }
        if body.checks.is_empty() {
            body.unmeasured = Some((Reason::NotMeasured, "the bank declares nothing to be optimized".to_owned()));
        }
        let first = body.checks.iter().find(|check| check.verdict != Verdict::Passed);
        if let Some(left) = first {
            body.unmeasured = Some((Reason::NotMeasured, format!("{}: {}", left.component, left.detail)));
        }
        Ok(())
    }

    async fn optimize_server(
        &self,
        namespace: &str,
        endpoint: &PostgresEndpoint,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let done = optimize_postgres(endpoint, (namespace, &secrets), meter).await;
        body.checks.push(match done.map_err(|cancelled| cancelled.to_string())? {
            Ok(done) => of_server(DATABASE, &done),
            Err(why) => Check::unknown(OPTIMIZED, DATABASE, why),
        });
        Ok(())
    }

    async fn optimize_vectors(
        &self,
        namespace: &str,
        store: &VectorStore,
        meter: &Arc<Meter>,
    ) -> Result<Check, Cancelled> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let done = match store {
            VectorStore::Qdrant(endpoint) => {
                let heeded = meter.unless_cancelled(heed(namespace, endpoint, &secrets)).await?;
                heeded.map(|heeded| of_qdrant(&heeded))
            }
            VectorStore::Pgvector(endpoint) => {
                let done = optimize_pgvector(endpoint, (namespace, &secrets), meter).await?;
                done.map(|done| of_server(VECTORS, &done))
            }
        };
        Ok(done.unwrap_or_else(|why| Check::unknown(OPTIMIZED, VECTORS, why)))
    }

    async fn optimize_file(&self, component: &str, place: &PathInVolume, meter: &Arc<Meter>) -> Result<Check, String> {
        let root = match self.places.volume(&place.volume) {
            Ok(root) => root,
            Err(why) => return Ok(Check::unknown(OPTIMIZED, component, why)),
        };
        match optimize(root, &place.path, meter).await {
            Ok(done) => Ok(of_file(component, done)),
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                Ok(Check::unknown(OPTIMIZED, component, error.to_string()))
            }
        }
    }
}

async fn heed(namespace: &str, endpoint: &QdrantEndpoint, secrets: &FolderSecrets) -> Result<Heeded, String> {
    let client = Client::open(namespace, endpoint, secrets).await.map_err(|error| error.to_string())?;
    client.heed(&endpoint.collection).await.map_err(|error| error.to_string())
}

/// Hints that are for people are no lack of the run.
fn of_qdrant(heeded: &Heeded) -> Check {
    let made: Vec<String> = heeded.indexed.iter().map(|index| format!("{} ({})", index.field, index.kind)).collect();
    let mut detail = match made.as_slice() {
        [] => "no index is missed".to_owned(),
        made => format!("indexed for searches: {}", made.join(", ")),
    };
    if let Some(first) = heeded.left.first() {
        detail = format!("{detail}; {} hints of the server are left to people, such as: {first}", heeded.left.len());
    }
    Check::passed(OPTIMIZED, VECTORS, detail)
}

fn of_server(component: &str, done: &postgres::Optimized) -> Check {
    let detail = format!("{} tables looked after, {} indexes made anew", done.tables, done.reindexed.len());
    match done.left.first() {
        None => Check::passed(OPTIMIZED, component, detail),
        Some(first) => {
            Check::unknown(OPTIMIZED, component, format!("{detail}; {} were left, such as {first}", done.left.len()))
        }
    }
}

fn of_file(component: &str, done: Optimized) -> Check {
    let Optimized { before, after, log_written, free_bytes } = done;
    let detail = format!("{before} bytes before and {after} after, {free_bytes} of them free");
    if log_written {
        Check::passed(OPTIMIZED, component, detail)
    } else {
        let why = "a reader that is at work keeps some of the log; the next run writes it back";
        Check::passed(OPTIMIZED, component, format!("{detail}; {why}"))
    }
}

/// What speaks against writing to a file, by a copy of it.
async fn unsound(
    spec: &RunSpec,
    component: &str,
    copies: &mut Copies<'_>,
    meter: &Arc<Meter>,
) -> Result<Option<String>, String> {
    let copied = match component {
        DATABASE => copies.database(&spec.bank, meter).await?,
        _ => copies.history(&spec.bank, meter).await?,
    };
    let Some(copied) = copied else { return Ok(None) };
    let Some(copy) = &copied.copy else {
        let why = copied.checks.first().map_or("it could not be copied", |check| check.detail.as_str());
        return Ok(Some(why.to_owned()));
    };
    if let Some(raw) = copied.corruption.iter().find(|event| event.severity >= Severity::Medium) {
        return Ok(Some(format!("it is damaged, recover it first: {}", raw.evidence)));
    }
    let stock = take_stock(&copy.path(), meter).await.map_err(|error| error.to_string())?;
    Ok(stock.damage.map(|damage| format!("it is damaged, recover it first: {damage}")))
}
