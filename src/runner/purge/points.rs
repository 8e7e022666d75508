//! What a purge removes from a vector store: the points of deleted memories, and their links in entities.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, json};

use super::mark::Mark;
use super::rows::Rows;
use super::{GRACE, OPEN, PAGE, told};
use crate::bank::consistency::{Points as _, StoredPoints, after, of_entities};
use crate::bank::vectors::{Change, VectorError, VectorSource};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{PointId, RunSpec, VectorStore};
use crate::engine::integrity::sqlite::uuid;
use crate::engine::integrity::vectors::payload;
use crate::runner::{Exchange, Runner};

impl<E: Exchange> Runner<E> {
    /// Removes the points of all deleted memories. How many; the inner error is for people.
    pub(super) async fn points(
        &self,
        spec: &RunSpec,
        store: &VectorStore,
        rows: &Rows,
        mark: &mut Mark,
        meter: &Arc<Meter>,
    ) -> Result<Result<u64, String>, String> {
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
        match rows.nameless().await {
            Ok(0) => {}
            Ok(count) => {
                let why =
                    format!("{count} deleted memories have an id that is none (I14): their points cannot be found");
                return Ok(Err(why));
            }
            Err(why) => return Ok(Err(why)),
        }
        let settled = Timestamp::now().checked_sub(GRACE).map_err(|error| error.to_string())?;
        let (mut from, mut removed) = (String::new(), 0);
        loop {
            let page = match rows.deleted(settled, true, &from, PAGE).await {
                Ok(page) => page,
                Err(why) => return Ok(Err(why)),
            };
            let Some(last) = page.last else { return Ok(Ok(removed)) };
            from = last;
            let ids: Vec<_> = page.ids.into_iter().map(PointId::Uuid).collect();
            let taking = async {
                let there = source.there(&ids).await.map_err(|error| error.to_string())?;
                if there.is_empty() {
                    return Ok((0, 0));
                }
                mark.note(&[], &[]).map_err(|error| format!("{OPEN}: {error}"))?;
                let removing = async {
                    source.remove(&there).await?;
                    Ok::<_, VectorError>(source.there(&there).await?.len())
                };
                let left = removing.await.map_err(|error| error.to_string())?;
                Ok((there.len() as u64, left))
            };
            match meter.unless_cancelled(taking).await.map_err(told)? {
                Ok((found, 0)) => removed += found,
                Ok((_, left)) => return Ok(Err(format!("{left} points that were removed are still there"))),
                Err(why) => return Ok(Err(why)),
            }
        }
    }

    /// Has a server free what is left of points, and of entities, where some were removed or changed; for people, why it did not.
    pub(super) async fn free(
        &self,
        spec: &RunSpec,
        store: &VectorStore,
        (points, entities): (bool, bool),
        meter: &Arc<Meter>,
    ) -> Result<Result<(), String>, String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let of = [(store.clone(), points), (of_entities(store), entities)];
        for (store, _) in of.into_iter().filter(|(_, changed)| *changed) {
            let freed = match VectorSource::open(&spec.namespace, &store, &secrets).await {
                Ok(source) => source.vacuum(meter).await,
                Err(error) => Err(error.to_string()),
            };
            meter.check().map_err(told)?;
            if freed.is_err() {
                return Ok(freed);
            }
        }
        Ok(Ok(()))
    }

    /// Takes memories out of the links of entities; entities that are of no other memory go. How many of both.
    pub(super) async fn unlink(
        &self,
        spec: &RunSpec,
        store: &VectorStore,
        due: &BTreeSet<u128>,
        meter: &Arc<Meter>,
    ) -> Result<Result<usize, String>, String> {
        if due.is_empty() {
            return Ok(Ok(0));
        }
        let secrets = FolderSecrets::new(&self.places.secrets);
        let of_due = |link: &String| uuid::any(link.as_bytes()).is_some_and(|id| due.contains(&id));
        let work = async {
            let Some(mut entities) = StoredPoints::entities(&spec.namespace, store, &secrets).await? else {
                return Ok(0);
            };
            let told = |error: VectorError| error.to_string();
            let source = VectorSource::open(&spec.namespace, &of_entities(store), &secrets).await.map_err(told)?;
            let (mut from, mut removed) = (PointId::Number(0), 0);
            loop {
                let page = entities.page(from, PAGE as usize).await?;
                let Some(last) = page.last() else { return Ok(removed) };
                let next = after(last.id);
                let linked = page.iter().filter(|entity| entity.payload.linked.iter().any(of_due));
                let linked: Vec<PointId> = linked.map(|entity| entity.id).collect();
                let seen = if linked.is_empty() { Vec::new() } else { source.seen(&linked).await.map_err(told)? };
                let (mut lone, mut changes) = (Vec::new(), Vec::new());
                for entity in seen {
                    let links = payload(entity.payload.clone()).linked;
                    let others: Vec<&String> = links.iter().filter(|link| !of_due(link)).collect();
                    if others.is_empty() {
                        lone.push(entity);
                    } else if others.len() < links.len() {
                        let keys = Map::from_iter([("linked_memory_ids".to_owned(), json!(others))]);
                        changes.push(Change { id: entity.id, seen: Some(entity), keys, vector: None });
                    }
                }
                let all = lone.len() + changes.len();
                let mut done = 0;
                if !lone.is_empty() {
                    done += source.take_away(&lone).await.map_err(told)?.len();
                }
                if !changes.is_empty() {
                    done += source.change("", &changes).await.map_err(told)?.len();
                }
                if done < all {
                    return Err(format!("{} entities changed meanwhile; the next run goes on", all - done));
                }
                removed += done;
                match next {
                    Some(next) => from = next,
                    None => return Ok(removed),
                }
            }
        };
        meter.unless_cancelled(work).await.map_err(told)
    }
}
