use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::fault::{Fault, Faults};
use super::row::{Row, State};
use crate::domain::{Payload, Point};
use crate::engine::integrity::sqlite::date;

/// Microseconds of a day: a clock may be ahead by less.
const DAY: i64 = 86_400_000_000;

/// When the SQL side was read, and how long a change may take to reach both sides.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Microseconds since 1970.
    pub read: i64,
    /// Microseconds: what is younger is not judged.
    pub grace: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Young,
    Old,
    /// No time that can be believed.
    Unknown,
}

impl Clock {
    fn age(self, times: impl IntoIterator<Item = Option<i64>>) -> Age {
        let believed = times.into_iter().flatten().filter(|time| *time < self.read.saturating_add(DAY));
        match believed.max() {
            None => Age::Unknown,
            Some(newest) if newest >= self.read.saturating_sub(self.grace) => Age::Young,
            Some(_) => Age::Old,
        }
    }
}

impl Clock {
    /// Whether a point has a time, and none of its times is as young as that.
    pub fn is_old(self, payload: &Payload) -> bool {
        self.age(times(payload)) == Age::Old
    }

    /// Whether a point changed so lately that SQL may not have it yet.
    pub fn is_young(self, payload: &Payload) -> bool {
        self.age(times(payload)) == Age::Young
    }
}

/// What is to be said of one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Changed so lately that the other side may not have it yet: nothing is said.
    pub young: bool,
    /// How both sides differ.
    pub faults: Faults,
    /// Nothing proves that the difference is not a change under way: it counts only when a second look sees it too.
    pub doubtful: bool,
}

impl Judgement {
    const YOUNG: Self = Self { young: true, faults: Faults(0), doubtful: false };

    fn of(faults: Faults, doubtful: bool) -> Self {
        Self { young: false, faults, doubtful: doubtful && !faults.is_empty() }
    }
}

/// Judges a row, its point, or both.
///
/// Rows are read first, as they were at one moment, points after it. So a side that is there and has been for longer
/// than the grace was so at that moment. Of a side that is not there no time tells since when: a memory that was
/// deleted meanwhile has a row and no point, and one that was imported meanwhile a point and no row.
pub fn judge(row: Option<&Row>, point: Option<&Point>, clock: Clock) -> Judgement {
    let row_age = row.map(|row| clock.age(row.times));
    let point_age = point.map(|point| clock.age(times(&point.payload)));
    if [row_age, point_age].contains(&Some(Age::Young)) {
        return Judgement::YOUNG;
    }
    let unknown = [row_age, point_age].contains(&Some(Age::Unknown));
    match (row, point) {
        (Some(Row { state: State::Live, .. }), None) => Judgement::of(Faults::default().with(Fault::Missing), true),
        (None, Some(_)) => Judgement::of(Faults::default().with(Fault::Orphan), true),
        (Some(row), Some(point)) => match row.state {
            State::Live => Judgement::of(differences(row, &point.payload), unknown),
            State::Deleted => Judgement::of(Faults::default().with(Fault::Recallable), unknown),
            State::Other => Judgement::default(),
        },
        (_, None) => Judgement::default(),
    }
}

fn times(payload: &Payload) -> [Option<i64>; 2] {
    [&payload.created_at, &payload.updated_at].map(|time| time.as_deref().and_then(date::parse))
}

/// How the payload of a live memory's point differs from its row. What is not there at all is I16, and not told here,
/// but for the hash.
fn differences(row: &Row, payload: &Payload) -> Faults {
    let text: Option<[u8; 32]> = payload.data.as_ref().map(|data| Sha256::digest(data).into());
    let same = text.is_some() && text == row.sha256;
    let hash = payload.hash.as_deref();
    let mut faults = Faults::default();
    let text_differs = match (&text, &row.sha256, row.md5, hash) {
        (Some(text), Some(row), _, _) => text != row,
        (None, _, Some(row), Some(hash)) => !is_hex(hash, row),
        _ => false,
    };
    if text_differs {
        faults = faults.with(Fault::Text);
    }
    match (hash, &payload.data, row.md5) {
        (None, ..) => faults = faults.with(Fault::HashAbsent),
        (Some(hash), _, Some(md5)) if same && is_hex(hash, md5) => {}
        (Some(hash), Some(data), _) if !is_hex(hash, Md5::digest(data).into()) => {
            faults = faults.with(Fault::HashDiffers);
        }
        _ => {}
    }
    if let (Some(owner), Some(user)) = (&row.owner, &payload.user_id)
        && owner != user
    {
        faults = faults.with(Fault::Owner);
    }
    faults
}

