//! How a live SQLite bank is copied, and what is read from the copy.

mod copy;
mod error;
mod locks;
mod pour;
mod raw;
mod scratch;
mod set;
mod snapshot;

pub use copy::{Effort, JournalMode, SqliteCopy, copy};
pub use error::CopyError;
pub use scratch::wipe;
