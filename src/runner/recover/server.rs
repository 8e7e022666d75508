//! What is done on the bank's PostgreSQL server: indexes made anew in one transaction, and a database restored beside the
//! living one.

use std::collections::BTreeSet;

use super::act::Steps;
use super::gather::Sources;
use super::table::table;
use crate::bank::FolderSecrets;
use crate::bank::consistency::SqlSide;
use crate::bank::postgres::{Activity, PostgresMemories, activity};
use crate::bank::qdrant::Client;
use crate::bank::recovery::{Kept, Quarantine, make_anew, make_beside, name_beside, own_indexes, remove_beside};
use crate::domain::{
    Bank, CorruptionEvent, PointId, PostgresEndpoint, RecoveryStep, RepairAction, RunSpec, SqlDatabase,
};
use crate::engine::backup::{Part, PartKind, postgres_folder};
use crate::engine::consistency::State;
use crate::engine::recovery::{Beside, DatabaseKnown};
use crate::runner::copies::{Copies, DATABASE};
use crate::runner::{Exchange, Runner};

/// The checks of which the object is an index.
const OF_INDEXES: [&str; 2] = ["postgres-indexes", "postgres-btrees"];

fn server(bank: &Bank) -> Option<&PostgresEndpoint> {
    match &bank.database {
        Some(SqlDatabase::Postgres(endpoint)) => Some(endpoint),
        _ => None,
    }
}

pub(super) fn rows_of<'a>(parts: &'a [Part], component: &str) -> impl Iterator<Item = &'a Part> {
    parts.iter().filter(move |part| part.kind == PartKind::Rows && part.component == component)
}

pub(super) fn file_of(part: &Part) -> &str {
    part.path.rsplit('/').next().unwrap_or_default()
}

impl<E: Exchange> Runner<E> {
    /// What the server tells of who writes to the bank's tables, where it has any.
    pub(super) async fn activity(&self, spec: &RunSpec) -> Vec<Option<Activity>> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (spec.namespace.as_str(), &secrets);
        let mut told = Vec::new();
        if let Some(endpoint) = server(&spec.bank) {
            told.push(activity(&endpoint.url, held, Some(&endpoint.schema), None).await);
        }
        if let Some(endpoint) = table(&spec.bank) {
            told.push(activity(&endpoint.url, held, None, Some(&endpoint.table)).await);
        }
        told
    }

    /// Looks at what can be done on the server. What it does not tell is not planned.
    pub(super) async fn of_server(
        &self,
        spec: &RunSpec,
        events: &[CorruptionEvent],
        sources: &mut Sources,
        copies: &Copies<'_>,
    ) {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (spec.namespace.as_str(), &secrets);
        if let Some(endpoint) = server(&spec.bank)
            && events.iter().any(|event| event.component == DATABASE)
        {
            let of_indexes = |event: &&CorruptionEvent| OF_INDEXES.contains(&event.check.as_str());
            let named: BTreeSet<String> = events.iter().filter(of_indexes).map(|event| event.object.clone()).collect();
            let indexes = own_indexes(endpoint, held, &named).await.unwrap_or_else(|why| {
                tracing::warn!("no index can be made anew: {why}");
                BTreeSet::new()
            });
            let mut facts = DatabaseKnown { reindex: !indexes.is_empty(), indexes, ..DatabaseKnown::default() };
            if sources.part(DATABASE, PartKind::Ddl).is_some() {
                let rows = rows_of(&sources.parts, DATABASE).flat_map(|part| part.rows.values()).sum();
                match name_beside(&endpoint.url, held, &copies.uid).await {
                    Ok(name) => facts.beside = Some(Beside { name, rows }),
                    Err(why) => tracing::warn!("nothing can be restored beside the database: {why}"),
                }
            }
            sources.known.databases.insert(DATABASE.to_owned(), facts);
        }
    }

    /// Puts back what a step on the server overwrote; for people, why not.
    pub(super) async fn roll_server_back(
        &self,
        spec: &RunSpec,
        kept: &Kept,
        quarantine: &Quarantine,
    ) -> Result<(), String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (spec.namespace.as_str(), &secrets);
        match kept {
            Kept::Table { rows } => self.roll_table_back(spec, Some(*rows), quarantine).await,
            Kept::NoTable => self.roll_table_back(spec, None, quarantine).await,
            Kept::Beside { name } => {
                let endpoint = server(&spec.bank).ok_or("the bank no longer declares its database on a server")?;
                remove_beside(&endpoint.url, held, name).await
            }
            Kept::Database { .. } | Kept::Files { .. } | Kept::Collection { .. } => Ok(()),
        }
    }
}

