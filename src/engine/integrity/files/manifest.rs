use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LEAF, ManifestError, Sums, Told, TreePath};
use crate::domain::Digest;

/// What stands at a path. Folders are not recorded: they are where files are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// When its content was last changed, as the file system says.
        modified: Timestamp,
    },
    /// A symbolic link, which is never followed.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// Anything else, which is never opened.
    Special(SpecialKind),
}

/// The kinds of special files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum SpecialKind {
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
    Other,
}

/// One path of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What was there when it entered.
    pub node: Node,
    /// Its content, of a regular file that has been read.
    pub sums: Option<Sums>,
    /// Whether a later run has compared all of its content.
    pub compared: bool,
    /// The damage of it that was told and is not mended: it is looked at again in every run that reads.
    pub open: Option<Told>,
}

impl Entry {
    /// Its length in bytes, 0 for what is no file.
    pub fn size(&self) -> u64 {
        if let Node::File { size, .. } = self.node { size } else { 0 }
    }
}

/// Why a manifest is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// The first one took the tree as it found it.
    FirstUse,
}

/// Where the rolling share of the next run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// In this file, or the next one in order where it is gone.
    pub path: TreePath,
    /// At this leaf.
    pub leaf: u64,
}

/// The state of a file tree that later states are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What wrote it, such as `memorybank 0.1.0`.
    pub tool: String,
    /// The tree's name within its bank.
    pub tree: String,
    /// When it was made.
    pub created: Timestamp,
    /// When the first generation was made: what came before that is not known.
    pub trusted_since: Timestamp,
    /// Why it is believed.
    pub trust: Trust,
    /// 1 for the first, then counted up.
    pub generation: u64,
    /// The digest ([`Manifest::digest`]) of the generation before.
    pub previous: Option<Digest>,
    /// Where the rolling share goes on.
    pub cursor: Option<Cursor>,
    /// Every path, in the order of its bytes.
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// The generation after `previous`, or the first one.
    pub fn next(
        previous: Option<&Self>,
        tree: &str,
        now: Timestamp,
        cursor: Option<Cursor>,
        entries: Vec<Entry>,
    ) -> Result<Self, ManifestError> {
        Ok(Self {
            tool: concat!("memorybank ", env!("CARGO_PKG_VERSION")).to_owned(),
            tree: tree.to_owned(),
            created: now,
            trusted_since: previous.map_or(now, |manifest| manifest.trusted_since),
            trust: Trust::FirstUse,
            generation: previous.map_or(1, |manifest| manifest.generation.saturating_add(1)),
            previous: previous.map(Self::digest).transpose()?,
            cursor,
            entries,
        })
    }

    /// How many percent of the bytes have been compared with an earlier digest since they entered, rounded down.
    pub fn coverage_percent(&self) -> u8 {
        let (mut covered, mut total) = (0_u128, 0_u128);
        for entry in &self.entries {
            let size = entry.size();
            total += u128::from(size);
            let reached = self.cursor.as_ref().filter(|cursor| cursor.path == entry.path);
            covered += u128::from(match reached {
                // Open damage was compared: that is how it was found.
                _ if entry.compared || entry.open.is_some() => size,
                Some(cursor) => cursor.leaf.saturating_mul(LEAF).min(size),
                None => 0,
            });
        }
        (covered * 100).checked_div(total).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(100)
    }

    /// The entry of a path.
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.binary_search_by(|e| e.path.cmp(path)).ok().map(|at| &self.entries[at])
    }
}
