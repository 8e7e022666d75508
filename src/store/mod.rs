//! The event database: what was found, what ran, who did what. SQLite in a data folder, or PostgreSQL.
//!
//! All writing goes through one transaction per request, so that a request is kept whole or not at all;
//! a request that returned is on the disk. See docs/store.md for the tables and what they promise.

mod audit;
mod blob_files;
mod blobs;
mod chain;
mod checkpoint;
mod connect;
mod db;
mod error;
mod facts;
mod finish;
mod keys;
mod lock;
mod merge;
mod metrics;
mod objects;
mod order;
mod reach;
mod records;
mod retention;
mod runs;
mod schema;
mod sqlite_file;
mod value;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

pub use audit::{AuditEntry, AuditRow, AuditVerdict};
pub use error::StoreError;
pub use finish::Finish;
pub use lock::DataLock;
pub use metrics::{BankMetrics, LatestSample};
pub use objects::Object;
pub use reach::BankSample;
pub use retention::{Limits, Removed};
pub use runs::{Begin, RunRecord};

use blobs::BlobPlace;
use checkpoint::Checkpoint;
use connect::Access;
use db::Db;

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// `memorybank.db` in this data folder, with its blobs beside it.
    Sqlite(PathBuf),
    /// A PostgreSQL URL; it holds a password and is never shown.
    Postgres(String),
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(data_dir) => f.debug_tuple("Sqlite").field(data_dir).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// The open store. Cheap to clone; all clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    blobs: BlobPlace,
    checkpoint: Arc<Checkpoint>,
    /// Held by whoever writes: writers of one process queue here fairly instead of polling SQLite's
    /// lock, and a blob cannot be collected between its file and its row.
    writer: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the store, makes it where there never was one, and brings its schema up to date.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let store = Self::connect(location, Access::ReadWrite).await?;
        schema::migrate(&store.db).await?;
        store.begin_checkpoint().await?;
        Ok(store)
    }

    /// Opens a store that is there, beside the process that works on it; changes nothing.
    pub async fn open_read_only(location: &Location) -> Result<Self, StoreError> {
        let store = Self::connect(location, Access::ReadOnly).await?;
        schema::check(&store.db).await?;
        Ok(store)
    }

    async fn connect(location: &Location, access: Access) -> Result<Self, StoreError> {
        let (db, blobs, checkpoint) = match location {
            Location::Sqlite(data_dir) => (
                connect::sqlite(data_dir, access).await?,
                BlobPlace::Files(data_dir.join(blob_files::FOLDER)),
                Checkpoint::file(data_dir),
            ),
            Location::Postgres(url) => (connect::postgres(url).await?, BlobPlace::Rows, Checkpoint::none()),
        };
        Ok(Self { db, blobs, checkpoint: Arc::new(checkpoint), writer: Arc::default() })
    }

    /// Ends all connections; requests after it fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
