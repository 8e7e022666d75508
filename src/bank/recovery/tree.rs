//! The archive of a file tree, as a set holds it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};
use thiserror::Error;
use zstd::stream::read::Decoder;

use crate::bank::{Cancelled, Meter};
use crate::domain::Digest;
use crate::engine::integrity::files::{PathError, TreePath};

/// Bytes per read.
const BUFFER: usize = 128 << 10;

/// Why an archive was not read.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The system refuses, or the archive is broken.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path in it leads elsewhere.
    #[error("{path}: {source}")]
    Path {
        /// The archive.
        path: PathBuf,
        /// What is wrong with the path.
        source: PathError,
    },
}

/// A regular file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedFile {
    /// Its path in the tree.
    pub path: TreePath,
    /// In bytes.
    pub size: u64,
    /// When its content was last changed, in seconds since 1970.
    pub modified: i64,
    /// Its permissions.
    pub mode: u32,
    /// SHA-256 of its content.
    pub digest: Digest,
}

/// Reads an archive to its end and gives each regular file to `take`, of a path that comes twice both: the last one
/// counts. `open` says where the content of a file goes that is wanted. Blocks.
pub fn archived(
    archive: &Path,
    meter: &Meter,
    mut open: impl FnMut(&TreePath) -> io::Result<Option<File>>,
    mut take: impl FnMut(ArchivedFile),
) -> Result<(), TreeError> {
    let failed = |source| TreeError::Io { path: archive.to_owned(), source };
    // Does not follow a link that stands there by now.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(archive).map_err(failed)?;
    let raw = Decoder::with_buffer(BufReader::with_capacity(BUFFER, file)).map_err(failed)?;
    let mut tar = Archive::new(raw);
    let mut buffer = vec![0; BUFFER];
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let path = TreePath::new(&entry.path_bytes());
        let path = path.map_err(|source| TreeError::Path { path: archive.to_owned(), source })?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let modified = entry.header().mtime().map_err(failed)?;
        let mode = entry.header().mode().map_err(failed)? & 0o7777;
        let mut to = open(&path).map_err(failed)?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        loop {
            meter.check()?;
            let read = entry.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            size += read as u64;
            if let Some(to) = &mut to {
                to.write_all(&buffer[..read]).map_err(failed)?;
            }
        }
        if let Some(to) = &to {
            to.sync_all().map_err(failed)?;
        }
        let modified = i64::try_from(modified).unwrap_or(i64::MAX);
        take(ArchivedFile { path, size, modified, mode, digest: Digest::from_bytes(hash.finalize().into()) });
    }
    Ok(())
}
