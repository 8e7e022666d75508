use sha2::{Digest as _, Sha256};

use crate::domain::Point;
use crate::engine::consistency::fault::{Fault, Faults};
use crate::engine::consistency::row::{Row, State, short, stamp};

/// One side of an id as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// A digest of its times as they are written; 0 where the side was not there.
    pub stamp: u32,
    /// The first 64 bits of the SHA-256 of what no one changes without changing a time.
    pub digest: u64,
}

/// An id as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id.
    pub id: u128,
    /// Its point: payload and vector.
    pub point: Mark,
    /// Its row: the text, of a memory that is not deleted.
    pub row: Mark,
}

/// The part of a point in the sum of its range: payload and the bits of the vector.
pub fn point_digest(point: &Point) -> u128 {
    let mut hash = Sha256::new();
    hash.update(point.id.to_string());
    hash.update(point.payload.digest);
    for part in point.vector.iter().flat_map(|vector| vector.chunks(256)) {
        let mut bytes = [0; 1_024];
        for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(part) {
            *bytes = value.to_le_bytes();
        }
        hash.update(&bytes[..part.len() * 4]);
    }
    short(hash)
}

impl Entry {
    /// Its length in a segment.
    pub const BYTES: usize = 38;

    /// An id as it is now.
    pub fn new(id: u128, row: Option<&Row>, point: Option<(&Point, u128)>) -> Self {
        let row = row.filter(|row| row.state == State::Live).and_then(|row| {
            let text = row.sha256?;
            Some(Mark { stamp: row.stamp, digest: first(u128::from_be_bytes(*text.first_chunk()?)) })
        });
        let point = point.map(|(point, digest)| {
            let times = [&point.payload.created_at, &point.payload.updated_at];
            Mark { stamp: stamp(&times.map(|time| time.as_deref().map(str::as_bytes))), digest: first(digest) }
        });
        Self { id, point: point.unwrap_or_default(), row: row.unwrap_or_default() }
    }

    /// What changed since `old` although no time did. Of that the old mark stays, so that it is told until it is mended.
    pub fn after(&mut self, old: &Self) -> Faults {
        let mut faults = Faults::default();
        for (fault, old, new) in
            [(Fault::PointChanged, old.point, &mut self.point), (Fault::RowChanged, old.row, &mut self.row)]
        {
            if old.stamp != 0 && old.stamp == new.stamp && old.digest != new.digest {
                faults = faults.with(fault);
                *new = old;
            }
        }
        faults
    }

    /// Appends it to a segment.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.id.to_be_bytes()[2..]);
        for mark in [self.point, self.row] {
            bytes.extend_from_slice(&mark.stamp.to_be_bytes());
            bytes.extend_from_slice(&mark.digest.to_be_bytes());
        }
    }

    /// Reads one of a range from its bytes.
    pub fn read(range: usize, bytes: &[u8; Self::BYTES]) -> Self {
        let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
        #[allow(clippy::cast_possible_truncation)] // As many bytes as the type has.
        let mark = |from| Mark { stamp: number(from, from + 4) as u32, digest: number(from + 4, from + 12) as u64 };
        Self { id: (range as u128) << 112 | number(0, 14), point: mark(14), row: mark(26) }
    }
}

/// The first 64 bits.
#[allow(clippy::cast_possible_truncation)]
const fn first(digest: u128) -> u64 {
    (digest >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consistency::judge::tests::{point, row};

    fn entry(text: &str, vector: &[f32], updated: &str) -> Entry {
        let mut point = point(7, text);
        point.vector = Some(vector.to_vec());
        point.payload.updated_at = Some(updated.to_owned());
        Entry::new(7, Some(&row(7, "active", text)), Some((&point, point_digest(&point))))
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let id = 0xabcd_0000_0000_4000_8000_0000_0000_0009;
        let entry = Entry { id, point: Mark { stamp: 1, digest: u64::MAX }, row: Mark { stamp: u32::MAX, digest: 2 } };
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        assert_eq!(Entry::read(0xabcd, bytes.as_slice().try_into().unwrap()), entry);
    }

    #[test]
    fn a_change_without_a_time_is_told_until_it_is_undone() {
        let old = entry("likes tea", &[0.6, 0.8], "2025-07-01T10:00:00Z");
        let flipped = f32::from_bits(0.8_f32.to_bits() ^ 1);
        let mut new = entry("likes tea", &[0.6, flipped], "2025-07-01T10:00:00Z");
        assert_eq!(new.after(&old).iter().collect::<Vec<_>>(), [Fault::PointChanged]);
        assert_eq!(new, old, "the old mark stays");
        let mut both = entry("likes teA", &[0.6, 0.8], "2025-07-01T10:00:00Z");
        assert_eq!(both.after(&old).iter().collect::<Vec<_>>(), [Fault::PointChanged, Fault::RowChanged]);
        let mut mended = entry("likes tea", &[0.6, 0.8], "2025-07-01T10:00:00Z");
        assert!(mended.after(&old).is_empty());
    }

    #[test]
    fn a_change_that_a_time_tells_of_is_taken() {
        let old = entry("likes tea", &[0.6, 0.8], "2025-07-01T10:00:00Z");
        let mut new = entry("likes tea", &[0.8, 0.6], "2025-07-02T10:00:00Z");
        let kept = new;
        assert!(new.after(&old).is_empty());
        assert_eq!(new, kept);
        let mut gone = Entry { point: Mark::default(), ..old };
        assert!(gone.after(&old).is_empty() && old.clone().after(&gone).is_empty(), "what was not there says nothing");
    }

    #[test]
    fn every_bit_of_a_long_vector_counts() {
        let vector: Vec<f32> = (0..1_537_u16).map(f32::from).collect();
        let digest = |vector: &[f32]| point_digest(&Point { vector: Some(vector.to_vec()), ..point(1, "x") });
        for at in [0, 255, 256, 1_535, 1_536] {
            let mut other = vector.clone();
            other[at] = f32::from_bits(other[at].to_bits() ^ 1);
            assert_ne!(digest(&other), digest(&vector), "{at}");
        }
    }
}
