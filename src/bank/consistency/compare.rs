use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::feed::{self, Feed};
use super::old::Old;
use super::points::Points;
use super::report::{Read, report};
use super::rows::{RowReader, SqlSide};
use super::second;
use crate::bank::{Cancelled, Meter};
use crate::domain::{Check, CorruptionEvent, Output, Point};
use crate::engine::consistency::baseline::{INDEX, Index, Record, Share, Writer, choose};
use crate::engine::consistency::{Clock, Pass, RANGES, RepairPlan, Row, Sums, Totals, Turn, of, of_point, turn};

/// Where runs get the baseline that earlier ones left, and leave the next one. Errors are words for people.
pub trait Shelf: Sync {
    /// The newest output of this name; none where there is none yet.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, String>> + Send;

    /// Keeps an output for later runs.
    fn keep(&self, name: String, bytes: Vec<u8>) -> impl Future<Output = Result<Output, String>> + Send;
}

/// How a comparison is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How much of the points is read.
    pub share: Share,
    /// How long a change may take to reach both sides.
    pub grace: Duration,
    /// How long after the copy what is not there is looked at again; nothing where both sides stand still.
    pub patience: Duration,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// One row for each check.
    pub checks: Vec<Check>,
    /// How both sides differ.
    pub corruption: Vec<CorruptionEvent>,
    /// What would mend it.
    pub plan: RepairPlan,
    /// How much of the content has been read by now.
    pub coverage_percent: Option<u8>,
    /// The next baseline.
    pub outputs: Vec<Output>,
}

