//! One pass over all ids of some ranges.

use super::baseline::{Entry, Record, SEGMENT, point_digest};
use super::fault::Faults;
use super::judge::{Clock, Judgement, judge};
use super::range::Sum;
use super::row::Row;
use super::suspects::{Filter, Suspects};
use super::tally::Tally;
use crate::domain::{Point, PointId};

/// What a pass has seen so far.
#[derive(Debug)]
pub struct Pass<'a> {
    clock: Clock,
    /// In a second pass: what the first one suspected.
    only: Option<&'a Filter>,
    /// What counts.
    pub tally: Tally,
    /// What is to be looked at again.
    pub suspects: Suspects,
    /// Rows seen.
    pub rows: u64,
    /// Points seen.
    pub points: u64,
    /// Ids that changed too lately to be judged.
    pub young: u64,
    /// Entries for which there was no room in their range.
    pub cut: u64,
    range: Range,
}

/// The range that the pass is in.
#[derive(Debug, Default)]
struct Range {
    record: Record,
    number: usize,
    old: Vec<u8>,
    at: usize,
    new: Vec<u8>,
}

impl<'a> Pass<'a> {
    /// The first pass, or a second one over what the first suspected.
    pub fn new(clock: Clock, only: Option<&'a Filter>) -> Self {
        Self {
            clock,
            only,
            tally: Tally::default(),
            suspects: Suspects::default(),
            rows: 0,
            points: 0,
            young: 0,
            cut: 0,
            range: Range::default(),
        }
    }

    /// Begins a range, with the entries of its baseline.
    pub fn enter(&mut self, number: usize, old: Vec<u8>) {
        self.range = Range { number, old, ..Range::default() };
    }

    /// Takes the next id of the range: its row, its point, or both.
    pub fn see(&mut self, row: Option<&Row>, point: Option<&Point>) {
        let Some(id) = row.map(|row| PointId::Uuid(row.id)).or(point.map(|point| point.id)) else { return };
        self.rows += u64::from(row.is_some());
        self.points += u64::from(point.is_some());
        let judgement = judge(row, point, self.clock);
        let bytes =
            row.map(|row| row.bytes).or(point.and_then(|p| p.payload.data.as_ref().map(|data| data.len() as u64)));
        let bytes = bytes.unwrap_or_default();
        if let Some(only) = self.only {
            if judgement.doubtful && only.may_have(id) {
                self.tally.see(id, judgement.faults, bytes);
            }
            return;
        }
        let changed = self.compare(id, row, point, judgement.young);
        self.range.record.open |= judgement.young || !judgement.faults.is_empty() || !changed.is_empty();
        self.tally.see(id, changed, bytes);
        if judgement.young {
            self.young += 1;
        } else if judgement.doubtful {
            self.suspects.add(id);
        } else {
            self.tally.see(id, judgement.faults, bytes);
        }
    }

    /// Looks at a suspect for the second time.
    pub fn look_again(&mut self, row: Option<&Row>, point: Option<&Point>, clock: Clock) {
        let Some(id) = row.map(|row| PointId::Uuid(row.id)).or(point.map(|point| point.id)) else { return };
        let Judgement { doubtful, faults, .. } = judge(row, point, clock);
        if doubtful {
            let data = point.and_then(|point| point.payload.data.as_ref()).map_or(0, |data| data.len() as u64);
            self.tally.see(id, faults, row.map_or(data, |row| row.bytes));
        }
    }

    /// Ends the range: what is to be kept of it, and its entries.
    pub fn leave(&mut self, generation: u32) -> (Record, Vec<u8>) {
        let Range { mut record, new, .. } = std::mem::take(&mut self.range);
        record.read_in = generation;
        record.entries = u32::try_from(new.len() / Entry::BYTES).unwrap_or_default();
        (record, new)
    }

    /// The rows of the range as they were read.
    pub const fn rows_of_range(&self) -> Sum {
        self.range.record.rows
    }

    /// Adds the id to the sums and entries of its range; what changed although no time did.
    fn compare(&mut self, id: PointId, row: Option<&Row>, point: Option<&Point>, young: bool) -> Faults {
        let point = point.map(|point| (point, point_digest(point)));
        row.inspect(|row| self.range.record.rows.add(row.digest));
        point.inspect(|(_, digest)| self.range.record.points.add(*digest));
        let PointId::Uuid(id) = id else { return Faults::default() };
        let mut entry = Entry::new(id, row, point);
        let old = self.range.old(id);
        let faults = old.map_or(Faults::default(), |old| entry.after(&old));
        // What is still being written has no baseline yet.
        if young && faults.is_empty() {
            return faults;
        }
        if self.range.new.len() + Entry::BYTES > SEGMENT {
            self.cut += 1;
        } else {
            entry.write(&mut self.range.new);
        }
        faults
    }
}

