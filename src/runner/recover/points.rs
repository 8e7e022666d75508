//! Single points that differ from their rows: what can be done about them, and how it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::act::Steps;
use crate::bank::consistency::{Differing, SqlSide, StoredPoints, Taker, differing};
use crate::bank::embed::{self, Embedder};
use crate::bank::recovery::Touched;
use crate::bank::sqlite::{LastChange, SqliteCopy, having_rows, last_changes, locate, texts};
use crate::bank::vectors::{Change, Seen, VectorError, VectorSource};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Point, PointId, RunSpec, VectorStore};
use crate::engine::consistency::{Fault, Sampled};
use crate::engine::integrity::sqlite::date;
use crate::engine::integrity::vectors::payload;
use crate::engine::recovery::{MemoryText, Model, PointsKnown, Repair, hashed};
use crate::runner::consistency::GRACE;
use crate::runner::copies::{Copies, blocking};
use crate::runner::{Exchange, Runner};

/// So many points drawn at random show of which model the vectors of a bank are.
const PROOF: usize = 8;

/// Both sides of a bank as they are read: its rows, and a private copy of its history.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    rows: SqlSide,
    history: Option<PathBuf>,
}

/// Counts what can be mended.
struct Count<'a> {
    sides: &'a Sides,
    known: PointsKnown,
}

impl Taker for Count<'_> {
    async fn take(&mut self, batch: Vec<Differing>) -> Result<(), String> {
        let has = |fault| batch.iter().filter(move |one| one.faults.has(fault)).count() as u64;
        self.known.orphans += has(Fault::Orphan);
        self.known.unhashed +=
            batch.iter().filter(|one| one.faults.has(Fault::HashAbsent) && one.data.is_some()).count() as u64;
        self.known.missing += has(Fault::Missing);
        let missing = self.sides.missing(&batch).await?;
        self.known.embeddable += missing.len() as u64;
        self.known.bytes += missing.iter().map(|memory| memory.content.len() as u64).sum::<u64>();
        for originals in [true, false] {
            let texts = self.sides.edited(&batch, originals).await?.len() as u64;
            if originals {
                self.known.originals += texts;
            } else {
                self.known.others += texts;
            }
        }
        Ok(())
    }
}

impl Sides {
    async fn texts(&self, ids: Vec<u128>) -> Result<Vec<MemoryText>, String> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        match &self.rows {
            SqlSide::Sqlite(database) => {
                let copy = database.copy.clone();
                blocking(move || texts(&copy, &ids)).await?.map_err(|error| error.to_string())
            }
            SqlSide::Postgres(memories) => memories.texts(&ids).await,
        }
    }

    /// Those of some ids that have a row now, in the bank itself.
    async fn having_rows(&self, ids: Vec<u128>) -> Result<Vec<u128>, String> {
        match &self.rows {
            SqlSide::Sqlite(database) => {
                let live = locate(&database.root, &database.path).map_err(|error| error.to_string())?;
                blocking(move || having_rows(&live, &ids)).await?.map_err(|error| error.to_string())
            }
            SqlSide::Postgres(memories) => memories.having_rows(&ids).await,
        }
    }

    async fn last_changes(&self, ids: Vec<u128>) -> Result<BTreeMap<u128, LastChange>, String> {
        let Some(history) = self.history.clone().filter(|_| !ids.is_empty()) else { return Ok(BTreeMap::new()) };
        blocking(move || last_changes(&history, &ids)).await?.map_err(|error| error.to_string())
    }

    /// Of those without a point, what would be embedded: mem0's history does not say that it was deleted.
    async fn missing(&self, batch: &[Differing]) -> Result<Vec<MemoryText>, String> {
        let mut memories = self.texts(ids(batch, Fault::Missing)).await?;
        let last = self.last_changes(memories.iter().map(|memory| memory.id).collect()).await?;
        memories.retain(|memory| last.get(&memory.id).is_none_or(|last| last.event != "DELETE"));
        Ok(memories)
    }

    /// Of those whose point has another text, and the right owner: either those of which it is proven that the row was edited
    /// since (the point has the very first text, and the row changed later), or the others.
    async fn edited(&self, batch: &[Differing], originals: bool) -> Result<Vec<MemoryText>, String> {
        let points: BTreeMap<PointId, &Differing> = batch
            .iter()
            .filter(|one| one.faults.has(Fault::Text) && !one.faults.has(Fault::Owner))
            .map(|one| (one.id, one))
            .collect();
        let wanted: Vec<u128> =
            points.keys().filter_map(|id| if let PointId::Uuid(id) = id { Some(*id) } else { None }).collect();
        let mut memories = self.texts(wanted.clone()).await?;
        let last = self.last_changes(wanted).await?;
        memories.retain(|memory| {
            let point = points.get(&PointId::Uuid(memory.id)).and_then(|point| point.data.as_ref());
            let updated = memory.updated.as_deref().and_then(date::parse);
            let first = last.get(&memory.id).is_some_and(|last| {
                let later = updated.zip(last.time).is_some_and(|(updated, added)| updated > added);
                last.event == "ADD" && last.text.as_ref() == point && later
            });
            first == originals
        });
        Ok(memories)
    }
}

