//! The rows of a bank, wherever they are, as a purge needs them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::bank::postgres::PurgedServer;
use crate::bank::sqlite::{Deleted, DeletedPage, PurgeError, Purged};
use crate::runner::copies::blocking;

/// Where the rows of a bank are. Errors are words for people.
#[derive(Clone)]
pub(super) enum Rows {
    /// In a SQLite file.
    File(PathBuf),
    /// On a PostgreSQL server.
    Server(PurgedServer),
}

impl Rows {
    /// How many deleted memories have an id that is none; a server takes no such.
    pub async fn nameless(&self) -> Result<u64, String> {
        match self {
            Self::File(file) => on_file(file, |file| file.nameless()).await,
            Self::Server(_) => Ok(0),
        }
    }

    /// Some memories that were deleted before a moment, after an id as it is stored.
    pub async fn deleted(
        &self,
        before: Timestamp,
        undated: bool,
        after: &str,
        most: u32,
    ) -> Result<DeletedPage, String> {
        match self {
            Self::File(file) => {
                let after = after.to_owned();
                on_file(file, move |file| file.deleted(before, undated, &after, most)).await
            }
            Self::Server(server) => server.deleted(before, undated, after, most).await,
        }
    }

    /// Those of some memories that are there.
    pub async fn there(&self, ids: Vec<u128>) -> Result<Vec<u128>, String> {
        match self {
            Self::File(file) => on_file(file, move |file| file.there(&ids)).await,
            Self::Server(server) => server.there(&ids).await,
        }
    }

    /// Those of some memories that are still deleted since before a moment.
    pub async fn still(&self, ids: &[u128], before: Timestamp) -> Result<Vec<Deleted>, String> {
        match self {
            Self::File(file) => {
                let ids = ids.to_vec();
                on_file(file, move |file| file.still(&ids, before)).await
            }
            Self::Server(server) => server.still(ids, before).await,
        }
    }

    /// Removes those that are still deleted, with all that belongs to them. How many.
    pub async fn memories(&self, ids: Vec<u128>) -> Result<u64, String> {
        match self {
            Self::File(file) => on_file(file, move |file| file.memories(&ids)).await,
            Self::Server(server) => server.memories(&ids).await,
        }
    }

    /// Those of some texts that a living memory has too.
    pub async fn alive(&self, texts: Vec<String>) -> Result<Vec<String>, String> {
        match self {
            Self::File(file) => on_file(file, move |file| file.alive(&texts)).await,
            Self::Server(server) => server.alive(&texts).await,
        }
    }

    /// Removes some accesses from before a moment; 0 once there are none.
    pub async fn accesses(&self, before: Timestamp) -> Result<u64, String> {
        match self {
            Self::File(file) => on_file(file, move |file| file.accesses(before)).await,
            Self::Server(server) => server.accesses(before).await,
        }
    }

    /// Its file, where it is one.
    pub const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(file) => Some(file),
            Self::Server(_) => None,
        }
    }
}

/// Works on a file of the bank.
pub(super) async fn on_file<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce(&mut Purged) -> Result<T, PurgeError> + Send + 'static,
) -> Result<T, String> {
    let file = file.to_owned();
    blocking(move || work(&mut Purged::open(&file)?)).await?.map_err(|error| error.to_string())
}