/// Whether a text is the bytes as lower-case hex.
fn is_hex(text: &str, bytes: [u8; 16]) -> bool {
    text == format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::PointId;
    use crate::engine::consistency::{Content, Stored};

    /// A minute after noon.
    pub const CLOCK: Clock = Clock { read: 1_751_371_260_000_000, grace: 60_000_000 };
    const OLD: &str = "2025-07-01 10:00:00.000000";
    const LATE: &str = "2025-07-01 12:00:30";

    pub fn row(id: u128, state: &str, text: &str) -> Row {
        let (state, text) = (Some(state.as_bytes()), Content::Text(text.as_bytes()));
        let (created, updated) = (Some(OLD.as_bytes()), None);
        Stored { id, state, user: Some(b"u"), content: text, created, updated, deleted: None }.row(Some(b"ada"))
    }

    pub fn point(id: u128, text: &str) -> Point {
        let payload = Payload {
            data: Some(text.to_owned()),
            hash: Some(format!("{:032x}", u128::from_be_bytes(Md5::digest(text).into()))),
            user_id: Some("ada".to_owned()),
            created_at: Some("2025-07-01T03:00:00.000000-07:00".to_owned()),
            digest: Sha256::digest(text).into(),
            ..Payload::default()
        };
        Point { id: PointId::Uuid(id), payload, vector: Some(vec![0.6, 0.8]) }
    }

    fn told(row: Option<&Row>, point: Option<&Point>) -> (Vec<Fault>, bool) {
        let judgement = judge(row, point, CLOCK);
        assert!(!judgement.young);
        (judgement.faults.iter().collect(), judgement.doubtful)
    }

    #[test]
    fn each_difference_is_told_as_what_it_is() {
        let (row, deleted, point) =
            (row(1, "paused", "likes tea"), row(1, "deleted", "likes tea"), point(1, "likes tea"));
        assert_eq!(told(Some(&row), Some(&point)), (vec![], false));
        assert_eq!(told(Some(&row), None), (vec![Fault::Missing], true));
        assert_eq!(told(None, Some(&point)), (vec![Fault::Orphan], true));
        assert_eq!(told(Some(&deleted), Some(&point)), (vec![Fault::Recallable], false));
        assert_eq!(told(Some(&deleted), None), (vec![], false));
        let other = super::tests::point(1, "likes cocoa");
        assert_eq!(told(Some(&row), Some(&other)), (vec![Fault::Text], false));
        let with = |change: fn(&mut Payload)| {
            let mut point = point.clone();
            change(&mut point.payload);
            told(Some(&row), Some(&point)).0
        };
        assert_eq!(with(|payload| payload.hash = None), [Fault::HashAbsent]);
        assert_eq!(with(|payload| payload.hash = Some("0".repeat(32))), [Fault::HashDiffers]);
        assert_eq!(with(|payload| payload.data = Some("likes teA".to_owned())), [Fault::Text, Fault::HashDiffers]);
        assert_eq!(with(|payload| payload.data = None), [], "the hash is that of the row, the rest is I16");
        assert_eq!(with(|payload| payload.user_id = Some("eve".to_owned())), [Fault::Owner]);
        assert_eq!(with(|payload| payload.user_id = None), [], "I16");
    }

    #[test]
    fn what_changed_within_the_grace_is_not_judged() {
        let mut young = row(1, "active", "likes tea");
        young.times[1] = date::parse(LATE);
        let mut new = point(1, "likes cocoa");
        new.payload.updated_at = Some("2025-07-01T12:01:59+00:00".to_owned());
        for (row, point) in [(Some(&young), None), (None, Some(&new)), (Some(&young), Some(&new))] {
            assert_eq!(judge(row, point, CLOCK), Judgement::YOUNG);
        }
    }

    #[test]
    fn a_time_that_cannot_be_believed_excuses_nothing_and_proves_nothing() {
        let mut row = row(1, "active", "likes tea");
        row.times = [date::parse("6025-07-01 00:00:00"), None, None];
        assert_eq!(told(Some(&row), Some(&point(1, "likes cocoa"))), (vec![Fault::Text], true));
        assert_eq!(told(Some(&row), Some(&point(1, "likes tea"))), (vec![], false));
    }

    #[test]
    fn nothing_follows_from_a_state_that_is_none() {
        let row = row(1, "forgotten", "likes tea");
        assert_eq!(told(Some(&row), None), (vec![], false));
        assert_eq!(told(Some(&row), Some(&point(1, "likes cocoa"))), (vec![], false));
    }
}
