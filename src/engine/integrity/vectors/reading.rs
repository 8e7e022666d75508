use super::collection::structural;
use super::{Judgement, VECTORS, check};
use crate::domain::{Check, PointId, Severity};

/// How many of the points were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Whole,
    /// As many as one page has, as was asked for.
    FirstPage,
    /// Fewer than was asked for, and for people why.
    Stopped(String),
}

/// A collection that a server which answers does not have, and what else is there.
pub fn missing(name: &str, others: &[String]) -> Judgement {
    let evidence = if others.is_empty() {
        format!("{name} is not there, and the store has nothing at all")
    } else {
        format!("{name} is not there; the store has {} others", others.len())
    };
    let event = structural(
        check::COLLECTION,
        "collection",
        Severity::Critical,
        evidence.clone(),
        "All vectors are gone, or the storage lies elsewhere: Qdrant writes to /qdrant/storage, a volume mounted at another path \
         is lost with the container. Mount it there and restore the newest verified backup, or embed every memory again.",
    );
    Judgement { checks: vec![Check::failed(check::COLLECTION, VECTORS, evidence)], events: vec![event] }
}

/// Points that the store has and cannot give: `said` are its own words, `after` the last point that could be read.
pub fn unreadable(first_page: bool, after: Option<PointId>, said: &str) -> Judgement {
    let id = if first_page { check::FIRST_PAGE } else { check::READ };
    let place = after.map_or_else(|| "from the first on".to_owned(), |id| format!("after {id}"));
    let evidence = format!("points cannot be read {place}: {said}");
    let event = structural(
        id,
        "points",
        Severity::Critical,
        evidence.clone(),
        "Payloads or vectors are damaged on the disk; no count tells it. Restore the newest verified backup into another \
         collection and compare, before anything is written.",
    );
    Judgement { checks: vec![Check::failed(id, VECTORS, evidence)], events: vec![event] }
}
