//! Effects on the parts of a bank: its SQLite files, its file trees, its texts, its backup sets, and what of it answers
//! over the network.

pub mod backup;
pub mod consistency;
pub mod embed;
pub mod files;
pub mod leaks;
pub mod postgres;
pub mod qdrant;
pub mod reach;
pub mod recovery;
pub mod sqlite;
pub mod vectors;

mod meter;
mod net;
mod secrets;
pub use meter::{Cancelled, Meter};
pub use secrets::{FolderSecrets, SecretError, Secrets};
