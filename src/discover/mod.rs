//! Finds a bank on this machine: in a Compose file, or in a folder that holds its files. It reads
//! configuration only, never a bank's data, and says what it could not find.

mod compose;
mod folder;
mod render;
mod stack;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use render::{Written, render};
pub use stack::{Database, Stack, Volume, VolumeSource};

/// The names under which Compose looks for its file, in its order.
const COMPOSE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// A configuration larger than this is none.
const MAX_BYTES: u64 = 4 << 20;

/// Why no bank could be found.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is no Compose file.
    #[error("{path} is not a Compose file: {why}")]
    NotCompose {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        why: String,
    },
    /// A Compose file or folder without a bank.
    #[error(
        "no memory bank in {path}: expected a service with an image of OpenMemory (mem0/openmemory-mcp) or of the mem0 \
         server, or a file openmemory.db; name another file with --compose, or another folder"
    )]
    NoBank {
        /// Where it looked.
        path: PathBuf,
    },
}

/// Looks into a Compose file.
pub fn in_compose(path: &Path) -> Result<Stack, DiscoverError> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let beside = |name: &str| read(&folder.join(name)).ok();
    let values = compose::dotenv(&beside(".env").unwrap_or_default());
    let compose =
        compose::parse(&text, &values).map_err(|why| DiscoverError::NotCompose { path: path.to_owned(), why })?;
    stack::find(&compose, path, &values, &beside).ok_or_else(|| DiscoverError::NoBank { path: path.to_owned() })
}

/// Looks into a folder: for a Compose file first, then for the files of a bank.
pub fn in_folder(folder: &Path) -> Result<Stack, DiscoverError> {
    for name in COMPOSE_NAMES {
        let path = folder.join(name);
        if path.is_file() {
            match in_compose(&path) {
                Err(DiscoverError::NoBank { .. }) => break,
                found => return found,
            }
        }
    }
    folder::find(folder).ok_or_else(|| DiscoverError::NoBank { path: folder.to_owned() })
}

fn read(path: &Path) -> Result<String, DiscoverError> {
    let fail = |source| DiscoverError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MAX_BYTES {
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, "more than 4 MiB")));
    }
    std::fs::read_to_string(path).map_err(fail)
}
