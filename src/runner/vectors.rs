use std::sync::Arc;

use super::body::Body;
use super::{Exchange, Runner};
use crate::bank::vectors::{Reading, VectorError, VectorSource, Walk};
use crate::bank::{Cancelled, FolderSecrets, Meter, Secrets};
use crate::domain::{Bank, Check, Flavor, Level, Point, PointId, Sample};
use crate::engine::integrity::vectors::{
    Collection, Counted, Expected, Extent, Judgement, Points, VECTORS, Walked, check, counted, missing, unreadable,
};

impl<E: Exchange> Runner<E> {
    /// Checks the vector store of a bank: what it says of itself, and its points.
    pub(super) async fn check_vectors(
        &self,
        namespace: &str,
        bank: &Bank,
        level: Level,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        check_store((namespace, &secrets), bank, level, meter, body).await
    }
}

/// The same with other secrets, such as lead to what was restored of the bank.
pub(super) async fn check_store<S: Secrets>(
    (namespace, secrets): (&str, &S),
    bank: &Bank,
    level: Level,
    meter: &Arc<Meter>,
    body: &mut Body,
) -> Result<(), String> {
    let Some(store) = &bank.vector_store else { return Ok(()) };
    let source = match VectorSource::open(namespace, store, secrets).await {
        Ok(source) => source,
        Err(error) => {
            unknown(body, check::COLLECTION, &error);
            return Ok(());
        }
    };
    let Some(collection) = of_collection(&source, body).await else { return Ok(()) };
    if let Some(embedding) = &bank.embedding {
        take(body, collection.judge_size(embedding.dimensions));
    }
    match source.shards().await {
        Ok(None) => {}
        Ok(Some(shards)) => take(body, shards.judge()),
        Err(error) => unknown(body, check::SHARDS, &error),
    }
    let dense = match collection.memories() {
        Ok(dense) => dense,
        Err(why) => {
            body.checks.push(Check::unknown(check::FIRST_PAGE, VECTORS, why));
            return Ok(());
        }
    };
    let user = bank.flavor == Flavor::OpenMemory;
    let expected = Expected { size: dense.size, normalised: dense.normalised, user };
    let look = Look { source: &source, collection: &collection, meter };
    if level == Level::Quick {
        look.at_first(expected, body).await;
        return Ok(());
    }
    look.at_all(expected, body).await.map_err(|cancelled| cancelled.to_string())
}

/// What the store says of the collection, where it has it.
async fn of_collection(source: &VectorSource, body: &mut Body) -> Option<Collection> {
    match source.collection().await {
        Ok(collection) => {
            take(body, collection.judge());
            return Some(collection);
        }
        // Only a store that answers can say so.
        Err(error) if error.is_missing() => match source.others().await {
            Ok(others) => take(body, missing(&source.name(), &others)),
            Err(error) => unknown(body, check::COLLECTION, &error),
        },
        Err(error) => unknown(body, check::COLLECTION, &error),
    }
    None
}

/// A collection that is there.
struct Look<'a> {
    source: &'a VectorSource,
    collection: &'a Collection,
    meter: &'a Meter,
}

/// A walk that did not come to its end.
struct Stopped {
    /// Whether within the first page.
    first: bool,
    /// The last point that came.
    last: Option<PointId>,
    error: VectorError,
}

/// How many points a first page has at least, if there are so many.
const FIRST_PAGE: u64 = 256;

