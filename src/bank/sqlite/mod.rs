//! How a live SQLite bank is copied, and what is read from the copy.

mod checks;
mod copy;
mod erasure;
mod error;
mod history;
mod locks;
mod memories;
mod mend;
mod optimize;
mod pour;
mod query;
mod raw;
mod rows;
mod scan;
mod schema;
mod scratch;
mod set;
mod snapshot;
mod stock;
mod structure;
mod table;
mod texts;

pub use crate::engine::integrity::sqlite::schema::SchemaKind;
pub use checks::{SqliteReport, check};
pub use copy::{Effort, JournalMode, SqliteCopy, copy};
pub use erasure::erasure;
pub use error::CopyError;
pub use history::check_history;
pub use memories::{MemoryReader, MemorySpan};
pub use mend::{MendError, Stand, index_names, locate, overwrite, put_back, reindex, reindex_mends};
pub use optimize::{OptimizeError, Optimized, optimize};
pub use query::SqliteError;
pub use scratch::{free, wipe};
pub use stock::{Stock, take_stock};
pub use texts::{TextError, originals, texts};
