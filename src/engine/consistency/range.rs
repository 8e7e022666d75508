//! The ids of a bank by the first 16 of their 128 bits: mem0's ids are random, so that each range holds about as much
//! as any other.

use crate::domain::PointId;

/// How many ranges there are.
pub const RANGES: usize = 1 << 16;
/// The bits of an id that are the same throughout a range.
const SHIFT: u32 = 112;

/// The range of an id.
pub const fn of(id: u128) -> usize {
    (id >> SHIFT) as usize
}

/// The range of a point. Numbers come before all UUIDs, and so belong to the first.
pub const fn of_point(id: PointId) -> usize {
    match id {
        PointId::Number(_) => 0,
        PointId::Uuid(id) => of(id),
    }
}

/// The first and the last id of a range.
pub const fn bounds(range: usize) -> (u128, u128) {
    let first = (range as u128) << SHIFT;
    (first, first | ((1 << SHIFT) - 1))
}

/// How many there are, and the sum of their digests, whatever the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u32,
    /// The sum of the first 128 bits of their SHA-256, modulo 2^128.
    pub digest: u128,
}

impl Sum {
    /// Takes one more.
    pub const fn add(&mut self, digest: u128) {
        self.count = self.count.saturating_add(1);
        self.digest = self.digest.wrapping_add(digest);
    }

    /// Takes all of another sum.
    pub const fn join(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// The rows of a whole database by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// One for each range.
    pub ranges: Vec<Sum>,
    /// Memories that are not deleted.
    pub live: u64,
    /// Rows whose id is none (I14): nothing can be compared with them.
    pub broken: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { ranges: vec![Sum::default(); RANGES], live: 0, broken: 0 }
    }
}

impl Sums {
    /// Takes the rows of another part of the same database.
    pub fn join(&mut self, other: &Self) {
        self.ranges.iter_mut().zip(&other.ranges).for_each(|(sum, more)| sum.join(*more));
        self.live += other.live;
        self.broken += other.broken;
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.broken + self.ranges.iter().map(|sum| u64::from(sum.count)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_hold_every_id_once() {
        let mut next = 0_u128;
        for range in 0..RANGES {
            let (first, last) = bounds(range);
            assert_eq!((first, of(first), of(last)), (next, range, range));
            next = last.wrapping_add(1);
        }
        assert_eq!(next, 0);
        assert_eq!(of_point(PointId::Number(u64::MAX)), 0);
    }
}
