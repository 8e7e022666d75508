//! Damage at random, to measure how much of it is detected: bases, mutators on private copies, the ground
//! truth (whether any row or index entry differs), and healthy variants that must raise no alarm.
//!
//! Nothing here knows the checks: whoever runs a case gives their answer to [`Report`].

mod base;
mod bytes;
mod case;
mod healthy;
mod kind;
mod pages;
mod report;
mod rows;
mod set;
mod side;
mod truth;

pub use case::{Case, Cases};
pub use healthy::{Healthy, Variant};
pub use kind::{Fault, Group};
pub use report::{Answer, Layer, Report, Row, Share};
pub use set::Set;
