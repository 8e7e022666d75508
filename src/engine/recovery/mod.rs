//! What a restored set proves, and what is done about damage: decisions alone.

mod restored;

pub use restored::{Found, differs, excess};
