//! Records of a bank that go for good: deleted memories in every store, and logs that are old enough. No row goes that was
//! written after a fresh set was begun, which was verified.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::body::Body;
use super::copies::{DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::consistency::{Points as _, StoredPoints, after};
use crate::bank::qdrant::Client;
use crate::bank::sqlite::{Deleted, PurgeError, Purged, locate};
use crate::bank::vectors::{ENTITIES, VectorSource};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Check, PathInVolume, PointId, Purge, Reason, RunSpec, SqlDatabase, VectorStore};
use crate::engine::integrity::sqlite::uuid;
use crate::engine::integrity::vectors::VECTORS;

/// The checks of what is gone.
const POINTS: &str = "deleted-points-pruned";
const MEMORIES: &str = "deleted-memories-pruned";
const ACCESSES: &str = "access-log-pruned";
const CHANGES: &str = "history-pruned";
/// How many memories go at once, and in one run.
const BATCH: usize = 1_000;
const MOST: u32 = 100_000;
/// The file that says that what was removed was not looked for yet.
const OPEN: &str = "purge-open";
/// How many points are asked for and removed at once, and entities read.
const PAGE: u32 = 1_000;
/// How many texts are looked for in the files afterwards.
const LOOKED_FOR: usize = 1_000;
/// How long a deletion may take to reach the vector store.
const GRACE: Duration = Duration::from_mins(1);

/// What goes, and up to when: nothing that was written after the set was begun.
struct Due {
    deleted: Option<Timestamp>,
    accesses: Option<Timestamp>,
    changes: Option<Timestamp>,
}

/// The files of a bank.
#[derive(Clone)]
struct Files {
    database: PathBuf,
    history: Option<PathBuf>,
}

impl<E: Exchange> Runner<E> {
    /// Removes what a purge names. `verified` is when the newest set was begun that is verified still.
    pub(super) async fn purge(
        &self,
        spec: &RunSpec,
        purge: &Purge,
        verified: Option<Timestamp>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let now = Timestamp::now();
        let fresh = SignedDuration::from_secs(i64::from(purge.backup_max_age_seconds));
        let Some(verified) = verified.filter(|begun| now.duration_since(*begun) <= fresh) else {
            let age = purge.backup_max_age_seconds;
            let why = format!("nothing is purged: no verified set is younger than {age} s; back up and verify first");
            unmeasured(body, MEMORIES, DATABASE, why);
            return Ok(());
        };
        let files = match self.files(spec) {
            Ok(files) => files,
            Err(why) => {
                unmeasured(body, MEMORIES, DATABASE, why);
                return Ok(());
            }
        };
        let until = |after: Option<u32>| {
            let moment = now.checked_sub(SignedDuration::from_secs(i64::from(after?))).ok()?;
            Some(moment.min(verified))
        };
        let due = Due {
            deleted: until(purge.deleted_after_seconds),
            accesses: until(purge.access_log_after_seconds),
            changes: until(purge.history_after_seconds),
        };
        if let Some(before) = due.deleted
            && let Err((id, component, why)) = self.deleted(spec, &files, before, meter, body).await?
        {
            unmeasured(body, id, component, why);
        }
        let logs = [
            (
                ACCESSES,
                DATABASE,
                Some(files.database),
                due.accesses,
                Purged::accesses as fn(&mut Purged, Timestamp) -> _,
            ),
            (CHANGES, HISTORY, files.history, due.changes, Purged::changes),
        ];
        for (id, component, file, before, remove) in logs {
            let (Some(file), Some(before)) = (file, before) else { continue };
            match some(file, before, remove, meter).await? {
                Ok(removed) => body.checks.push(Check::passed(id, component, format!("{removed} rows removed"))),
                Err(why) => unmeasured(body, id, component, why.to_string()),
            }
        }
        Ok(())
    }

    fn files(&self, spec: &RunSpec) -> Result<Files, String> {
        let Some(SqlDatabase::Sqlite(place)) = &spec.bank.database else {
            return Err("nothing is purged: this version purges banks whose rows are in SQLite".to_owned());
        };
        let live = |place: &PathInVolume| {
            let root = self.places.volume(&place.volume)?;
            locate(root, &place.path).map_err(|error| error.to_string())
        };
        Ok(Files { database: live(place)?, history: spec.bank.history.as_ref().map(live).transpose()? })
    }

