//! What is to be done, and what is to be said, about a bank: pure planning over the validated resources.
//!
//! Planning is per bank. It yields runs to make, start, skip, cancel and delete, a status, and the moment
//! to look again; it never reads a clock, a file or a network. Carrying a plan out and planning again yields
//! nothing more, and carrying out a part of it and planning again yields the rest.

mod asked;
mod audit;
mod bank;
mod check;
mod conditions;
mod event;
mod history;
mod policy;
mod queue;
mod reason;
mod row;
mod run;
mod spec;

pub use audit::{AuditPlan, plan_audit};
pub use bank::{Asks, BankPlan, Observed, plan_bank};
pub use check::{CheckPlan, Newest, plan_check};
pub use conditions::set_condition;
pub use event::{EventDraft, EventReason};
pub use policy::plan_policy;
pub use queue::{Held, HoldReason};
pub use reason::ConditionReason;
pub use run::{PlannedRun, RunOwner, RunView};
pub use spec::run_spec;
