//! Puts parts of a bank back, in a scratch place or in the bank itself.

mod files;
mod journal;
mod salvage;
mod server;
mod temporary;
mod touched;
mod tree;

pub use files::{Right, is_lost, like, put_file_back, put_files, within};
pub use journal::{Journal, Kept, Phase, QUARANTINE, Quarantine, QuarantineError};
pub use salvage::{SalvageError, deleted, lacking, salvage, younger};
pub use server::{
    Instead, Made, NoTable, PointTable, ServerError, SetRows, SetTable, TemporaryDatabase, make_anew, make_beside,
    name_beside, own_indexes, remove_beside, write_dead, write_live,
};
pub use temporary::{Temporary, leftovers};
pub use touched::Touched;
pub use tree::{ArchivedFile, TreeError, archived};
