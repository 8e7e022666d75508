//! The validated forms: parsed once, and all that later code takes.
//!
//! What a schema can say of one field (types, lengths, ranges, closed sets) the API server or the reader of
//! files has checked before; here is what needs more: rules over several fields (the CEL rules, with the same
//! messages), times, cron, names.

mod admission;
mod audit;
mod bank;
mod check;
mod meta;
mod policy;
mod run;
mod task;
mod violation;

pub use audit::ValidAudit;
pub use bank::{SecretUse, ValidBank, ValidVolume, VolumeSource};
pub use check::ValidCheck;
pub use meta::{Meta, Origin, RUN_NOW, RunNow};
pub use policy::{ValidPolicy, ValidSchedule};
pub use run::{Planned, ValidRun};
pub use violation::Violation;

use violation::Violations;
