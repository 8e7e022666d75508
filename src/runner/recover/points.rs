//! Single points that differ from their rows: what can be done about them, and how it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::act::Steps;
use crate::bank::consistency::{Differing, SqlSide, StoredPoints, Taker, differing};
use crate::bank::embed::{self, Embedder};
use crate::bank::qdrant::{Client, NewPoint, Wanted};
use crate::bank::sqlite::{SqliteCopy, originals, texts};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Point, PointId, RunSpec};
use crate::engine::consistency::{Fault, Sampled};
use crate::engine::recovery::{MemoryText, Model, PointsKnown, Repair, hash, hashed};
use crate::runner::consistency::GRACE;
use crate::runner::copies::{Copies, blocking};
use crate::runner::{Exchange, Runner};

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
        let missing = self.sides.texts(ids(&batch, Fault::Missing)).await?;
        self.known.embeddable += missing.len() as u64;
        self.known.bytes += missing.iter().map(|memory| memory.content.len() as u64).sum::<u64>();
        let known = self.sides.texts(ids(&batch, Fault::Text)).await?;
        let first = self.sides.originals(&batch).await?;
        let originals = known.iter().filter(|memory| first.contains(&memory.id)).count() as u64;
        self.known.originals += originals;
        self.known.others += known.len() as u64 - originals;
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

    /// Of points with another text than their row: those which have the first one.
    async fn originals(&self, batch: &[Differing]) -> Result<BTreeSet<u128>, String> {
        let points = batch.iter().filter(|one| one.faults.has(Fault::Text)).filter_map(|one| match one.id {
            PointId::Uuid(id) => Some((id, one.data.clone()?)),
            PointId::Number(_) => None,
        });
        let points: BTreeMap<u128, String> = points.collect();
        let Some(history) = self.history.clone().filter(|_| !points.is_empty()) else { return Ok(BTreeSet::new()) };
        let found = blocking(move || originals(&history, &points)).await?;
        Ok(found.map_err(|error| error.to_string())?.into_iter().collect())
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
            embeddable: 0,
            bytes: 0,
            originals: 0,
            others: 0,
            unhashed: 0,
            orphans: 0,
            broken,
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
            Ok(Sampled { compared: 0, .. }) => (Model::Unproven(name), None),
            Ok(Sampled { compared, .. }) => {
                let each = begun.elapsed() / u32::try_from(compared).unwrap_or(u32::MAX);
                (Model::Proven(name), Some(each))
            }
        })
    }
}

/// Mends points of one kind, a few at a time, and holds each against what was written.
struct Mender<'a> {
    repair: Repair,
    sides: &'a Sides,
    client: &'a Client,
    collection: &'a str,
    /// The name of the dense vector.
    name: String,
    embedder: Option<Embedder>,
}

impl Taker for Mender<'_> {
    async fn take(&mut self, batch: Vec<Differing>) -> Result<(), String> {
        let fault = self.repair.fault();
        match self.repair {
            Repair::Embed => {
                let memories = self.sides.texts(ids(&batch, fault)).await?;
                let payloads = memories.iter().map(|memory| (memory.id, memory.payload())).collect();
                self.write(memories, payloads).await
            }
            Repair::Text { originals } => {
                let first = self.sides.originals(&batch).await?;
                let wanted: Vec<u128> =
                    ids(&batch, fault).into_iter().filter(|id| first.contains(id) == originals).collect();
                if wanted.is_empty() {
                    return Ok(());
                }
                let points: Vec<_> = wanted.iter().map(|id| PointId::Uuid(*id)).collect();
                let found = self.client.payloads(self.collection, &points).await.map_err(|error| error.to_string())?;
                let mut payloads: BTreeMap<_, _> = found
                    .into_iter()
                    .filter_map(|(id, payload)| if let PointId::Uuid(id) = id { Some((id, payload)) } else { None })
                    .collect();
                let mut memories = self.sides.texts(wanted).await?;
                memories.retain(|memory| payloads.contains_key(&memory.id));
                for memory in &memories {
                    payloads.entry(memory.id).and_modify(|payload| memory.write_into(payload));
                }
                self.write(memories, payloads).await
            }
            Repair::Hash => {
                let now = Timestamp::now();
                let of = |one: &Differing| {
                    let data = one.data.as_ref().filter(|_| one.faults.has(fault))?;
                    Some((one.id, hashed(data, now)))
                };
                let keys: Vec<_> = batch.iter().filter_map(of).collect();
                if keys.is_empty() {
                    return Ok(());
                }
                self.client.set_payload(self.collection, &keys).await.map_err(|error| error.to_string())?;
                let ids: Vec<_> = keys.iter().map(|(id, _)| *id).collect();
                let right = |point: &Point| {
                    let payload = &point.payload;
                    payload.data.as_deref().map(hash).is_some_and(|right| payload.hash == Some(right))
                };
                self.hold(&ids, None, right).await
            }
            Repair::Orphans => {
                let ids: Vec<_> = batch.iter().filter(|one| one.faults.has(fault)).map(|one| one.id).collect();
                if ids.is_empty() {
                    return Ok(());
                }
                self.client.delete_points(self.collection, &ids).await.map_err(|error| error.to_string())?;
                let wanted = Wanted { payload: false, vector: None };
                let left =
                    self.client.points(self.collection, &ids, &wanted).await.map_err(|error| error.to_string())?;
                left.first().map_or(Ok(()), |point| Err(format!("the point {} is still there", point.id)))
            }
        }
    }
}

