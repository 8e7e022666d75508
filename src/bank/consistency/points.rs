use std::future::Future;

use crate::domain::{Point, PointId};

/// The points of one collection, in ascending order of their ids.
pub trait Points: Send + 'static {
    /// Points from an id on, itself included, with payload and vector: about as many as it says, or fewer. None where there are no more. The error is in words for people.
    fn page(&mut self, from: PointId, most: usize) -> impl Future<Output = Result<Vec<Point>, String>> + Send;

    /// What is read from here on is as it is then: a store that shows one moment to a whole reading begins another one.
    fn renew(&mut self);
}

/// Points in memory, in the order of their ids: for tests and measurements.
#[derive(Clone, Debug, Default)]
pub struct MemoryPoints {
    /// The points.
    pub points: Vec<Point>,
}

impl Points for MemoryPoints {
    async fn page(&mut self, from: PointId, most: usize) -> Result<Vec<Point>, String> {
        let first = self.points.partition_point(|point| point.id < from);
        Ok(self.points.iter().skip(first).take(most).cloned().collect())
    }

    fn renew(&mut self) {}
}

/// The id that comes after another; none after the last.
pub fn after(id: PointId) -> Option<PointId> {
    match id {
        PointId::Number(u64::MAX) => Some(PointId::Uuid(0)),
        PointId::Number(number) => Some(PointId::Number(number + 1)),
        PointId::Uuid(bits) => bits.checked_add(1).map(PointId::Uuid),
    }
}
