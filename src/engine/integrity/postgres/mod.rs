//! What the answers of a PostgreSQL server say of a bank's database.
//!
//! No single one of them is enough: amcheck sees no zeroed or cut table, checksums see no page that was never
//! written, and neither sees rows that contradict each other (docs/integrity.md).

mod judge;
mod observed;

pub use judge::judge;
pub use observed::{Amcheck, Answer, Checksums, Observed, Question, RowFault, TableFacts};
