//! The locks of SQLite's file protocol, taken as open-file-description locks: they meet the POSIX locks of other
//! processes, work on a read-only descriptor, and do not fall when another descriptor of the file is closed.

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::bank::{Cancelled, Meter};

// <https://www.sqlite.org/src/file/src/os.h>, PENDING_BYTE and its neighbours.
const PENDING: i64 = 0x4000_0000;
const RESERVED: i64 = PENDING + 1;
const SHARED: i64 = PENDING + 2;
const SHARED_LEN: i64 = 510;
// <https://www.sqlite.org/walformat.html#the_wal_index_file_format>: WAL_CKPT_LOCK, and the lock of every connection.
const CHECKPOINT: i64 = 121;
const CONNECTION: i64 = 128;

/// A lock on a range of a file; released when dropped.
#[derive(Debug)]
pub(super) struct ReadLock<'a> {
    file: &'a File,
    start: i64,
    len: i64,
}

/// How an attempt to lock went.
#[derive(Debug)]
pub(super) enum Taken<'a> {
    Held(ReadLock<'a>),
    /// Somebody writes.
    Busy,
    /// The file system has no locks.
    Unsupported,
}

impl Drop for ReadLock<'_> {
    fn drop(&mut self) {
        // Closing the descriptor would release it too: nothing to do about an error.
        let _ = fcntl(self.file.as_fd(), FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, self.start, self.len)));
    }
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    // The constants are 0, 1 and 2 wherever Linux runs; the type of the field is a short.
    let l_type = libc::c_short::try_from(kind).unwrap_or_default();
    libc::flock { l_type, l_whence: 0, l_start: start, l_len: len, l_pid: 0 }
}

fn read_lock(file: &File, start: i64, len: i64) -> Taken<'_> {
    lock(libc::F_RDLCK, file, start, len)
}

fn lock(kind: i32, file: &File, start: i64, len: i64) -> Taken<'_> {
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&range(kind, start, len))) {
            Ok(_) => return Taken::Held(ReadLock { file, start, len }),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Taken::Busy,
            Err(_) => return Taken::Unsupported,
        }
    }
}

/// Whether somebody else holds a lock on a byte.
fn is_held(file: &File, byte: i64) -> bool {
    let mut asked = range(libc::F_WRLCK, byte, 1);
    let told = fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut asked));
    told.is_ok() && i32::from(asked.l_type) != libc::F_UNLCK
}

/// Takes the SHARED lock of a database, under which nothing is written to it. The PENDING byte comes first, so that a
/// writer that waits for the readers to go is let through.
pub(super) fn shared(database: &File) -> Taken<'_> {
    match read_lock(database, PENDING, 1) {
        Taken::Held(_pending) => read_lock(database, SHARED, SHARED_LEN),
        other => other,
    }
}

/// Takes a database for itself: nobody reads or writes it until it is let go. The file must be open for writing.
pub(super) fn exclusive(database: &File) -> Taken<'_> {
    lock(libc::F_WRLCK, database, PENDING, SHARED + SHARED_LEN - PENDING)
}

/// Takes the lock of a -shm under which no checkpoint writes to the database; writers go on in the -wal.
pub(super) fn checkpoint(shm: &File) -> Taken<'_> {
    read_lock(shm, CHECKPOINT, 1)
}

/// Whether a writer has begun a transaction: then the journal is its own, and not to be rolled back.
pub(super) fn has_writer(database: &File) -> bool {
    is_held(database, RESERVED)
}

/// Whether a live connection uses a -shm; one that nobody holds was left by a crash and counts for nothing.
pub(super) fn has_connection(shm: &File) -> bool {
    is_held(shm, CONNECTION)
}

/// Tries until the lock is held, or for `patience`. There is no bounded wait for a lock in the kernel, and waiting in
/// its queue without a bound could hang the run.
pub(super) fn wait<'a>(
    patience: Duration,
    meter: &Meter,
    mut take: impl FnMut() -> Taken<'a>,
) -> Result<Taken<'a>, Cancelled> {
    let start = Instant::now();
    loop {
        meter.check()?;
        match take() {
            Taken::Busy if start.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
            taken => return Ok(taken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open-file-description locks of two descriptors meet, even within one process.
    #[test]
    fn readers_share_and_keep_a_writer_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let ours = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        let take = |start, len| fcntl(writer.as_fd(), FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, start, len))).is_ok();
        drop(ours);
        let held = shared(&reader);
        assert!(matches!(held, Taken::Held(_)), "{held:?}");
        assert!(!take(SHARED, SHARED_LEN), "no writer beside a reader");
        assert!(take(PENDING, 1), "the PENDING byte is free again");
        assert!(matches!(shared(&File::open(&path).unwrap()), Taken::Busy), "a waiting writer is let through");
        assert!(!has_writer(&reader));
        assert!(take(RESERVED, 1) && has_writer(&reader));
        drop(held);
        assert!(take(SHARED, SHARED_LEN), "released when dropped");
    }
}
