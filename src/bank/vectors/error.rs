use thiserror::Error;

use crate::bank::net::postgres::{HIDDEN, NoConnection, Trouble};
use crate::bank::qdrant::QdrantError;
use crate::domain::PointId;

/// Why a vector store did not give what was asked. The words say what to do.
#[derive(Debug, Error)]
pub enum VectorError {
    /// Of Qdrant.
    #[error(transparent)]
    Qdrant(#[from] QdrantError),
    /// It cannot even name its points, which says nothing of what it stores.
    #[error("{0}; nor can it name its points, so it is not known what it stores")]
    Unwell(QdrantError),
    /// Of PostgreSQL.
    #[error(transparent)]
    Pgvector(#[from] PgvectorError),
    /// The points do not come in the order of their ids, or one of them twice.
    #[error("the vector store gives its points out of order, {0} not after the one before it")]
    Disorder(PointId),
    /// Which of several vectors is that of memories is not known.
    #[error("{0}")]
    NoVector(String),
}

impl VectorError {
    /// Whether a store that answers says that it has no such collection.
    pub const fn is_missing(&self) -> bool {
        match self {
            Self::Qdrant(error) => error.is_missing(),
            Self::Pgvector(error) => matches!(error, PgvectorError::NoTable { .. }),
            Self::Unwell(_) | Self::Disorder(_) | Self::NoVector(_) => false,
        }
    }

    /// What the store says where it answers and cannot give what it stores: damage, and not that it is away.
    pub fn damage(&self) -> Option<String> {
        match self {
            Self::Qdrant(error) => error.is_damage().map(str::to_owned),
            Self::Pgvector(PgvectorError::Damaged { sqlstate, .. }) => Some(format!("SQLSTATE {sqlstate}")),
            Self::Disorder(_) => Some(self.to_string()),
            Self::Unwell(_) | Self::Pgvector(_) | Self::NoVector(_) => None,
        }
    }
}

/// Why a table of pgvector was not read.
#[derive(Debug, Error)]
pub enum PgvectorError {
    /// A secret could not be had.
    #[error("{0}")]
    Secret(String),
    /// The secret is no url.
    #[error(
        "the secret of spec.vectorStore.pgvector.urlSecretRef is no url of PostgreSQL: expected \
         postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    NoUrl,
    /// An address that is never called.
    #[error(
        "{0} is a link-local or metadata address, or leads to one: it is never called, correct the secret of \
         spec.vectorStore.pgvector.urlSecretRef"
    )]
    Forbidden(String),
    /// No connection, or an error of the server.
    #[error("the vector store at {place} {told}")]
    Failed {
        /// HOST:PORT.
        place: String,
        /// What happened.
        told: String,
    },
    /// The user, the password or a right is missing.
    #[error("the vector store at {place} {told}: correct the secret of spec.vectorStore.pgvector.urlSecretRef")]
    Denied {
        /// HOST:PORT.
        place: String,
        /// What happened.
        told: String,
    },
    /// There is no such table.
    #[error("the vector store at {place} has no table {table}: correct spec.vectorStore.pgvector.table, or the url")]
    NoTable {
        /// HOST:PORT.
        place: String,
        /// Its name.
        table: String,
    },
    /// It is not a table as mem0 makes it.
    #[error("the table {table} is none of mem0's: {why}; correct spec.vectorStore.pgvector.table")]
    OtherTable {
        /// Its name.
        table: String,
        /// What is not as it should be.
        why: String,
    },
    /// The server cannot read what it stores.
    #[error("the vector store at {place} cannot read its data (SQLSTATE {sqlstate}): look at its log")]
    Damaged {
        /// HOST:PORT.
        place: String,
        /// Its own code.
        sqlstate: String,
    },
}

impl PgvectorError {
    pub(super) fn no_connection(no: NoConnection) -> Self {
        match no {
            NoConnection::NoUrl => Self::NoUrl,
            NoConnection::Forbidden(place) => Self::Forbidden(place),
            NoConnection::Failed(trouble) => Self::of(trouble),
        }
    }

    pub(super) fn of(trouble: Trouble) -> Self {
        let denied = trouble.denied();
        let Trouble { place, told, sqlstate } = trouble;
        match sqlstate.as_deref() {
            // Data and index damage, an error of the disk, a file that is gone.
            Some("XX001" | "XX002" | "58030" | "58P01") => {
                Self::Damaged { place, sqlstate: sqlstate.unwrap_or_default() }
            }
            Some("42501") if told == HIDDEN => Self::Denied { place, told },
            Some("42501") => Self::Denied { place, told: "does not let this user read or change the table".to_owned() },
            Some("55P03") => {
                let told = "has somebody who keeps rows of the table locked for more than 10 s".to_owned();
                Self::Failed { place, told }
            }
            _ if denied => Self::Denied { place, told },
            _ => Self::Failed { place, told },
        }
    }
}