impl Range {
    /// The entry of an id; they are asked for in ascending order.
    fn old(&mut self, id: u128) -> Option<Entry> {
        while let Some(bytes) = self.old.get(self.at..).and_then(<[u8]>::first_chunk) {
            let entry = Entry::read(self.number, bytes);
            if entry.id > id {
                return None;
            }
            self.at += Entry::BYTES;
            if entry.id == id {
                return Some(entry);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::engine::consistency::judge::tests::{CLOCK, point, row};
    use crate::engine::consistency::{Fault, Totals, Turn, turn};

    type Rows = BTreeMap<u128, Row>;
    type Points = BTreeMap<PointId, Point>;

    /// Both sides as a merge takes them, with the faults of each id.
    fn merged(rows: &Rows, points: &Points) -> (Tally, BTreeSet<PointId>) {
        let mut pass = Pass::new(CLOCK, None);
        let (mut rows, mut points) = (rows.values().peekable(), points.values().peekable());
        pass.enter(0, Vec::new());
        while let Some(turn) = turn(rows.peek().map(|row| row.id), points.peek().map(|point| point.id)) {
            match turn {
                Turn::Row => pass.see(rows.next(), None),
                Turn::Point => pass.see(None, points.next()),
                Turn::Both => pass.see(rows.next(), points.next()),
            }
        }
        let (record, _) = pass.leave(1);
        assert_eq!((u64::from(record.rows.count), u64::from(record.points.count)), (pass.rows, pass.points));
        let suspects = pass.suspects.split().unwrap().into_iter().collect();
        (pass.tally, suspects)
    }

    fn healthy(ids: &BTreeMap<u32, (bool, String)>) -> (Rows, Points) {
        let (mut rows, mut points) = (Rows::new(), Points::new());
        for (id, (live, text)) in ids {
            let id = u128::from(*id);
            rows.insert(id, row(id, if *live { "active" } else { "deleted" }, text));
            if *live {
                points.insert(PointId::Uuid(id), point(id, text));
            }
        }
        (rows, points)
    }

    fn bank() -> impl Strategy<Value = BTreeMap<u32, (bool, String)>> {
        prop::collection::btree_map(0..500_u32, (any::<bool>(), "[a-e]{0,3}"), 1..60)
    }

    fn uuids(ids: impl IntoIterator<Item = u128>) -> BTreeSet<PointId> {
        ids.into_iter().map(PointId::Uuid).collect()
    }

    proptest! {
        #[test]
        fn a_healthy_bank_is_never_accused(ids in bank()) {
            let (rows, points) = healthy(&ids);
            prop_assert_eq!(merged(&rows, &points), (Tally::default(), BTreeSet::new()));
        }

        #[test]
        fn a_merge_finds_what_sets_find(left in bank(), right in bank(), numbers in prop::collection::btree_set(any::<u64>(), 0..5)) {
            let rows = healthy(&left).0;
            let mut points = healthy(&right).1;
            for number in numbers {
                let id = PointId::Number(number);
                points.insert(id, Point { id, ..point(0, "x") });
            }
            let (tally, suspects) = merged(&rows, &points);
            let at = |row: &Row| points.get(&PointId::Uuid(row.id));
            let live = |row: &&Row| left[&u32::try_from(row.id).unwrap()].0;
            let missing = rows.values().filter(live).filter(|row| at(row).is_none()).map(|row| row.id);
            let orphans = points.keys().filter(|id| !uuids(rows.keys().copied()).contains(id));
            let expected: BTreeSet<_> = uuids(missing).into_iter().chain(orphans.copied()).collect();
            prop_assert_eq!(suspects, expected);
            let recallable = rows.values().filter(|row| !live(row) && at(row).is_some()).count();
            prop_assert_eq!(tally.count(Fault::Recallable), recallable as u64);
            let text = |id: u32| right.get(&id).filter(|(live, _)| *live).map(|(_, text)| text);
            let texts = left.iter().filter(|(id, (live, own))| *live && text(**id).is_some_and(|text| text != own)).count();
            prop_assert_eq!(tally.count(Fault::Text), texts as u64);
        }

        #[test]
        fn every_single_fault_is_told_as_what_it_is(ids in bank(), which in any::<prop::sample::Index>(), fault in 0..7_usize) {
            let (mut rows, mut points) = healthy(&ids);
            prop_assume!(!points.is_empty());
            let id = *which.get(&points.keys().copied().collect::<Vec<_>>());
            let PointId::Uuid(bits) = id else { unreachable!() };
            let payload = &mut points.get_mut(&id).unwrap().payload;
            let fault = Fault::ALL[fault];
            match fault {
                Fault::Missing => drop(points.remove(&id)),
                Fault::Recallable => rows.get_mut(&bits).unwrap().state = crate::engine::consistency::State::Deleted,
                Fault::Orphan => drop(rows.remove(&bits)),
                Fault::Text => *payload = point(bits, "another text").payload,
                Fault::HashAbsent => payload.hash = None,
                Fault::HashDiffers => payload.hash = Some("f".repeat(32)),
                Fault::Owner | Fault::PointChanged | Fault::RowChanged => payload.user_id = Some("eve".to_owned()),
            }
            let (tally, suspects) = merged(&rows, &points);
            if matches!(fault, Fault::Missing | Fault::Orphan) {
                prop_assert_eq!((tally, suspects), (Tally::default(), BTreeSet::from([id])));
            } else {
                let events = tally.events(Totals { live: 1_000, broken: 0 });
                prop_assert_eq!((events.len(), suspects.len()), (1, 0));
                prop_assert_eq!(events[0].invariant.as_deref(), fault.invariant());
                prop_assert!(events[0].evidence.ends_with(&format!("1 row: {id}")), "{}", events[0].evidence);
            }
        }
    }
}
