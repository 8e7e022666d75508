use super::{Entry, LEAF, Node, Sums, TreePath};
use crate::domain::Digest;

/// What reading a file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// It was not its turn, or it is no file.
    Skipped,
    /// Some leaves.
    Leaves {
        /// The first one.
        first: u64,
        /// Their digests.
        digests: Vec<Digest>,
    },
    /// Everything.
    Whole {
        /// Both digests.
        sums: Sums,
        /// The digest of what stood in the old last leaf, where the file has grown within it.
        beginning: Option<Digest>,
    },
    /// It changed while it was read, every time.
    Busy,
    /// It may not be read, or is too large.
    Unreadable,
    /// The device failed to give its content.
    Broken,
}

/// Leaves that are not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLeaves {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Of how many that the file has.
    pub of: u64,
    /// The digest that the first one had.
    pub expected: Digest,
    /// The digest that it has.
    pub found: Digest,
}

/// Whether what two lengths of a file share is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It is.
    Same,
    /// It is not.
    Differs(BadLeaves),
    /// It was not read, or no digest ends there.
    Unproven,
}

/// How a path differs from its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Nothing is there any more.
    Missing,
    /// Something is there that was not.
    Extra,
    /// It is another kind of node, or a link to elsewhere.
    Replaced,
    /// The content is another, and so is the time.
    Changed(Option<BadLeaves>),
    /// The time is another, the size is not.
    Touched {
        /// The content was read and is the same.
        proven: bool,
    },
    /// It is longer.
    Grown {
        /// Bytes before.
        from: u64,
        /// Bytes now.
        to: u64,
        /// What was there before.
        beginning: Beginning,
    },
    /// It is shorter.
    Truncated {
        /// Bytes before.
        from: u64,
        /// Bytes now.
        to: u64,
        /// What is left, as far as whole leaves tell.
        beginning: Beginning,
        /// The time has not moved, so nobody wrote.
        same_time: bool,
    },
    /// The same content has another name.
    Renamed {
        /// Its name now.
        to: TreePath,
        /// The content was read; else size and time are the same.
        proven: bool,
    },
    /// The content is another, though size and time are the same.
    Silent(BadLeaves),
    /// The device fails to give the content.
    Broken,
    /// It was damaged before, and could not be looked at again.
    Unseen,
}

/// How what was seen at a path differs from its entry; none where it does not, as far as it was read.
pub fn difference(old: &Entry, node: &Node, read: &Read) -> Option<Difference> {
    if *read == Read::Broken {
        return Some(Difference::Broken);
    }
    let (Node::File { size: from, modified: before }, Node::File { size: to, modified: after }) = (&old.node, node)
    else {
        return (old.node != *node).then_some(Difference::Replaced);
    };
    let (from, to, same_time) = (*from, *to, before == after);
    if to > from {
        let beginning = grown(old, from, read);
        return Some(Difference::Grown { from, to, beginning });
    }
    if to < from {
        let beginning = truncated(old, to, read);
        return Some(Difference::Truncated { from, to, beginning, same_time });
    }
    match (content(old, read), same_time) {
        (Content::Differs(bad), true) => Some(Difference::Silent(bad)),
        (Content::Differs(bad), false) => Some(Difference::Changed(Some(bad))),
        (Content::Same, false) => Some(Difference::Touched { proven: true }),
        (Content::NotRead, false) => Some(Difference::Touched { proven: false }),
        (Content::NotKnown, false) => Some(Difference::Changed(None)),
        (Content::Same | Content::NotRead | Content::NotKnown, true) => {
            (*read == Read::Busy).then_some(Difference::Changed(None))
        }
    }
}

enum Content {
    Same,
    Differs(BadLeaves),
    NotRead,
    /// Read, but there is nothing to hold it against; or being written.
    NotKnown,
}

fn content(old: &Entry, read: &Read) -> Content {
    let Some(sums) = &old.sums else {
        return if matches!(read, Read::Whole { .. } | Read::Busy) { Content::NotKnown } else { Content::NotRead };
    };
    let bad = match read {
        Read::Leaves { first, digests } => bad_leaves(sums.leaves(), *first, digests),
        Read::Whole { sums: new, .. } => bad_leaves(sums.leaves(), 0, new.leaves()),
        Read::Busy => return Content::NotKnown,
        Read::Skipped | Read::Unreadable | Read::Broken => return Content::NotRead,
    };
    bad.map_or(Content::Same, Content::Differs)
}

/// The leaves of `found`, which begin at leaf `first`, that are not as expected.
pub(super) fn bad_leaves(expected: &[Digest], first: u64, found: &[Digest]) -> Option<BadLeaves> {
    let skip = usize::try_from(first).unwrap_or(usize::MAX);
    let mut bad: Option<BadLeaves> = None;
    for (leaf, (expected_leaf, found)) in (first..).zip(expected.iter().skip(skip).zip(found)) {
        if expected_leaf != found {
            let bad = bad.get_or_insert(BadLeaves {
                count: 0,
                first: leaf,
                last: leaf,
                of: expected.len() as u64,
                expected: *expected_leaf,
                found: *found,
            });
            bad.count += 1;
            bad.last = leaf;
        }
    }
    bad
}

/// Whether a grown file begins with all that it was: its whole leaves, and what stood in its last one.
fn grown(old: &Entry, from: u64, read: &Read) -> Beginning {
    let (Some(old), Read::Whole { sums, beginning }) = (&old.sums, read) else { return Beginning::Unproven };
    let whole = usize::try_from(from / LEAF).unwrap_or(usize::MAX).min(old.leaves().len());
    let (leaves, rest) = old.leaves().split_at(whole);
    let mut found: Vec<Digest> = sums.leaves()[..whole.min(sums.leaves().len())].to_vec();
    let mut expected = leaves.to_vec();
    if !from.is_multiple_of(LEAF) {
        let (Some(then), Some(now)) = (rest.first(), beginning) else { return Beginning::Unproven };
        expected.push(*then);
        found.push(*now);
    }
    bad_leaves(&expected, 0, &found).map_or(Beginning::Same, Beginning::Differs)
}

/// Whether a shorter file is a beginning of what it was, as far as its whole leaves tell.
fn truncated(old: &Entry, to: u64, read: &Read) -> Beginning {
    let (Some(old), Read::Whole { sums, .. }) = (&old.sums, read) else { return Beginning::Unproven };
    let whole = usize::try_from(to / LEAF).unwrap_or(usize::MAX).min(sums.leaves().len());
    if whole == 0 {
        return Beginning::Unproven;
    }
    bad_leaves(old.leaves(), 0, &sums.leaves()[..whole]).map_or(Beginning::Same, Beginning::Differs)
}
