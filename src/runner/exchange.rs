use std::future::Future;

use thiserror::Error;

use crate::domain::Digest;

/// Why an input could not be had, or an output not be left.
#[derive(Debug, Error)]
#[error("{what} of the run: {why}")]
pub struct ExchangeError {
    /// Which input or output.
    pub what: String,
    /// What happened, and what to do.
    pub why: String,
}

/// Where a run gets what earlier runs left, and leaves what later ones need: the data folder in local
/// mode, the operator's ingest endpoint in a Job.
pub trait Exchange: Send + Sync {
    /// The newest output of this name of the same bank; none where there is none yet.
    fn input(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, ExchangeError>> + Send;

    /// Keeps an output; it becomes an input of later runs once the run's report is stored.
    fn output(&self, name: &str, bytes: Vec<u8>) -> impl Future<Output = Result<Digest, ExchangeError>> + Send;

    /// The bank's key for fingerprints, 32 bytes.
    fn fingerprint_key(&self) -> impl Future<Output = Result<[u8; 32], ExchangeError>> + Send;
}
