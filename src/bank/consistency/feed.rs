//! Each side is read by a task of its own, a little ahead of the comparison.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::points::{Points, after};
use super::rows::RowReader;
use crate::domain::{Point, PointId};
use crate::engine::consistency::{Ascending, Row, Sums, bounds, of_point};

/// Batches that wait: with the one that is compared and the one that is read, the most that a side holds.
const AHEAD: usize = 1;
/// The most points that are asked for at once.
const PAGE: usize = 1_000;
/// Points more than rows that are asked for in a range that is read alone.
const SLACK: u64 = 8;

/// Ranges next to each other.
pub(super) type Span = RangeInclusive<usize>;

/// The chosen ranges, those next to each other together.
pub(super) fn spans(chosen: &[bool]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (range, _) in chosen.iter().enumerate().filter(|(_, chosen)| **chosen) {
        match spans.last_mut() {
            Some(last) if last.end() + 1 == range => *last = *last.start()..=range,
            _ => spans.push(range..=range),
        }
    }
    spans
}

/// One side as it comes.
pub(super) struct Feed<T> {
    receiver: mpsc::Receiver<Result<Vec<T>, String>>,
    batch: VecDeque<T>,
}

impl<T> Feed<T> {
    fn new() -> (mpsc::Sender<Result<Vec<T>, String>>, Self) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        (sender, Self { receiver, batch: VecDeque::new() })
    }

    /// Sees to it that the next one is at hand, if there is one.
    pub async fn fill(&mut self) -> Result<(), String> {
        while self.batch.is_empty() {
            match self.receiver.recv().await {
                Some(batch) => self.batch = batch?.into(),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next one; none at the end, or where it must be waited for.
    pub fn peek(&self) -> Option<&T> {
        self.batch.front()
    }

    /// Takes it.
    pub fn take(&mut self) -> Option<T> {
        self.batch.pop_front()
    }
}

/// A task that gives back what it read with when it has ended.
pub(super) struct Task<R>(AbortOnDropHandle<R>);

impl<R> Task<R> {
    fn new(handle: JoinHandle<R>) -> Self {
        Self(AbortOnDropHandle::new(handle))
    }

    pub async fn end(self) -> Result<R, String> {
        self.0.await.map_err(|error| format!("internal failure: {error}"))
    }
}

/// Reads the rows of the spans.
pub(super) fn rows(mut reader: RowReader, spans: Vec<Span>) -> (Feed<Row>, Task<()>) {
    let (sender, feed) = Feed::new();
    let task = tokio::spawn(async move {
        let mut order = Ascending::default();
        for span in spans {
            reader.enter(bounds(*span.start()).0, bounds(*span.end()).1);
            loop {
                let rows = reader.next().await.and_then(|rows| {
                    let ordered = rows.iter().try_for_each(|row| order.next(PointId::Uuid(row.id)));
                    ordered.map(|()| rows).map_err(|error| format!("the row {error}"))
                });
                let failed = rows.is_err();
                if rows.as_ref().is_ok_and(Vec::is_empty) {
                    break;
                }
                if sender.send(rows).await.is_err() || failed {
                    return;
                }
            }
        }
        reader.close().await;
    });
    (feed, Task::new(task))
}

/// Counts all rows beside whoever reads them.
pub(super) fn sums(mut reader: RowReader) -> Task<Result<Sums, String>> {
    Task::new(tokio::spawn(async move {
        let sums = reader.sums(None).await;
        reader.close().await;
        sums
    }))
}

/// Reads the points of the spans. Rows tell how many there should be of a few ranges, where they are counted: not many more
/// are fetched.
pub(super) fn points<P: Points>(mut source: P, spans: Vec<Span>, sums: Option<&Sums>) -> (Feed<Point>, Task<P>) {
    let expected = |span: &Span| match sums {
        Some(sums) => sums.ranges[span.clone()].iter().map(|sum| u64::from(sum.count)).sum::<u64>(),
        None => u64::from(u32::MAX),
    };
    let spans: Vec<_> = spans.into_iter().map(|span| (expected(&span), span)).collect();
    let (sender, feed) = Feed::new();
    let task = tokio::spawn(async move {
        let mut order = Ascending::default();
        for (expected, span) in spans {
            let first = *span.start();
            let mut from = Some(if first == 0 { PointId::Number(0) } else { PointId::Uuid(bounds(first).0) });
            let mut left = expected + SLACK;
            while let Some(begin) = from {
                let most = usize::try_from(left.max(SLACK)).unwrap_or(PAGE).min(PAGE);
                let page = match source.page(begin, most).await {
                    Ok(page) => page,
                    Err(why) => {
                        let _ = sender.send(Err(why)).await;
                        return source;
                    }
                };
                from = page.last().and_then(|last| after(last.id)).filter(|next| of_point(*next) <= *span.end());
                let page = within(page, begin, *span.end(), &mut order);
                let failed = page.is_err();
                left = left.saturating_sub(page.as_ref().map_or(0, |page| page.len() as u64));
                if sender.send(page).await.is_err() || failed {
                    return source;
                }
            }
        }
        source
    });
    (feed, Task::new(task))
}

/// The points of a page up to the end of a span; those beyond come again with their own.
fn within(
    mut page: Vec<Point>,
    begin: PointId,
    end: usize,
    order: &mut Ascending<PointId>,
) -> Result<Vec<Point>, String> {
    if let Some(early) = page.iter().find(|point| point.id < begin) {
        return Err(format!("the point {} comes before {begin}, where reading began", early.id));
    }
    page.retain(|point| of_point(point.id) <= end);
    let ordered = page.iter().try_for_each(|point| order.next(point.id));
    ordered.map(|()| page).map_err(|error| format!("the point {error}"))
}
