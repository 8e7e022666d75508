use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use jiff::Timestamp;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};

use super::FilesError;
use super::beneath::Folder;
use crate::bank::Meter;
use crate::domain::FileTree;
use crate::engine::integrity::files::{Node, Seen, SpecialKind, TreePath};

/// The most paths that one tree may have: each costs some 300 bytes of memory.
pub const MAX_PATHS: usize = 1_000_000;
/// The deepest folder that is looked into. A path of that depth is longer than programs can open (`PATH_MAX`).
const MAX_DEPTH: usize = 2_048;

/// What the walk saw.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Every path but folders, in order.
    pub seen: Vec<Seen>,
    /// The inode of each file that has more than one name, by its place in `seen`.
    pub linked: HashMap<usize, (u64, u64)>,
    /// What could not be looked at, and why.
    pub hidden: Vec<(TreePath, Errno)>,
    /// Folders on which another file system is mounted; they are looked into as any.
    pub mounts: Vec<TreePath>,
}

/// Lists a tree. Loops cannot be: links are not followed, and a folder has one place in a file system.
/// The inner error says why the root itself cannot be listed.
pub(super) fn walk(root: &Folder, tree: &FileTree, meter: &Meter) -> Result<Result<Listing, Errno>, FilesError> {
    let mut walk =
        Walk { root, tree, meter, paths: 0, folders: Vec::new(), inodes: HashMap::new(), found: Listing::default() };
    let device = match root.readable(None).and_then(fstat) {
        Ok(stat) => stat.st_dev,
        Err(errno) => return Ok(Err(errno)),
    };
    if let Err(errno) = walk.folder(&Pending { path: None, depth: 0, device })? {
        return Ok(Err(errno));
    }
    while let Some(folder) = walk.folders.pop() {
        match (walk.folder(&folder)?, folder.path) {
            // Gone meanwhile, or no folder any more.
            (Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP), _) | (_, None) => {}
            (Err(errno), Some(path)) => walk.found.hidden.push((path, errno)),
        }
    }
    let mut found = walk.found;
    found.seen.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let inode = |(at, seen): (usize, &Seen)| Some((at, *walk.inodes.get(&seen.path)?));
    found.linked = found.seen.iter().enumerate().filter_map(inode).collect();
    Ok(Ok(found))
}

/// A folder that is still to be listed; a stack of them stands for recursion.
struct Pending {
    path: Option<TreePath>,
    depth: usize,
    device: u64,
}

struct Walk<'a> {
    root: &'a Folder,
    tree: &'a FileTree,
    meter: &'a Meter,
    paths: usize,
    folders: Vec<Pending>,
    inodes: HashMap<TreePath, (u64, u64)>,
    found: Listing,
}

impl Walk<'_> {
    /// Lists one folder. The outer error ends the walk, the inner one says why this folder cannot be listed.
    fn folder(&mut self, folder: &Pending) -> Result<Result<(), Errno>, FilesError> {
        if folder.depth > MAX_DEPTH {
            return Ok(Err(Errno::ENAMETOOLONG));
        }
        let opened = self.root.readable(folder.path.as_ref()).and_then(|fd| {
            let beside = fd.try_clone().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))?;
            Ok((Dir::from_fd(fd)?, beside))
        });
        let (mut names, fd) = match opened {
            Ok(opened) => opened,
            Err(errno) => return Ok(Err(errno)),
        };
        for entry in names.iter() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return Ok(Err(errno)),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.paths += 1;
            if self.paths > MAX_PATHS {
                return Err(FilesError::TooManyPaths(self.tree.name.clone()));
            }
            if self.paths.is_multiple_of(1_024) {
                self.meter.check()?;
            }
            let Ok(path) = TreePath::child(folder.path.as_ref(), name.to_bytes()) else { continue };
            match self.node(&fd, name, &path, folder) {
                Ok(Some(node)) => self.found.seen.push(Seen { path, node }),
                Ok(None) | Err(Errno::ENOENT) => {}
                Err(errno) => self.found.hidden.push((path, errno)),
            }
        }
        self.meter.check()?;
        Ok(Ok(()))
    }

    /// What stands at a name; none for a folder, which is listed later.
    fn node(&mut self, fd: &OwnedFd, name: &CStr, path: &TreePath, folder: &Pending) -> Result<Option<Node>, Errno> {
        let stat = fstatat(fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match kind(&stat) {
            SFlag::S_IFDIR => {
                if stat.st_dev != folder.device {
                    self.found.mounts.push(path.clone());
                }
                self.folders.push(Pending { path: Some(path.clone()), depth: folder.depth + 1, device: stat.st_dev });
                Ok(None)
            }
            SFlag::S_IFLNK => match readlinkat(fd, name) {
                Ok(target) => Ok(Some(Node::Symlink { target: target.into_vec() })),
                Err(Errno::EINVAL) => Ok(None), // No link any more.
                Err(errno) => Err(errno),
            },
            SFlag::S_IFREG => {
                if stat.st_nlink > 1 {
                    self.inodes.insert(path.clone(), (stat.st_dev, stat.st_ino));
                }
                Ok(Some(node_of(&stat)))
            }
            _ => Ok(Some(node_of(&stat))),
        }
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// What stands at a path now; none where nothing does, or a folder.
pub(super) fn look(root: &Folder, path: &TreePath) -> Result<Option<Node>, Errno> {
    let (folder, name) = path.split();
    let found = match folder {
        Some(folder) => root.beneath(folder).and_then(|folder| folder.look(name)),
        None => root.look(name),
    };
    match found {
        Ok((stat, _)) if kind(&stat) == SFlag::S_IFDIR => Ok(None),
        Ok((_, Some(target))) => Ok(Some(Node::Symlink { target })),
        Ok((stat, None)) => Ok(Some(node_of(&stat))),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What a status says that something is; a link and a folder are none of these.
pub(super) fn node_of(stat: &FileStat) -> Node {
    match kind(stat) {
        SFlag::S_IFREG => {
            Node::File { size: u64::try_from(stat.st_size).unwrap_or_default(), modified: modified(stat) }
        }
        SFlag::S_IFIFO => Node::Special(SpecialKind::Fifo),
        SFlag::S_IFSOCK => Node::Special(SpecialKind::Socket),
        SFlag::S_IFCHR => Node::Special(SpecialKind::CharDevice),
        SFlag::S_IFBLK => Node::Special(SpecialKind::BlockDevice),
        _ => Node::Special(SpecialKind::Other),
    }
}

fn modified(stat: &FileStat) -> Timestamp {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let beyond = if stat.st_mtime < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(beyond)
}
