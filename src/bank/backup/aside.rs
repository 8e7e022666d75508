use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// How much goes to the other thread at once, and how many such pieces there are.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// Counts what is read, and has it hashed on a thread of its own: hashing is as much work as unpacking.
#[derive(Debug)]
pub(super) struct Aside<R> {
    inner: R,
    piece: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    hasher: Option<JoinHandle<Sha256>>,
    pub bytes: u64,
}

impl<R> Aside<R> {
    pub fn new(inner: R) -> io::Result<Self> {
        let (full, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (done, empty) = sync_channel(PIECES + 1);
        let hasher = thread::Builder::new().name("hash".to_owned()).spawn(move || {
            let mut hash = Sha256::new();
            for mut piece in pieces {
                hash.update(&piece);
                piece.clear();
                // One more piece than there is room for is given up.
                let _ = done.try_send(piece);
            }
            hash
        })?;
        Ok(Self { inner, piece: Vec::with_capacity(PIECE), full: Some(full), empty, hasher: Some(hasher), bytes: 0 })
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        let gone = || io::Error::other("the thread that hashes has ended");
        self.full.as_ref().ok_or_else(gone)?.send(piece).map_err(|_| gone())
    }

    /// The digest of all that was read. Nothing is read afterwards.
    pub fn digest(&mut self) -> io::Result<Digest> {
        self.hand_over()?;
        self.full = None;
        let hash = self.hasher.take().and_then(|hasher| hasher.join().ok());
        let hash = hash.ok_or_else(|| io::Error::other("the thread that hashes has ended"))?;
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}

impl<R: Read> Read for Aside<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        self.piece.extend_from_slice(&buffer[..read]);
        if self.piece.len() >= PIECE {
            self.hand_over()?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_all_that_was_read_whatever_its_length() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE * (PIECES + 3) + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut aside = Aside::new(bytes.as_slice()).unwrap();
            io::copy(&mut aside, &mut io::sink()).unwrap();
            assert_eq!((aside.bytes, aside.digest().unwrap()), (length as u64, Digest::of(&bytes)), "{length}");
        }
    }

    #[test]
    fn one_that_is_given_up_leaves_no_thread_that_waits() {
        let mut aside = Aside::new([7; 10].as_slice()).unwrap();
        aside.read_exact(&mut [0; 5]).unwrap();
        let hasher = aside.hasher.take().unwrap();
        drop(aside);
        hasher.join().unwrap();
    }
}
