//! A bank's backup sets: how one is written beside a living bank, and how it is read back.
//!
//! Sets lie in a folder or in a bucket ([`Repository`]). Folders are files of our own and not those of `object_store`: a set
//! is made by one rename of a synced folder, its files are opened without following links, and room is looked at first.

mod bucket;
mod error;
mod examine;
mod folder;
mod legacy;
mod litter;
mod lock;
mod partial;
mod pipe;
mod postgres;
mod prune;
mod repository;
mod seal;
mod set;
mod sink;
mod snapshot;
mod unseal;
mod vectors;
mod write;

pub use bucket::{Bucket, BucketError};
pub use error::BackupError;
pub use examine::{Database, Examined, Fault, examine};
pub use folder::Folder;
pub use legacy::look;
pub use litter::{Litter, Swept, sweep};
pub use postgres::Dump;
pub use prune::{Pruned, prune};
pub use repository::Repository;
pub use seal::{Identity, Recipients};
pub use set::{Set, drop_fetched};
pub use unseal::unseal;
pub use vectors::Vectors;
pub use write::{Begun, Order, Source, Written, begin};
