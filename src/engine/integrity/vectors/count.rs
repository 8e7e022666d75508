use super::collection::passed;
use super::{Judgement, VECTORS, check};
use crate::domain::{Check, CorruptionEvent, CorruptionType, PointId, Severity};

/// How many walks over the ids are made before it is said that the store does not hold still.
const WALKS: usize = 3;

/// One walk over a collection: the exact number of points before and after it, and the points that it met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Counted before.
    pub before: u64,
    /// Counted after.
    pub after: u64,
    /// Met.
    pub met: u64,
    /// A sum over the ids that were met, the same for the same set.
    pub ids: u128,
}

impl Walked {
    /// Meets a point.
    pub fn meet(&mut self, id: PointId) {
        const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let bits = match id {
            PointId::Number(number) => u128::from(number),
            PointId::Uuid(bits) => bits ^ MIX,
        };
        // A sum of the ids alone would be the same where two of them moved towards each other.
        let mixed = (bits ^ (bits >> 64)).wrapping_mul(MIX);
        self.ids = self.ids.wrapping_add(mixed ^ (mixed >> 61));
        self.met += 1;
    }

    /// Whether the number met is one that the collection can have had meanwhile.
    fn agrees(&self) -> bool {
        (self.before.min(self.after)..=self.before.max(self.after)).contains(&self.met)
    }
}

/// What the walks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It can be said.
    Judged(Judgement),
    /// Points may have come and gone: walk again.
    LookAgain,
}

/// Whether as many points are returned as are counted (I17). Points come and go while they are walked; a
/// difference is a fault only where two walks met the same points and every count was the same.
pub fn counted(walks: &[Walked]) -> Counted {
    let Some(last) = walks.last() else { return Counted::LookAgain };
    if last.agrees() {
        return Counted::Judged(passed(check::COUNT, format!("{} points counted, and as many returned", last.met)));
    }
    if let [.., before, last] = walks
        && before.ids == last.ids
        && before.met == last.met
        && [before.after, last.before, last.after].iter().all(|count| *count == before.before)
    {
        return Counted::Judged(differs(last));
    }
    if walks.len() < WALKS {
        return Counted::LookAgain;
    }
    let told = format!(
        "{WALKS} walks met other numbers of points than were counted, each another one: it is being written to"
    );
    let checks = vec![Check::unknown(check::COUNT, VECTORS, told)];
    Counted::Judged(Judgement { checks, events: Vec::new() })
}

fn differs(walked: &Walked) -> Judgement {
    let (counted, met) = (walked.before, walked.met);
    let evidence = format!("{counted} points are counted exactly, {met} are returned one after the other, seen twice");
    let event = CorruptionEvent {
        check: check::COUNT.to_owned(),
        component: VECTORS.to_owned(),
        corruption_type: CorruptionType::DataInconsistency,
        invariant: Some("I17".to_owned()),
        severity: Severity::High,
        object: "points".to_owned(),
        count: counted.abs_diff(met),
        evidence: evidence.clone(),
        advice: "A segment may be lost or may not be loaded: look at the server's log, and restore the newest verified backup.".to_owned(),
    };
    Judgement { checks: vec![Check::failed(check::COUNT, VECTORS, evidence)], events: vec![event] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn walk(before: u64, met: u64, after: u64, salt: u128) -> Walked {
        Walked { before, after, met, ids: salt }
    }

    fn verdict(walks: &[Walked]) -> Option<Verdict> {
        match counted(walks) {
            Counted::Judged(judgement) => Some(judgement.checks[0].verdict),
            Counted::LookAgain => None,
        }
    }

    #[test]
    fn what_came_or_went_meanwhile_is_no_loss() {
        assert_eq!(verdict(&[walk(10, 10, 10, 0)]), Some(Verdict::Passed));
        assert_eq!(verdict(&[walk(10, 11, 12, 0)]), Some(Verdict::Passed));
        assert_eq!(verdict(&[walk(12, 11, 10, 0)]), Some(Verdict::Passed));
        assert_eq!(verdict(&[walk(10, 9, 10, 0)]), None);
        assert_eq!(verdict(&[walk(10, 9, 10, 0), walk(10, 10, 10, 1)]), Some(Verdict::Passed));
    }

    #[test]
    fn a_difference_is_told_only_of_a_store_that_holds_still() {
        let same = walk(10, 9, 10, 7);
        let Counted::Judged(judgement) = counted(&[same, same]) else { panic!("not judged") };
        assert_eq!((judgement.events[0].count, judgement.events[0].invariant.as_deref()), (1, Some("I17")));
        // As many, but others.
        assert_eq!(verdict(&[walk(10, 9, 10, 7), walk(10, 9, 10, 8)]), None);
        assert_eq!(verdict(&[walk(10, 9, 10, 7), walk(10, 9, 10, 8), walk(10, 9, 10, 9)]), Some(Verdict::Unknown));
        assert_eq!(verdict(&[walk(10, 9, 10, 7), walk(11, 9, 11, 7)]), None);
        // More than counted is as wrong.
        assert_eq!(verdict(&[walk(10, 12, 10, 7), walk(10, 12, 10, 7)]), Some(Verdict::Failed));
    }

    #[test]
    fn the_sum_of_ids_tells_sets_apart_whatever_their_order() {
        let sum = |ids: &[PointId]| {
            let mut walked = Walked::default();
            for id in ids {
                walked.meet(*id);
            }
            walked.ids
        };
        let (a, b) = (PointId::Uuid(10), PointId::Uuid(12));
        assert_eq!(sum(&[a, b]), sum(&[b, a]));
        assert_ne!(sum(&[a, b]), sum(&[PointId::Uuid(11), PointId::Uuid(11)]));
        assert_ne!(sum(&[PointId::Number(10)]), sum(&[a]));
    }
}
