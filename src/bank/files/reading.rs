use std::collections::HashMap;

use nix::errno::Errno;

use super::FilesError;
use super::opened::Failure;
use super::pool::{Job, Manner, read_all};
use super::walk::look;
use crate::domain::Mutable;
use crate::engine::integrity::files::{
    Difference, Entry, LEAF, Manifest, Node, Observed, Read, Reading, Ruling, Seen, TreePath, difference, rule,
};

/// How often a file that changes while it is read is read again before it is told as changed.
const MOVES: u8 = 3;

/// What reading a tree gave.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub observed: Vec<Observed>,
    /// Bytes that were read and hashed.
    pub bytes: u64,
    /// Files whose content agreed only when it was read again.
    pub transient: Vec<TreePath>,
    /// Files that may not be read, and why.
    pub refused: Vec<(TreePath, Errno)>,
    /// Files beyond the bound of leaves.
    pub too_large: Vec<TreePath>,
}

/// One file on its way: it is read again after a change, a mismatch or a failure of the device, each a bounded
/// number of times, since a single bad read is not corruption.
struct Errand {
    at: usize,
    reading: Reading,
    moves: u8,
    /// The first result, where it was told by damage alone.
    doubted: Option<Read>,
}

/// Reads what is planned.
pub(super) fn read(
    mut seen: Vec<Seen>,
    linked: &HashMap<usize, (u64, u64)>,
    readings: Vec<Reading>,
    previous: Option<&Manifest>,
    mutable: Mutable,
    manner: Manner,
) -> Result<Done, FilesError> {
    let mut done = Done::default();
    let mut reads: Vec<Option<Read>> = vec![Some(Read::Skipped); seen.len()];
    let mut errands = Vec::new();
    for (at, reading) in readings.into_iter().enumerate() {
        match reading {
            Reading::Nothing => {}
            Reading::TooLarge => {
                done.too_large.push(seen[at].path.clone());
                reads[at] = Some(Read::Unreadable);
            }
            reading => errands.push(Errand { at, reading, moves: 0, doubted: None }),
        }
    }
    let mut afresh = false;
    while !errands.is_empty() {
        let (results, bytes) = round(&seen, linked, &errands, Manner { afresh, ..manner })?;
        done.bytes += bytes;
        let mut again = Vec::new();
        for (mut errand, result) in errands.into_iter().zip(results) {
            let at = errand.at;
            let old = previous.and_then(|manifest| manifest.entry(&seen[at].path));
            match result {
                Ok(read) => {
                    let read = errand.merge(read);
                    match (damage(old, &seen[at].node, &read, mutable), errand.doubted.is_some()) {
                        (Some(difference), false) => again.push(errand.doubt(read, &difference)),
                        (None, true) => {
                            done.transient.push(seen[at].path.clone());
                            reads[at] = Some(read);
                        }
                        _ => reads[at] = Some(read),
                    }
                }
                Err(Failure::Broken) if errand.doubted.is_none() => {
                    errand.doubted = Some(Read::Broken);
                    again.push(errand);
                }
                Err(Failure::Broken) => reads[at] = Some(Read::Broken),
                Err(Failure::Moved) => match look(manner.root, &seen[at].path) {
                    Ok(Some(node)) => {
                        seen[at].node = node;
                        errand.moves += 1;
                        errand.doubted = None;
                        errand.reading = Reading::all(old, &seen[at].node);
                        reads[at] = Some(Read::Busy);
                        if errand.reading == Reading::Nothing {
                            reads[at] = Some(Read::Skipped);
                        } else if errand.moves < MOVES {
                            again.push(errand);
                        }
                    }
                    Ok(None) => reads[at] = None,
                    Err(errno) => {
                        reads[at] = Some(Read::Unreadable);
                        done.refused.push((seen[at].path.clone(), errno));
                    }
                },
                Err(Failure::Gone) => reads[at] = None,
                Err(Failure::Refused(errno)) => {
                    reads[at] = Some(Read::Unreadable);
                    done.refused.push((seen[at].path.clone(), errno));
                }
                Err(Failure::Cancelled) => manner.meter.check()?,
            }
        }
        errands = again;
        afresh = true;
    }
    let observed = seen.into_iter().zip(reads);
    done.observed =
        observed.filter_map(|(Seen { path, node }, read)| Some(Observed { path, node, read: read? })).collect();
    Ok(done)
}

