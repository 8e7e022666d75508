use std::time::Duration;

use super::pgvector::Rows;
use super::{Reading, VectorError};
use crate::bank::qdrant::{Client, QdrantError, Wanted};
use crate::domain::{Point, PointId};
use crate::engine::integrity::vectors::Collection;

/// About how many bytes a page has: enough that asking costs nothing beside it, few enough to hold two.
const PAGE: usize = 6 << 20;
/// What a payload takes, about.
const PAYLOAD: usize = 1_024;
/// What a number of a vector takes in JSON, and what all else of a point does.
const DIGITS: usize = 12;
const FRAME: usize = 100;
/// The most points of a page. Larger ones time out on busy servers.
const MOST: usize = 1_000;
/// The most of a page without vectors or payloads.
const MOST_IDS: usize = 10_000;

/// After which time a point alone is asked for again that the server says it cannot read.
const AGAIN: Duration = Duration::from_millis(500);

/// Points in the order of their ids, a page at a time.
#[derive(Debug)]
pub struct Walk {
    store: Store,
    /// The last point that was given.
    last: Option<PointId>,
    done: bool,
}

#[derive(Debug)]
enum Store {
    Qdrant(OfQdrant),
    Pgvector(Rows),
}

#[derive(Debug)]
struct OfQdrant {
    client: Client,
    collection: String,
    /// The vector's name is missing where which one is meant cannot be said; then it was not to be read.
    wanted: Result<Wanted, String>,
    /// How many points are asked for, and how many at most.
    limit: usize,
    most: usize,
    from: Option<PointId>,
}

impl Walk {
    pub(super) fn of_qdrant(client: &Client, name: &str, collection: &Collection, reading: Reading) -> Self {
        let vector = if reading.vector { collection.memories().map(Some) } else { Ok(None) };
        let size = vector.as_ref().ok().and_then(|dense| dense.as_ref()?.size).unwrap_or_default() as usize;
        let wanted = vector.map(|dense| Wanted { payload: reading.payload, vector: dense.map(|d| d.name.clone()) });
        let bytes = FRAME + size * DIGITS + if reading.payload { PAYLOAD } else { 0 };
        let most = if reading.vector || reading.payload { MOST } else { MOST_IDS };
        let most = (PAGE / bytes).clamp(1, most);
        let store = Store::Qdrant(OfQdrant {
            client: client.clone(),
            collection: name.to_owned(),
            wanted,
            limit: most,
            most,
            from: reading.from,
        });
        Self { store, last: None, done: false }
    }

    pub(super) const fn of_pgvector(rows: Rows) -> Self {
        Self { store: Store::Pgvector(rows), last: None, done: false }
    }

    /// With pages of at most so many points, for who wants a few.
    #[must_use]
    pub fn at_most(mut self, most: usize) -> Self {
        match &mut self.store {
            Store::Qdrant(of) => of.limit = of.limit.min(most.max(1)),
            Store::Pgvector(rows) => rows.at_most(most),
        }
        self
    }

    /// The same walk from another id on, with pages of at most so many points.
    #[must_use]
    pub fn go_to(mut self, from: PointId, most: usize) -> Self {
        match &mut self.store {
            Store::Qdrant(of) => (of.from, of.limit) = (Some(from), of.most.min(most.max(1))),
            Store::Pgvector(rows) => rows.go_to(from, most),
        }
        Self { last: None, done: false, ..self }
    }

    /// The last point that was given.
    pub const fn last(&self) -> Option<PointId> {
        self.last
    }

    /// The next points, never none of them; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Point>>, VectorError> {
        if self.done {
            return Ok(None);
        }
        let (points, more) = match &mut self.store {
            Store::Qdrant(of) => of.page().await?,
            Store::Pgvector(rows) => rows.page().await?,
        };
        for point in &points {
            // Whoever merges relies on it, and a store that goes back would be walked for ever.
            if self.last.is_some_and(|last| last >= point.id) {
                return Err(VectorError::Disorder(point.id));
            }
            self.last = Some(point.id);
        }
        self.done = !more || points.is_empty();
        Ok(if points.is_empty() { None } else { Some(points) })
    }
}

impl OfQdrant {
    async fn page(&mut self) -> Result<(Vec<Point>, bool), VectorError> {
        let wanted = self.wanted.as_ref().map_err(|why| VectorError::NoVector(why.clone()))?;
        let mut asked_alone = false;
        loop {
            match self.client.scroll(&self.collection, self.from, self.limit, wanted).await {
                // Payloads are larger here than they usually are; or one point of many cannot be read, and those
                // before it can; or so many at once were too much.
                Err(error) if self.limit > 1 && is_too_much(&error) => {
                    self.limit = (self.limit / 8).max(1);
                    if matches!(error, QdrantError::TooLarge { .. }) {
                        self.most = self.limit;
                    }
                }
                // Nobody is accused for one error alone.
                Err(error) if error.is_damage().is_some() && !asked_alone => {
                    asked_alone = true;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) if error.is_damage().is_some() && !self.names_the_next().await => {
                    return Err(VectorError::Unwell(error));
                }
                Err(error) => return Err(error.into()),
                Ok(page) => {
                    self.limit = (self.limit * 2).min(self.most);
                    self.from = page.next;
                    return Ok((page.points, page.next.is_some()));
                }
            }
        }
    }

    /// Whether the server can still say which point is the next: HTTP 500 is also its answer where a replica is away, or
    /// it has no file left to open.
    async fn names_the_next(&self) -> bool {
        let ids = Wanted { payload: false, vector: None };
        self.client.scroll(&self.collection, self.from, 1, &ids).await.is_ok()
    }
}

/// Whether fewer points may be had where so many are not.
fn is_too_much(error: &QdrantError) -> bool {
    matches!(error, QdrantError::TooLarge { .. }) || error.is_damage().is_some()
}
