//! How a live SQLite bank is copied, and what is read from the copy.

mod checks;
mod erasure;
mod history;
mod query;
mod rows;
mod schema;
mod structure;

pub use checks::{SqliteReport, check};
pub use erasure::erasure;
pub use history::check_history;
pub use query::SqliteError;
