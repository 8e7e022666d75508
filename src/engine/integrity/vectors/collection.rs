use super::{Judgement, VECTORS, check};
use crate::domain::{Check, CorruptionEvent, CorruptionType, Severity};

/// How a server says a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Ready.
    Green,
    /// Being optimised.
    Yellow,
    /// To be optimised.
    Grey,
    /// Operations failed and were not recovered.
    Red,
    /// A word that this version does not know.
    Unknown,
}

/// How vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Distance {
    Cosine,
    Dot,
    Euclid,
    Manhattan,
    Unknown,
}

/// A dense vector that each point of a collection may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Its name; empty for the one without.
    pub name: String,
    /// How many numbers it has; none where the store does not fix it.
    pub size: Option<u32>,
    /// How it is compared.
    pub distance: Distance,
    /// Whether the store keeps it with length one.
    pub normalised: bool,
    /// Whether a point has several of it.
    pub several: bool,
}

/// What a server says of a collection, or a catalogue of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its state.
    pub colour: Colour,
    /// Why it cannot be optimised, in the server's words.
    pub optimizer_error: Option<String>,
    /// Its dense vectors.
    pub dense: Vec<Dense>,
    /// How many points there may be: by design no exact number, and never judged.
    pub approximate_points: Option<u64>,
}

/// One replica of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shard's number.
    pub shard: u64,
    /// The server that has it.
    pub peer: u64,
    /// `Active`, `Dead`, `Partial`, ...
    pub state: String,
}

/// Where the shards of a collection are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// Every replica.
    pub shards: Vec<Shard>,
    /// How many are being copied: until then their replicas are not whole.
    pub transfers: usize,
}

impl Collection {
    /// The dense vector that memories have: the one without a name, or the only one; else for people why none.
    pub fn memories(&self) -> Result<&Dense, String> {
        let found = match self.dense.as_slice() {
            [] => return Err("the collection declares no dense vector".to_owned()),
            [only] => only,
            several => several.iter().find(|dense| dense.name.is_empty()).ok_or_else(|| {
                format!("the collection has {} named vectors: which are those of memories is not known", several.len())
            })?,
        };
        if found.several {
            return Err("points of the collection have several vectors each: no version of mem0 makes such".to_owned());
        }
        Ok(found)
    }

    /// What the server itself says is wrong.
    pub fn judge(&self) -> Judgement {
        let mut events = Vec::new();
        if self.colour == Colour::Red {
            events.push(structural(
                check::COLLECTION,
                "collection",
                Severity::High,
                "the server tells the collection red: operations failed and were not recovered".to_owned(),
                "Look at the server's log and at its disk; restart it, and restore the newest verified backup where it stays red.",
            ));
        }
        if let Some(error) = &self.optimizer_error {
            events.push(structural(
                check::COLLECTION,
                "optimizer",
                Severity::High,
                format!("the optimizer failed: {error}"),
                "Look at the server's log and at its disk. Segments that cannot be merged may not be readable: restore the newest verified backup.",
            ));
        }
        let detail = match (events.len(), self.colour) {
            (0, Colour::Unknown) => {
                let told = "the server tells a state of the collection that this version does not know";
                return Judgement { checks: vec![Check::unknown(check::COLLECTION, VECTORS, told)], events };
            }
            (0, colour) => return passed(check::COLLECTION, format!("the collection is {}", name(colour))),
            (_, _) => events.iter().map(|event| event.evidence.as_str()).collect::<Vec<_>>().join("; "),
        };
        Judgement { checks: vec![Check::failed(check::COLLECTION, VECTORS, detail)], events }
    }

    /// Whether the collection takes the vectors that the bank's embedder makes (I8).
    pub fn judge_size(&self, declared: u32) -> Judgement {
        let size = match self.memories() {
            Ok(dense) => dense.size.ok_or_else(|| "the store does not fix the length of vectors".to_owned()),
            Err(why) => Err(why),
        };
        let size = match size {
            Ok(size) => size,
            Err(why) => {
                return Judgement { checks: vec![Check::unknown(check::SIZE, VECTORS, why)], ..Judgement::default() };
            }
        };
        if size == declared {
            return passed(check::SIZE, format!("{size} numbers, as the embedder makes them"));
        }
        let evidence = format!("the collection takes vectors of {size} numbers, the embedder makes {declared}");
        let event = CorruptionEvent {
            corruption_type: CorruptionType::DataInconsistency,
            invariant: Some("I8".to_owned()),
            ..structural(
                check::SIZE,
                "collection",
                Severity::Critical,
                evidence.clone(),
                "Every write and every search fails. Set the embedder back, or make a collection of the new size and embed every memory again.",
            )
        };
        Judgement { checks: vec![Check::failed(check::SIZE, VECTORS, evidence)], events: vec![event] }
    }
}

