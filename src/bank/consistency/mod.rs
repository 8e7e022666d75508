//! Reads both sides of a bank, its memories and its points, side by side, and keeps what the next run compares with.
//! What a difference means is judged by `engine::consistency`.

mod compare;
mod differing;
mod entities;
mod feed;
mod old;
mod points;
mod report;
mod rows;
mod second;
mod source;

pub use compare::{Compared, Settings, Shelf, compare};
pub use differing::{BATCH, Differing, Taker, differing};
pub use entities::{Links, check_links};
pub use points::{MemoryPoints, Points, after};
pub use rows::{Database, RowReader, SqlSide};
pub use source::{StoredPoints, of_entities};