fn ids(batch: &[Differing], fault: Fault) -> Vec<u128> {
    let of = |one: &Differing| match one.id {
        PointId::Uuid(id) if one.faults.has(fault) => Some(id),
        _ => None,
    };
    batch.iter().filter_map(of).collect()
}

impl<E: Exchange> Runner<E> {
    /// Both sides; none where the rows cannot be read.
    pub(super) async fn copies_of_sides(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Option<Sides>, String> {
        let Ok((rows, _)) = self.sides(spec, copies, meter).await? else { return Ok(None) };
        let history = copies.history(&spec.bank, meter).await?;
        let history = history.and_then(|copied| copied.copy.as_ref().map(SqliteCopy::path));
        Ok(Some(Sides { rows, history }))
    }

    /// What can be done about single points.
    pub(super) async fn of_points(
        &self,
        spec: &RunSpec,
        sides: &Sides,
        meter: &Arc<Meter>,
    ) -> Result<PointsKnown, String> {
        let broken = sides.rows.broken().await?;
        let (model, rate) = self.model(spec, meter).await?;
        let known = PointsKnown {
            model,
            seconds_per_thousand: rate.map(|rate| (rate * 1_000).as_secs() + 1),
            missing: 0,
            embeddable: 0,
            bytes: 0,
            originals: 0,
            others: 0,
            unhashed: 0,
            orphans: 0,
            broken,
            rotten: false,
        };
        let mut count = Count { sides, known };
        self.each_differing(spec, sides, meter, &mut count).await?;
        Ok(count.known)
    }

    async fn each_differing(
        &self,
        spec: &RunSpec,
        sides: &Sides,
        meter: &Arc<Meter>,
        taker: &mut impl Taker,
    ) -> Result<(), String> {
        let Some(store) = &spec.bank.vector_store else { return Ok(()) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let points = StoredPoints::memories(&spec.namespace, store, &secrets).await?;
        let all = Box::pin(differing(&sides.rows, points, GRACE, meter, taker));
        meter.unless_cancelled(all).await.map_err(|cancelled| cancelled.to_string())?
    }

    /// What the declared model is worth, and how long it takes for a text.
    async fn model(&self, spec: &RunSpec, meter: &Arc<Meter>) -> Result<(Model, Option<Duration>), String> {
        let Some(endpoint) = &spec.bank.embedding else { return Ok((Model::Undeclared, None)) };
        let begun = Instant::now();
        let sampled = meter.unless_cancelled(self.sample(spec)).await.map_err(|cancelled| cancelled.to_string())?;
        let name = endpoint.model.clone();
        Ok(match sampled {
            Err(why) => (Model::Unusable(why), None),
            Ok(sampled) if !sampled.others.is_empty() => {
                let (others, compared) = (sampled.others.len(), sampled.compared);
                let why = format!(
                    "{name} is not the model of {others} of {compared} points drawn at random: correct spec.embedding"
                );
                (Model::Unusable(why), None)
            }
            Ok(Sampled { compared, .. }) if compared < PROOF => (Model::Unproven(name), None),
            Ok(Sampled { compared, .. }) => {
                let each = begun.elapsed() / u32::try_from(compared).unwrap_or(u32::MAX);
                (Model::Proven(name), Some(each))
            }
        })
    }
}

/// Mends points of one kind, a few at a time, and holds each against what was written. A point that changed since both sides
/// were read is left alone.
struct Mender<'a> {
    repair: Repair,
    sides: &'a Sides,
    source: VectorSource,
    /// Where points are noted before they are written; none where the store is kept as a whole.
    touched: Option<&'a Touched>,
    /// The name of the dense vector.
    name: String,
    embedder: Option<Embedder>,
    /// How many points the plan says, and how many were removed.
    items: u64,
    removed: u64,
}

impl Taker for Mender<'_> {
    async fn take(&mut self, batch: Vec<Differing>) -> Result<(), String> {
        match self.repair {
            Repair::Embed => {
                let memories = self.sides.missing(&batch).await?;
                self.embed(memories, BTreeMap::new()).await
            }
            Repair::Text { originals } => {
                let mut memories = self.sides.edited(&batch, originals).await?;
                let points: Vec<_> = memories.iter().map(|memory| PointId::Uuid(memory.id)).collect();
                let seen = self.seen(&batch, points).await?;
                memories.retain(|memory| seen.contains_key(&PointId::Uuid(memory.id)));
                self.embed(memories, seen).await
            }
            Repair::Hash => {
                let seen = self.seen(&batch, self.faulty(&batch)).await?;
                let hashed = |seen: Seen| {
                    let keys = hashed(&seen.payload)?;
                    Some(Change { id: seen.id, seen: Some(seen), keys, vector: None })
                };
                let changes: Vec<Change> = seen.into_values().filter_map(hashed).collect();
                self.write(&changes).await
            }
            Repair::Orphans => {
                let mut ids = self.faulty(&batch);
                // A row may have come since both sides were read.
                let uuids = ids.iter().filter_map(|id| if let PointId::Uuid(id) = id { Some(*id) } else { None });
                let rows = self.sides.having_rows(uuids.collect()).await?;
                ids.retain(|id| !rows.iter().any(|row| PointId::Uuid(*row) == *id));
                let seen: Vec<Seen> = self.seen(&batch, ids).await?.into_values().collect();
                self.remove(&seen).await
            }
        }
    }
}

