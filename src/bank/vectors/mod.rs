//! The points of a bank, whatever its vector store: page after page in the order of their ids, an exact count, and
//! what the store says of itself; and single points that are changed or removed.

mod change;
mod error;
mod pgvector;
mod walk;

use super::qdrant::{Client, Wanted};
use super::{Meter, Secrets};
use crate::domain::{PointId, VectorStore};
use crate::engine::integrity::vectors::{Collection, Shards};

pub use change::{Change, Seen};
pub use error::{PgvectorError, VectorError};
pub use walk::Walk;

use pgvector::Table;

/// What mem0 appends to the name of a collection for its entities.
pub const ENTITIES: &str = "_entities";

/// What of each point is read, and from where on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its payload; without it [`crate::domain::Payload::default`].
    pub payload: bool,
    /// Its dense vector.
    pub vector: bool,
    /// The first id, that one with it; none for all.
    pub from: Option<PointId>,
}

impl Reading {
    /// Everything of every point.
    pub const ALL: Self = Self { payload: true, vector: true, from: None };
    /// The ids of all points.
    pub const IDS: Self = Self { payload: false, vector: false, from: None };
}

/// Where points come from.
#[derive(Clone, Debug)]
pub enum VectorSource {
    /// A collection of Qdrant.
    Qdrant {
        /// The server.
        client: Client,
        /// The collection's name.
        collection: String,
    },
    /// A table of PostgreSQL.
    Pgvector(PgvectorTable),
}

/// A table with pgvector's type, with the url of its database.
#[derive(Clone, Debug)]
pub struct PgvectorTable(Table);

impl VectorSource {
    /// The source of a bank's points; nothing is called yet.
    pub async fn open(namespace: &str, store: &VectorStore, secrets: &impl Secrets) -> Result<Self, VectorError> {
        Ok(match store {
            VectorStore::Qdrant(endpoint) => Self::Qdrant {
                client: Client::open(namespace, endpoint, secrets).await?,
                collection: endpoint.collection.clone(),
            },
            VectorStore::Pgvector(endpoint) => {
                Self::Pgvector(PgvectorTable(Table::open(namespace, endpoint, secrets).await?))
            }
        })
    }

    /// What the store calls the collection.
    pub fn name(&self) -> String {
        match self {
            Self::Qdrant { collection, .. } => format!("the collection {collection}"),
            Self::Pgvector(table) => format!("the table {}", table.0.name()),
        }
    }

    /// What the store says of it. One that a store which answers does not have is [`VectorError::is_missing`].
    pub async fn collection(&self) -> Result<Collection, VectorError> {
        Ok(match self {
            Self::Qdrant { client, collection } => client.collection(collection).await?,
            Self::Pgvector(table) => table.0.collection().await?,
        })
    }

    /// The names of what else the store has: whether it answers where the collection is missing.
    pub async fn others(&self) -> Result<Vec<String>, VectorError> {
        Ok(match self {
            Self::Qdrant { client, .. } => client.collections().await?,
            Self::Pgvector(table) => table.0.others().await?,
        })
    }

    /// Where its shards are; none of a store that has none.
    pub async fn shards(&self) -> Result<Option<Shards>, VectorError> {
        match self {
            Self::Qdrant { client, collection } => Ok(Some(client.shards(collection).await?)),
            Self::Pgvector(_) => Ok(None),
        }
    }

    /// How many points there are, counted one by one: in PostgreSQL by the table itself, not by an index.
    pub async fn count(&self) -> Result<u64, VectorError> {
        Ok(match self {
            Self::Qdrant { client, collection } => client.count(collection).await?,
            Self::Pgvector(table) => table.0.count().await?,
        })
    }

    /// Those of some points that are there.
    pub async fn there(&self, ids: &[PointId]) -> Result<Vec<PointId>, VectorError> {
        Ok(match self {
            Self::Qdrant { client, collection } => {
                let wanted = Wanted { payload: false, vector: None };
                let found = client.points(collection, ids, &wanted).await?;
                found.into_iter().map(|point| point.id).collect()
            }
            Self::Pgvector(table) => table.0.there(ids).await?,
        })
    }

    /// Removes points, those of them that there are.
    pub async fn remove(&self, ids: &[PointId]) -> Result<(), VectorError> {
        match self {
            Self::Qdrant { client, collection } => client.delete_points(collection, ids).await?,
            Self::Pgvector(table) => table.0.remove(ids).await?,
        }
        Ok(())
    }

    /// Has a server of PostgreSQL free what is left of removed rows, after it waited for those who still see them, until it is to
    /// stop; Qdrant does so by itself. The error says, for people, why it did not.
    pub async fn vacuum(&self, meter: &Meter) -> Result<(), String> {
        match self {
            Self::Qdrant { .. } => Ok(()),
            Self::Pgvector(table) => table.0.vacuum(meter).await,
        }
    }

    /// The points in the order of their ids. `collection` is what [`Self::collection`] said.
    pub async fn walk(&self, collection: &Collection, reading: Reading) -> Result<Walk, VectorError> {
        match self {
            Self::Qdrant { client, collection: name } => Ok(Walk::of_qdrant(client, name, collection, reading)),
            Self::Pgvector(table) => Ok(Walk::of_pgvector(table.0.walk(collection, reading).await?)),
        }
    }
}