impl Look<'_> {
    /// Counts, and reads one page.
    async fn at_first(&self, expected: Expected, body: &mut Body) {
        match self.source.count().await {
            Ok(count) => sample(body, count),
            Err(error) => unknown(body, check::COUNT, &error),
        }
        let mut points = Points::new(expected);
        let mut walked = Walked::default();
        let stopped = match self.source.walk(self.collection, Reading::ALL).await {
            Ok(mut walk) => {
                let taken = take_first(&mut walk, &mut points, &mut walked).await;
                taken.err().map(|error| Stopped { first: true, last: walk.last(), error })
            }
            Err(error) => Some(Stopped { first: true, last: None, error }),
        };
        match stopped {
            Some(stopped) => unread(body, &stopped),
            None => body.checks.push(first_page(&points)),
        }
        take(body, points.judge(&Extent::FirstPage));
    }

    /// Reads every point.
    async fn at_all(&self, expected: Expected, body: &mut Body) -> Result<(), Cancelled> {
        let before = self.source.count().await;
        let mut points = Points::new(expected);
        let mut walked = Walked { before: *before.as_ref().unwrap_or(&0), ..Walked::default() };
        let bytes = u64::from(expected.size.unwrap_or_default()) * 4;
        self.meter.grow(walked.before * bytes);
        if let Some(stopped) = self.read(&mut points, &mut walked, bytes, body).await? {
            unread(body, &stopped);
            let why = format!("only {} points could be read", points.seen());
            body.checks.push(Check::unknown(check::COUNT, VECTORS, why.clone()));
            take(body, points.judge(&Extent::Stopped(why)));
            return Ok(());
        }
        body.checks.push(Check::passed(check::READ, VECTORS, format!("{} points read", points.seen())));
        take(body, points.judge(&Extent::Whole));
        match (before, self.source.count().await) {
            (Ok(_), Ok(after)) => {
                sample(body, after);
                self.compare(Walked { after, ..walked }, body).await
            }
            (Err(error), _) | (_, Err(error)) => {
                unknown(body, check::COUNT, &error);
                Ok(())
            }
        }
    }

    /// Walks once over everything, and tells why not to the end.
    async fn read(
        &self,
        points: &mut Points,
        walked: &mut Walked,
        bytes: u64,
        body: &mut Body,
    ) -> Result<Option<Stopped>, Cancelled> {
        let mut walk = match self.source.walk(self.collection, Reading::ALL).await {
            Ok(walk) => walk,
            Err(error) => return Ok(Some(Stopped { first: true, last: None, error })),
        };
        match take_first(&mut walk, points, walked).await {
            Err(error) => return Ok(Some(Stopped { first: true, last: walk.last(), error })),
            Ok(more) => {
                body.checks.push(first_page(points));
                if !more {
                    return Ok(None);
                }
            }
        }
        loop {
            self.meter.check()?;
            match walk.next().await {
                Err(error) => return Ok(Some(Stopped { first: false, last: walk.last(), error })),
                Ok(None) => return Ok(None),
                Ok(Some(page)) => {
                    see(&page, points, walked);
                    self.meter.advance(page.len() as u64 * bytes);
                }
            }
        }
    }

    /// Holds the number of points that were met against the counts; where they differ it walks again.
    async fn compare(&self, first: Walked, body: &mut Body) -> Result<(), Cancelled> {
        let mut walks = vec![first];
        loop {
            match counted(&walks) {
                Counted::Judged(judgement) => {
                    take(body, judgement);
                    return Ok(());
                }
                Counted::LookAgain => match self.walk_ids().await? {
                    Ok(walked) => walks.push(walked),
                    Err(error) => {
                        unknown(body, check::COUNT, &error);
                        return Ok(());
                    }
                },
            }
        }
    }

    async fn walk_ids(&self) -> Result<Result<Walked, VectorError>, Cancelled> {
        let walking = async {
            let mut walked = Walked { before: self.source.count().await?, ..Walked::default() };
            let mut walk = self.source.walk(self.collection, Reading::IDS).await?;
            while let Some(page) = walk.next().await? {
                for point in &page {
                    walked.meet(point.id);
                }
                if self.meter.check().is_err() {
                    break;
                }
            }
            walked.after = self.source.count().await?;
            Ok(walked)
        };
        let walked = walking.await;
        self.meter.check()?;
        Ok(walked)
    }
}

/// Reads as many points as a first page has, or all if there are fewer; whether there may be more.
async fn take_first(walk: &mut Walk, points: &mut Points, walked: &mut Walked) -> Result<bool, VectorError> {
    // A store that cannot give some points of a page is asked for fewer: a page may be short.
    while points.seen() < FIRST_PAGE {
        match walk.next().await? {
            None => return Ok(false),
            Some(page) => see(&page, points, walked),
        }
    }
    Ok(true)
}

fn see(page: &[Point], points: &mut Points, walked: &mut Walked) {
    for point in page {
        points.see(point);
        walked.meet(point.id);
    }
}

fn first_page(points: &Points) -> Check {
    Check::passed(check::FIRST_PAGE, VECTORS, format!("{} points read", points.seen()))
}

/// Points that could not be read: damage where the store says that it cannot, else not known.
fn unread(body: &mut Body, stopped: &Stopped) {
    match stopped.error.damage() {
        Some(said) => take(body, unreadable(stopped.first, stopped.last, &said)),
        None => unknown(body, if stopped.first { check::FIRST_PAGE } else { check::READ }, &stopped.error),
    }
}

fn unknown(body: &mut Body, id: &str, error: &VectorError) {
    body.checks.push(Check::unknown(id, VECTORS, error.to_string()));
}

fn take(body: &mut Body, judgement: Judgement) {
    body.checks.extend(judgement.checks);
    body.corruption.extend(judgement.events);
}

#[allow(clippy::cast_precision_loss)] // A gauge; exact up to 2^53.
fn sample(body: &mut Body, count: u64) {
    body.samples.push(Sample { metric: VECTORS.to_owned(), value: count as f64 });
}
