use super::points::{Points, after};
use crate::bank::Secrets;
use crate::bank::vectors::{ENTITIES, Reading, VectorError, VectorSource, Walk};
use crate::domain::{Point, PointId, VectorStore};
use crate::engine::integrity::vectors::Collection;

/// The points of a collection that is read over the network. What is not there has none.
#[derive(Debug)]
pub struct StoredPoints {
    there: Option<(VectorSource, Collection)>,
    vectors: bool,
    /// The walk under way, and the id at which it goes on.
    walk: Option<(Walk, PointId)>,
}

impl StoredPoints {
    /// The memories of a bank. A store that answers and has no such collection has no points: that is no trouble.
    pub async fn memories(namespace: &str, store: &VectorStore, secrets: &impl Secrets) -> Result<Self, String> {
        Self::open(namespace, store, true, secrets).await
    }

    /// The entities that mem0 keeps beside them, without their vectors; none where there is no such collection.
    pub async fn entities(
        namespace: &str,
        store: &VectorStore,
        secrets: &impl Secrets,
    ) -> Result<Option<Self>, String> {
        let mut store = store.clone();
        match &mut store {
            VectorStore::Qdrant(endpoint) => endpoint.collection.push_str(ENTITIES),
            VectorStore::Pgvector(endpoint) => endpoint.table.push_str(ENTITIES),
        }
        let entities = Self::open(namespace, &store, false, secrets).await?;
        Ok(entities.there.is_some().then_some(entities))
    }

    async fn open(namespace: &str, store: &VectorStore, vectors: bool, secrets: &impl Secrets) -> Result<Self, String> {
        let told = |error: VectorError| error.to_string();
        let source = VectorSource::open(namespace, store, secrets).await.map_err(told)?;
        let there = match source.collection().await {
            Ok(collection) => Some((source, collection)),
            // Only a store that answers can say so.
            Err(error) if error.is_missing() => source.others().await.map(|_| None).map_err(told)?,
            Err(error) => return Err(told(error)),
        };
        Ok(Self { there, vectors, walk: None })
    }

    async fn read(&mut self, from: PointId, most: usize) -> Result<Vec<Point>, VectorError> {
        let Some((source, collection)) = &self.there else { return Ok(Vec::new()) };
        let mut walk = match self.walk.take() {
            Some((walk, next)) if next == from => walk,
            // To log in anew for each span would take longer than to read it.
            Some((walk, _)) => walk.go_to(from, most),
            None => {
                let reading = Reading { payload: true, vector: self.vectors, from: Some(from) };
                source.walk(collection, reading).await?.at_most(most)
            }
        };
        let Some(page) = walk.next().await? else { return Ok(Vec::new()) };
        self.walk = walk.last().and_then(after).map(|next| (walk, next));
        Ok(page)
    }
}

impl Points for StoredPoints {
    async fn page(&mut self, from: PointId, most: usize) -> Result<Vec<Point>, String> {
        self.read(from, most).await.map_err(|error| error.to_string())
    }

    fn renew(&mut self) {
        self.walk = None;
    }
}
