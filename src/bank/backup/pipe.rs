//! Bytes on their way into and out of a set: counted and hashed on both sides of the compression.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;

use super::lock::Lock;
use super::seal::{Recipients, Sealing};
use super::sink::Sink;
use crate::bank::Meter;
use crate::domain::Digest;

/// zstd's own default: text shrinks to a third or less at hundreds of MB/s.
const LEVEL: i32 = 3;

/// Hashes and counts what passes.
#[derive(Debug)]
pub(super) struct Counted<T> {
    pub inner: T,
    hash: Sha256,
    pub bytes: u64,
}

impl<T> Counted<T> {
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The digest of what has passed.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.take(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.take(&buffer[..read]);
        Ok(read)
    }
}

/// Where the raw bytes of a part go in. Looks whether the work is to stop, and keeps the lock.
pub(super) struct Intake<'a> {
    encoder: Encoder<'static, Sealing<Counted<Sink>>>,
    meter: &'a Meter,
    lock: &'a mut Lock,
}

/// The two sides of what went in; of what is stored as it is one digest is enough.
pub(super) struct Passed {
    pub bytes: u64,
    pub raw: Option<Digest>,
    pub stored_bytes: u64,
    pub stored: Digest,
}

impl<'a> Intake<'a> {
    /// Compresses what is to be stored, on as many threads as are given beside this one, and encrypts what comes of it.
    pub fn new(
        sink: Sink,
        recipients: &Recipients,
        threads: usize,
        meter: &'a Meter,
        lock: &'a mut Lock,
    ) -> io::Result<Counted<Self>> {
        let mut encoder = Encoder::new(recipients.seal(Counted::new(sink))?, LEVEL)?;
        encoder.include_checksum(true)?;
        if threads > 1 {
            encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
        }
        Ok(Counted::new(Self { encoder, meter, lock }))
    }

    /// Ends the part: all of it is where it stays.
    pub fn finish(intake: Counted<Self>) -> io::Result<Passed> {
        let (bytes, raw) = (intake.bytes, intake.digest());
        let stored = intake.inner.encoder.finish()?.finish()?;
        let passed = Passed { bytes, raw: Some(raw), stored_bytes: stored.bytes, stored: stored.digest() };
        stored.inner.finish()?;
        Ok(passed)
    }
}

impl Write for Intake<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.meter.check().map_err(io::Error::other)?;
        self.lock.renew().map_err(io::Error::other)?;
        let written = self.encoder.write(bytes)?;
        self.meter.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
