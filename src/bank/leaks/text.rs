use std::io::{self, Read};

use super::collector::{Collector, Place};
use crate::bank::{Cancelled, Meter};
use crate::engine::audit::leak::Scanner;

/// How much of a text is scanned at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// Why a text was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Scans a stream in chunks, each with what a scan must know of its neighbours, so that no hit is lost or
/// told twice where two meet. Lines are counted from `first_line`; without it no line is told.
pub fn scan_stream(
    mut stream: impl Read,
    place: &Place,
    first_line: Option<u64>,
    collector: &mut Collector,
    meter: &Meter,
) -> Result<u64, TextError> {
    let scanner = collector.scanner();
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + 2 * Scanner::REACH);
    let mut line = first_line;
    let mut done = 0;
    let mut total = 0;
    loop {
        meter.check()?;
        let wanted = CHUNK + 2 * Scanner::REACH - buffer.len();
        let got = stream.by_ref().take(wanted as u64).read_to_end(&mut buffer)?;
        total += got as u64;
        meter.advance(got as u64);
        let last = got < wanted;
        let accepted = if last { buffer.len() } else { buffer.len() - Scanner::REACH };
        let (mut counted, mut here) = (0, line);
        scanner.scan(&buffer, |hit| {
            if (done..accepted).contains(&hit.span.start) {
                here = here.map(|line| line + newlines(&buffer[counted..hit.span.start]));
                counted = hit.span.start;
                collector.add(&buffer, &hit, &Place { line: here, ..*place });
            }
        });
        if last {
            return Ok(total);
        }
        let dropped = accepted - Scanner::REACH;
        line = line.map(|line| line + newlines(&buffer[..dropped]));
        buffer.drain(..dropped);
        done = Scanner::REACH;
    }
}

fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// UTF-16 text, in the byte order of its database, as UTF-8; what is no character becomes U+FFFD.
pub fn from_utf16(bytes: &[u8], little: bool) -> Vec<u8> {
    let units = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) });
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}
