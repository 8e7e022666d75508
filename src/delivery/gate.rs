use std::future::Future;

use thiserror::Error;

/// Whose token it is: a pod of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The uid of the run, which its report must carry.
    pub uid: String,
    /// The run's bank.
    pub bank: String,
}

/// Why a caller was not let in. The message is for the log of both ends; it never holds the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The token is none, has expired or is for another audience.
    #[error("the token was refused: {0}")]
    Unauthenticated(String),
    /// The token is good, and of somebody else than a pod of this run.
    #[error("the caller is no pod of this run: {0}")]
    Forbidden(String),
    /// There is no such run.
    #[error("the run is not known: {0}")]
    UnknownRun(String),
    /// It could not be asked; the same request can succeed later.
    #[error("the caller could not be checked: {0}")]
    Unavailable(String),
}

/// Says whose a token is.
pub trait Gate: Send + Sync + 'static {
    /// Lets a pod of this run in, and nobody else.
    fn admit(&self, token: &str, namespace: &str, run: &str) -> impl Future<Output = Result<Admitted, Refusal>> + Send;
}
