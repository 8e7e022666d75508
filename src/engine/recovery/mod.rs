//! What a restored set proves, and what is done about damage: decisions alone.

mod after;
mod pages;
mod plan;
mod point;
mod points;
mod restored;
mod server;

pub use after::{Seen, is_gone, why_back};
pub use pages::{Geometry, LeafCell, Stored, TablePage, record};
pub use plan::{CollectionKnown, DatabaseKnown, Known, Loss, Planned, Salvaged, covers, plan};
pub use point::{MemoryText, hashed};
pub use points::{Model, PointsKnown, Repair};
pub use restored::{Found, differs, excess};
pub use server::{Beside, Gone, TableKnown};