impl<E: Exchange> Steps<'_, E> {
    /// Keeps what a step on the server overwrites, where it is one; a transaction that only makes indexes needs nothing.
    pub(super) async fn keep_of_server(
        &self,
        step: &RecoveryStep,
        quarantine: &Quarantine,
    ) -> Option<Result<Option<Kept>, String>> {
        match step.action {
            RepairAction::Reindex if self.is_on_server(step) => Some(Ok(None)),
            RepairAction::RestoreDatabase if self.is_on_server(step) => {
                let beside = self.beside().map(|beside| Some(Kept::Beside { name: beside.name.clone() }));
                Some(beside)
            }
            RepairAction::RestoreCollection
            | RepairAction::ReEmbed
            | RepairAction::DeleteOrphans
            | RepairAction::SyncText
            | RepairAction::WriteHash => Some(self.keep_of_table(step, quarantine).await?.map(Some)),
            _ => None,
        }
    }

    /// Carries a step out, where it is one on the server.
    pub(super) async fn step_on_server(
        &self,
        step: &RecoveryStep,
        quarantine: &Quarantine,
    ) -> Option<Result<(), String>> {
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let held = (self.spec.namespace.as_str(), &secrets);
        let told = |error: crate::bank::recovery::ServerError| error.to_string();
        match step.action {
            RepairAction::Reindex if self.is_on_server(step) => {
                let endpoint = server(&self.spec.bank)?;
                let known = self.sources.known.databases.get(DATABASE)?;
                Some(make_anew(endpoint, held, &known.indexes).await.map_err(told))
            }
            RepairAction::RestoreDatabase if self.is_on_server(step) => {
                let endpoint = server(&self.spec.bank)?;
                Some(self.restore_beside(endpoint, held).await)
            }
            RepairAction::RestoreCollection => self.restore_table(step, quarantine).await,
            _ => None,
        }
    }

    /// Removes the points of memories that the server's rows say are deleted.
    pub(super) async fn delete_deleted_on_server(&self, client: &Client, collection: &str) -> Result<(), String> {
        let Some(endpoint) = server(&self.spec.bank) else { return Ok(()) };
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let memories = PostgresMemories::of(endpoint, (&self.spec.namespace, &secrets), None).await?;
        let mut rows = SqlSide::Postgres(memories).all().await?;
        loop {
            let page = rows.next().await?;
            if page.is_empty() {
                break;
            }
            let deleted = page.iter().filter(|row| row.state == State::Deleted);
            let points: Vec<_> = deleted.map(|row| PointId::Uuid(row.id)).collect();
            if !points.is_empty() {
                client.delete_points(collection, &points).await.map_err(|error| error.to_string())?;
            }
            self.meter.check().map_err(|cancelled| cancelled.to_string())?;
        }
        rows.close().await;
        Ok(())
    }

    fn is_on_server(&self, step: &RecoveryStep) -> bool {
        step.target == DATABASE && server(&self.spec.bank).is_some()
    }

    fn beside(&self) -> Result<&Beside, String> {
        let known = self.sources.known.databases.get(DATABASE).and_then(|known| known.beside.as_ref());
        known.ok_or_else(|| "the set has no tables of the database".to_owned())
    }

    /// Restores the set's tables in a database of their own, which stays.
    async fn restore_beside(&self, endpoint: &PostgresEndpoint, held: (&str, &FolderSecrets)) -> Result<(), String> {
        let folder = self.sources.folder.join(postgres_folder(DATABASE));
        let making = make_beside(&endpoint.url, held, &self.beside()?.name, &folder, self.meter);
        let made = self.meter.unless_cancelled(making).await.map_err(|cancelled| cancelled.to_string())?;
        let poured = made.map_err(|error| error.to_string())?;
        for part in rows_of(&self.sources.parts, DATABASE) {
            let (rows, taken) = (part.rows.values().sum::<u64>(), poured.get(file_of(part)).copied());
            if taken != Some(rows) {
                let taken = taken.unwrap_or_default();
                return Err(format!("{}: the server took {taken} rows, and {rows} were put in", part.path));
            }
        }
        Ok(())
    }
}
