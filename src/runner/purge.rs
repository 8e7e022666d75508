//! Records of a bank that go for good: deleted memories in every store, and logs that are old enough. No row goes that was
//! written after a fresh set was begun, which was verified.

mod mark;
mod points;
mod rows;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::copies::{DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::postgres::PurgedServer;
use crate::bank::sqlite::{Deleted, PurgeError, Purged, locate};
use crate::bank::{Cancelled, FolderSecrets, Meter};
use crate::domain::{Check, Digest, Flavor, PathInVolume, Purge, Reason, RunSpec, SqlDatabase, Verdict};
use crate::engine::integrity::vectors::VECTORS;
use mark::Mark;
use rows::{Rows, on_file};

/// The checks of what is gone.
const POINTS: &str = "deleted-points-pruned";
const MEMORIES: &str = "deleted-memories-pruned";
const ACCESSES: &str = "access-log-pruned";
const CHANGES: &str = "history-pruned";
/// How many memories go at once, and in one run.
const BATCH: usize = 1_000;
const MOST: u32 = 100_000;
/// How many are looked for in a file at once afterwards: each time all of its rows are read.
const LOOKED_UP: usize = 20_000;
/// The file that says that what was removed was not looked for yet.
const OPEN: &str = "purge-open";
/// How many points are asked for and removed at once, and entities read.
const PAGE: u32 = 1_000;
/// How many texts are looked for afterwards, and from how many bytes on: shorter ones stand anywhere.
const LOOKED_FOR: usize = 1_000;
const SHORTEST: usize = 12;
/// How long a deletion may take to reach the vector store.
const GRACE: Duration = Duration::from_mins(1);

/// What goes, and up to when: nothing that was written after the set was begun.
struct Due {
    deleted: Option<Timestamp>,
    accesses: Option<Timestamp>,
    changes: Option<Timestamp>,
}

/// What of a bank has rows.
#[derive(Clone)]
struct Stores {
    rows: Rows,
    /// The file of mem0's history.
    history: Option<PathBuf>,
}

/// Of what rows go by their age.
#[derive(Clone, Copy)]
enum Log<'a> {
    Accesses(&'a Rows),
    Changes(&'a PathBuf),
}

impl Stores {
    /// The files among them.
    fn files(&self) -> Vec<PathBuf> {
        self.rows.file().into_iter().chain(&self.history).cloned().collect()
    }
}

impl<E: Exchange> Runner<E> {
    /// Removes what a purge names. `verified` is when the newest set was begun that is verified still, and has all of its parts.
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
        let stores = match self.stores(spec).await {
            Ok(stores) => stores,
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
        let home = self.home(spec).ok().map(|home| home.join(OPEN));
        let mut mark = match Mark::read(home.as_deref()) {
            Ok(mark) => mark,
            Err(why) => {
                unmeasured(body, MEMORIES, DATABASE, format!("nothing is purged: {why}"));
                return Ok(());
            }
        };
        // What an earlier run noted is looked for by this one, or stays noted.
        let mut proven = due.deleted.is_some() || !mark.memories && (due.accesses.is_some() || !mark.open);
        if let Some(before) = due.deleted
            && let Err((id, component, why)) = self.deleted(spec, &stores, before, &mut mark, meter, body).await?
        {
            unmeasured(body, id, component, why);
        }
        if let Some(before) = due.accesses {
            let removed = self.accesses(&stores.rows, before, &mut mark, meter).await?;
            said(body, ACCESSES, DATABASE, removed);
        }
        let of_mark = [POINTS, MEMORIES, ACCESSES];
        proven &= body.checks.iter().all(|c| c.verdict == Verdict::Passed || !of_mark.contains(&c.id.as_str()));
        if proven {
            mark.clear()?;
        }
        if let (Some(before), Some(history)) = (due.changes, &stores.history) {
            let removed = some(Log::Changes(history), before, meter).await?;
            said(body, CHANGES, HISTORY, removed);
        }
        Ok(())
    }

    /// Removes accesses from before a moment. How many; the inner error is for people.
    async fn accesses(
        &self,
        rows: &Rows,
        before: Timestamp,
        mark: &mut Mark,
        meter: &Arc<Meter>,
    ) -> Result<Result<u64, String>, String> {
        let Rows::Server(server) = rows else { return some(Log::Accesses(rows), before, meter).await };
        mark.note_accesses().map_err(|error| format!("{OPEN}: {error}"))?;
        let removed = match some(Log::Accesses(rows), before, meter).await? {
            Ok(removed) => removed,
            Err(why) => return Ok(Err(why)),
        };
        if removed == 0 && !mark.open {
            return Ok(Ok(removed));
        }
        let freed = server.vacuum_accesses(meter).await;
        meter.check().map_err(told)?;
        Ok(freed.map(|()| removed).map_err(|why| format!("{removed} rows removed, but {why}")))
    }

    /// What of a bank has rows that may be removed; for people, why nothing is.
    async fn stores(&self, spec: &RunSpec) -> Result<Stores, String> {
        let live = |place: &PathInVolume| {
            let root = self.places.volume(&place.volume)?;
            locate(root, &place.path).map_err(|error| error.to_string())
        };
        let rows = match &spec.bank.database {
            Some(SqlDatabase::Sqlite(place)) => Rows::File(live(place)?),
            Some(SqlDatabase::Postgres(_)) if spec.bank.flavor == Flavor::Mem0Server => {
                return Err("nothing is purged: the database of mem0's server has no memories".to_owned());
            }
            Some(SqlDatabase::Postgres(endpoint)) => {
                let secrets = FolderSecrets::new(&self.places.secrets);
                let server = PurgedServer::of(endpoint, (&spec.namespace, &secrets)).await?;
                server.may_purge().await.map_err(|why| format!("nothing is purged: {why}"))?;
                Rows::Server(server)
            }
            None => return Err("nothing is purged: the bank declares no database".to_owned()),
        };
        Ok(Stores { rows, history: spec.bank.history.as_ref().map(live).transpose()? })
    }

    /// Removes deleted memories: the points of all, and of those deleted before a moment the rows and the history. The inner
    /// error is a check that is unknown.
    async fn deleted(
        &self,
        spec: &RunSpec,
        stores: &Stores,
        before: Timestamp,
        mark: &mut Mark,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<Result<(), (&'static str, &'static str, String)>, String> {
        let of_points = |why: String| (POINTS, VECTORS, why);
        let of_rows = |why: String| (MEMORIES, DATABASE, why);
        let due: BTreeSet<u128> = match stores.rows.deleted(before, false, "", MOST).await {
            Ok(page) => page.ids.into_iter().collect(),
            Err(why) => return Ok(Err(of_rows(why))),
        };
        if let Some(store) = &spec.bank.vector_store {
            let removed = match self.points(spec, store, &stores.rows, mark, meter).await? {
                Ok(removed) => removed,
                Err(why) => return Ok(Err(of_points(why))),
            };
            let detail = format!("{removed} points of deleted memories removed, none is left");
            if !due.is_empty() {
                mark.note(&[], &[]).map_err(|error| format!("{OPEN}: {error}"))?;
            }
            let unlinked = match self.unlink(spec, store, &due, meter).await? {
                Ok(unlinked) => unlinked,
                Err(why) => return Ok(Err(of_points(format!("{detail}; but {why}")))),
            };
            // mem0 itself removed the points of most that are due.
            let changed = (removed > 0 || !due.is_empty() || mark.open, unlinked > 0 || mark.open);
            match self.free(spec, store, changed, meter).await? {
                Ok(()) => body.checks.push(Check::passed(POINTS, VECTORS, detail)),
                // The rows go all the same: they tell nothing of what the server has of points that are removed.
                Err(why) => unmeasured(body, POINTS, VECTORS, format!("{detail}; but {why}")),
            }
        }
        // Those that an earlier run removed, and not those that are there: they came back, or it did not come to them.
        let earlier: Vec<u128> = mark.ids.iter().copied().collect();
        let mut gone = mark.ids.clone();
        for batch in earlier.chunks(BATCH) {
            match stores.rows.there(batch.to_vec()).await {
                Ok(there) => there.iter().for_each(|id| {
                    gone.remove(id);
                }),
                Err(why) => return Ok(Err(of_rows(why))),
            }
        }
        let (mut removed, mut texts) = (0, Vec::new());
        meter.grow(due.len() as u64);
        let ids: Vec<u128> = due.iter().copied().collect();
        for batch in ids.chunks(BATCH) {
            meter.check().map_err(told)?;
            let memories = match stores.rows.still(batch, before).await {
                Ok(memories) => memories,
                Err(why) => return Ok(Err(of_rows(why))),
            };
            let ids: Vec<u128> = memories.iter().map(|memory| memory.id).collect();
            let said = memories.iter().map(|memory| &memory.text).filter(|text| text.len() >= SHORTEST);
            let said: Vec<String> = said.take(LOOKED_FOR - texts.len()).cloned().collect();
            let digests: Vec<Digest> = said.iter().map(|text| Digest::of(text.as_bytes())).collect();
            mark.note(&ids, &digests).map_err(|error| format!("{OPEN}: {error}"))?;
            match remove(stores, memories).await {
                Ok(rows) => removed += rows,
                Err(why) => return Ok(Err(of_rows(why))),
            }
            gone.extend(ids);
            texts.extend(said);
            meter.advance(BATCH as u64);
        }
        let more = if ids.len() == MOST as usize { "; more are due, the next run goes on" } else { "" };
        let looked = if let Rows::Server(_) = &stores.rows { mark.texts.len() } else { texts.len() };
        let mut places = Vec::new();
        let (gone, open, files): (Vec<u128>, _, _) = (gone.into_iter().collect(), mark.open, stores.files());
        if let Rows::Server(server) = &stores.rows {
            let left = meter.unless_cancelled(server.left(&gone, &mark.texts)).await.map_err(told)?;
            let proven = match left {
                Ok(None) if removed > 0 || open => server.vacuum(meter).await,
                Ok(None) => Ok(()),
                Ok(Some(why)) | Err(why) => Err(why),
            };
            meter.check().map_err(told)?;
            if let Err(why) = proven {
                return Ok(Err(of_rows(format!("{removed} deleted memories removed, but {why}"))));
            }
            places.push("in a text of the server's other tables, where what is removed is vacuumed,");
        }
        if !files.is_empty() {
            let stop = meter.stop();
            let proof = blocking(move || prove(&files, &gone, &texts, open, &stop)).await?;
            // What was stopped stays noted, and is for the next run.
            meter.check().map_err(told)?;
            match proof {
                Ok(None) => places.push("in the files"),
                Ok(Some(why)) => return Ok(Err(of_rows(format!("{removed} deleted memories removed, but {why}")))),
                Err(error) => return Ok(Err(of_rows(error.to_string()))),
            }
        }
        let places = places.join(" nor ");
        let kept = match &stores.rows {
            Rows::File(_) => "backup sets have them until these go",
            Rows::Server(_) => {
                "what is left in free space of pages, logs and replicas of the server is not looked at; backup sets have \
                 them until these go"
            }
        };
        let detail = format!(
            "{removed} deleted memories removed, no row of them is left, and none of {looked} of their texts {places}{more}; \
             {kept}"
        );
        body.checks.push(Check::passed(MEMORIES, DATABASE, detail));
        Ok(Ok(()))
    }
}

/// Removes the history of some memories, then the rows of those that are still deleted. How many rows.
async fn remove(stores: &Stores, memories: Vec<Deleted>) -> Result<u64, String> {
    let ids = memories.iter().map(|memory| memory.id).collect();
    if let Some(history) = &stores.history {
        let texts: Vec<String> = memories.iter().map(|memory| memory.text.clone()).collect();
        let said = on_file(history, move |file| file.messages(&texts)).await?;
        let alive = if said.is_empty() { said } else { stores.rows.alive(said).await? };
        on_file(history, move |file| file.history(&memories, &alive)).await?;
    }
    stores.rows.memories(ids).await
}

/// Looks whether anything is left of memories that are gone; a file whose free pages have a text is written anew, and both
/// are where an earlier purge was not looked after to its end (`open`). For people, what is left.
fn prove(
    files: &[PathBuf],
    ids: &[u128],
    texts: &[String],
    open: bool,
    stop: &CancellationToken,
) -> Result<Option<String>, PurgeError> {
    for path in files {
        let file = Purged::open(path)?;
        let mut left = 0;
        for batch in ids.chunks(LOOKED_UP) {
            left += file.left(batch)?;
        }
        if left > 0 {
            return Ok(Some(format!("{left} rows of them are left in {}", path.display())));
        }
        let mut cut = file.cut_log()?;
        if open || !file.remains(texts)?.is_empty() {
            file.renew(stop)?;
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

/// Removes rows of a log, some at a time. How many; the inner error is for people.
async fn some(log: Log<'_>, before: Timestamp, meter: &Arc<Meter>) -> Result<Result<u64, String>, String> {
    let mut removed = 0;
    loop {
        meter.check().map_err(told)?;
        let done = match log {
            Log::Accesses(rows) => rows.accesses(before).await,
            Log::Changes(history) => on_file(history, move |file| file.changes(before)).await,
        };
        match done {
            Ok(0) => return Ok(Ok(removed)),
            Ok(rows) => removed += rows,
            Err(why) => return Ok(Err(why)),
        }
    }
}

fn said(body: &mut Body, id: &str, component: &str, removed: Result<u64, String>) {
    match removed {
        Ok(removed) => body.checks.push(Check::passed(id, component, format!("{removed} rows removed"))),
        Err(why) => unmeasured(body, id, component, why),
    }
}

#[allow(clippy::needless_pass_by_value)] // What a `map_err` takes.
fn told(cancelled: Cancelled) -> String {
    cancelled.to_string()
}

fn unmeasured(body: &mut Body, id: &str, component: &str, why: String) {
    body.checks.push(Check::unknown(id, component, &why));
    body.unmeasured = Some((Reason::NotMeasured, why));
}
