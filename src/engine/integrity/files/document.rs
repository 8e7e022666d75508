use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{Cursor, Entry, Manifest, Node, SpecialKind, Sums, Told, TreePath, Trust, escape, leaf_count, unescape};
use crate::domain::Digest;

/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;
/// What the text begins with: the digest of the document comes before it, so that a flipped bit is a damaged
/// manifest and never a damaged file.
const HEAD: &str = "{\"sha256\":\"";
const MIDDLE: &str = "\",\"manifest\":";
const TAIL: &str = "}\n";

/// A text that cannot serve as manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Not written by this program, or cut at its beginning.
    #[error("not a memorybank manifest; give the file that a check wrote, or start anew without one")]
    Foreign,
    /// The text does not have the digest that it says.
    #[error(
        "the manifest is damaged: its content does not have the digest {expected} that it was written with; use an older generation"
    )]
    Damaged {
        /// What it says.
        expected: String,
    },
    /// Written by a newer version.
    #[error(
        "the manifest has format version {found}, this program reads up to {VERSION}: use the version that wrote it, or a newer one"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Its digest is right, its content makes no sense.
    #[error("the manifest is not valid: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document<E> {
    version: u32,
    tool: String,
    tree: String,
    created: Timestamp,
    trusted_since: Timestamp,
    trust: Trust,
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
    entries: E,
}

/// One entry as it is written: flat, and without what follows from the rest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    path: TreePath,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    special: Option<SpecialKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    /// The Merkle root, of a file with more than one leaf; else it is `sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Digest>,
    /// The digests of the leaves one after the other, 64 hex digits each, of a file with more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaves: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    compared: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Told>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    File,
    Symlink,
    Special,
}

impl Manifest {
    /// The JSON text of it, which holds its own digest.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        let mut text = format!("{HEAD}{}{MIDDLE}", self.digest()?).into_bytes();
        self.write(&mut text)?;
        text.extend_from_slice(TAIL.as_bytes());
        Ok(text)
    }

    /// Reads what [`Manifest::to_json`] wrote; an error for any other text.
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestError> {
        let rest = text.strip_prefix(HEAD.as_bytes()).ok_or(ManifestError::Foreign)?;
        let (digest, rest) = rest.split_at_checked(64).ok_or(ManifestError::Foreign)?;
        let body = rest.strip_prefix(MIDDLE.as_bytes()).ok_or(ManifestError::Foreign)?;
        let expected = String::from_utf8_lossy(digest);
        let body = body
            .strip_suffix(TAIL.as_bytes())
            .filter(|body| Digest::of(body).to_string() == expected)
            .ok_or_else(|| ManifestError::Damaged { expected: escape(digest) })?;
        let invalid = |e: serde_json::Error| ManifestError::Invalid(e.to_string());
        let Version { version } = serde_json::from_slice(body).map_err(invalid)?;
        if version > VERSION {
            return Err(ManifestError::Newer { found: version });
        }
        let document: Document<Vec<Row>> = serde_json::from_slice(body).map_err(invalid)?;
        let entries = document.entries.into_iter().map(Row::entry).collect::<Result<Vec<_>, _>>()?;
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            return Err(ManifestError::Invalid(format!("{} is out of order", pair[1].path)));
        }
        Ok(Self {
            tool: document.tool,
            tree: document.tree,
            created: document.created,
            trusted_since: document.trusted_since,
            trust: document.trust,
            generation: document.generation,
            previous: document.previous,
            cursor: document.cursor,
            entries,
        })
    }

    /// The digest that its text carries, by which the next generation names it.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        let mut hash = HashWriter(Sha256::new());
        self.write(&mut hash)?;
        Ok(Digest::from_bytes(hash.0.finalize().into()))
    }

    fn write(&self, to: impl Write) -> Result<(), ManifestError> {
        let document = Document {
            version: VERSION,
            tool: self.tool.clone(),
            tree: self.tree.clone(),
            created: self.created,
            trusted_since: self.trusted_since,
            trust: self.trust,
            generation: self.generation,
            previous: self.previous,
            cursor: self.cursor.clone(),
            entries: Rows(&self.entries),
        };
        serde_json::to_writer(to, &document).map_err(|e| ManifestError::Invalid(e.to_string()))
    }
}

/// Entries, turned into rows one at a time so that there is no second copy of a large manifest.
struct Rows<'a>(&'a [Entry]);

impl Serialize for Rows<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Row::of))
    }
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let (kind, size, modified, target, special) = match &entry.node {
            Node::File { size, modified } => (Kind::File, Some(*size), Some(*modified), None, None),
            Node::Symlink { target } => (Kind::Symlink, None, None, Some(escape(target)), None),
            Node::Special(special) => (Kind::Special, None, None, None, Some(*special)),
        };
        let many = entry.sums.as_ref().filter(|sums| sums.leaves().len() > 1);
        Self {
            path: entry.path.clone(),
            kind,
            size,
            modified,
            target,
            special,
            sha256: entry.sums.as_ref().map(Sums::sha256),
            root: many.map(Sums::root),
            leaves: many.map(|sums| sums.leaves().iter().map(Digest::to_string).collect()),
            compared: entry.compared,
            open: entry.open,
        }
    }

    fn entry(self) -> Result<Entry, ManifestError> {
        let invalid = |what: &str| ManifestError::Invalid(format!("{}: {what}", self.path));
        let node = match (self.kind, self.size, self.modified, &self.target, self.special) {
            (Kind::File, Some(size), Some(modified), None, None) => Node::File { size, modified },
            (Kind::Symlink, None, None, Some(target), None) => {
                Node::Symlink { target: unescape(target).map_err(|e| invalid(&e.to_string()))? }
            }
            (Kind::Special, None, None, None, Some(special)) => Node::Special(special),
            _ => return Err(invalid("its fields do not fit its kind")),
        };
        let sums = match (self.sha256, self.root, &self.leaves) {
            (None, None, None) => None,
            (Some(sha256), None, None) => Some(Sums::one(sha256)),
            (Some(sha256), Some(root), Some(leaves)) => {
                let leaves = unpack(leaves).ok_or_else(|| invalid("its leaves are no digests"))?;
                let sums = Sums::many(sha256, leaves);
                (sums.root() == root)
                    .then_some(sums)
                    .ok_or_else(|| invalid("its root is not that of its leaves"))?
                    .into()
            }
            _ => return Err(invalid("root and leaves come together, beside sha256")),
        };
        let fits = match (&node, &sums) {
            (Node::File { size, .. }, Some(sums)) => sums.leaves().len() as u64 == leaf_count(*size),
            (_, sums) => sums.is_none() || matches!(node, Node::File { .. }),
        };
        if !fits {
            return Err(invalid("its digests do not fit its kind and size"));
        }
        Ok(Entry { path: self.path, node, sums, compared: self.compared, open: self.open })
    }
}

fn unpack(hex: &str) -> Option<Vec<Digest>> {
    hex.as_bytes().chunks(64).map(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).collect()
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
