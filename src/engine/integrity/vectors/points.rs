use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::defect::Defect;
use super::reading::Extent;
use super::{Judgement, VECTORS, check};
use crate::domain::{Check, Point};
use crate::engine::integrity::sqlite::date;
use crate::engine::integrity::sqlite::tally::Rows;

/// How far from 1 the length of a vector may be that the store keeps with length 1.
const TOLERANCE: f64 = 1e-3;

/// What every point of a collection must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How many numbers each vector has; none where the store does not fix it.
    pub size: Option<u32>,
    /// Whether the store keeps vectors with length 1.
    pub normalised: bool,
    /// Whether each memory must be of a user; a mem0 server also knows those of an agent or a run.
    pub user: bool,
}

/// Judges points one after the other; its size does not grow with their number.
#[derive(Debug)]
pub struct Points {
    expected: Expected,
    seen: u64,
    found: BTreeMap<Defect, Rows>,
}

impl Points {
    /// A judge that has seen none.
    pub const fn new(expected: Expected) -> Self {
        Self { expected, seen: 0, found: BTreeMap::new() }
    }

    /// How many points it has seen.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Judges a point that was read with its payload and its vector.
    pub fn see(&mut self, point: &Point) {
        self.seen += 1;
        let id = point.id;
        let mut found = |defect| self.found.entry(defect).or_default().add(|| id.to_string());
        match &point.vector {
            None => found(Defect::NoVector),
            Some(vector) => {
                if self.expected.size.is_some_and(|size| size as usize != vector.len()) {
                    found(Defect::WrongLength);
                }
                if let Some(defect) = of_values(vector, self.expected.normalised) {
                    found(defect);
                }
            }
        }
        let payload = &point.payload;
        if self.expected.user && payload.user_id.is_none() {
            found(Defect::NoUser);
        }
        match payload.created_at.as_deref() {
            None => found(Defect::NoCreated),
            Some(text) if date::parse(text).is_none() => found(Defect::NotDate),
            Some(_) => {}
        }
        match (payload.data.as_deref(), payload.hash.as_deref()) {
            (None, _) => found(Defect::NoData),
            (Some(_), None) => found(Defect::NoHash),
            (Some(data), Some(hash)) if !is_md5(data, hash) => found(Defect::WrongHash),
            (Some(_), Some(_)) => {}
        }
    }

    /// What was seen. Of a part of the points nothing is said but what is wrong with them: what was told of the
    /// others earlier stands.
    pub fn judge(&self, extent: &Extent) -> Judgement {
        let events: Vec<_> = self.found.iter().map(|(defect, points)| defect.event(points)).collect();
        let mut checks = Vec::new();
        for id in [check::VALUES, check::DIMENSION, check::PAYLOAD, check::HASH] {
            let wrong: u64 = self.found.iter().filter(|(d, _)| d.check() == id).map(|(_, rows)| rows.count).sum();
            let told = format!("{wrong} faults in {} points", self.seen);
            checks.extend(match (extent, wrong) {
                (Extent::Whole, 0) => Some(Check::passed(id, VECTORS, format!("{} points read", self.seen))),
                (Extent::Whole, _) => Some(Check::failed(id, VECTORS, told)),
                (Extent::FirstPage, 0) => None,
                (Extent::FirstPage, _) => {
                    Some(Check::unknown(id, VECTORS, format!("{told} of the first page; the others were not read")))
                }
                (Extent::Stopped(why), _) => Some(Check::unknown(id, VECTORS, format!("{told}; {why}"))),
            });
        }
        Judgement { checks, events }
    }
}

/// Not a number and infinity make the sum of squares such; no sum of squares of `f32` is too large for `f64`.
fn of_values(vector: &[f32], normalised: bool) -> Option<Defect> {
    // Four sums side by side: one alone would wait for each addition.
    let mut sums = [0.0_f64; 4];
    let chunks = vector.chunks_exact(4);
    for (sum, number) in sums.iter_mut().zip(chunks.remainder()) {
        *sum += f64::from(*number) * f64::from(*number);
    }
    for chunk in chunks {
        for (sum, number) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*number) * f64::from(*number);
        }
    }
    let squares: f64 = sums.iter().sum();
    if !squares.is_finite() {
        Some(Defect::NotFinite)
    } else if squares == 0.0 {
        Some(Defect::Zero)
    } else if normalised && (squares.sqrt() - 1.0).abs() > TOLERANCE {
        Some(Defect::WrongNorm)
    } else {
        None
    }
}

