use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::engine::integrity::files::TreePath;

const STEP: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A folder that nothing opened through it can leave.
///
/// Every part of a path is opened by itself, without following links: unlike `openat2` this works on every kernel
/// and under every sandbox, and for paths longer than `PATH_MAX`.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder that the user named: links on the way there are the user's own.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    /// The folder at a path beneath, parts separated by `/`.
    pub fn beneath(&self, path: &[u8]) -> Result<Self, Errno> {
        let mut parts = path.split(|b| *b == b'/');
        let mut folder = openat(&self.0, parts.next().unwrap_or_default(), STEP, Mode::empty())?;
        for part in parts {
            folder = openat(&folder, part, STEP, Mode::empty())?;
        }
        Ok(Self(folder))
    }

    /// The status of what stands at a name in it, and what it says where it is a link.
    pub fn look(&self, name: &[u8]) -> Result<(FileStat, Option<Vec<u8>>), Errno> {
        let stat = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match readlinkat(&self.0, name) {
            Ok(target) => Ok((stat, Some(target.into_vec()))),
            Err(Errno::EINVAL) => Ok((stat, None)),
            Err(errno) => Err(errno),
        }
    }

    /// The folder itself again, or one beneath, so that its names can be read.
    pub fn readable(&self, path: Option<&TreePath>) -> Result<OwnedFd, Errno> {
        const LIST: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
        let Some((folder, name)) = path.map(TreePath::split) else {
            return openat(&self.0, ".", LIST, Mode::empty());
        };
        match folder {
            Some(folder) => openat(&self.beneath(folder)?.0, name, LIST, Mode::empty()),
            None => openat(&self.0, name, LIST, Mode::empty()),
        }
    }
}

/// Opens files beneath a folder; keeps the folder of the last one, since the next one is often beside it.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    root: &'a Folder,
    last: Option<(Box<[u8]>, Folder)>,
}

impl<'a> Opener<'a> {
    /// Opens beneath `root`.
    pub fn new(root: &'a Folder) -> Self {
        Self { root, last: None }
    }

    /// Opens a file to read. Does not wait for a writer where it has become a pipe meanwhile.
    pub fn file(&mut self, path: &TreePath) -> Result<OwnedFd, Errno> {
        const READ: OFlag = OFlag::O_RDONLY
            .union(OFlag::O_NOFOLLOW)
            .union(OFlag::O_NONBLOCK)
            .union(OFlag::O_NOCTTY)
            .union(OFlag::O_CLOEXEC);
        let (folder, name) = path.split();
        let Some(folder) = folder else { return openat(&self.root.0, name, READ, Mode::empty()) };
        if self.last.as_ref().is_none_or(|(last, _)| **last != *folder) {
            self.last = Some((folder.into(), self.root.beneath(folder)?));
        }
        match &self.last {
            Some((_, folder)) => openat(&folder.0, name, READ, Mode::empty()),
            None => Err(Errno::ENOENT),
        }
    }
}
