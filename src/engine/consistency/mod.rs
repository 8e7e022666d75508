//! SQL rows against the points of a vector store, and both against what they were: pure.
//!
//! Both sides come in ascending order of their ids, so that nothing is held but the two that are compared, a few ids
//! as evidence, and a bounded list of what needs a second look. How rows and points are read is the business of
//! `bank::consistency`.

pub mod baseline;

mod fault;
mod judge;
mod model;
mod pass;
mod range;
mod repair;
mod row;
mod step;
mod suspects;
mod tally;

pub use fault::{Fault, Faults};
pub use judge::{Clock, Judgement, judge};
pub use model::{MODEL, SAMPLE, Sampled};
pub use pass::Pass;
pub use range::{RANGES, Sum, Sums, bounds, of, of_point};
pub use repair::{Action, Repair, RepairPlan};
pub use row::{Content, Row, State, Stored};
pub use step::{Ascending, Disorder, Turn, turn};
pub use suspects::{Filter, Suspects};
pub use tally::{Tally, Totals};
