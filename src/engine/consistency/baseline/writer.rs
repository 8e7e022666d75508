use super::{Entry, Index, Record, SEGMENT, SEGMENTS, Segment, Share};
use crate::domain::Digest;
use crate::engine::consistency::range::RANGES;

/// The output that holds a segment.
pub fn segment_name(number: usize) -> String {
    format!("baseline/points-{number}")
}

/// Makes the next generation, range by range in their order.
#[derive(Debug)]
pub struct Writer {
    index: Index,
    first: usize,
    buffer: Vec<u8>,
    /// Entries for which there was no room.
    pub cut: u64,
}

impl Writer {
    /// After an earlier one, or the first, made at this time. Where no range has its turn, the generation stays.
    pub fn new(previous: Option<&Index>, now: i64, cursor: u32, share: Share) -> Self {
        let step = u32::from(share.rounds().is_some());
        let index = Index {
            generation: previous.map_or(1, |index| index.generation.saturating_add(step)),
            since: previous.map_or(now, |index| index.since),
            cursor,
            segments: Vec::new(),
            records: vec![Record::default(); RANGES],
        };
        Self { index, first: 0, buffer: Vec::new(), cut: 0 }
    }

    /// The generation that is being made.
    pub const fn generation(&self) -> u32 {
        self.index.generation
    }

    /// Takes the next range with its entries. What it gives back is a segment that is full, with its name.
    pub fn range(&mut self, range: usize, mut record: Record, entries: &[u8]) -> Option<(String, Vec<u8>)> {
        let full = self.buffer.len() + entries.len() > SEGMENT && !self.buffer.is_empty();
        let segment = if full { self.close(range) } else { None };
        if self.index.segments.len() < SEGMENTS && entries.len() <= SEGMENT {
            self.buffer.extend_from_slice(entries);
        } else {
            self.cut += (entries.len() / Entry::BYTES) as u64;
            record.entries = 0;
        }
        if let Some(place) = self.index.records.get_mut(range) {
            *place = record;
        }
        segment
    }

    /// The index, and the last segment where one is left.
    pub fn finish(mut self) -> (Option<(String, Vec<u8>)>, Index) {
        let last = if self.buffer.is_empty() { None } else { self.close(RANGES) };
        (last, self.index)
    }

    fn close(&mut self, next: usize) -> Option<(String, Vec<u8>)> {
        let bytes = std::mem::take(&mut self.buffer);
        let name = segment_name(self.index.segments.len());
        let first = u32::try_from(std::mem::replace(&mut self.first, next)).ok()?;
        self.index.segments.push(Segment { first, digest: Digest::of(&bytes) });
        Some((name, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_into_segments_that_fit() {
        let mut writer = Writer::new(None, 5, 9, Share::All);
        let entries = vec![7; Entry::BYTES * 100_000];
        let record = Record { entries: 100_000, ..Record::default() };
        let mut segments = Vec::new();
        for range in 0..7 {
            segments.extend(writer.range(range, record, &entries));
        }
        segments.extend(writer.range(9, Record::default(), &vec![0; SEGMENT + Entry::BYTES]));
        assert_eq!(writer.cut, 220_753, "a range that no segment can hold has no entries");
        let (last, index) = writer.finish();
        segments.extend(last);
        let told: Vec<_> = segments.iter().map(|(name, bytes)| (name.as_str(), bytes.len() / entries.len())).collect();
        let names = ["baseline/points-0", "baseline/points-1", "baseline/points-2", "baseline/points-3"];
        assert_eq!(told, names.into_iter().zip([2, 2, 2, 1]).collect::<Vec<_>>());
        let firsts: Vec<_> = index.segments.iter().map(|segment| segment.first).collect();
        assert_eq!(firsts, [0, 2, 4, 6]);
        assert_eq!((index.generation, index.since, index.cursor), (1, 5, 9));
        assert_eq!(index.segments[3].digest, Digest::of(&segments[3].1));
        let next = |share| Writer::new(Some(&index), 99, 0, share).finish().1;
        assert_eq!((next(Share::Percent(0)).generation, next(Share::Percent(1)).generation), (1, 2));
        assert_eq!(next(Share::All).since, 5);
    }

    #[test]
    fn what_is_beyond_all_segments_is_counted() {
        let mut writer = Writer::new(None, 0, 0, Share::All);
        let entries = vec![0; SEGMENT];
        let record = Record { entries: 1, ..Record::default() };
        let full = (0..SEGMENTS + 2).filter_map(|range| writer.range(range, record, &entries)).count();
        assert_eq!((full, writer.cut), (SEGMENTS, 2 * (SEGMENT / Entry::BYTES) as u64));
        let (last, index) = writer.finish();
        assert_eq!((last, index.segments.len(), index.records[SEGMENTS].entries), (None, SEGMENTS, 0));
    }
}
