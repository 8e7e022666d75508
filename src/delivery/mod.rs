//! The wire between a Job and the operator: what both ends must agree on, and nothing that opens a connection.
//!
//! A Job's pod has no permission in Kubernetes. It sends its report, and exchanges what runs leave for later ones,
//! over HTTPS with a token that is good for this alone; whoever takes it asks a [`Gate`] whose token that is. What a
//! Job could not send is told by its [`Summary`]. See docs/delivery.md.

mod authority;
mod certificate;
mod gate;
mod refused;
mod route;
mod summary;
mod tls;

use std::time::Duration;

pub use authority::{Authority, AuthorityError, Change, Parts};
pub use gate::{Admitted, Gate, Refusal};
pub use refused::{Refused, Why};
pub use route::{InvalidName, Route, What};
pub use summary::{Severities, Summary, TaskSummary};
pub use tls::{TlsError, client_config};

/// The audience of the tokens with which Jobs report.
pub const AUDIENCE: &str = "memorybank-ingest";

/// The largest report, in bytes.
pub const MAX_REPORT: u64 = 32 << 20;
/// The largest input or output, in bytes.
pub const MAX_OUTPUT: u64 = 256 << 20;
/// The largest token, in bytes; those of Kubernetes have about 1,200.
pub const MAX_TOKEN: usize = 16 << 10;

/// The header that carries the SHA-256 of the bytes of an input.
pub const DIGEST_HEADER: &str = "memorybank-digest";

/// How long after the deadline of its run a Job offers its report, unless told otherwise. The Job's own deadline must
/// leave room for it.
pub const GRACE: Duration = Duration::from_mins(5);