impl Mender<'_> {
    /// Those of which something is wrong that is to be mended.
    fn faulty(&self, batch: &[Differing]) -> Vec<PointId> {
        batch.iter().filter(|one| one.faults.has(self.repair.fault())).map(|one| one.id).collect()
    }

    /// Those of some points that are what they were when both sides were read.
    async fn seen(&self, batch: &[Differing], ids: Vec<PointId>) -> Result<BTreeMap<PointId, Seen>, String> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let seen = self.source.seen(&ids).await.map_err(told)?;
        let digests: BTreeMap<PointId, Option<[u8; 32]>> = batch.iter().map(|one| (one.id, one.digest)).collect();
        let same = |seen: &Seen| digests.get(&seen.id) == Some(&Some(payload(seen.payload.clone()).digest));
        Ok(seen.into_iter().filter(same).map(|seen| (seen.id, seen)).collect())
    }

    /// Embeds memories and writes their points whole, over those that were seen. Texts that the model refuses are passed over.
    async fn embed(&mut self, mut memories: Vec<MemoryText>, mut seen: BTreeMap<PointId, Seen>) -> Result<(), String> {
        // PostgreSQL takes no such text, and would take no note of it either.
        memories.retain(|memory| {
            let taken = self.touched.is_none() || !memory.content.contains('\0');
            if !taken {
                let id = PointId::Uuid(memory.id);
                tracing::warn!(%id, "the text of a memory has U+0000, which the table of the points cannot hold");
            }
            taken
        });
        let mut waiting = vec![memories];
        while let Some(memories) = waiting.pop() {
            let (mut now, later) = at_once(memories);
            if !later.is_empty() {
                waiting.push(later);
            }
            if now.is_empty() {
                continue;
            }
            let contents: Vec<&str> = now.iter().map(|memory| memory.content.as_str()).collect();
            let embedder = self.embedder.as_mut().ok_or("the bank declares no embedding")?;
            let made = match embedder.embed(&contents).await {
                Ok(made) => made,
                Err(error) if error.is_of_text() && now.len() > 1 => {
                    let half = now.split_off(now.len() / 2);
                    waiting.extend([half, now]);
                    continue;
                }
                Err(error) if error.is_of_text() => {
                    let id = PointId::Uuid(now[0].id);
                    tracing::warn!(%id, "the text of a memory cannot be embedded: {error}");
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            let changes = now.iter().zip(made).map(|(memory, vector)| {
                let id = PointId::Uuid(memory.id);
                let seen = seen.remove(&id);
                let keys = seen.as_ref().map_or_else(|| memory.payload(), |seen| memory.keys(&seen.payload));
                Change { id, seen, keys, vector: Some(vector) }
            });
            let changes: Vec<Change> = changes.collect();
            self.write(&changes).await?;
        }
        Ok(())
    }

    /// Writes points, and reads those back that were written, each with its whole payload.
    async fn write(&self, changes: &[Change]) -> Result<(), String> {
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(touched) = self.touched {
            let noted = changes.iter().map(|change| (change.id, Some(&change.keys)));
            touched.note(noted).map_err(|error| error.to_string())?;
        }
        let written = self.source.change(&self.name, changes).await.map_err(told)?;
        let left = changes.len() - written.len();
        if left > 0 {
            tracing::warn!(left, "points changed since they were read, and are left alone");
        }
        let vector = changes.iter().any(|change| change.vector.is_some()).then_some(self.name.as_str());
        let found = self.source.points(&written, vector).await.map_err(told)?;
        let as_written = |change: &Change| {
            let expected = payload(change.payload()).digest;
            let right = |point: &Point| {
                let mut sampled = Sampled::default();
                if let Some(made) = &change.vector {
                    sampled.see(point.id, point.vector.as_deref().unwrap_or_default(), made);
                }
                sampled.others.is_empty()
            };
            found.iter().any(|point| point.id == change.id && point.payload.digest == expected && right(point))
        };
        match changes.iter().find(|change| written.contains(&change.id) && !as_written(change)) {
            Some(Change { id, .. }) => Err(format!("the point {id} was written, and is not there as it was written")),
            None => Ok(()),
        }
    }

    /// Removes points, never more than the plan says.
    async fn remove(&mut self, seen: &[Seen]) -> Result<(), String> {
        if seen.is_empty() {
            return Ok(());
        }
        self.removed += seen.len() as u64;
        if self.removed > self.items {
            return Err(format!("more than the {} points of the plan have no row by now", self.items));
        }
        if let Some(touched) = self.touched {
            touched.note(seen.iter().map(|seen| (seen.id, None))).map_err(|error| error.to_string())?;
        }
        let removed = self.source.take_away(seen).await.map_err(told)?;
        let left = self.source.there(&removed).await.map_err(told)?;
        left.first().map_or(Ok(()), |id| Err(format!("the point {id} is still there")))
    }
}

#[allow(clippy::needless_pass_by_value)] // What a `map_err` takes.
fn told(error: VectorError) -> String {
    error.to_string()
}

/// As many memories as are embedded at once, one at least, and the others.
fn at_once(mut memories: Vec<MemoryText>) -> (Vec<MemoryText>, Vec<MemoryText>) {
    let lengths = memories.iter().scan(0, |bytes, memory| {
        *bytes += memory.content.len();
        Some(*bytes)
    });
    let fit = lengths.take(embed::TEXTS).take_while(|bytes| *bytes <= embed::BYTES).count();
    let later = memories.split_off(fit.max(1).min(memories.len()));
    (memories, later)
}

impl<E: Exchange> Steps<'_, E> {
    /// Carries out a step that mends single points.
    pub(super) async fn points(&self, repair: Repair, items: u64, touched: &Touched) -> Result<(), String> {
        let store = self.spec.bank.vector_store.as_ref().ok_or("the bank declares no vector store")?;
        let sides = self.sources.sides.as_ref().ok_or("the rows cannot be read")?;
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let embedder = match (&self.spec.bank.embedding, repair.embeds()) {
            (Some(model), true) => {
                let opened = Embedder::open(&self.spec.namespace, model, &secrets).await;
                Some(opened.map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let source = VectorSource::open(&self.spec.namespace, store, &secrets).await.map_err(told)?;
        let collection = source.collection().await.map_err(told)?;
        let name = collection.memories()?.name.clone();
        let touched = matches!(store, VectorStore::Pgvector(_)).then_some(touched);
        let mut mender = Mender { repair, sides, source, touched, name, embedder, items, removed: 0 };
        self.runner.each_differing(self.spec, sides, self.meter, &mut mender).await
    }
}
