//! The triggers without a keyword: long words and numbers.
//!
//! The text is read in blocks of 64 bytes. Of each a mask tells which bytes may be of the class, eight bytes at
//! a time in a machine word; three or four shifts leave a bit where a run of the wanted length begins. Only
//! there are bytes looked at.

use std::ops::Range;

/// A set of ASCII bytes.
pub struct Class {
    set: [bool; 256],
    /// The least and the greatest byte of the set: every byte between counts in the mask.
    least: u8,
    most: u8,
}

impl Class {
    const fn of(signs: &[u8], letters: bool) -> Self {
        let mut set = [false; 256];
        let mut at = 0;
        while at < signs.len() {
            set[signs[at] as usize] = true;
            at += 1;
        }
        let mut byte = 0_u8;
        let (mut least, mut most) = (u8::MAX, 0);
        while byte < 128 {
            set[byte as usize] |= byte.is_ascii_digit() || (letters && byte.is_ascii_alphabetic());
            if set[byte as usize] {
                if byte < least {
                    least = byte;
                }
                most = byte;
            }
            byte += 1;
        }
        Self { set, least, most }
    }

    /// Whether the set has `byte`.
    pub const fn has(&self, byte: u8) -> bool {
        self.set[byte as usize]
    }

    /// One bit per byte of the block: 1 where it is between the least and the greatest of the set.
    #[inline]
    fn mask(&self, block: &[u8; BLOCK]) -> u64 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x80 * ONES;
        // Adding this to seven bits carries into the eighth exactly where they are large enough.
        let from = u64::from(0x80 - self.least) * ONES;
        let beyond = u64::from(0x80 - (self.most + 1)) * ONES;
        let mut mask = 0;
        for (place, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let bytes = u64::from_le_bytes(*eight);
            let low = bytes & !HIGH;
            let members = (low + from) & !(low + beyond) & !bytes & HIGH;
            // The product gathers the eighth bits of the bytes in its upper byte, in their order.
            mask |= ((members >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place);
        }
        mask
    }
}

/// How many bytes a mask covers.
const BLOCK: usize = 64;

/// What tokens are made of, with the separators that occur within them.
pub static WORD: Class = Class::of(b"_-+/.~", true);
/// What numbers are written with: cards, telephones, accounts.
pub static NUMBER: Class = Class::of(b" -.()+/", false);

/// No secret is found in a word shorter than this.
pub const SHORTEST_WORD: usize = 16;
/// No number of a person, with the blank or sign beside or within it, is shorter than this.
pub const SHORTEST_NUMBER: usize = 8;

/// Finds runs of at least `shortest` bytes of a class, in order, each once.
pub struct Runs {
    class: &'static Class,
    shortest: usize,
    next: usize,
    /// The block whose bits `starts` holds, and the mask of the one behind it.
    block: Option<usize>,
    starts: u64,
    ahead: u64,
}

impl Runs {
    /// Begins at the start of a text; `shortest` is a power of two, at most a block.
    pub const fn new(class: &'static Class, shortest: usize) -> Self {
        Self { class, shortest, next: 0, block: None, starts: 0, ahead: 0 }
    }

    /// The next run that begins before `end`.
    #[inline]
    pub fn next(&mut self, text: &[u8], end: usize) -> Option<Range<usize>> {
        while self.next < end {
            let block = self.next / BLOCK;
            if self.block != Some(block) {
                self.load(text, block);
            }
            let starts = self.starts & (u64::MAX << (self.next % BLOCK));
            if starts == 0 {
                self.next = (block + 1) * BLOCK;
                continue;
            }
            let start = block * BLOCK + starts.trailing_zeros() as usize;
            let Some(window) = text.get(start..start + self.shortest) else {
                self.next = text.len();
                return None;
            };
            // The mask is a little too generous: ask the set itself.
            if let Some(other) = window.iter().rposition(|&byte| !self.class.has(byte)) {
                self.next = start + other + 1;
                continue;
            }
            let rest = &text[start + self.shortest..];
            let stop =
                start + self.shortest + rest.iter().position(|&byte| !self.class.has(byte)).unwrap_or(rest.len());
            self.next = stop + 1;
            return Some(start..stop);
        }
        None
    }

    /// Finds where runs may begin in a block.
    #[inline]
    fn load(&mut self, text: &[u8], block: usize) {
        let mask =
            if self.block.is_some_and(|before| before + 1 == block) { self.ahead } else { self.mask(text, block) };
        self.ahead = self.mask(text, block + 1);
        let mut runs = (u128::from(self.ahead) << BLOCK) | u128::from(mask);
        let mut length = 1;
        while length < self.shortest {
            runs &= runs >> length;
            length *= 2;
        }
        self.block = Some(block);
        self.starts = u64::try_from(runs & u128::from(u64::MAX)).unwrap_or_default();
    }

    #[inline]
    fn mask(&self, text: &[u8], block: usize) -> u64 {
        let rest = text.get(block * BLOCK..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            return self.class.mask(block);
        }
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        self.class.mask(&last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &[u8]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut start = 0;
        for at in 0..=text.len() {
            if at == text.len() || !WORD.has(text[at]) {
                if at - start >= SHORTEST_WORD {
                    runs.push(start..at);
                }
                start = at + 1;
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn any_bytes_have_the_same_runs(text in proptest::collection::vec(prop_oneof![any::<u8>(), 40_u8..130], 0..400)) {
            let mut runs = Runs::new(&WORD, SHORTEST_WORD);
            let mut found = Vec::new();
            while let Some(run) = runs.next(&text, text.len()) {
                found.push(run);
            }
            prop_assert_eq!(found, plain(&text));
        }

        #[test]
        fn runs_are_those_that_reading_every_byte_finds(text in "[a-c ]{0,40}( [a-c]{10,20} ?){0,6}", piece in 1_usize..64) {
            let text = text.as_bytes();
            let mut runs = Runs::new(&WORD, SHORTEST_WORD);
            let mut found = Vec::new();
            let mut end = 0;
            while end < text.len() {
                end = text.len().min(end + piece);
                while let Some(run) = runs.next(text, end) {
                    found.push(run);
                }
            }
            prop_assert_eq!(found, plain(text));
        }
    }
}
