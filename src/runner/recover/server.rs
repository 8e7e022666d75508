//! What is done on the bank's PostgreSQL server: indexes made anew, points put back in their table, and a database
//! restored beside the living one. Each is one transaction, or a database of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::act::Steps;
use super::gather::Sources;
use crate::bank::consistency::SqlSide;
use crate::bank::postgres::{Activity, PostgresMemories, activity};
use crate::bank::qdrant::Client;
use crate::bank::recovery::{
    Kept, PointTable, Quarantine, SetTable, Touched, make_anew, make_beside, name_beside, own_indexes, remove_beside,
    write_live,
};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    Bank, CorruptionEvent, PgvectorEndpoint, PointId, PostgresEndpoint, RecoveryStep, RepairAction, RunSpec,
    SqlDatabase, VectorStore,
};
use crate::engine::backup::{Part, PartKind, postgres_folder};
use crate::engine::consistency::State;
use crate::engine::integrity::vectors::VECTORS;
use crate::engine::recovery::{Beside, DatabaseKnown};
use crate::runner::copies::{Copies, DATABASE, blocking};
use crate::runner::{Exchange, Runner};

/// The checks of which the object is an index.
const OF_INDEXES: [&str; 2] = ["postgres-indexes", "postgres-btrees"];

fn server(bank: &Bank) -> Option<&PostgresEndpoint> {
    match &bank.database {
        Some(SqlDatabase::Postgres(endpoint)) => Some(endpoint),
        _ => None,
    }
}

fn table(bank: &Bank) -> Option<&PgvectorEndpoint> {
    match &bank.vector_store {
        Some(VectorStore::Pgvector(endpoint)) => Some(endpoint),
        _ => None,
    }
}

/// The table of the points, which must be there as mem0 makes it.
async fn open(endpoint: &PgvectorEndpoint, held: (&str, &FolderSecrets)) -> Result<PointTable, String> {
    let found = PointTable::open(endpoint, held).await?;
    found.ok_or_else(|| format!("there is no table {} as mem0 makes it", endpoint.table))
}

fn rows_of<'a>(parts: &'a [Part], component: &str) -> impl Iterator<Item = &'a Part> {
    parts.iter().filter(move |part| part.kind == PartKind::Rows && part.component == component)
}

fn file_of(part: &Part) -> &str {
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

    /// Makes it an error for people that single points cannot be written: of Qdrant that shows when it is done.
    pub(super) async fn may_write_points(&self, spec: &RunSpec) -> Result<(), String> {
        let Some(endpoint) = table(&spec.bank) else { return Ok(()) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let mut table = open(endpoint, (&spec.namespace, &secrets)).await?;
        let may = table.may_write().await;
        table.close().await;
        may
    }

    /// Looks at what can be done on the server. What it does not tell is not planned.
    pub(super) async fn of_server(
        &self,
        spec: &RunSpec,
        events: &[CorruptionEvent],
        sources: &mut Sources,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<(), String> {
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
        let part = rows_of(&sources.parts, VECTORS).find(|part| part.points.is_some());
        let (Some(endpoint), Some(part)) = (table(&spec.bank), part) else { return Ok(()) };
        if !events.iter().any(|event| event.component == VECTORS) {
            return Ok(());
        }
        let set = SetTable {
            folder: sources.folder.join(postgres_folder(VECTORS)),
            file: file_of(part).to_owned(),
            rows: part.points.unwrap_or_default(),
            live: self.places.scratch.join("live.copy.zst"),
        };
        // Without rows to tell which memories live, none that is gone comes back.
        let side = self.sides(spec, copies, meter).await?.ok().map(|(side, _)| side);
        let looking = async {
            write_live(side.as_ref(), &set.live).await?;
            let Some(mut table) = PointTable::open(endpoint, held).await? else { return Ok(None) };
            table.may_write().await?;
            table.known(&set, meter).await.map(Some).map_err(|error| error.to_string())
        };
        let looked: Result<_, String> = meter.unless_cancelled(looking).await.map_err(|error| error.to_string())?;
        match looked {
            Ok(known) => sources.known.table = known,
            Err(why) => tracing::warn!("no point can be put back in its table: {why}"),
        }
        sources.table = Some(set);
        Ok(())
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
            Kept::Table { rows } => {
                let endpoint = table(&spec.bank).ok_or("the bank no longer declares its table of points")?;
                let table = open(endpoint, held).await?;
                let touched = Touched::of(&quarantine.touched());
                let back = table.put_back(&quarantine.table(), *rows, &touched, &Meter::default()).await;
                back.map_err(|error| error.to_string())
            }
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
            | RepairAction::WriteHash => {
                let endpoint = table(&self.spec.bank)?;
                Some(self.keep_table(endpoint, quarantine).await.map(|rows| Some(Kept::Table { rows })))
            }
            _ => None,
        }
    }

    /// Carries a step out, where it is one on the server.
    pub(super) async fn step_on_server(&self, step: &RecoveryStep, touched: &Touched) -> Option<Result<(), String>> {
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
            RepairAction::RestoreCollection => {
                let endpoint = table(&self.spec.bank)?;
                let mending = async {
                    let set = self.sources.table.as_ref().ok_or("the set has no table of points")?;
                    let table = open(endpoint, held).await?;
                    let missing = self.sources.known.table.map_or(0, |known| known.missing);
                    table.mend(set, (step.items > missing, step.items), touched, self.meter).await.map_err(told)
                };
                let mended = self.meter.unless_cancelled(mending).await;
                Some(mended.unwrap_or_else(|cancelled| Err(cancelled.to_string())))
            }
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

    async fn keep_table(&self, endpoint: &PgvectorEndpoint, quarantine: &Quarantine) -> Result<u64, String> {
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let table = open(endpoint, (&self.spec.namespace, &secrets)).await?;
        Touched::make(&quarantine.touched()).map_err(|error| error.to_string())?;
        let (to, meter, handle) = (quarantine.table(), Arc::clone(self.meter), Handle::current());
        blocking(move || handle.block_on(table.keep(&to, &meter))).await?
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
