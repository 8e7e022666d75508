//! What makes a backup set: its names and layout, its manifest, which sets are kept, and what the folders of other
//! tools are worth. Judgements over what others read and wrote.

mod counts;
mod document;
mod layout;
mod legacy;
mod manifest;
mod name;
mod retention;
mod script;
mod statements;

pub use counts::{Counts, emptiness, shortfall};
pub use document::SetError;
pub use layout::{DDL, MANIFEST, PARTIAL, SEALED, SUMS, file_tree, postgres_folder, snapshot_file, sqlite_file};
pub use legacy::{Archive, LegacyFile, LegacySet, judge_legacy};
pub use manifest::{Missing, Part, PartKind, SetManifest};
pub use name::{NameError, SetName};
pub use retention::{Standing, doomed};
pub use script::{Column, Relation, Rows, Script, Sections, Sequence};
pub use statements::OneTable;
