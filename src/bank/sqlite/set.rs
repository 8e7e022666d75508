//! The files of one database: itself, -wal, -journal, -shm. They are opened for reading only, beneath the volume's
//! folder, and only where they are regular files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::error::CopyError;
use crate::domain::Digest;

/// One file of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Database,
    Wal,
    Journal,
    Shm,
}

impl Part {
    /// What is added to the database's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Database => "",
            Self::Wal => "-wal",
            Self::Journal => "-journal",
            Self::Shm => "-shm",
        }
    }
}

/// What tells that a file is the same and unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub identity: (u64, u64),
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The marks of a whole set at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub database: Option<Mark>,
    pub wal: Option<Mark>,
    pub journal: Option<Mark>,
    pub shm: Option<(u64, u64)>,
    /// Whether a file was written so shortly before that a later write could have the same time.
    pub fresh: bool,
}

impl Marks {
    /// Whether nothing was written between the two; the -shm is written through memory, so only its identity counts.
    pub fn same(&self, other: &Self) -> bool {
        (self.database, self.wal, self.journal, self.shm) == (other.database, other.wal, other.journal, other.shm)
    }

    /// A digest of all that is written to; none without a database. The -shm comes and goes with who reads.
    pub fn digest(&self) -> Option<Digest> {
        self.database?;
        let of = |mark: Option<Mark>| mark.map_or([0; 7], Mark::numbers);
        let numbers = [self.database, self.wal, self.journal].map(of);
        let bytes: Vec<u8> = numbers.iter().flatten().flat_map(|number| number.to_be_bytes()).collect();
        Some(Digest::of(&bytes))
    }
}

/// The folder of a database, and its name there.
#[derive(Debug)]
pub(super) struct Set {
    folder: OwnedFd,
    name: OsString,
    /// For messages.
    path: PathBuf,
}

impl Set {
    /// The links to a database that are followed.
    const LINKS: usize = 8;

    /// Opens the folder. The last part of the path is looked at here, not by the kernel: SQLite looks for side files
    /// beside the file that a link leads to.
    pub fn open(root: &Path, relative: &str) -> Result<Self, CopyError> {
        let path = root.join(relative);
        let fail = |source: Errno| CopyError::of(&path, source.into());
        // A volume that is not there is no damage of the bank.
        let root = File::open(root).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => CopyError::of(root, source),
            _ => CopyError::Io { path: root.to_owned(), source },
        })?;
        let mut relative = PathBuf::from(relative);
        for _ in 0..Self::LINKS {
            let Some(name) = relative.file_name().map(OsStr::to_owned) else { return Err(fail(Errno::EISDIR)) };
            let parent = relative.parent().unwrap_or(Path::new(""));
            let folder = open_folder(root.as_fd(), parent).map_err(fail)?;
            match readlinkat(&folder, name.as_os_str()) {
                Ok(link) if Path::new(&link).is_absolute() => return Err(fail(Errno::EXDEV)),
                Ok(link) => relative = parent.join(link),
                // Not a link, or nothing at all: told when it is opened.
                Err(_) => return Ok(Self { folder, name, path }),
            }
        }
        Err(fail(Errno::ELOOP))
    }

    fn name(&self, part: Part) -> OsString {
        let mut name = self.name.clone();
        name.push(part.suffix());
        name
    }

    /// The path of a file, for messages.
    pub fn path(&self, part: Part) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(part.suffix());
        path.into()
    }

    /// Whether the folder has a file of that name.
    pub fn has(&self, name: &str) -> bool {
        fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    fn stat(&self, part: Part) -> Result<Option<FileStat>, CopyError> {
        match fstatat(&self.folder, self.name(part).as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(source) => Err(CopyError::of(&self.path(part), source.into())),
        }
    }

    /// Opens a file; none where there is none. Looks before it opens: to open a device can have effects, and that of a
    /// FIFO would wait for a writer.
    pub fn file(&self, part: Part) -> Result<Option<File>, CopyError> {
        let Some(stat) = self.stat(part)? else { return Ok(None) };
        self.regular(part, SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()))?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let name = self.name(part);
        let open = |flags| openat(&self.folder, name.as_os_str(), flags, Mode::empty());
        // Only the owner may leave the access time alone.
        let opened = match open(flags | OFlag::O_NOATIME) {
            Err(Errno::EPERM) => open(flags),
            other => other,
        };
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(source) => return Err(CopyError::of(&self.path(part), source.into())),
        };
        let kind = file.metadata().map_err(|source| CopyError::of(&self.path(part), source))?;
        self.regular(part, SFlag::from_bits_truncate(kind.mode() & SFlag::S_IFMT.bits()))?;
        Ok(Some(file))
    }

    fn regular(&self, part: Part, kind: SFlag) -> Result<(), CopyError> {
        let kind = match kind {
            SFlag::S_IFREG => return Ok(()),
            SFlag::S_IFDIR => "a folder",
            SFlag::S_IFIFO => "a FIFO",
            SFlag::S_IFLNK => "a symbolic link",
            SFlag::S_IFSOCK => "a socket",
            _ => "a device",
        };
        Err(CopyError::NotRegular { path: self.path(part), kind })
    }

    /// The marks of all files as they are now.
    pub fn marks(&self) -> Result<Marks, CopyError> {
        let mark = |part| Ok::<_, CopyError>(self.stat(part)?.map(|stat| Mark::of(&stat)));
        let (database, wal, journal) = (mark(Part::Database)?, mark(Part::Wal)?, mark(Part::Journal)?);
        let shm = mark(Part::Shm)?.map(|mark| mark.identity);
        let fresh = [database, wal, journal].into_iter().flatten().any(|mark| mark.is_fresh());
        Ok(Marks { database, wal, journal, shm, fresh })
    }
}