impl Shards {
    /// A replica that is dead, or that nothing makes whole.
    pub fn judge(&self) -> Judgement {
        let in_state = |state: &str| -> Vec<&Shard> { self.shards.iter().filter(|s| s.state == state).collect() };
        let mut events = Vec::new();
        let dead = in_state("Dead");
        if !dead.is_empty() {
            let alone = dead.iter().any(|shard| !self.lives(shard.shard));
            let severity = if alone { Severity::Critical } else { Severity::High };
            events.push(CorruptionEvent {
                count: dead.len() as u64,
                ..structural(
                    check::SHARDS,
                    "shards/dead",
                    severity,
                    format!("dead: {}{}", told(&dead), if alone { "; no other replica lives" } else { "" }),
                    "Look at the log of these servers; restart them, or restore the newest verified backup.",
                )
            });
        }
        let partial = in_state("Partial");
        if !partial.is_empty() && self.transfers == 0 {
            events.push(CorruptionEvent {
                count: partial.len() as u64,
                ..structural(
                    check::SHARDS,
                    "shards/partial",
                    Severity::Medium,
                    format!("not whole, and nothing is being copied: {}", told(&partial)),
                    "Have the replica made again from a server that has it whole.",
                )
            });
        }
        if events.is_empty() {
            return passed(check::SHARDS, format!("{} replicas of shards", self.shards.len()));
        }
        let detail = events.iter().map(|event| event.evidence.as_str()).collect::<Vec<_>>().join("; ");
        Judgement { checks: vec![Check::failed(check::SHARDS, VECTORS, detail)], events }
    }

    fn lives(&self, shard: u64) -> bool {
        self.shards.iter().any(|replica| replica.shard == shard && replica.state == "Active")
    }
}

fn told(shards: &[&Shard]) -> String {
    let named: Vec<_> = shards.iter().take(5).map(|s| format!("shard {} of server {}", s.shard, s.peer)).collect();
    format!("{}{}", named.join(", "), if shards.len() > named.len() { ", ..." } else { "" })
}

const fn name(colour: Colour) -> &'static str {
    match colour {
        Colour::Green => "green",
        Colour::Yellow => "yellow: it is being optimised",
        Colour::Grey => "grey: it is to be optimised",
        Colour::Red => "red",
        Colour::Unknown => "in a state that is not known",
    }
}

pub(super) fn passed(id: &str, detail: String) -> Judgement {
    Judgement { checks: vec![Check::passed(id, VECTORS, detail)], events: Vec::new() }
}

pub(super) fn structural(
    check: &str,
    object: &str,
    severity: Severity,
    evidence: String,
    advice: &str,
) -> CorruptionEvent {
    CorruptionEvent {
        check: check.to_owned(),
        component: VECTORS.to_owned(),
        corruption_type: CorruptionType::FileCorruption,
        invariant: None,
        severity,
        object: object.to_owned(),
        count: 1,
        evidence,
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    fn dense(name: &str) -> Dense {
        Dense { name: name.to_owned(), size: Some(4), distance: Distance::Cosine, normalised: true, several: false }
    }

    fn collection(names: &[&str]) -> Collection {
        let dense = names.iter().map(|name| dense(name)).collect();
        Collection { colour: Colour::Green, optimizer_error: None, dense, approximate_points: Some(0) }
    }

    #[test]
    fn which_vector_is_that_of_memories_is_not_guessed() {
        assert_eq!(collection(&["text"]).memories().unwrap().name, "text");
        assert_eq!(collection(&["text", ""]).memories().unwrap().name, "");
        assert!(collection(&["text", "image"]).memories().is_err());
        assert!(collection(&[]).memories().is_err());
        let several = Dense { several: true, ..dense("") };
        assert!(Collection { dense: vec![several], ..collection(&[]) }.memories().is_err());
    }

    #[test]
    fn a_collection_that_works_is_sound_and_one_in_an_unknown_state_is_not_judged() {
        for (colour, verdict) in [
            (Colour::Green, Verdict::Passed),
            (Colour::Yellow, Verdict::Passed),
            (Colour::Grey, Verdict::Passed),
            (Colour::Red, Verdict::Failed),
            (Colour::Unknown, Verdict::Unknown),
        ] {
            let judged = Collection { colour, ..collection(&[""]) }.judge();
            assert_eq!(judged.checks[0].verdict, verdict, "{colour:?}");
            assert_eq!(judged.events.len(), usize::from(verdict == Verdict::Failed), "{colour:?}");
        }
        let broken = Collection { optimizer_error: Some("No space left".to_owned()), ..collection(&[""]) };
        let judged = Collection { colour: Colour::Red, ..broken }.judge();
        assert_eq!(judged.events.len(), 2);
        assert!(judged.events.iter().all(|e| e.corruption_type == CorruptionType::FileCorruption));
    }

    #[test]
    fn another_size_than_the_embedders_breaks_i8() {
        assert_eq!(collection(&[""]).judge_size(4).checks[0].verdict, Verdict::Passed);
        let judged = collection(&[""]).judge_size(8);
        assert_eq!(judged.checks[0].verdict, Verdict::Failed);
        assert_eq!(
            (judged.events[0].invariant.as_deref(), judged.events[0].severity),
            (Some("I8"), Severity::Critical)
        );
    }

    #[test]
    fn a_dead_replica_is_worse_where_it_is_the_only_one_and_a_copy_under_way_is_none() {
        let shard = |shard, peer, state: &str| Shard { shard, peer, state: state.to_owned() };
        let judge = |shards: Vec<Shard>, transfers| {
            let judged = Shards { shards, transfers }.judge();
            judged.events.iter().map(|event| event.severity).collect::<Vec<_>>()
        };
        assert_eq!(judge(vec![shard(0, 1, "Active")], 0), []);
        assert_eq!(judge(vec![shard(0, 1, "Dead"), shard(0, 2, "Active")], 0), [Severity::High]);
        assert_eq!(judge(vec![shard(0, 1, "Dead"), shard(1, 2, "Active")], 0), [Severity::Critical]);
        assert_eq!(judge(vec![shard(0, 1, "Active"), shard(0, 2, "Partial")], 1), []);
        assert_eq!(judge(vec![shard(0, 1, "Active"), shard(0, 2, "Partial")], 0), [Severity::Medium]);
    }
}
