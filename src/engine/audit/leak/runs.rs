//! The triggers without a keyword: long words and numbers, found by looking at one byte in many.
//!
//! A run of at least N bytes of one class covers a place that is a multiple of N, so only such places are
//! looked at (the idea of Boyer and Moore), and prose is passed over at several bytes a nanosecond.

use std::ops::Range;

/// A set of bytes.
pub struct Class([bool; 256]);

impl Class {
    const fn of(bytes: &[u8], alphanumeric: bool) -> Self {
        let mut set = [false; 256];
        let mut at = 0;
        while at < bytes.len() {
            set[bytes[at] as usize] = true;
            at += 1;
        }
        let mut byte = 0_u8;
        while byte < 128 {
            set[byte as usize] |= byte.is_ascii_digit() || (alphanumeric && byte.is_ascii_alphabetic());
            byte += 1;
        }
        Self(set)
    }

    /// Whether the set has `byte`.
    pub const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}

/// What tokens are made of, with the separators that occur within them.
pub static WORD: Class = Class::of(b"_-+/.~", true);
/// What numbers are written with: cards, telephones, accounts.
pub static NUMBER: Class = Class::of(b" -.()+/", false);

/// No secret is found in a word shorter than this.
pub const SHORTEST_WORD: usize = 16;
/// No number of a person is shorter than this.
pub const SHORTEST_NUMBER: usize = 7;

/// Finds runs of at least `shortest` bytes of a class, in order, each once.
pub struct Runs {
    class: &'static Class,
    shortest: usize,
    next: usize,
}

impl Runs {
    /// Begins at `from`.
    pub const fn new(class: &'static Class, shortest: usize, from: usize) -> Self {
        Self { class, shortest, next: from }
    }

    /// The next run that reaches over a place before `end`.
    #[inline]
    pub fn next(&mut self, text: &[u8], end: usize) -> Option<Range<usize>> {
        let end = end.min(text.len());
        let mut at = self.next;
        while at < end {
            if !self.class.has(text[at]) {
                at += self.shortest;
                continue;
            }
            let mut start = at;
            while start > self.next.saturating_sub(self.shortest) && self.class.has(text[start - 1]) {
                start -= 1;
            }
            let mut stop = at + 1;
            while stop < text.len() && self.class.has(text[stop]) {
                stop += 1;
            }
            // The byte at `stop` is no member: the next run begins after it at the earliest.
            at = stop + self.shortest;
            if stop - start >= self.shortest {
                self.next = at;
                return Some(start..stop);
            }
        }
        self.next = at;
        None
    }
}
