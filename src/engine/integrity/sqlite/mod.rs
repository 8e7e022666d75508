//! SQLite file format and OpenMemory invariants.

pub mod cell;
pub mod date;
pub mod directory;
pub mod duplicates;
pub mod erasure;
pub mod history;
pub mod json;
pub mod schema;
pub mod states;
pub mod structure;
pub mod tally;
pub mod text;
pub mod uuid;
