use thiserror::Error;

use super::{Entry, SEGMENT, SEGMENTS};
use crate::domain::Digest;
use crate::engine::consistency::range::{RANGES, Sum};

/// The first bytes of an index; the last of them is the version of the format.
const MAGIC: &[u8; 8] = b"mb-base\x01";

/// One range as it was when it was last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its rows.
    pub rows: Sum,
    /// Its points.
    pub points: Sum,
    /// How many entries it has.
    pub entries: u32,
    /// The generation in which it was last read; 0 for never.
    pub read_in: u32,
    /// Something was told of it, or could not be judged yet: it is read again.
    pub open: bool,
}

/// Some ranges' entries, kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first of its ranges; the last is the one before the next segment's.
    pub first: u32,
    /// Of its bytes.
    pub digest: Digest,
}

/// What is known of a bank's ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// 1 for the first, then counted up by each run in which ranges have their turn.
    pub generation: u32,
    /// When the first one was made, in microseconds since 1970: what came before that is not known.
    pub since: i64,
    /// The range at which the next rotating share begins.
    pub cursor: u32,
    /// Where entries are.
    pub segments: Vec<Segment>,
    /// One for each range.
    pub records: Vec<Record>,
}

/// Why bytes are no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the baseline of earlier runs is damaged, or of a later version: {0}")]
pub struct IndexError(&'static str);

impl Index {
    /// Of how much the content was read within so many generations up to this one, in percent rounded down.
    pub fn coverage_percent(&self, generations: u32) -> u8 {
        let (mut read, mut all) = (0_u64, 0_u64);
        for record in &self.records {
            let size = u64::from(record.rows.count) + u64::from(record.points.count);
            all += size;
            if record.read_in.saturating_add(generations) > self.generation && record.read_in > 0 {
                read += size;
            }
        }
        (read * 100).checked_div(all).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(100)
    }

    /// Its bytes; ranges without anything take none.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend(self.since.to_be_bytes());
        bytes.extend(self.cursor.to_be_bytes());
        bytes.extend(u32::try_from(self.segments.len()).unwrap_or_default().to_be_bytes());
        for segment in &self.segments {
            bytes.extend(segment.first.to_be_bytes());
            bytes.extend(segment.digest.as_bytes());
        }
        for (range, record) in self.records.iter().enumerate().filter(|(_, record)| **record != Record::default()) {
            bytes.extend(u32::try_from(range).unwrap_or_default().to_be_bytes());
            for sum in [record.rows, record.points] {
                bytes.extend(sum.count.to_be_bytes());
                bytes.extend(sum.digest.to_be_bytes());
            }
            bytes.extend(record.entries.to_be_bytes());
            bytes.extend(record.read_in.to_be_bytes());
            bytes.push(u8::from(record.open));
        }
        bytes
    }

    /// Reads what [`Index::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut input = Input(bytes);
        if input.take(MAGIC.len())? != MAGIC {
            return Err(IndexError("its first bytes are others"));
        }
        let (generation, since, cursor) = (input.u32()?, i64::from_be_bytes(input.array()?), input.u32()?);
        let count = input.u32()? as usize;
        if count > SEGMENTS || cursor as usize >= RANGES || generation == 0 {
            return Err(IndexError("a number is out of bounds"));
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for _ in 0..count {
            let segment = Segment { first: input.u32()?, digest: Digest::from_bytes(input.array()?) };
            if segments.last().is_some_and(|last| last.first >= segment.first) || segment.first as usize >= RANGES {
                return Err(IndexError("its segments are out of order"));
            }
            segments.push(segment);
        }
        let mut records = vec![Record::default(); RANGES];
        let mut next = 0;
        while !input.0.is_empty() {
            let range = input.u32()? as usize;
            let record =
                records.get_mut(range).filter(|_| range >= next).ok_or(IndexError("a range is out of order"))?;
            next = range + 1;
            *record = input.record()?;
            if record.entries as usize > SEGMENT / Entry::BYTES {
                return Err(IndexError("a range has too many entries"));
            }
        }
        Ok(Self { generation, since, cursor, segments, records })
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        self.0.split_off(..count).ok_or(IndexError("it is cut"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        self.take(N)?.try_into().map_err(|_| IndexError("it is cut"))
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        self.array().map(u32::from_be_bytes)
    }

    fn sum(&mut self) -> Result<Sum, IndexError> {
        Ok(Sum { count: self.u32()?, digest: u128::from_be_bytes(self.array()?) })
    }

    fn record(&mut self) -> Result<Record, IndexError> {
        Ok(Record {
            rows: self.sum()?,
            points: self.sum()?,
            entries: self.u32()?,
            read_in: self.u32()?,
            open: self.array::<1>()? != [0],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(ranges: &[(usize, u32)]) -> Index {
        let mut records = vec![Record::default(); RANGES];
        for (range, number) in ranges {
            let sum = Sum { count: *number, digest: u128::from(*number) << 70 };
            records[*range] =
                Record { rows: sum, points: sum, entries: 9, read_in: *number % 7 + 1, open: number % 2 == 0 };
        }
        let segments =
            vec![Segment { first: 0, digest: Digest::of(b"0") }, Segment { first: 1_000, digest: Digest::of(b"1") }];
        Index { generation: 8, since: -1, cursor: 65_535, segments, records }
    }

    proptest! {
        #[test]
        fn an_index_is_read_as_it_was_written_and_refused_where_it_is_cut(
            ranges in prop::collection::vec((0..RANGES, 1..1_000_u32), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let index = index(&ranges);
            let bytes = index.to_bytes();
            prop_assert_eq!(Index::from_bytes(&bytes), Ok(index));
            let cut = cut.index(bytes.len());
            // Between two ranges nothing tells that more were to come: the store's digest of the whole does.
            let whole = cut >= 8 + 20 + 72 && (cut - 100) % 53 == 0;
            prop_assert_eq!(Index::from_bytes(&bytes[..cut]).is_ok(), whole);
        }

        #[test]
        fn other_bytes_are_refused_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut whole = MAGIC.to_vec();
            whole.extend(&bytes);
            let _ = Index::from_bytes(&whole);
            prop_assert!(Index::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn what_was_read_too_long_ago_is_not_covered() {
        // Read in generation 2, 5 and 1; the eighth is the present one.
        let index = index(&[(1, 8), (2, 4), (3, 7)]);
        assert_eq!(index.records.iter().filter(|record| record.read_in > 0).count(), 3);
        assert_eq!([1, 4, 7, 8].map(|generations| index.coverage_percent(generations)), [0, 21, 63, 100]);
        let never = Index { records: vec![Record { rows: Sum { count: 1, digest: 0 }, ..Record::default() }], ..index };
        assert_eq!(never.coverage_percent(u32::MAX), 0);
    }
}
