//! The table of a bank's points on a PostgreSQL server: points put back into it, or all of it made anew. Each is one
//! transaction.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::act::Steps;
use super::gather::Sources;
use super::server::{file_of, rows_of};
use crate::bank::recovery::{
    Kept, Made, NoTable, PointTable, Quarantine, ServerError, SetRows, SetTable, Touched, write_dead, write_live,
};
use crate::bank::sqlite::SqliteCopy;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    Bank, CorruptionEvent, Flavor, PgvectorEndpoint, RecoveryStep, RepairAction, RunSpec, SqlDatabase, VectorStore,
};
use crate::engine::backup::postgres_folder;
use crate::engine::integrity::vectors::VECTORS;
use crate::engine::recovery::TableKnown;
use crate::runner::copies::{Copies, DATABASE, blocking};
use crate::runner::{Exchange, Runner};

/// Why single points wait.
const LATER: &str = "recover again once the table was put back";

pub(super) fn table(bank: &Bank) -> Option<&PgvectorEndpoint> {
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

/// The place of a table that was gone when it was looked for.
async fn still_gone(endpoint: &PgvectorEndpoint, held: (&str, &FolderSecrets)) -> Result<NoTable, String> {
    let gone = NoTable::open(endpoint, held).await?;
    gone.ok_or_else(|| format!("somebody made {} meanwhile: nothing was changed; recover again", endpoint.table))
}

/// Whether the bank has its memories as rows.
fn has_rows(bank: &Bank) -> bool {
    match &bank.database {
        Some(SqlDatabase::Postgres(_)) => bank.flavor != Flavor::Mem0Server,
        Some(SqlDatabase::Sqlite(_)) => true,
        None => false,
    }
}

impl<E: Exchange> Runner<E> {
    /// Makes it an error for people that single points cannot be written: of Qdrant that shows when it is done.
    pub(super) async fn may_write_points(&self, spec: &RunSpec) -> Result<(), String> {
        let Some(endpoint) = table(&spec.bank) else { return Ok(()) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let mut table = open(endpoint, (&spec.namespace, &secrets)).await?;
        let may = table.may_write().await;
        table.close().await;
        may
    }

    /// Looks at what the set would put back into the table of the points, or why it would not.
    pub(super) async fn of_table(
        &self,
        spec: &RunSpec,
        events: &[CorruptionEvent],
        sources: &mut Sources,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<(), String> {
        let Some(endpoint) = table(&spec.bank) else { return Ok(()) };
        if !events.iter().any(|event| event.component == VECTORS) {
            return Ok(());
        }
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (spec.namespace.as_str(), &secrets);
        let absent = match NoTable::is_gone(endpoint, held).await {
            Ok(absent) => absent,
            Err(why) => {
                sources.known.table = Some(Err(why));
                return Ok(());
            }
        };
        let looking = async {
            let part = rows_of(&sources.parts, VECTORS).find(|part| part.points.is_some());
            let Some(part) = part else {
                return Ok(absent.then(|| Err("no verified set has the table".to_owned())));
            };
            let mut set = SetTable {
                folder: sources.folder.join(postgres_folder(VECTORS)),
                file: file_of(part).to_owned(),
                rows: part.points.unwrap_or_default(),
                live: self.places.scratch.join("live.copy.zst"),
                dead: None,
            };
            let known = if absent {
                self.of_no_table(spec, endpoint, sources, &mut set, copies, meter).await?
            } else {
                self.of_its_points(spec, endpoint, &set, copies, meter).await?
            };
            sources.table = Some(set);
            Ok::<_, String>(Some(known))
        };
        let looked = looking.await?;
        if absent {
            let why = match &looked {
                Some(Err(why)) => why.clone(),
                _ => LATER.to_owned(),
            };
            sources.known.points = Some(Err(why));
        }
        sources.known.table = looked;
        Ok(())
    }

    /// What would be put back into a table that is there; the inner error says why nothing.
    async fn of_its_points(
        &self,
        spec: &RunSpec,
        endpoint: &PgvectorEndpoint,
        set: &SetTable,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Result<TableKnown, String>, String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        // Without rows to tell which memories live, none that is gone comes back.
        let side = self.sides(spec, copies, meter).await?.ok().map(|(side, _)| side);
        let looking = async {
            write_live(side.as_ref(), false, &set.live).await?;
            let mut table = open(endpoint, (&spec.namespace, &secrets)).await?;
            table.may_write().await?;
            table.known(set, meter).await.map_err(|error| error.to_string())
        };
        meter.unless_cancelled(looking).await.map_err(|error| error.to_string())
    }

    /// What would be in a table that is gone; the inner error says why nothing.
    async fn of_no_table(
        &self,
        spec: &RunSpec,
        endpoint: &PgvectorEndpoint,
        sources: &Sources,
        set: &mut SetTable,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Result<TableKnown, String>, String> {
        let (mut side, mut rows) = (None, SetRows::None);
        if has_rows(&spec.bank) {
            match self.sides(spec, copies, meter).await? {
                Ok((found, _)) => side = Some(found),
                Err(why) => return Ok(Err(format!("which memories live is not known: {why}"))),
            }
            let file = rows_of(&sources.parts, DATABASE).find(|part| part.rows.contains_key("memories"));
            rows = match (sources.restored.get(DATABASE), file) {
                (Some(copy), _) => SetRows::Sqlite(copy.clone()),
                (None, Some(part)) => SetRows::Copy(sources.folder.join(postgres_folder(DATABASE)).join(file_of(part))),
                (None, None) => return Ok(Err("the set has no memories that tell which were deleted".to_owned())),
            };
        }
        let history = copies.history(&spec.bank, meter).await?;
        let history = history.and_then(|copied| copied.copy.as_ref().map(SqliteCopy::path));
        if spec.bank.history.is_some() && history.is_none() {
            return Ok(Err("mem0's history, which tells what was deleted, cannot be read".to_owned()));
        }
        let dead = self.places.scratch.join("dead.copy.zst");
        set.dead = Some(dead.clone());
        let shared = Arc::clone(meter);
        if let Err(why) = blocking(move || write_dead(&rows, history.as_deref(), &dead, &shared)).await? {
            meter.check().map_err(|cancelled| cancelled.to_string())?;
            return Ok(Err(why));
        }
        let secrets = FolderSecrets::new(&self.places.secrets);
        let looking = async {
            if let Some(side) = &side
                && let broken @ 1.. = side.broken().await?
            {
                return Err(format!("{broken} rows have an id that is none: which points are theirs cannot be told"));
            }
            write_live(side.as_ref(), true, &set.live).await?;
            let gone = still_gone(endpoint, (&spec.namespace, &secrets)).await?;
            gone.known(set, side.is_some(), meter).await.map_err(|error| error.to_string())
        };
        meter.unless_cancelled(looking).await.map_err(|error| error.to_string())
    }

    /// Undoes what was done to the table; for people, why not.
    pub(super) async fn roll_table_back(
        &self,
        spec: &RunSpec,
        rows: Option<u64>,
        quarantine: &Quarantine,
    ) -> Result<(), String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (spec.namespace.as_str(), &secrets);
        let endpoint = table(&spec.bank).ok_or("the bank no longer declares its table of points");
        let Some(rows) = rows else {
            return match Made::of(&quarantine.made())? {
                Some(made) => made.take_away(endpoint?, held).await,
                None => Ok(()),
            };
        };
        let table = open(endpoint?, held).await?;
        let touched = Touched::of(&quarantine.touched());
        let back = table.put_back(&quarantine.table(), rows, &touched, &Meter::default()).await;
        back.map_err(|error| error.to_string())
    }
}

impl<E: Exchange> Steps<'_, E> {
    /// Keeps what a step overwrites of the table, where it is one of it.
    pub(super) async fn keep_of_table(
        &self,
        step: &RecoveryStep,
        quarantine: &Quarantine,
    ) -> Option<Result<Kept, String>> {
        let endpoint = table(&self.spec.bank).filter(|_| step.target == VECTORS)?;
        if step.action == RepairAction::RestoreCollection && self.is_gone() {
            return Some(Made::forget(&quarantine.made()).map(|()| Kept::NoTable));
        }
        Some(self.keep_table(endpoint, quarantine).await.map(|rows| Kept::Table { rows }))
    }

    async fn keep_table(&self, endpoint: &PgvectorEndpoint, quarantine: &Quarantine) -> Result<u64, String> {
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let table = open(endpoint, (&self.spec.namespace, &secrets)).await?;
        Touched::make(&quarantine.touched()).map_err(|error| error.to_string())?;
        let (to, meter, handle) = (quarantine.table(), Arc::clone(self.meter), Handle::current());
        blocking(move || handle.block_on(table.keep(&to, &meter))).await?
    }

    /// Carries out a step that puts points of the set back into the table, where the bank has one.
    pub(super) async fn restore_table(
        &self,
        step: &RecoveryStep,
        quarantine: &Quarantine,
    ) -> Option<Result<(), String>> {
        let endpoint = table(&self.spec.bank)?;
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let held = (self.spec.namespace.as_str(), &secrets);
        let told = |error: ServerError| error.to_string();
        let mending = async {
            let set = self.sources.table.as_ref().ok_or("the set has no table of points")?;
            if self.is_gone() {
                let gone = still_gone(endpoint, held).await?;
                return gone.make(set, &quarantine.made(), self.meter).await.map_err(told);
            }
            let table = open(endpoint, held).await?;
            let missing = self.known().map_or(0, |known| known.missing);
            let touched = Touched::of(&quarantine.touched());
            table.mend(set, (step.items > missing, step.items), &touched, self.meter).await.map_err(told)
        };
        let mended = self.meter.unless_cancelled(mending).await;
        Some(mended.unwrap_or_else(|cancelled| Err(cancelled.to_string())))
    }

    fn known(&self) -> Option<&TableKnown> {
        self.sources.known.table.as_ref()?.as_ref().ok()
    }

    /// Whether the table is made anew.
    fn is_gone(&self) -> bool {
        self.known().is_some_and(|known| known.gone.is_some())
    }
}