/// Reads each errand once, and counts the bytes; names of one inode share a reading.
fn round(
    seen: &[Seen],
    linked: &HashMap<usize, (u64, u64)>,
    errands: &[Errand],
    manner: Manner,
) -> Result<(Vec<Result<Read, Failure>>, u64), FilesError> {
    let mut jobs: Vec<Job> = Vec::with_capacity(errands.len());
    let mut shared = HashMap::new();
    let mut job_of = Vec::with_capacity(errands.len());
    for Errand { at, reading, .. } in errands {
        let fresh = jobs.len();
        let job = match linked.get(at) {
            Some(inode) => *shared.entry((inode, &seen[*at].node, reading)).or_insert(fresh),
            None => fresh,
        };
        if job == fresh {
            manner.meter.grow(bytes(&seen[*at].node, reading));
            jobs.push(Job { seen: &seen[*at], reading: reading.clone() });
        }
        job_of.push(job);
    }
    let results = read_all(&jobs, manner)?;
    let read = jobs.iter().zip(&results).filter(|(_, result)| result.is_ok());
    let bytes = read.map(|(job, _)| bytes(&job.seen.node, &job.reading)).sum();
    Ok((job_of.into_iter().map(|job| results[job].clone()).collect(), bytes))
}

/// How many bytes a reading takes.
fn bytes(node: &Node, reading: &Reading) -> u64 {
    let Node::File { size, .. } = *node else { return 0 };
    match reading {
        Reading::Leaves(leaves) => size.min(leaves.end.saturating_mul(LEAF)).saturating_sub(leaves.start * LEAF),
        Reading::Whole { .. } => size,
        Reading::Nothing | Reading::TooLarge => 0,
    }
}

/// The difference, where only the content that was read makes it damage.
fn damage(old: Option<&Entry>, node: &Node, read: &Read, mutable: Mutable) -> Option<Difference> {
    difference(old?, node, read)
        .filter(|difference| matches!(rule(difference, mutable), Ruling::Tell(told) if told.in_content()))
}

impl Errand {
    /// To be read again, only where it was bad.
    fn doubt(mut self, read: Read, difference: &Difference) -> Self {
        if let Difference::Silent(bad) = difference {
            self.reading = Reading::Leaves(bad.first..bad.last + 1);
        }
        self.doubted = Some(read);
        self
    }

    /// The first result, with what was read again in its place.
    fn merge(&self, read: Read) -> Read {
        match (&self.doubted, read) {
            (Some(Read::Leaves { first, digests }), Read::Leaves { first: from, digests: again }) => {
                let mut digests = digests.clone();
                let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
                digests.iter_mut().skip(skip).zip(again).for_each(|(old, new)| *old = new);
                Read::Leaves { first: *first, digests }
            }
            (_, read) => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;
    use crate::engine::integrity::files::{Sums, TreePath};

    #[test]
    fn what_agrees_when_it_is_read_again_is_no_damage() {
        let d: Vec<Digest> = (0_u8..4).map(|n| Digest::of(&[n])).collect();
        let node = Node::File { size: 3 * LEAF, modified: jiff::Timestamp::UNIX_EPOCH };
        let path: TreePath = "a".parse().unwrap();
        let sums = Some(Sums::many(d[3], d[..3].to_vec()));
        let old = Entry { path, node: node.clone(), sums, compared: false, open: None };
        let bad = Read::Leaves { first: 0, digests: vec![d[0], d[3], d[2]] };
        let difference = damage(Some(&old), &node, &bad, Mutable::Always).unwrap();
        let errand = Errand { at: 0, reading: Reading::Leaves(0..3), moves: 0, doubted: None }.doubt(bad, &difference);
        assert_eq!(errand.reading, Reading::Leaves(1..2), "only what was bad is read again");
        for (again, damaged) in [(d[1], false), (d[0], true)] {
            let read = errand.merge(Read::Leaves { first: 1, digests: vec![again] });
            assert_eq!(damage(Some(&old), &node, &read, Mutable::Always).is_some(), damaged);
        }
    }
}
