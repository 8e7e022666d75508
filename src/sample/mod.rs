//! Sample banks: what OpenMemory leaves on disk, healthy or with planted damage, and the judgement of
//! whether exactly that damage was found. Everything follows from a seed.

mod damage;
mod database;
mod error;
pub mod fault;
mod insert;
mod judge;
mod memory;
mod people;
mod plant;
mod planted;
mod random;
mod schema;
mod secrets;
mod templates;
mod text;
mod timeline;
mod tree;
mod words;
mod write;

pub use damage::Damage;
pub use error::SampleError;
pub use judge::{Found, Judgement, Missed, Told, judge};
pub use planted::{Expected, Planted};
pub use schema::Generation;
pub use write::{Recipe, planted, recipe, write};
