//! Puts parts of a bank back, in a scratch place or in the bank itself.

mod temporary;
mod tree;

pub use temporary::{Temporary, leftovers};
pub use tree::{ArchivedFile, TreeError, archived};
