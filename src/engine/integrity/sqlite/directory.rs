//! What must be known of every memory at once to compare it with rows elsewhere: a sorted list of a few
//! bytes each. A bank with more memories than [`PART`] is compared in parts, chosen by the hash of the
//! id, so that memory stays flat however large it is.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// The most memories that are held at once: 40 bytes each in all, 80 MiB.
pub const PART: u64 = 2 << 20;

/// How far from its expected place a key is looked for first.
const NEAR: usize = 128;

/// One of several parts of all ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: u64,
    of: u64,
}

impl Part {
    /// The parts for so many rows, at least one.
    pub fn all(rows: u64) -> impl Iterator<Item = Self> {
        let of = rows.div_ceil(PART).max(1);
        (0..of).map(move |index| Self { index, of })
    }

    /// About how many of so many rows are in one part.
    pub fn share(self, rows: u64) -> usize {
        usize::try_from(rows / self.of).unwrap_or_default()
    }

    /// Whether it is the first.
    pub const fn is_first(self) -> bool {
        self.index == 0
    }

    /// Whether an id is in this part.
    pub fn has_id(self, id: u128) -> bool {
        self.has(key(&id.to_be_bytes()))
    }

    /// Whether a key is in this part.
    pub const fn has(self, key: u64) -> bool {
        key % self.of == self.index
    }
}

/// The key of some bytes: with 10 million of them, two share one with a probability of 3 in a million.
pub fn key(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}

/// Entries of one part, found by id.
#[derive(Debug)]
pub struct Directory<T> {
    part: Part,
    entries: Vec<(u64, T)>,
    sorted: bool,
}

impl<T> Directory<T> {
    /// For about so many rows in all parts together.
    pub fn new(part: Part, rows: u64) -> Self {
        Self { part, entries: Vec::with_capacity(part.share(rows)), sorted: false }
    }

    /// Takes an entry, if its id is in this part.
    pub fn insert(&mut self, id: u128, value: T) {
        let key = key(&id.to_be_bytes());
        if self.part.has(key) {
            self.entries.push((key, value));
            self.sorted = false;
        }
    }

    /// The entry of an id.
    pub fn get_mut(&mut self, id: u128) -> Option<&mut T> {
        if !self.sorted {
            self.entries.sort_unstable_by_key(|(key, _)| *key);
            self.sorted = true;
        }
        let at = self.position(key(&id.to_be_bytes()))?;
        Some(&mut self.entries[at].1)
    }

    /// Keys are spread evenly, so that a key's size tells its place within a few hundred entries: a search
    /// near it touches little memory, where one from the middle of millions waits for it at every step.
    fn position(&self, key: u64) -> Option<usize> {
        let length = self.entries.len();
        let guess = usize::try_from((u128::from(key) * length as u128) >> 64).ok()?;
        let (mut from, mut to, mut step) = (guess, guess, NEAR);
        while from > 0 && self.entries[from].0 > key {
            to = from;
            from = from.saturating_sub(step);
            step *= 2;
        }
        while to < length && self.entries[to].0 < key {
            from = to;
            to = (to + step).min(length);
            step *= 2;
        }
        let near = &self.entries[from..length.min(to + 1)];
        near.binary_search_by_key(&key, |(other, _)| *other).ok().map(|at| from + at)
    }

    /// Every entry.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bank_of_any_size_is_cut_into_parts_that_fit() {
        assert_eq!(Part::all(0).count(), 1);
        assert_eq!(Part::all(PART).count(), 1);
        assert_eq!(Part::all(PART + 1).count(), 2);
        assert!(Part::all(100_000_000).all(|part| part.share(100_000_000) as u64 <= PART));
    }

    proptest! {
        #[test]
        fn every_id_is_in_one_part_and_found_in_it(ids in prop::collection::btree_set(any::<u128>(), 1..500), of in 1..5_u64) {
            let mut found = 0;
            for index in 0..of {
                let mut directory = Directory::new(Part { index, of }, ids.len() as u64);
                for id in &ids {
                    directory.insert(*id, *id);
                }
                found += ids.iter().filter(|id| directory.get_mut(**id).is_some_and(|value| value == *id)).count();
            }
            prop_assert_eq!(found, ids.len());
        }
    }
}
