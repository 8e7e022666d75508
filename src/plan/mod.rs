//! What is to be done, decided over validated resources and what was observed. Pure: `now` is an argument, and
//! the effects are returned as data, never performed.
//!
//! A front end carries a [`BankPlan`] out in this order: `create`, then `status`, then the rest. A crash after
//! any single effect, followed by a new plan, ends in the same state: names are deterministic, and what was
//! created is found again among the observed runs.

mod asked;
mod audit;
mod bank;
mod check;
mod conditions;
mod event;
mod history;
mod measure;
mod policy;
mod queue;
mod reason;
mod recovery;
mod refused;
mod row;
mod rule;
mod run_spec;
mod run_status;
mod view;
mod wake;

pub use audit::{AuditPlan, plan_audit};
pub use bank::{BankPlan, PlannedRun, plan_bank};
pub use check::{CheckPlan, plan_check};
pub use event::{EventDraft, EventReason};
pub use measure::Measured;
pub use policy::{SelectedBank, plan_policy};
pub use queue::HeldReason;
pub use reason::ConditionReason;
pub use recovery::{consent, plan_recovery};
pub use refused::{Refusal, refused, refused_conditions};
pub use rule::{MADE_FOR, PlannedRecovery};
pub use run_spec::{exclusive, needs_network, run_spec};
pub use run_status::{RunTold, run_status, task_rows};
pub use view::{Asks, AuditAsk, CheckAsk, Observed, PolicyAsk, RecoveryAsk, RunOwner, RunView};
