//! What rows and points were when they were last read: a later change that no time tells of is damage.
//!
//! An index holds each range's counts and sums; entries of 38 bytes, one for each id, stand in segments of at most
//! [`SEGMENT`] bytes, so that one of them is in memory at a time however large the bank is.

mod choose;
mod entry;
mod index;
mod writer;

pub use choose::{Share, choose};
pub use entry::{Entry, Mark, point_digest};
pub use index::{Index, IndexError, Record, Segment};
pub use writer::{Writer, segment_name};

/// The most bytes of a segment: 220,752 entries.
pub const SEGMENT: usize = 8 << 20;
/// The most segments: 14 million entries. What is beyond has no baseline, and that is told.
pub const SEGMENTS: usize = 64;
/// The output that holds the index.
pub const INDEX: &str = "baseline/vectors";
