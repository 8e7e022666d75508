use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::{Whence, lseek};
use sha2::{Digest as _, Sha256};

use super::beneath::Opener;
use super::walk::node_of;
use crate::bank::{Cancelled, Meter};
use crate::domain::Digest;
use crate::engine::integrity::files::{LEAF, Node, Seen, ZERO_LEAF};

/// Bytes per read: larger ones fall out of the second-level cache before they are hashed and cost a third of the
/// speed, smaller ones cost system calls (measured; docs/performance.md).
pub(super) const BUFFER: usize = 128 << 10;

/// The clock of a file system may tick this slowly (100 Hz); one that shows whole seconds only, every two.
const TICK: Duration = Duration::from_millis(20);
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Why a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is not what was seen, or changed meanwhile.
    Moved,
    /// It is no longer there.
    Gone,
    /// The system refuses.
    Refused(Errno),
    /// The device fails.
    Broken,
    /// The work is to stop.
    Cancelled,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::Gone,
            // A link or a folder stands there now, or in the way.
            Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO => Self::Moved,
            // EUCLEAN and EBADMSG: the file system found its own checksums or structures wrong.
            Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG => Self::Broken,
            other => Self::Refused(other),
        }
    }
}

impl From<Cancelled> for Failure {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// A file that is being read, and its status from before.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    before: FileStat,
    pub size: u64,
}

impl Opened {
    /// Opens what was seen. `enters`: its content will be trusted from now on.
    pub fn open(opener: &mut Opener, seen: &Seen, enters: bool) -> Result<Self, Failure> {
        let fd = opener.file(&seen.path)?;
        let mut before = fstat(&fd)?;
        if node_of(&before) != seen.node {
            return Err(Failure::Moved);
        }
        if enters && settle(&before) {
            before = fstat(&fd)?;
        }
        let Node::File { size, .. } = seen.node else { return Err(Failure::Moved) };
        if size > LEAF {
            // Read once and not again: keeps its pages from pushing out those that a database uses. Those that are
            // cached already stay. Only advice, so a failure does not matter.
            posix_fadvise(&fd, 0, 0, PosixFadviseAdvice::POSIX_FADV_NOREUSE).ok();
        }
        Ok(Self { file: File::from(fd), before, size })
    }

    /// Its permissions.
    pub fn mode(&self) -> u32 {
        self.before.st_mode
    }

    /// Forgets what the page cache holds of it, so that the next read asks the device.
    pub fn forget(&self) {
        posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).ok();
    }

    /// Fills `buffer` from `at` on; an end that comes too early means that the file was cut meanwhile.
    pub fn read(&self, mut buffer: &mut [u8], mut at: u64) -> Result<(), Failure> {
        while !buffer.is_empty() {
            match self.file.read_at(buffer, at) {
                Ok(0) => return Err(Failure::Moved),
                Ok(n) => {
                    buffer = &mut buffer[n..];
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.raw_os_error().map_or(Failure::Broken, |raw| Errno::from_raw(raw).into())),
            }
        }
        Ok(())
    }

    /// The digest of one leaf.
    pub fn leaf(&self, leaf: u64, buffer: &mut [u8], meter: &Meter) -> Result<Digest, Failure> {
        let (mut at, end) = (leaf * LEAF, (leaf + 1).saturating_mul(LEAF).min(self.size));
        if end - at == LEAF && self.is_hole(at, end) {
            meter.advance(LEAF);
            meter.check()?;
            return Ok(ZERO_LEAF);
        }
        let mut hash = Sha256::new();
        while at < end {
            meter.check()?;
            let take = usize::try_from(end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            self.read(&mut buffer[..take], at)?;
            hash.update(&buffer[..take]);
            meter.advance(take as u64);
            at += take as u64;
        }
        Ok(Digest::from_bytes(hash.finalize().into()))
    }

    /// Whether nothing is stored between two offsets, as far as the file system tells.
    fn is_hole(&self, at: u64, end: u64) -> bool {
        let stored = u64::try_from(self.before.st_blocks).unwrap_or_default().saturating_mul(512);
        let Ok(from) = i64::try_from(at) else { return false };
        stored < self.size
            && match lseek(&self.file, from, Whence::SeekData) {
                Ok(data) => u64::try_from(data).is_ok_and(|data| data >= end),
                Err(errno) => errno == Errno::ENXIO,
            }
    }

    /// An error where the file is not what it was when it was opened. `may_grow`: what was read stays true when
    /// something was only added behind it.
    pub fn unchanged(&self, may_grow: bool) -> Result<(), Failure> {
        let (before, after) = (&self.before, fstat(&self.file)?);
        let same = |a: &FileStat, b: &FileStat| {
            let times = |s: &FileStat| (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
            a.st_size == b.st_size && times(a) == times(b)
        };
        if same(before, &after) || (may_grow && after.st_size > before.st_size) { Ok(()) } else { Err(Failure::Moved) }
    }
}

/// Waits until the file system's clock has passed the file's time, at most one tick: a write within the same tick as
/// our read would leave the time as it is, and look like silent damage for ever after. Says whether it waited.
fn settle(stat: &FileStat) -> bool {
    let tick = if stat.st_mtime_nsec == 0 { COARSE_TICK } else { TICK };
    let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(stat.st_mtime), u32::try_from(stat.st_mtime_nsec)) else {
        return false;
    };
    let Some(modified) = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)) else { return false };
    // A time in the future is somebody else's clock: nothing to wait for.
    let Some(rest) = modified.elapsed().ok().and_then(|age| tick.checked_sub(age)) else { return false };
    thread::sleep(rest);
    true
}
