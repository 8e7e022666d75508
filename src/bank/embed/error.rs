use thiserror::Error;

use crate::bank::net::http::Failure;

/// Why nothing was embedded. No message holds a key or a text.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// A secret could not be had.
    #[error("{0}")]
    Secret(String),
    /// The bank names no address.
    #[error("spec.embedding.url is no address: correct it")]
    NoUrl,
    /// An address that is never called.
    #[error("{0} is a link-local or metadata address, or leads to one: it is never called, correct spec.embedding.url")]
    Forbidden(String),
    /// No whole answer came.
    #[error("the embedding model at {place} {told}: start it, or correct spec.embedding.url")]
    Away {
        /// HOST:PORT.
        place: String,
        /// What happened.
        told: String,
    },
    /// It does not want to.
    #[error(
        "{place} refuses to embed with the model {model} (HTTP {status}): correct spec.embedding, or look at its log"
    )]
    Refused {
        /// HOST:PORT.
        place: String,
        /// The model's name.
        model: String,
        /// The status.
        status: u16,
    },
    /// The answer holds no vector for each text.
    #[error("{0} does not answer as an embedding model does: correct spec.embedding.url")]
    Malformed(String),
    /// The vectors are of another length.
    #[error("the model {model} at {place} makes vectors of {found} numbers, spec.embedding.dimensions says {wanted}")]
    Size {
        /// HOST:PORT.
        place: String,
        /// The model's name.
        model: String,
        /// What came.
        found: usize,
        /// What the bank declares.
        wanted: usize,
    },
}

impl EmbedError {
    /// Whether it is a text that is refused: too long, or nothing that can be embedded.
    pub const fn is_of_text(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. })
    }

    pub(super) fn of(failure: Failure, place: &str) -> Self {
        let place = place.to_owned();
        match failure {
            Failure::Forbidden => Self::Forbidden(place),
            Failure::Unreachable(told) | Failure::Broken(told) => Self::Away { place, told },
        }
    }
}