impl Mark {
    /// Kernels without finer times count in ticks of up to 10 ms.
    const TICK: Duration = Duration::from_millis(20);

    fn of(stat: &FileStat) -> Self {
        Self {
            identity: (stat.st_dev, stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// All of it; a file that is there has an inode, so that none is all zeros.
    fn numbers(self) -> [i128; 7] {
        let (device, inode) = self.identity;
        let times = [self.modified.0, self.modified.1, self.changed.0, self.changed.1].map(i128::from);
        let [modified, modified_ns, changed, changed_ns] = times;
        [device.into(), inode.into(), self.size.into(), modified, modified_ns, changed, changed_ns]
    }

    fn is_fresh(&self) -> bool {
        let Ok(seconds) = u64::try_from(self.modified.0) else { return false };
        let modified = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(self.modified.1.unsigned_abs());
        let now = SystemTime::now();
        now.duration_since(modified).unwrap_or_else(|ahead| ahead.duration()) < Self::TICK
    }
}

/// Opens a folder beneath `root` without following a link out of it.
fn open_folder(root: BorrowedFd<'_>, relative: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(root, relative, OpenHow::new().flags(flags).resolve(resolve)) {
        // Kernels before 5.6 do not have it, and some sandboxes forbid it.
        Err(Errno::ENOSYS | Errno::EPERM) => walk_folder(root, relative, flags),
        other => other,
    }
}

/// The same, folder by folder, and without following any link.
fn walk_folder(root: BorrowedFd<'_>, relative: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW;
    let mut folder = openat(root, ".", flags, Mode::empty())?;
    for component in relative.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => folder = openat(&folder, name, flags, Mode::empty())?,
            _ => return Err(Errno::EXDEV),
        }
    }
    Ok(folder)
}

/// The size of an open file.
pub(super) fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn kind(root: &Path, path: &str) -> String {
        match Set::open(root, path).and_then(|set| set.file(Part::Database)) {
            Ok(Some(file)) => format!("{} bytes", size(&file).unwrap()),
            Ok(None) | Err(CopyError::Missing { .. }) => "missing".to_owned(),
            Err(CopyError::NotRegular { kind, .. }) => kind.to_owned(),
            Err(CopyError::OutsideVolume { .. }) => "outside".to_owned(),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn links_are_followed_within_the_volume_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("volume");
        std::fs::create_dir_all(root.join("real/sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "12345678").unwrap();
        std::fs::write(root.join("real/bank.db"), "123").unwrap();
        std::fs::write(root.join("real/bank.db-wal"), "12").unwrap();
        symlink("real/bank.db", root.join("inner")).unwrap();
        symlink("../secret", root.join("outer")).unwrap();
        symlink(dir.path().join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), Mode::S_IRUSR).unwrap();
        for (path, expected) in [
            ("real/bank.db", "3 bytes"),
            ("inner", "3 bytes"),
            ("outer", "outside"),
            ("absolute", "outside"),
            ("up/secret", "outside"),
            ("../secret", "outside"),
            ("loop", "outside"),
            ("nothing", "missing"),
            ("real/bank.db/x", "missing"),
            ("real", "a folder"),
            ("fifo", "a FIFO"),
        ] {
            assert_eq!(kind(&root, path), expected, "{path}");
        }
        let set = Set::open(&root, "inner").unwrap();
        assert!(set.file(Part::Wal).unwrap().is_some(), "side files are those of the file itself");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let root = File::open(&root).unwrap();
        assert!(walk_folder(root.as_fd(), Path::new("real/sub"), flags).is_ok());
        assert_eq!(walk_folder(root.as_fd(), Path::new("../x"), flags).unwrap_err(), Errno::EXDEV);
        assert!(walk_folder(root.as_fd(), Path::new("up"), flags).is_err());
    }
}
