use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::compare::micros;
use super::feed;
use super::points::Points;
use super::rows::SqlSide;
use crate::bank::Meter;
use crate::domain::{Point, PointId};
use crate::engine::consistency::{Clock, Faults, RANGES, Row, Turn, judge, turn};

/// How many are handed over at once.
pub const BATCH: usize = 32;

/// An id of which row and point differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The id.
    pub id: PointId,
    /// How.
    pub faults: Faults,
    /// The text beside the vector.
    pub data: Option<String>,
    /// The digest of all that is beside the vector; none where there is no point.
    pub digest: Option<[u8; 32]>,
}

/// Who does something about what differs. Errors are words for people.
pub trait Taker: Send {
    /// Takes some, in the order of their ids; at most [`BATCH`].
    fn take(&mut self, batch: Vec<Differing>) -> impl Future<Output = Result<(), String>> + Send;
}

/// Gives all ids of which the row and the point differ, as [`judge`] has it, of a bank that stands still. The taker may
/// change points that it was given.
///
/// # Errors
/// A side cannot be read, the taker gives up, or the meter is cancelled.
pub async fn differing<P: Points>(
    side: &SqlSide,
    points: P,
    grace: Duration,
    meter: &Arc<Meter>,
    taker: &mut impl Taker,
) -> Result<(), String> {
    let rows = |why: String| format!("the rows: {why}");
    let reader = side.open().await.map_err(rows)?;
    let clock = Clock { read: reader.at.as_microsecond(), grace: micros(grace) };
    let all = vec![0..=RANGES - 1];
    let (mut row_feed, row_task) = feed::rows(reader, all.clone());
    let (mut point_feed, point_task) = feed::points(points, all, None);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        row_feed.fill().await.map_err(rows)?;
        point_feed.fill().await.map_err(|why| format!("the points: {why}"))?;
        let (row, point) = match turn(row_feed.peek().map(|row| row.id), point_feed.peek().map(|point| point.id)) {
            None => break,
            Some(Turn::Row) => (row_feed.take(), None),
            Some(Turn::Point) => (None, point_feed.take()),
            Some(Turn::Both) => (row_feed.take(), point_feed.take()),
        };
        batch.extend(look(row.as_ref(), point, clock));
        if batch.len() == BATCH {
            meter.check().map_err(|cancelled| cancelled.to_string())?;
            taker.take(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await?;
        }
    }
    row_task.end().await?;
    point_task.end().await?;
    if batch.is_empty() { Ok(()) } else { taker.take(batch).await }
}

fn look(row: Option<&Row>, point: Option<Point>, clock: Clock) -> Option<Differing> {
    let judgement = judge(row, point.as_ref(), clock);
    let id = row.map(|row| PointId::Uuid(row.id)).or(point.as_ref().map(|point| point.id))?;
    let told = !judgement.young && !judgement.faults.is_empty();
    let digest = point.as_ref().map(|point| point.payload.digest);
    let data = point.and_then(|point| point.payload.data);
    told.then_some(Differing { id, faults: judgement.faults, data, digest })
}
