//! What makes a vector store intact: the points that it returns, and what the server says of them.

mod collection;
mod count;
mod defect;
mod payload;
mod points;
mod reading;

pub use collection::{Collection, Colour, Dense, Distance, Shard, Shards};
pub use count::{Counted, Walked, counted};
pub use payload::payload;
pub use points::{Expected, Points};
pub use reading::{Extent, missing, unreadable};

use crate::domain::{Check, CorruptionEvent};

/// The component of a bank that all of these are about.
pub const VECTORS: &str = "vectors";

/// The ids of the checks, as `docs/vectors.md` explains them.
pub mod check {
    /// The collection is there and sound, as the server says.
    pub const COLLECTION: &str = "vectors-collection";
    /// Each shard has a replica that lives.
    pub const SHARDS: &str = "vectors-shards";
    /// The collection is as long as the embedder's vectors.
    pub const SIZE: &str = "vectors-size";
    /// The first page can be read.
    pub const FIRST_PAGE: &str = "vectors-first-page";
    /// Every point can be read.
    pub const READ: &str = "vectors-read";
    /// As many points are returned as are counted.
    pub const COUNT: &str = "vectors-count";
    /// Every vector has the collection's length.
    pub const DIMENSION: &str = "vectors-dimension";
    /// Every vector is one that an embedder can have made.
    pub const VALUES: &str = "vectors-values";
    /// Every payload has what a memory needs.
    pub const PAYLOAD: &str = "vectors-payload";
    /// Every text has the hash that is kept beside it.
    pub const HASH: &str = "vectors-hash";
}

/// What was judged, and the damage that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// One row per check.
    pub checks: Vec<Check>,
    /// One event per fault.
    pub events: Vec<CorruptionEvent>,
}

impl Judgement {
    /// Takes what another one says.
    pub fn extend(&mut self, other: Self) {
        self.checks.extend(other.checks);
        self.events.extend(other.events);
    }
}