/// Compares the memories of a database with their points, and both with what they were.
///
/// # Errors
/// The meter is cancelled.
pub async fn compare<P: Points, S: Shelf>(
    side: &SqlSide,
    points: P,
    shelf: &S,
    settings: Settings,
    meter: &Arc<Meter>,
) -> Result<Compared, Cancelled> {
    let begun = Instant::now();
    meter
        .unless_cancelled(async {
            let opened = side.open().await;
            let moment = opened.as_ref().map_or_else(|_| Timestamp::now(), |reader| reader.at);
            let clock = Clock { read: moment.as_microsecond(), grace: micros(settings.grace) };
            let mut pass = Pass::new(clock, None);
            let mut read = Read { index_check: side.index_check(), ..Read::default() };
            let compared = match opened {
                Ok(reader) => {
                    Box::pin(work(side, reader, points, shelf, settings, &mut pass, &mut read, begun, meter)).await
                }
                Err(why) => Err(format!("the rows: {why}")),
            };
            read.broken = compared.err();
            report(&pass, read, settings.share)
        })
        .await
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[allow(clippy::too_many_arguments)] // The parts of one comparison, each borrowed on its own.
async fn work<P: Points, S: Shelf>(
    side: &SqlSide,
    mut reader: RowReader,
    points: P,
    shelf: &S,
    settings: Settings,
    pass: &mut Pass<'_>,
    read: &mut Read,
    begun: Instant,
    meter: &Arc<Meter>,
) -> Result<(), String> {
    let (moment, size) = (reader.at, reader.bytes);
    meter.grow(size);
    let of_rows = |why: String| format!("the rows: {why}");
    let mut old = match index(shelf).await {
        Ok(index) => index.map(|index| Old::new(shelf, index)),
        Err(why) => {
            read.baseline = Some(why);
            None
        }
    };
    // Which ranges changed is known once all rows were counted; where all are read anyway, they are counted meanwhile.
    let whole = settings.share == Share::All || old.is_none();
    let (mut sums, counting) = match side.twin().await.map_err(of_rows)? {
        Some(twin) if whole => (Sums::default(), Some(feed::sums(twin))),
        twin => (reader.sums(twin).await.map_err(of_rows)?, None),
    };
    let (chosen, cursor) = choose(old.as_ref().map(|old| &old.index), &sums, settings.share);
    read.chosen = chosen.iter().filter(|chosen| **chosen).count();
    read.first = old.is_none();
    let mut writer = Writer::new(old.as_ref().map(|old| &old.index), moment.as_microsecond(), cursor, settings.share);
    let spans = feed::spans(&chosen);
    let (mut row_feed, row_task) = feed::rows(reader, spans.clone());
    let (mut point_feed, point_task) = feed::points(points, spans, counting.is_none().then_some(&sums));
    let mut met = vec![None; RANGES];
    for (range, chosen) in chosen.iter().enumerate() {
        let entries = match &mut old {
            Some(old) if read.baseline.is_none() => old.entries(range).await.unwrap_or_else(|why| {
                read.baseline = Some(why);
                Vec::new()
            }),
            _ => Vec::new(),
        };
        let (record, entries) = if *chosen {
            pass.enter(range, entries);
            walk(range, &mut row_feed, &mut point_feed, pass).await?;
            met[range] = Some(pass.rows_of_range());
            pass.leave(writer.generation())
        } else {
            (old.as_ref().map_or(Record::default(), |old| old.index.records[range]), entries)
        };
        if read.baseline.is_none()
            && let Some((name, bytes)) = writer.range(range, record, &entries)
        {
            keep(shelf, name, bytes, read).await;
        }
        meter.advance(size / RANGES as u64);
        meter.check().map_err(|cancelled| cancelled.to_string())?;
    }
    row_task.end().await?;
    let mut points = point_task.end().await?;
    if let Some(counting) = counting {
        sums = counting.end().await?.map_err(of_rows)?;
    }
    read.totals = Totals { live: sums.live, broken: sums.broken };
    read.disagreeing = met.iter().zip(&sums.ranges).filter(|(met, sum)| met.is_some_and(|met| met != **sum)).count();
    if read.disagreeing > 0 {
        return Ok(());
    }
    if read.baseline.is_none() {
        read.cut = writer.cut + pass.cut;
        let (last, index) = writer.finish();
        if let Some((name, bytes)) = last {
            keep(shelf, name, bytes, read).await;
        }
        read.coverage = settings.share.rounds().map(|rounds| index.coverage_percent(rounds));
        keep(shelf, INDEX.to_owned(), index.to_bytes(), read).await;
    }
    if !pass.suspects.is_empty() {
        let wait = settings.patience.saturating_sub(begun.elapsed());
        points.renew();
        read.unconfirmed = second::look(side, points, (wait, settings.grace), pass, meter).await.err();
    }
    Ok(())
}

async fn index<S: Shelf>(shelf: &S) -> Result<Option<Index>, String> {
    let bytes = shelf.load(INDEX).await?;
    bytes.map(|bytes| Index::from_bytes(&bytes)).transpose().map_err(|error| error.to_string())
}

async fn keep<S: Shelf>(shelf: &S, name: String, bytes: Vec<u8>, read: &mut Read) {
    match shelf.keep(name, bytes).await {
        Ok(output) => read.outputs.push(output),
        Err(why) => read.baseline = Some(why),
    }
}

/// Takes all rows and points of one range, each id once.
pub(super) async fn walk(
    range: usize,
    rows: &mut Feed<Row>,
    points: &mut Feed<Point>,
    pass: &mut Pass<'_>,
) -> Result<(), String> {
    loop {
        rows.fill().await.map_err(|why| format!("the rows: {why}"))?;
        points.fill().await.map_err(|why| format!("the points: {why}"))?;
        let row = rows.peek().map(|row| row.id).filter(|id| of(*id) == range);
        let point = points.peek().map(|point| point.id).filter(|id| of_point(*id) == range);
        match turn(row, point) {
            None => return Ok(()),
            Some(Turn::Row) => pass.see(rows.take().as_ref(), None),
            Some(Turn::Point) => pass.see(None, points.take().as_ref()),
            Some(Turn::Both) => pass.see(rows.take().as_ref(), points.take().as_ref()),
        }
    }
}
