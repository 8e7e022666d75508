use super::Index;
use crate::engine::consistency::range::{RANGES, Sums};

/// How much of the points is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Everything.
    All,
    /// What changed in SQL, what has open differences, and so many percent of the rest, in turns: 0 to 100.
    Percent(u8),
}

impl Share {
    /// In how many runs each range has had its turn; none where it may never.
    pub fn rounds(self) -> Option<u32> {
        match self {
            Self::All => Some(1),
            Self::Percent(0) => None,
            Self::Percent(percent) => Some(100_u32.div_ceil(u32::from(percent.min(100)))),
        }
    }
}

/// Which ranges are to be read, and where the next turn begins.
pub fn choose(index: Option<&Index>, sums: &Sums, share: Share) -> (Vec<bool>, u32) {
    let (Some(index), Share::Percent(percent)) = (index, share) else {
        return (vec![true; RANGES], index.map_or(0, |index| index.cursor));
    };
    let mut chosen: Vec<_> =
        index.records.iter().zip(&sums.ranges).map(|(record, rows)| record.open || record.rows != *rows).collect();
    let turn = (RANGES * usize::from(percent.min(100))).div_ceil(100);
    let first = index.cursor as usize;
    for range in first..first + turn {
        if let Some(chosen) = chosen.get_mut(range % RANGES) {
            *chosen = true;
        }
    }
    (chosen, u32::try_from((first + turn) % RANGES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::consistency::baseline::Record;

    fn index(cursor: u32) -> Index {
        Index { generation: 1, since: 0, cursor, segments: Vec::new(), records: vec![Record::default(); RANGES] }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_range_has_its_turn(share in 1..=100_u8, cursor in 0..65_536_u32) {
            let share = Share::Percent(share);
            let (mut index, mut read) = (index(cursor), vec![false; RANGES]);
            for _ in 0..share.rounds().unwrap() {
                let (chosen, next) = choose(Some(&index), &Sums::default(), share);
                read.iter_mut().zip(chosen).for_each(|(read, chosen)| *read |= chosen);
                index.cursor = next;
            }
            prop_assert!(read.iter().all(|read| *read));
        }
    }

    #[test]
    fn what_changed_or_is_open_is_read_and_no_more() {
        let (mut index, mut sums) = (index(7), Sums::default());
        index.records[1_000].open = true;
        sums.ranges[2_000].add(5);
        let (chosen, cursor) = choose(Some(&index), &sums, Share::Percent(0));
        let read: Vec<_> = chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(range, _)| range).collect();
        assert_eq!((read, cursor), (vec![1_000, 2_000], 7));
        let all = |index, share| choose(index, &sums, share).0.iter().all(|chosen| *chosen);
        assert!(all(None, Share::Percent(0)) && all(Some(&index), Share::All));
    }
}
