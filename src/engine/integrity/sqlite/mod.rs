//! SQLite file format and OpenMemory invariants.

pub mod cell;
pub mod date;
mod ddl;
pub mod directory;
pub mod duplicates;
pub mod entry;
pub mod erasure;
mod header;
pub mod history;
mod journal;
pub mod json;
mod page_checksum;
mod pairing;
mod raw;
pub mod schema;
pub mod states;
pub mod structure;
pub mod tally;
pub mod text;
pub mod uuid;
mod wal;
mod wal_index;

pub use header::{Header, HeaderFault};
pub use journal::{JournalFacts, JournalWalk, Wanted};
pub use page_checksum::PageChecksums;
pub use pairing::{Pairing, pair_journal, pair_wal};
pub use raw::{Judgement, RawFacts};
pub use wal::{WalFacts, WalFault, WalHeader, WalWalk};
pub use wal_index::WalIndex;
