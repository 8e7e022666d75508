//! Walking and hashing file trees.
//!
//! Nothing of a tree is written, followed or waited for: links are not followed, special files not opened, and
//! every path is opened beneath the tree's root.

mod archive;
mod backend;
mod beneath;
mod opened;
mod pool;
mod reading;
mod report;
mod stream;
mod walk;

use std::path::Path;

use jiff::Timestamp;
use nix::errno::Errno;
use thiserror::Error;

pub use self::archive::{ArchiveError, Archived, TreeSource};
pub use self::backend::sha_backend;
pub use self::report::TreeReport;
pub use self::walk::MAX_PATHS;

use self::beneath::Folder;
use self::report::Reports;
use crate::bank::{Cancelled, Meter};
use crate::domain::{FileTree, Level};
use crate::engine::integrity::files::{Manifest, ManifestError, Observed, compare, plan};

/// How a tree is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// How deep.
    pub level: Level,
    /// At level `Checksum`: the share of the bytes to read, 1 to 100 percent.
    pub share_percent: u8,
    /// How many threads read and hash, 1 to 8.
    pub threads: usize,
}

/// Why a tree was not checked at all. What can be told of a tree is told in its report.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilesError {
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The manifest is of another tree.
    #[error("the manifest is of the tree {found}, not of {expected}: give the one of this tree, or none")]
    OtherTree {
        /// The tree that was to be checked.
        expected: String,
        /// The tree that the manifest says.
        found: String,
    },
    /// The tree would take too much memory.
    #[error("the tree {0} has more than {MAX_PATHS} files: declare its folders as trees of their own")]
    TooManyPaths(String),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Checks one tree against its manifest, `root` being the folder of its volume. Without a manifest the tree is
/// taken as it is, and the report's `next` is the first one.
pub fn check_tree(
    root: &Path,
    tree: &FileTree,
    previous: Option<&Manifest>,
    depth: Depth,
    meter: &Meter,
    now: Timestamp,
) -> Result<TreeReport, FilesError> {
    if let Some(other) = previous.filter(|manifest| manifest.tree != tree.name) {
        return Err(FilesError::OtherTree { expected: tree.name.clone(), found: other.tree.clone() });
    }
    let reports = Reports { tree, previous, depth };
    let folder = match open_root(root, &tree.root.path) {
        Ok(folder) => folder,
        Err(Closed::Volume(errno)) => {
            return Ok(reports.unknown(&format!("the volume's folder {}", root.display()), errno));
        }
        Err(Closed::Tree(errno)) => return Ok(reports.no_root(errno)),
    };
    let listing = match walk::walk(&folder, tree, meter)? {
        Ok(listing) => listing,
        Err(errno) => return Ok(reports.no_root(errno)),
    };
    let plan = plan(previous, &listing.seen, depth.level, depth.share_percent);
    let walk::Listing { seen, linked, hidden, mounts } = listing;
    let manner = pool::Manner {
        root: &folder,
        threads: depth.threads,
        may_grow: tree.mutable == crate::domain::Mutable::Append,
        afresh: false,
        meter,
    };
    let done = reading::read(seen, &linked, plan.readings, previous, tree.mutable, manner)?;
    let observed: Vec<Observed> = done.observed;
    let hidden_paths: Vec<_> = hidden.iter().map(|(path, _)| path.clone()).collect();
    let files = observed.len() as u64;
    let mut comparison = compare(&reports.component(), tree.mutable, previous, observed, &hidden_paths);
    let entries = std::mem::take(&mut comparison.entries);
    let next = Manifest::next(previous, &tree.name, now, plan.cursor, entries)?;
    let sight = report::Sight {
        files,
        bytes: done.bytes,
        transient: done.transient,
        refused: done.refused,
        too_large: done.too_large,
        hidden,
        mounts,
    };
    Ok(reports.checked(comparison, next, &sight))
}

enum Closed {
    Volume(Errno),
    Tree(Errno),
}

fn open_root(volume: &Path, path: &str) -> Result<Folder, Closed> {
    let folder = Folder::open(volume).map_err(Closed::Volume)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    match &*parts.join("/") {
        "" => Ok(folder),
        // A declaration that leaves the volume is refused earlier; it is not followed here either.
        _ if parts.contains(&"..") => Err(Closed::Tree(Errno::EXDEV)),
        path => folder.beneath(path.as_bytes()).map_err(Closed::Tree),
    }
}
