//! A tree as one archive, read beside whoever writes to it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use tar::{Builder, EntryType, Header};
use thiserror::Error;

use super::beneath::{Folder, Opener};
use super::opened::{Failure, Opened};
use super::walk::{Listing, look, walk};
use super::{Closed, FilesError, open_root};
use crate::bank::Meter;
use crate::domain::{FileTree, Mutable};
use crate::engine::integrity::files::{Node, Seen, TreePath};

/// How often a file that changes while it is read is read again.
const TRIES: u8 = 3;

/// What of a tree went into an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Files and links.
    pub files: u64,
    /// How many files could not be read as they were at one moment.
    pub left_out: u64,
    /// The first of these, and why.
    pub first: Option<String>,
}

/// Why there is no archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The tree's folder.
    #[error("the folder {path} of the tree {tree} cannot be read: {source}")]
    Root {
        /// The tree.
        tree: String,
        /// Its path in its volume.
        path: String,
        /// Why.
        source: Errno,
    },
    /// The tree cannot be listed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// What it is written to.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// A tree that was listed and can be archived.
#[derive(Debug)]
pub struct TreeSource {
    folder: Folder,
    listing: Listing,
    may_grow: bool,
}

impl TreeSource {
    /// Lists a tree, `root` being the folder of its volume. What lies beneath `without` is left out: a repository
    /// within the tree that it keeps.
    pub fn list(root: &Path, tree: &FileTree, without: Option<&str>, meter: &Meter) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Root { tree: tree.name.clone(), path: tree.root.path.clone(), source };
        let folder = open_root(root, &tree.root.path).map_err(|closed| match closed {
            Closed::Volume(errno) | Closed::Tree(errno) => failed(errno),
        })?;
        let mut listing = walk(&folder, tree, meter)?.map_err(failed)?;
        if let Some(without) = without {
            let within = format!("{}/", without.trim_end_matches('/'));
            listing.seen.retain(|seen| !seen.path.as_bytes().starts_with(within.as_bytes()));
        }
        Ok(Self { folder, listing, may_grow: tree.mutable == Mutable::Append })
    }

    /// The sizes of its files together.
    pub fn bytes(&self) -> u64 {
        self.listing.seen.iter().fold(0, |sum, seen| sum.saturating_add(size(&seen.node)))
    }

    /// How many files and links it has.
    pub fn files(&self) -> u64 {
        self.listing.seen.iter().filter(|seen| !matches!(seen.node, Node::Special(_))).count() as u64
    }

    /// Writes the archive. Links are kept as what they say; pipes, sockets and devices are left out, for they hold
    /// nothing. A file that changed while it was read follows once more: the last entry of a path is the one that counts.
    pub fn write(self, meter: &Meter, to: &mut dyn Write) -> Result<Archived, ArchiveError> {
        let mut archived = Archived::default();
        for (path, errno) in &self.listing.hidden {
            archived.leave_out(path, errno.desc());
        }
        let mut builder = Builder::new(to);
        let mut opener = Opener::new(&self.folder);
        for seen in &self.listing.seen {
            meter.check().map_err(FilesError::from)?;
            let mut entries = 0;
            let written = match &seen.node {
                Node::Special(_) => continue,
                Node::Symlink { target } => link(&mut builder, &seen.path, target).map(|()| {
                    entries = 1;
                    Ok(())
                }),
                Node::File { .. } => self.file(&mut builder, &mut opener, seen, &mut entries, meter),
            };
            // A path is in the archive once, whatever became of its file afterwards.
            archived.files += u64::from(entries > 0);
            match written.map_err(ArchiveError::Write)? {
                Ok(()) | Err(Failure::Gone) => {}
                Err(Failure::Cancelled) => meter.check().map_err(FilesError::from)?,
                Err(failure) => archived.leave_out(&seen.path, told(failure)),
            }
        }
        builder.finish().map_err(ArchiveError::Write)?;
        Ok(archived)
    }

    /// Writes one file, in as many entries as it takes; the inner error says why it is not there as it was at one
    /// moment.
    fn file(
        &self,
        builder: &mut Builder<&mut dyn Write>,
        opener: &mut Opener<'_>,
        seen: &Seen,
        entries: &mut u32,
        meter: &Meter,
    ) -> io::Result<Result<(), Failure>> {
        let mut seen = seen.clone();
        let mut last = Failure::Moved;
        for _ in 0..TRIES {
            match Opened::open(opener, &seen, false) {
                Ok(opened) => {
                    let mut body = Body { opened: &opened, at: 0, meter, failure: None };
                    let mut header = header(EntryType::Regular, opened.mode(), &seen.node);
                    builder.append_data(&mut header, name(&seen.path), &mut body)?;
                    *entries += 1;
                    match body.failure.map_or_else(|| opened.unchanged(self.may_grow), Err) {
                        Ok(()) => return Ok(Ok(())),
                        Err(failure) => last = failure,
                    }
                }
                Err(failure) => last = failure,
            }
            if last != Failure::Moved {
                break;
            }
            match look(&self.folder, &seen.path) {
                Ok(Some(node @ Node::File { .. })) => seen.node = node,
                Ok(_) => return Ok(Err(Failure::Gone)),
                Err(errno) => return Ok(Err(errno.into())),
            }
        }
        Ok(Err(last))
    }
}

impl Archived {
    fn leave_out(&mut self, path: &TreePath, why: &str) {
        self.left_out += 1;
        self.first.get_or_insert_with(|| format!("{path}: {why}"));
    }
}

fn told(failure: Failure) -> &'static str {
    match failure {
        Failure::Moved => "it changed each time it was read",
        Failure::Gone => "it is gone",
        Failure::Refused(errno) => errno.desc(),
        Failure::Broken => "the device fails to give its content",
        Failure::Cancelled => "cancelled",
    }
}

fn size(node: &Node) -> u64 {
    if let Node::File { size, .. } = node { *size } else { 0 }
}

fn name(path: &TreePath) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

fn header(kind: EntryType, mode: u32, node: &Node) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_size(size(node));
    if let Node::File { modified, .. } = node {
        header.set_mtime(u64::try_from(modified.as_second()).unwrap_or_default());
    }
    header
}

fn link(builder: &mut Builder<&mut dyn Write>, path: &TreePath, target: &[u8]) -> io::Result<()> {
    let mut header = header(EntryType::Symlink, 0o777, &Node::Symlink { target: Vec::new() });
    builder.append_link(&mut header, name(path), Path::new(OsStr::from_bytes(target)))
}

/// The content of a file, always as long as was announced: what could not be read is filled up, and told.
struct Body<'a> {
    opened: &'a Opened,
    at: u64,
    meter: &'a Meter,
    failure: Option<Failure>,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.opened.size - self.at;
        let take = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if self.failure.is_none() {
            self.failure = self.opened.read(&mut buffer[..take], self.at).err();
        }
        if self.failure.is_some() {
            buffer[..take].fill(0);
        }
        if let Err(cancelled) = self.meter.check() {
            return Err(io::Error::other(cancelled));
        }
        self.at += take as u64;
        Ok(take)
    }
}
