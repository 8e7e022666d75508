//! The front end on Kubernetes: watches the custom resources, plans, makes runs and their Jobs, and tells how
//! things stand in conditions, Events and metrics.
//!
//! One queue of banks and one of policies; the objects are mirrored, and every reconcile decides anew by what is
//! there. Only the leader writes; the others keep their mirrors warm, serve probes and metrics, and take reports.

mod asked;
mod bank;
mod certificates;
mod client;
mod context;
mod entry;
mod error;
pub mod gate;
mod job;
mod key;
mod labels;
mod lease;
mod ledger;
mod made;
mod mirror;
mod needs;
mod numbers;
mod places;
mod policy;
mod queue;
mod quiesce;
mod routes;
mod run;
mod sampling;
mod secrets;
mod seen;
mod settings;
mod standing;
mod start;
mod told;
mod watch;
mod work;
mod world;
mod write;

pub use certificates::PART as CERTIFICATE;
pub use error::OperatorError;
pub use job::JobSettings;
pub use settings::Settings;
pub use work::{Operator, Reports};
