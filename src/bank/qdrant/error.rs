use std::io;

use thiserror::Error;

use crate::bank::net::http::Failure;
use crate::domain::Digest;

/// Why Qdrant did not do what was asked. The words say what to do, and hold no key and no content of a memory.
#[derive(Debug, Error)]
pub enum QdrantError {
    /// A secret could not be had.
    #[error("{0}")]
    Secret(String),
    /// The bank names no address.
    #[error("spec.vectorStore.qdrant.url is no address: correct it")]
    NoUrl,
    /// An address that is never called.
    #[error(
        "{0} is a link-local or metadata address, or leads to one: it is never called, correct spec.vectorStore.qdrant.url"
    )]
    Forbidden(String),
    /// No answer came.
    #[error("the vector store at {place} {told}: start it, or correct spec.vectorStore.qdrant.url")]
    Unreachable {
        /// HOST:PORT.
        place: String,
        /// What happened.
        told: String,
    },
    /// An answer began that could not be taken whole.
    #[error("the vector store at {place} {told}: look at its log")]
    Broken {
        /// HOST:PORT.
        place: String,
        /// What happened.
        told: String,
    },
    /// The key is none, or may not do this.
    #[error(
        "the vector store at {place} does not accept the API key for {what} (HTTP {status}): correct \
         spec.vectorStore.qdrant.apiKeySecretRef"
    )]
    Denied {
        /// HOST:PORT.
        place: String,
        /// What was asked for.
        what: &'static str,
        /// 401 or 403.
        status: u16,
    },
    /// There is no such collection, or no such snapshot.
    #[error("the vector store at {place} has no {what} (HTTP 404): correct spec.vectorStore.qdrant")]
    NotFound {
        /// HOST:PORT.
        place: String,
        /// What was asked for.
        what: &'static str,
    },
    /// An error in the server's own words.
    #[error("the vector store at {place} answers with an error to {what} (HTTP {status}): {told}: look at its log")]
    Rejected {
        /// HOST:PORT.
        place: String,
        /// What was asked for.
        what: &'static str,
        /// The status, which may be 200.
        status: u16,
        /// What the server said, cut.
        told: String,
    },
    /// The answer is not Qdrant's.
    #[error(
        "the vector store at {place} does not answer to {what} as Qdrant does: correct spec.vectorStore.qdrant.url"
    )]
    Malformed {
        /// HOST:PORT.
        place: String,
        /// What was asked for.
        what: &'static str,
    },
    /// The answer is larger than was allowed.
    #[error("the vector store at {place} answers to {what} with more than {limit} bytes")]
    TooLarge {
        /// HOST:PORT.
        place: String,
        /// What was asked for.
        what: &'static str,
        /// The most that is taken.
        limit: u64,
    },
    /// What came is not what was announced.
    #[error("the snapshot that came has SHA-256 {found} in place of {expected}: do not use it, make another one")]
    Checksum {
        /// What the server, or a manifest, says.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A file of this side.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// `write` or `read`.
        what: &'static str,
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl QdrantError {
    pub(super) fn of(failure: Failure, place: &str) -> Self {
        let place = place.to_owned();
        match failure {
            Failure::Forbidden => Self::Forbidden(place),
            Failure::Unreachable(told) => Self::Unreachable { place, told },
            Failure::Broken(told) => Self::Broken { place, told },
        }
    }

    /// Whether a server that answers says that there is no such collection or snapshot.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The server's own words where it answered, is not just busy, and could not read what it stores.
    pub fn is_damage(&self) -> Option<&str> {
        match self {
            Self::Rejected { status: 500, told, .. } => Some(told),
            _ => None,
        }
    }
}
