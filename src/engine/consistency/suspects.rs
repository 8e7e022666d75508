//! What differs and may yet be a change under way: it is looked at again.

use crate::domain::PointId;
use crate::engine::integrity::sqlite::directory::key;

/// The most suspects that are looked at one by one; more need a second whole pass.
pub const LISTED: usize = 4_096;
/// Bits of the filter: 1 MiB. With a million suspects it lets one in fifty others pass, which the second pass then
/// judges as it finds them.
const BITS: u64 = 1 << 23;
/// Bits set for each suspect.
const HASHES: u64 = 4;

/// Remembers which ids were suspects in bounded memory. It forgets none, and takes some others for suspects.
#[derive(Clone, Debug)]
pub struct Filter(Vec<u64>);

impl Filter {
    fn new() -> Self {
        Self(vec![0; usize::try_from(BITS / 64).unwrap_or_default()])
    }

    fn places(id: PointId) -> impl Iterator<Item = (usize, u64)> {
        let hash = match id {
            PointId::Number(number) => key(&number.to_be_bytes()),
            PointId::Uuid(bits) => key(&bits.to_be_bytes()),
        };
        let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
        (0..HASHES).map(move |n| {
            let bit = first.wrapping_add(step.wrapping_mul(n)) % BITS;
            (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
        })
    }

    fn insert(&mut self, id: PointId) {
        for (word, bit) in Self::places(id) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether it may have been a suspect.
    pub fn may_have(&self, id: PointId) -> bool {
        Self::places(id).all(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// The suspects of one pass.
#[derive(Clone, Debug, Default)]
pub struct Suspects {
    listed: Vec<PointId>,
    filter: Option<Filter>,
}

impl Suspects {
    /// Takes one more.
    pub fn add(&mut self, id: PointId) {
        if let Some(filter) = &mut self.filter {
            filter.insert(id);
        } else if self.listed.len() < LISTED {
            self.listed.push(id);
        } else {
            let mut filter = Filter::new();
            self.listed.drain(..).chain([id]).for_each(|id| filter.insert(id));
            self.filter = Some(filter);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.filter.is_none()
    }

    /// All of them in the order in which they came, or where they are too many, what remembers them.
    pub fn split(self) -> Result<Vec<PointId>, Filter> {
        self.filter.map_or(Ok(self.listed), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspects(count: usize) -> Suspects {
        let mut suspects = Suspects::default();
        (0..count).for_each(|n| suspects.add(PointId::Uuid((n as u128) << 100)));
        suspects
    }

    #[test]
    fn a_few_are_listed_and_many_are_remembered() {
        assert!(suspects(0).is_empty());
        assert_eq!(suspects(LISTED).split().unwrap().len(), LISTED);
        let filter = suspects(200_000).split().unwrap_err();
        assert!((0..200_000_u128).all(|n| filter.may_have(PointId::Uuid(n << 100))));
        let others = (0..10_000).filter(|n| filter.may_have(PointId::Number(*n))).count();
        assert!(others < 100, "{others} of 10000 others");
    }
}
