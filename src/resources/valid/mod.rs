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
mod recovery;
mod route;
mod run;
mod task;
mod violation;
mod waiver;

pub use audit::ValidAudit;
pub use bank::{SecretUse, ValidBank, ValidVolume, VolumeSource};
pub use check::ValidCheck;
pub use meta::{Meta, Origin, RUN_NOW, RunNow, SPEC_DIGEST};
pub use policy::{ValidPolicy, ValidSchedule};
pub use recovery::ValidRecovery;
pub use route::check_route;
pub use run::{Planned, ValidRun};
pub use violation::Violation;
pub use waiver::check_waiver;

use violation::Violations;
