//! Points, page after page in the order of their ids.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::vector::{Id, Vector};
use super::{Client, QdrantError};
use crate::domain::{Payload, Point, PointId};
use crate::engine::integrity::vectors::payload;

/// What of each point is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its payload.
    pub payload: bool,
    /// Its dense vector of this name; the empty name is the vector without one.
    pub vector: Option<String>,
}

/// Some points, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order of their ids.
    pub points: Vec<Point>,
    /// The first point of the next page; none on the last.
    pub next: Option<PointId>,
}

/// The most bytes of a page that are taken.
const LIMIT: u64 = 64 << 20;

#[derive(Deserialize)]
struct Scrolled {
    points: Vec<Raw>,
    #[serde(default)]
    next_page_offset: Option<Id>,
}

#[derive(Deserialize)]
struct Raw {
    id: Id,
    #[serde(default)]
    payload: Option<Map<String, Value>>,
    #[serde(default)]
    vector: Vector,
}

impl Client {
    /// The points of a collection from an id on, that one with them.
    pub async fn scroll(
        &self,
        collection: &str,
        from: Option<PointId>,
        limit: usize,
        wanted: &Wanted,
    ) -> Result<Page, QdrantError> {
        let mut body = json!({"limit": limit, "with_payload": wanted.payload, "with_vector": vector(wanted)});
        if let Some(from) = from {
            body["offset"] = id(from);
        }
        let path = vec!["collections", collection, "points", "scroll"];
        let scrolled: Scrolled = self.result(&page(path, body)).await?;
        let points = scrolled.points.into_iter().map(|raw| raw.point(wanted)).collect();
        Ok(Page { points, next: scrolled.next_page_offset.map(|id| id.0) })
    }

    /// The whole payloads of those of some points that exist, in whatever order.
    pub async fn payloads(
        &self,
        collection: &str,
        ids: &[PointId],
    ) -> Result<Vec<(PointId, Map<String, Value>)>, QdrantError> {
        let ids: Vec<Value> = ids.iter().map(|one| id(*one)).collect();
        let body = json!({"ids": ids, "with_payload": true, "with_vector": false});
        let found: Vec<Raw> = self.result(&page(vec!["collections", collection, "points"], body)).await?;
        Ok(found.into_iter().map(|raw| (raw.id.0, raw.payload.unwrap_or_default())).collect())
    }

    /// Those of some points that exist, in whatever order.
    pub async fn points(&self, collection: &str, ids: &[PointId], wanted: &Wanted) -> Result<Vec<Point>, QdrantError> {
        let ids: Vec<Value> = ids.iter().map(|one| id(*one)).collect();
        let body = json!({"ids": ids, "with_payload": wanted.payload, "with_vector": vector(wanted)});
        let found: Vec<Raw> = self.result(&page(vec!["collections", collection, "points"], body)).await?;
        Ok(found.into_iter().map(|raw| raw.point(wanted)).collect())
    }
}

impl Raw {
    fn point(self, wanted: &Wanted) -> Point {
        let payload = match self.payload {
            _ if !wanted.payload => Payload::default(),
            Some(map) => payload(map),
            None => payload(Map::new()),
        };
        Point { id: self.id.0, payload, vector: self.vector.0 }
    }
}

fn page(path: Vec<&str>, body: Value) -> Call<'_> {
    Call { patience: Duration::from_mins(1), limit: LIMIT, ..Call::ask("page of points", path, body) }
}

fn vector(wanted: &Wanted) -> Value {
    match wanted.vector.as_deref() {
        None => json!(false),
        // Not every version takes the empty name.
        Some("") => json!(true),
        Some(name) => json!([name]),
    }
}

/// An id as the API takes it.
pub(super) fn id(id: PointId) -> Value {
    match id {
        PointId::Number(number) => json!(number),
        PointId::Uuid(_) => json!(id.to_string()),
    }
}