    /// Removes deleted memories: the points of all, and of those deleted before a moment the rows and the history. The inner
    /// error is a check that is unknown.
    async fn deleted(
        &self,
        spec: &RunSpec,
        files: &Files,
        before: Timestamp,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<Result<(), (&'static str, &'static str, String)>, String> {
        let of_points = |why: String| (POINTS, VECTORS, why);
        match self.points(spec, files, meter).await? {
            Ok(None) => {}
            Ok(Some(removed)) => {
                let detail = format!("{removed} points of deleted memories removed, none is left");
                body.checks.push(Check::passed(POINTS, VECTORS, detail));
            }
            Err(why) => return Ok(Err(of_points(why))),
        }
        let mark = self.home(spec)?.join(OPEN);
        let mut texts: Vec<String> = Vec::new();
        let due = match due(files.database.clone(), before).await? {
            Ok(due) => due,
            Err(error) => return Ok(Err((MEMORIES, DATABASE, error.to_string()))),
        };
        if let Err(why) = self.unlink(spec, &due, meter).await? {
            return Ok(Err(of_points(why)));
        }
        let (mut removed, mut gone) = (0, Vec::new());
        meter.grow(due.len() as u64);
        let open = mark.exists();
        if !due.is_empty() {
            leave(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
        }
        let ids: Vec<u128> = due.iter().copied().collect();
        for batch in ids.chunks(BATCH) {
            meter.check().map_err(|cancelled| cancelled.to_string())?;
            let (files, batch) = (files.clone(), batch.to_vec());
            let done = blocking(move || remove(&files, &batch)).await?;
            match done {
                Ok((rows, memories)) => {
                    removed += rows;
                    gone.extend(memories.iter().map(|memory| memory.id));
                    let said = memories.into_iter().map(|memory| memory.text).filter(|text| !text.is_empty());
                    texts.extend(said.take(LOOKED_FOR - texts.len()));
                }
                Err(error) => return Ok(Err((MEMORIES, DATABASE, error.to_string()))),
            }
            meter.advance(BATCH as u64);
        }
        let (files, looked) = (files.clone(), texts.len());
        let more = if ids.len() == MOST as usize { "; more are due, the next run goes on" } else { "" };
        let proof = blocking(move || prove(&files, &gone, &texts, open)).await?;
        match proof {
            Ok(None) => {
                if mark.exists() {
                    std::fs::remove_file(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
                }
                let detail = format!(
                    "{removed} deleted memories removed, no row of them is left, and none of {looked} of their texts in \
                     the files{more}; backup sets have them until these go"
                );
                body.checks.push(Check::passed(MEMORIES, DATABASE, detail));
                Ok(Ok(()))
            }
            Ok(Some(why)) => Ok(Err((MEMORIES, DATABASE, format!("{removed} deleted memories removed, but {why}")))),
            Err(error) => Ok(Err((MEMORIES, DATABASE, error.to_string()))),
        }
    }

    /// Removes the points of all deleted memories; none where the bank has no vector store.
    async fn points(
        &self,
        spec: &RunSpec,
        files: &Files,
        meter: &Arc<Meter>,
    ) -> Result<Result<Option<u64>, String>, String> {
        let Some(store) = &spec.bank.vector_store else { return Ok(Ok(None)) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let source = match VectorSource::open(&spec.namespace, store, &secrets).await {
            Ok(source) => source,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match source.collection().await {
            Ok(_) => {}
            // It may have come up on another volume: the rows are what tells later which points were deleted.
            Err(error) => return Ok(Err(error.to_string())),
        }
        let file = files.database.clone();
        match blocking(move || Purged::open(&file)?.nameless()).await? {
            Ok(0) => {}
            Ok(count) => {
                let why =
                    format!("{count} deleted memories have an id that is none (I14): their points cannot be found");
                return Ok(Err(why));
            }
            Err(error) => return Ok(Err(error.to_string())),
        }
        let settled = Timestamp::now().checked_sub(GRACE).map_err(|error| error.to_string())?;
        let (mut from, mut removed) = (String::new(), 0);
        loop {
            let (file, last) = (files.database.clone(), from.clone());
            let page = blocking(move || Purged::open(&file)?.deleted(settled, true, &last, PAGE)).await?;
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let Some(last) = page.last else { return Ok(Ok(Some(removed))) };
            from = last;
            let ids: Vec<_> = page.ids.into_iter().map(PointId::Uuid).collect();
            let taking = async {
                let there = source.there(&ids).await?;
                if !there.is_empty() {
                    source.remove(&there).await?;
                }
                let left = if there.is_empty() { 0 } else { source.there(&there).await?.len() };
                Ok::<_, crate::bank::vectors::VectorError>((there.len() as u64, left))
            };
            match meter.unless_cancelled(taking).await.map_err(|cancelled| cancelled.to_string())? {
                Ok((found, 0)) => removed += found,
                Ok((_, left)) => return Ok(Err(format!("{left} points that were removed are still there"))),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
    }

    /// Takes memories out of the links of entities; entities that are of no other memory go.
    async fn unlink(
        &self,
        spec: &RunSpec,
        due: &BTreeSet<u128>,
        meter: &Arc<Meter>,
    ) -> Result<Result<(), String>, String> {
        let Some(VectorStore::Qdrant(endpoint)) = &spec.bank.vector_store else { return Ok(Ok(())) };
        if due.is_empty() {
            return Ok(Ok(()));
        }
        let store = VectorStore::Qdrant(endpoint.clone());
        let secrets = FolderSecrets::new(&self.places.secrets);
        let work = async {
            let Some(mut entities) = StoredPoints::entities(&spec.namespace, &store, &secrets).await? else {
                return Ok(());
            };
            let told = |error: crate::bank::qdrant::QdrantError| error.to_string();
            let client = Client::open(&spec.namespace, endpoint, &secrets).await.map_err(told)?;
            let collection = format!("{}{ENTITIES}", endpoint.collection);
            let mut from = PointId::Number(0);
            loop {
                let page = entities.page(from, PAGE as usize).await?;
                let Some(last) = page.last() else { return Ok(()) };
                let next = after(last.id);
                let (mut lone, mut linked) = (Vec::new(), Vec::new());
                for entity in page {
                    let gone = |link: &String| uuid::any(link.as_bytes()).is_some_and(|id| due.contains(&id));
                    let (of_due, others): (Vec<_>, Vec<_>) = entity.payload.linked.into_iter().partition(gone);
                    match (of_due.is_empty(), others.is_empty()) {
                        (true, _) => {}
                        (false, true) => lone.push(entity.id),
                        (false, false) => {
                            let links = Map::from_iter([("linked_memory_ids".to_owned(), json!(others))]);
                            linked.push((entity.id, links));
                        }
                    }
                }
                if !lone.is_empty() {
                    client.delete_points(&collection, &lone).await.map_err(told)?;
                }
                if !linked.is_empty() {
                    client.set_payload(&collection, &linked).await.map_err(told)?;
                }
                match next {
                    Some(next) => from = next,
                    None => return Ok(()),
                }
            }
        };
        meter.unless_cancelled(work).await.map_err(|cancelled| cancelled.to_string())
    }
}

/// The memories that were deleted before a moment, at most [`MOST`].
async fn due(file: PathBuf, before: Timestamp) -> Result<Result<BTreeSet<u128>, PurgeError>, String> {
    blocking(move || {
        let database = Purged::open(&file)?;
        Ok(database.deleted(before, false, "", MOST)?.ids.into_iter().collect())
    })
    .await
}

/// Removes the history of those of some memories that are still deleted, then their rows. How many rows, and what they were.
fn remove(files: &Files, ids: &[u128]) -> Result<(u64, Vec<Deleted>), PurgeError> {
    let mut database = Purged::open(&files.database)?;
    let memories = database.still(ids)?;
    let ids: Vec<u128> = memories.iter().map(|memory| memory.id).collect();
    if let Some(history) = &files.history {
        let mut history = Purged::open(history)?;
        let said: Vec<String> = memories.iter().map(|memory| memory.text.clone()).collect();
        let alive = match &history.messages(&said)?[..] {
            [] => Vec::new(),
            said => database.alive(said)?,
        };
        history.history(&memories, &alive)?;
    }
    Ok((database.memories(&ids)?, memories))
}

/// Leaves a file that outlives a crash of the machine.
fn leave(mark: &Path) -> std::io::Result<()> {
    let folder = mark.parent().unwrap_or(mark);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    File::create(mark)?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Looks whether anything is left of memories that are gone; a file whose free pages have a text is written anew, and both
/// are where an earlier purge was not looked after to its end (`open`). For people, what is left.
fn prove(files: &Files, ids: &[u128], texts: &[String], open: bool) -> Result<Option<String>, PurgeError> {
    for path in std::iter::once(&files.database).chain(&files.history) {
        let file = Purged::open(path)?;
        let mut left = 0;
        for batch in ids.chunks(BATCH) {
            left += file.left(batch)?;
        }
        if left > 0 {
            return Ok(Some(format!("{left} rows of them are left in {}", path.display())));
        }
        let mut cut = file.cut_log()?;
        if open || !file.remains(texts)?.is_empty() {
            file.renew()?;
            cut = file.cut_log()?;
        }
        let remains = file.remains(texts)?.len();
        if !cut && (open || remains > 0) {
            let path = path.display();
            return Ok(Some(format!(
                "another connection keeps its log of {path}, and texts in it; the next run goes on"
            )));
        }
        if remains > 0 {
            return Ok(Some(format!("{remains} of their texts are left in {}", path.display())));
        }
    }
    Ok(None)
}

/// Removes rows of a log, some at a time. How many.
async fn some(
    file: PathBuf,
    before: Timestamp,
    remove: fn(&mut Purged, Timestamp) -> Result<u64, PurgeError>,
    meter: &Arc<Meter>,
) -> Result<Result<u64, PurgeError>, String> {
    let mut removed = 0;
    loop {
        meter.check().map_err(|cancelled| cancelled.to_string())?;
        let file = file.clone();
        match blocking(move || remove(&mut Purged::open(&file)?, before)).await? {
            Ok(0) => return Ok(Ok(removed)),
            Ok(rows) => removed += rows,
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn unmeasured(body: &mut Body, id: &str, component: &str, why: String) {
    body.checks.push(Check::unknown(id, component, &why));
    body.unmeasured = Some((Reason::NotMeasured, why));
}
