use thiserror::Error;

use super::client::NotSent;
use super::lease::LeaseLost;
use crate::delivery::AuthorityError;
use crate::store::StoreError;

/// Why a reconcile did not come to its end; it is tried again, later each time.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The API server did not take a request.
    #[error("{what}: {source}")]
    Api {
        /// What was asked of it.
        what: String,
        /// Its answer.
        source: kube::Error,
    },
    /// The API server refuses what was to be made; a right or a quota may be missing.
    #[error("{what} is refused: {why}")]
    Refused {
        /// What it is.
        what: String,
        /// Its words.
        why: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReconcileError {
    /// The error of a request: `what` says what it was for.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source }
    }

    /// A word of a closed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) => "Store",
            Self::Refused { .. } => "Refused",
            Self::Api { source: kube::Error::Api(status), .. } => match status.code {
                401 | 403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                422 => "Invalid",
                429 => "TooManyRequests",
                500..=599 => "ServerError",
                _ => "Api",
            },
            Self::Api { source, .. } if not_leading(source) => "NotLeading",
            Self::Api { .. } => "Unreachable",
        }
    }
}

/// Whether a request was kept back because this replica may no longer lead.
pub fn not_leading(error: &kube::Error) -> bool {
    match error {
        kube::Error::Service(error) => {
            matches!(error.downcast_ref::<NotSent>(), Some(NotSent::NotLeading))
        }
        _ => false,
    }
}

/// Why the operator cannot go on.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// There is no cluster to talk to.
    #[error("no way to the API server: {0}")]
    Client(String),
    /// Another replica may lead.
    #[error(transparent)]
    Lease(#[from] LeaseLost),
    /// One of the tasks that run as long as the process ended.
    #[error("a part of the operator ended: {0}; it is started anew")]
    Task(String),
    /// The certificate of the ingest endpoint cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}
