use std::ops::Range;

use super::{Cursor, Entry, Manifest, Node, TreePath, leaf_count, window};
use crate::domain::Level;

/// The most leaves that one check holds digests of: 16 TiB of files, 128 MiB of digests.
/// A sparse file can claim any size, so its claim must not decide how much memory is used.
pub const MAX_LEAVES: u64 = 1 << 22;

/// What the walk saw at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub path: TreePath,
    /// What.
    pub node: Node,
}

/// What is to be read of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// Nothing: it is no file, or not its turn.
    Nothing,
    /// These leaves, to be compared.
    Leaves(Range<u64>),
    /// Everything once, for both digests: its content is new, or may be.
    Whole {
        /// The length that it had, where it has grown: what lay before must be unchanged.
        cut: Option<u64>,
    },
    /// Nothing, because it is beyond [`MAX_LEAVES`].
    TooLarge,
}

impl Reading {
    /// What to read of a file when all of its content is asked for.
    pub fn all(old: Option<&Entry>, node: &Node) -> Self {
        let Node::File { size, .. } = *node else { return Self::Nothing };
        match old {
            Some(Entry { node: Node::File { size: old_size, .. }, sums: Some(_), .. }) => match old {
                Some(old) if old.node == *node => Self::Leaves(0..leaf_count(size)),
                _ => Self::Whole { cut: (size > *old_size).then_some(*old_size) },
            },
            _ => Self::Whole { cut: None },
        }
    }
}

/// What is to be read of each file, and where the next run's share begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each seen path.
    pub readings: Vec<Reading>,
    /// The next manifest's cursor.
    pub cursor: Option<Cursor>,
}

/// Says what to read. `Quick` reads nothing, `Full` everything. `Checksum` reads whole what is new or has another
/// size or time, again what was told and is not mended, and of the rest the rolling share.
pub fn plan(previous: Option<&Manifest>, seen: &[Seen], level: Level, share_percent: u8) -> Plan {
    let old = |path: &TreePath| previous.and_then(|manifest| manifest.entry(path));
    let cursor = previous.and_then(|manifest| manifest.cursor.clone());
    if level == Level::Quick {
        return Plan { readings: vec![Reading::Nothing; seen.len()], cursor };
    }
    let mut left = MAX_LEAVES;
    let mut readings: Vec<Reading> = seen
        .iter()
        .map(|Seen { path, node }| {
            let Node::File { size, .. } = node else { return Reading::Nothing };
            match left.checked_sub(leaf_count(*size)) {
                Some(rest) => left = rest,
                None => return Reading::TooLarge,
            }
            Reading::all(old(path), node)
        })
        .collect();
    if level == Level::Full {
        return Plan { readings, cursor: None };
    }
    let turns: Vec<usize> = (0..seen.len())
        .filter(|at| matches!(readings[*at], Reading::Leaves(_)))
        .filter(|at| old(&seen[*at].path).is_some_and(|entry| entry.open.is_none()))
        .collect();
    let size = |at: usize| if let Node::File { size, .. } = seen[at].node { size } else { 0 };
    let files: Vec<(&TreePath, u64)> = turns.iter().map(|at| (&seen[*at].path, size(*at))).collect();
    let (parts, next) = window(&files, cursor.as_ref(), share_percent);
    for at in &turns {
        readings[*at] = Reading::Nothing;
    }
    for part in parts {
        readings[turns[part.index]] = Reading::Leaves(part.leaves);
    }
    Plan { readings, cursor: next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_claim_does_not_decide_how_much_memory_is_used() {
        let seen: Vec<Seen> = [("a", 15 << 40), ("b", u64::MAX), ("c", 2 << 40), ("d", 7)]
            .map(|(path, size)| Seen {
                path: path.parse().unwrap(),
                node: Node::File { size, modified: jiff::Timestamp::UNIX_EPOCH },
            })
            .into();
        let whole = Reading::Whole { cut: None };
        let expected = [whole.clone(), Reading::TooLarge, Reading::TooLarge, whole];
        assert_eq!(plan(None, &seen, Level::Full, 100).readings, expected);
    }
}