fn is_md5(data: &str, hash: &str) -> bool {
    let digest = Md5::digest(data.as_bytes());
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    hash.len() == 32 && hash.chars().eq(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CorruptionType, Payload, PointId, Severity, Verdict};

    const EXPECTED: Expected = Expected { size: Some(4), normalised: true, user: true };

    fn point(number: u64) -> Point {
        let payload = Payload {
            data: Some("likes tea".to_owned()),
            // printf 'likes tea' | md5sum
            hash: Some("333eb7a1a291340c4a5e076606a7774e".to_owned()),
            user_id: Some("u".to_owned()),
            created_at: Some("2025-07-01T12:00:00.123456-07:00".to_owned()),
            ..Payload::default()
        };
        Point { id: PointId::Number(number), payload, vector: Some(vec![0.5; 4]) }
    }

    fn judged(points: &[Point]) -> Judgement {
        let mut judge = Points::new(EXPECTED);
        for point in points {
            judge.see(point);
        }
        judge.judge(&Extent::Whole)
    }

    fn one(change: impl Fn(&mut Point)) -> (String, String, Severity) {
        let mut wrong = point(7);
        change(&mut wrong);
        let events = judged(&[point(1), wrong]).events;
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].evidence.ends_with("1 point: 7"), "{}", events[0].evidence);
        (events[0].invariant.clone().unwrap(), events[0].object.clone(), events[0].severity)
    }

    #[test]
    fn a_sound_point_is_not_told() {
        let judgement = judged(&[point(1), point(2)]);
        assert!(judgement.events.is_empty(), "{:?}", judgement.events);
        assert!(judgement.checks.iter().all(|check| check.verdict == Verdict::Passed));
    }

    #[test]
    fn each_fault_is_told_as_what_it_is() {
        let told = |invariant: &str, object: &str, severity| (invariant.to_owned(), object.to_owned(), severity);
        let critical = Severity::Critical;
        assert_eq!(one(|p| p.vector = None), told("I9", "vector/missing", critical));
        assert_eq!(one(|p| p.vector = Some(vec![0.0; 4])), told("I9", "vector/zero", critical));
        assert_eq!(one(|p| p.vector = Some(vec![0.5, 0.5, f32::NAN, 0.5])), told("I9", "vector/not-finite", critical));
        assert_eq!(one(|p| p.vector = Some(vec![f32::INFINITY; 4])), told("I9", "vector/not-finite", critical));
        assert_eq!(one(|p| p.vector = Some(vec![0.5, 0.5, 0.5, 0.51])), told("I9", "vector/norm", critical));
        assert_eq!(one(|p| p.vector = Some(vec![1.0])), told("I8", "vector/length", critical));
        assert_eq!(one(|p| p.payload.data = None), told("I16", "payload.data", Severity::Medium));
        assert_eq!(one(|p| p.payload.user_id = None), told("I16", "payload.user_id", Severity::Medium));
        assert_eq!(one(|p| p.payload.created_at = None), told("I16", "payload.created_at", Severity::Medium));
        let yesterday = Some("yesterday".to_owned());
        let value = told("I16", "payload.created_at/value", Severity::Medium);
        assert_eq!(one(|p| p.payload.created_at.clone_from(&yesterday)), value);
        assert_eq!(
            one(|p| p.payload.data = Some("likes teA".to_owned())),
            told("I5", "payload.hash", Severity::Medium)
        );
        assert_eq!(one(|p| p.payload.hash = None), told("I5", "payload.hash/missing", Severity::Low));
    }

    #[test]
    fn a_length_within_the_tolerance_is_one_and_where_none_is_kept_none_is_asked_for() {
        let near = Point { vector: Some(vec![0.5004, 0.5, 0.5, 0.5]), ..point(1) };
        assert!(judged(&[near]).events.is_empty());
        let free = Expected { size: None, normalised: false, user: false };
        let mut judge = Points::new(free);
        let mut far = Point { vector: Some(vec![7.0]), ..point(1) };
        far.payload.user_id = None;
        judge.see(&far);
        assert!(judge.judge(&Extent::Whole).events.is_empty());
        judge.see(&Point { vector: Some(vec![0.0]), ..point(2) });
        assert_eq!(judge.judge(&Extent::Whole).events.len(), 1, "zero is none in any store");
    }

    #[test]
    fn the_same_fault_of_many_points_is_one_event_with_five_ids() {
        let zero = |number| Point { vector: Some(vec![0.0; 4]), ..point(number) };
        let points: Vec<_> = (0..1_000).map(zero).collect();
        let judgement = judged(&points);
        assert_eq!(judgement.events.len(), 1);
        let event = &judgement.events[0];
        assert_eq!((event.count, event.corruption_type), (1_000, CorruptionType::FileCorruption));
        assert!(event.evidence.ends_with("1000 points: 0, 1, 2, 3, 4, ..."), "{}", event.evidence);
        assert!(!event.evidence.contains("tea"), "{}", event.evidence);
    }

    #[test]
    fn a_part_of_the_points_passes_nothing() {
        let mut judge = Points::new(EXPECTED);
        judge.see(&point(1));
        assert_eq!(judge.judge(&Extent::FirstPage).checks, []);
        let stopped = judge.judge(&Extent::Stopped("the rest could not be read".to_owned()));
        assert!(stopped.checks.iter().all(|check| check.verdict == Verdict::Unknown));
        judge.see(&Point { vector: None, ..point(2) });
        let judgement = judge.judge(&Extent::FirstPage);
        assert_eq!((judgement.checks.len(), judgement.events.len()), (1, 1));
        assert_eq!(judgement.checks[0].verdict, Verdict::Unknown);
    }
}
