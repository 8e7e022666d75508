use std::fmt::Display;

use thiserror::Error;

use crate::domain::PointId;

/// Which side is taken next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A row without a point.
    Row,
    /// A point without a row.
    Point,
    /// Both of one id.
    Both,
}

/// The next of two ascending sides, each by its foremost id; none when both are at their end.
pub fn turn(row: Option<u128>, point: Option<PointId>) -> Option<Turn> {
    match (row.map(PointId::Uuid), point) {
        (None, None) => None,
        (Some(_), None) => Some(Turn::Row),
        (None, Some(_)) => Some(Turn::Point),
        (Some(row), Some(point)) if row < point => Some(Turn::Row),
        (Some(row), Some(point)) if point < row => Some(Turn::Point),
        (Some(_), Some(_)) => Some(Turn::Both),
    }
}

/// A side that does not ascend cannot be compared: what it skips would be told as missing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} comes out of order or twice")]
pub struct Disorder(String);

/// Sees to it that ids ascend.
#[derive(Clone, Copy, Debug)]
pub struct Ascending<T>(Option<T>);

impl<T> Default for Ascending<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Ord + Copy + Display> Ascending<T> {
    /// Takes the next id.
    pub fn next(&mut self, id: T) -> Result<(), Disorder> {
        match self.0.replace(id) {
            Some(last) if last >= id => Err(Disorder(id.to_string())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_or_back_is_refused() {
        let ids = |ids: &[u64]| {
            let mut order = Ascending::default();
            ids.iter().try_for_each(|id| order.next(PointId::Number(*id)))
        };
        assert_eq!(ids(&[1, 2, 9]), Ok(()));
        assert!(ids(&[1, 1]).is_err() && ids(&[2, 1]).is_err());
    }

    #[test]
    fn numbers_come_before_every_row() {
        assert_eq!(turn(Some(0), Some(PointId::Number(u64::MAX))), Some(Turn::Point));
        assert_eq!(turn(Some(0), Some(PointId::Uuid(0))), Some(Turn::Both));
        assert_eq!(turn(Some(0), Some(PointId::Uuid(1))), Some(Turn::Row));
        assert_eq!(turn(None, None), None);
    }
}
