//! The second look: what may have been a change under way is read again, from a fresh copy and from the vector store.

use std::sync::Arc;
use std::time::Duration;

use super::compare::{micros, walk};
use super::feed;
use super::points::Points;
use super::rows::{RowReader, SqlSide};
use crate::bank::Meter;
use crate::domain::{Point, PointId};
use crate::engine::consistency::{Clock, Filter, Pass, RANGES};

/// Looks at every suspect again once the grace is over; what still differs counts. The error says why nobody could.
pub(super) async fn look<P: Points>(
    side: &SqlSide,
    points: P,
    (wait, grace): (Duration, Duration),
    pass: &mut Pass<'_>,
    meter: &Arc<Meter>,
) -> Result<(), String> {
    tokio::time::sleep(wait).await;
    let reader = side.fresh(meter).await?;
    let clock = Clock { read: reader.at.as_microsecond(), grace: micros(grace) };
    match std::mem::take(&mut pass.suspects).split() {
        Ok(ids) => each(ids, reader, points, pass, clock).await,
        Err(filter) => all(&filter, reader, points, pass, clock).await,
    }
}

/// One by one.
async fn each<P: Points>(
    ids: Vec<PointId>,
    mut reader: RowReader,
    mut points: P,
    pass: &mut Pass<'_>,
    clock: Clock,
) -> Result<(), String> {
    for id in ids {
        let rows = match id {
            PointId::Uuid(id) => {
                reader.enter(id, id);
                reader.next().await?
            }
            PointId::Number(_) => Vec::new(),
        };
        let page: Vec<Point> = points.page(id, 1).await?;
        pass.look_again(rows.first(), page.first().filter(|point| point.id == id), clock);
    }
    reader.close().await;
    Ok(())
}

/// All of both sides again: what counts is what was a suspect in the first pass, and is one still.
async fn all<P: Points>(
    filter: &Filter,
    reader: RowReader,
    points: P,
    pass: &mut Pass<'_>,
    clock: Clock,
) -> Result<(), String> {
    let spans = vec![0..=RANGES - 1];
    let (mut rows, row_task) = feed::rows(reader, spans.clone());
    let (mut points, point_task) = feed::points(points, spans, None);
    let mut second = Pass::new(clock, Some(filter));
    for range in 0..RANGES {
        walk(range, &mut rows, &mut points, &mut second).await?;
    }
    row_task.end().await?;
    point_task.end().await?;
    pass.tally.add(&second.tally);
    Ok(())
}
