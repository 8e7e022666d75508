//! Copying bytes, and making a copy equal to a file that has changed since.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::bank::Meter;

/// How much is copied between two looks at the meter.
const STEP: u64 = 8 << 20;
/// How much one thread compares at once: two buffers of it stay in its cache. A multiple of every page size.
const CHUNK: u64 = 256 << 10;

/// Why copying ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// An error of the system.
    Io(io::Error),
    /// Asked to stop, or out of time.
    Stopped,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Copies `range` of one file to the same place in another, or as far as the first reaches. The standard library lets
/// the kernel do it where that can: no byte passes through this process, and file systems that share blocks do.
pub(super) fn pour(mut from: &File, mut to: &File, range: Range<u64>, meter: &Meter) -> Result<(), Stopped> {
    from.seek(SeekFrom::Start(range.start))?;
    to.seek(SeekFrom::Start(range.start))?;
    let mut at = range.start;
    while at < range.end {
        meter.check().map_err(|_| Stopped::Stopped)?;
        let done = io::copy(&mut from.take(STEP.min(range.end - at)), &mut to)?;
        if done == 0 {
            break;
        }
        at += done;
        meter.advance(done);
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Makes `to` equal to the first `size` bytes of `from`: compares them, writes the pages that differ, and tells how
/// many those were. All cores help, for a writer waits meanwhile.
pub(super) fn mend(
    from: &File,
    to: &File,
    size: u64,
    page_size: u32,
    deadline: Option<Instant>,
    meter: &Meter,
) -> Result<u64, Stopped> {
    to.set_len(size)?;
    let next = AtomicU64::new(0);
    let mended = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let worker = || {
        let mut buffers = (vec![0; usize::try_from(CHUNK).unwrap_or_default()], Vec::new());
        buffers.1.resize(buffers.0.len(), 0);
        loop {
            let at = next.fetch_add(CHUNK, Ordering::Relaxed);
            if at >= size || stop.load(Ordering::Relaxed) {
                return;
            }
            if meter.check().is_err() || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                stop.store(true, Ordering::Relaxed);
                return;
            }
            match mend_chunk(from, to, at, page_size as usize, &mut buffers) {
                Ok(pages) => mended.fetch_add(pages, Ordering::Relaxed),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    if let Ok(mut failed) = failed.lock() {
                        *failed = Some(error);
                    }
                    return;
                }
            };
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, 4);
    thread::scope(|scope| {
        for _ in 1..threads.min(usize::try_from(size / CHUNK).unwrap_or(threads).max(1)) {
            scope.spawn(worker);
        }
        worker();
    });
    match failed.into_inner() {
        Ok(None) if !stop.load(Ordering::Relaxed) => Ok(mended.into_inner()),
        Ok(Some(error)) => Err(Stopped::Io(error)),
        _ => Err(Stopped::Stopped),
    }
}

fn mend_chunk(
    from: &File,
    to: &File,
    at: u64,
    page_size: usize,
    (ours, theirs): &mut (Vec<u8>, Vec<u8>),
) -> io::Result<u64> {
    let len = read_at(from, theirs, at)?;
    let had = read_at(to, ours, at)?.min(len);
    let mut pages = 0;
    if had == len && ours[..len] == theirs[..len] {
        return Ok(0);
    }
    for start in (0..len).step_by(page_size) {
        let end = (start + page_size).min(len);
        if end > had || ours[start..end] != theirs[start..end] {
            to.write_all_at(&theirs[start..end], at + start as u64)?;
            pages += 1;
        }
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_mended_copy_is_equal_and_only_changed_pages_are_written(
            len in 0..900_000_usize, other in 0..900_000_usize, flips in proptest::collection::vec(any::<usize>(), 0..9)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 249).unwrap()).collect();
            std::fs::write(dir.path().join("from"), &bytes).unwrap();
            let from = File::open(dir.path().join("from")).unwrap();
            let to = File::options().read(true).write(true).create_new(true).open(dir.path().join("to")).unwrap();
            let meter = Meter::default();
            pour(&from, &to, 0..other as u64, &meter).unwrap();
            for flip in &flips {
                if !bytes.is_empty() {
                    let at = flip % bytes.len();
                    bytes[at] ^= 0x55;
                }
            }
            std::fs::write(dir.path().join("from"), &bytes).unwrap();
            let pages = mend(&from, &to, bytes.len() as u64, 4096, None, &meter).unwrap();
            prop_assert_eq!(std::fs::read(dir.path().join("to")).unwrap(), bytes);
            prop_assert!(pages <= (flips.len() + len.saturating_sub(other).div_ceil(4096) + 1) as u64);
            prop_assert_eq!(mend(&from, &to, len as u64, 4096, None, &meter).unwrap(), 0);
        }
    }
}
