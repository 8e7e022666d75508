use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a sample bank could not be written, damaged or judged.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The folder holds something that is no sample.
    #[error("{} is not empty and holds no sample.json: give an empty folder, or one that `memorybank sample` made", .0.display())]
    NotASample(PathBuf),
    /// The marker or the list of planted damage cannot be understood.
    #[error("{} cannot be read as JSON of a sample: {source}; write the sample again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A damage of that name does not exist.
    #[error("no damage is called `{0}`: `memorybank sample --list` prints the names")]
    UnknownDamage(String),
    /// The same damage twice, or none.
    #[error("`{0}` is no list of damage: give none, all, or names with commas between them, each once")]
    BadList(String),
    /// The bank has no place for a damage.
    #[error("a bank of {memories} memories has no place for the damage `{damage}`: give --memories 60 or more")]
    TooSmall {
        /// The damage's name.
        damage: &'static str,
        /// How many memories the bank has.
        memories: usize,
    },
    /// A damage cannot be made in this generation of the schema.
    #[error("the damage `{0}` needs a table that this generation does not have")]
    NotInGeneration(&'static str),
    /// A base of an evaluation cannot be read to the end though nothing damaged it.
    #[error("a healthy bank in {} cannot be read: nothing can be measured with it", .0.display())]
    Unsound(PathBuf),
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

impl SampleError {
    /// Adds the file to an error of the system.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Adds the database to an error of SQLite.
    pub fn sqlite(path: &Path) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Sqlite { path, source }
    }
}
