use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::opened::{BUFFER, Failure, Opened};
use crate::bank::Meter;
use crate::domain::Digest;
use crate::engine::integrity::files::{LeafHasher, Read, Sums};

/// How many buffers lie between the plain hash and the leaves: 4 MiB, so that a helper can hash a leaf of its own
/// or a few small files meanwhile.
const RING: usize = 32;
/// How long a thread waits before it looks whether the work is to stop.
const PATIENCE: Duration = Duration::from_millis(5);

/// A large file on its way into the manifest, read once. Its owner reads and takes the plain SHA-256, which no two
/// threads can share; whoever is free takes the digests of the leaves from the same buffers, or else the owner.
#[derive(Debug)]
pub(super) struct Stream {
    ring: Mutex<Ring>,
    filled: Condvar,
    freed: Condvar,
    leaves: Mutex<LeafHasher>,
}

#[derive(Debug)]
struct Ring {
    full: VecDeque<(Vec<u8>, usize)>,
    free: Vec<Vec<u8>>,
    ended: bool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Stream {
    /// For a file that was `cut` bytes long before, where it has grown. `alone`: nobody will help, so that one
    /// buffer is hashed twice while it is in the nearest cache.
    pub fn new(cut: Option<u64>, alone: bool) -> Self {
        let buffers = if alone { 1 } else { RING };
        let free = (0..buffers).map(|_| Vec::new()).collect();
        Self {
            ring: Mutex::new(Ring { full: VecDeque::new(), free, ended: false }),
            filled: Condvar::new(),
            freed: Condvar::new(),
            leaves: Mutex::new(LeafHasher::new(cut)),
        }
    }

    /// Reads the file; the owner's part.
    pub fn read(&self, opened: &Opened, meter: &Meter) -> Result<Read, Failure> {
        let plain = self.feed(opened, meter)?;
        self.end();
        let mut leaves = lock(&self.leaves); // A helper leaves it when nothing is left.
        while self.pump(&mut leaves) {}
        let (digests, beginning) = leaves.finish();
        Ok(Read::Whole { sums: Sums::many(plain, digests), beginning })
    }

    /// Lets helpers go once nothing is left; the owner must say so, however it went.
    pub fn end(&self) {
        lock(&self.ring).ended = true;
        self.filled.notify_all();
    }

    fn feed(&self, opened: &Opened, meter: &Meter) -> Result<Digest, Failure> {
        let mut plain = Sha256::new();
        let mut at = 0;
        while at < opened.size {
            meter.check()?;
            let mut buffer = self.buffer();
            buffer.resize(BUFFER, 0);
            let take = usize::try_from(opened.size - at).map_or(BUFFER, |n| n.min(BUFFER));
            opened.read(&mut buffer[..take], at)?;
            plain.update(&buffer[..take]);
            meter.advance(take as u64);
            at += take as u64;
            lock(&self.ring).full.push_back((buffer, take));
            self.filled.notify_one();
        }
        Ok(Digest::from_bytes(plain.finalize().into()))
    }

    /// A free buffer; while there is none the owner hashes leaves itself, or waits for who does.
    fn buffer(&self) -> Vec<u8> {
        loop {
            if let Some(buffer) = lock(&self.ring).free.pop() {
                return buffer;
            }
            if let Some(mut leaves) = try_lock(&self.leaves) {
                self.pump(&mut leaves);
            } else {
                let empty = |ring: &mut Ring| ring.free.is_empty();
                drop(self.freed.wait_timeout_while(lock(&self.ring), PATIENCE, empty));
            }
        }
    }

    /// Hashes one buffer, where there is one.
    fn pump(&self, leaves: &mut LeafHasher) -> bool {
        let Some((buffer, filled)) = lock(&self.ring).full.pop_front() else { return false };
        leaves.update(&buffer[..filled]);
        lock(&self.ring).free.push(buffer);
        self.freed.notify_one();
        true
    }

    /// Hashes one buffer, where there is one and nobody else is at it.
    pub fn help(&self) -> bool {
        try_lock(&self.leaves).is_some_and(|mut leaves| self.pump(&mut leaves))
    }

    /// Hashes buffers until the file is read; false where somebody else is at it.
    pub fn help_to_the_end(&self) -> bool {
        let Some(mut leaves) = try_lock(&self.leaves) else { return false };
        loop {
            while self.pump(&mut leaves) {}
            let waiting = |ring: &mut Ring| ring.full.is_empty() && !ring.ended;
            let woken = self.filled.wait_timeout_while(lock(&self.ring), PATIENCE, waiting);
            let (ring, _) = woken.unwrap_or_else(PoisonError::into_inner);
            if ring.ended && ring.full.is_empty() {
                return true;
            }
        }
    }
}
