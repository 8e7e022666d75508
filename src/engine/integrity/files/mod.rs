//! Manifests, Merkle roots and the differences between two states of a file tree.
//!
//! One check of a tree goes: [`plan`] says what of each file is to be read, the bank reads it, [`compare`]
//! says what differs, what of that is damage, and what the next manifest holds.

mod compare;
mod difference;
mod document;
mod evidence;
mod manifest;
mod merkle;
mod path;
mod plan;
mod rule;
mod share;
mod sums;

pub use compare::{Comparison, Observed, compare};
pub use difference::{BadLeaves, Beginning, Difference, Read, difference};
pub use document::ManifestError;
pub use manifest::{Cursor, Entry, Manifest, Node, SpecialKind, Trust};
pub use merkle::{LEAF, LeafHasher, Sums, ZERO_LEAF, leaf_count, root};
pub use path::{PathError, TreePath, escape, unescape};
pub use plan::{MAX_LEAVES, Plan, Reading, Seen, plan};
pub use rule::{Ruling, Told, rule};
pub use share::{Part, window};