impl Mender<'_> {
    /// Embeds memories and writes their points whole.
    async fn write(
        &mut self,
        mut memories: Vec<MemoryText>,
        mut payloads: BTreeMap<u128, serde_json::Map<String, serde_json::Value>>,
    ) -> Result<(), String> {
        while !memories.is_empty() {
            let (now, later) = at_once(memories);
            memories = later;
            let contents: Vec<&str> = now.iter().map(|memory| memory.content.as_str()).collect();
            let embedder = self.embedder.as_mut().ok_or("the bank declares no embedding")?;
            let made = embedder.embed(&contents).await.map_err(|error| error.to_string())?;
            let points: Vec<NewPoint> = now
                .iter()
                .zip(&made)
                .map(|(memory, vector)| NewPoint {
                    id: PointId::Uuid(memory.id),
                    payload: payloads.remove(&memory.id).unwrap_or_default(),
                    vector: vector.clone(),
                })
                .collect();
            let written = self.client.upsert(self.collection, &self.name, &points).await;
            written.map_err(|error| error.to_string())?;
            let expected: BTreeMap<PointId, (&MemoryText, &Vec<f32>)> =
                points.iter().map(|point| point.id).zip(now.iter().zip(&made)).collect();
            let right = |point: &Point| {
                let Some((memory, made)) = expected.get(&point.id) else { return false };
                let mut sampled = Sampled::default();
                sampled.see(point.id, point.vector.as_deref().unwrap_or_default(), made);
                sampled.others.is_empty() && point.payload.data.as_ref() == Some(&memory.content)
            };
            let ids: Vec<_> = expected.keys().copied().collect();
            self.hold(&ids, Some(self.name.clone()), right).await?;
        }
        Ok(())
    }

    /// Reads points back that were written.
    async fn hold(
        &self,
        ids: &[PointId],
        vector: Option<String>,
        right: impl Fn(&Point) -> bool,
    ) -> Result<(), String> {
        let wanted = Wanted { payload: true, vector };
        let found = self.client.points(self.collection, ids, &wanted).await.map_err(|error| error.to_string())?;
        let wrong = ids.iter().find(|id| !found.iter().any(|point| point.id == **id && right(point)));
        wrong.map_or(Ok(()), |id| Err(format!("the point {id} was written, and is not there as it was written")))
    }
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
    pub(super) async fn points(&self, repair: Repair) -> Result<(), String> {
        let (client, endpoint) = self.qdrant()?;
        let sides = self.sources.sides.as_ref().ok_or("the rows cannot be read")?;
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let embedder = match (&self.spec.bank.embedding, repair.embeds()) {
            (Some(model), true) => {
                let opened = Embedder::open(&self.spec.namespace, model, &secrets).await;
                Some(opened.map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let collection = client.collection(&endpoint.collection).await.map_err(|error| error.to_string())?;
        let name = collection.memories()?.name.clone();
        let mut mender = Mender { repair, sides, client, collection: &endpoint.collection, name, embedder };
        self.runner.each_differing(self.spec, sides, self.meter, &mut mender).await
    }
}
