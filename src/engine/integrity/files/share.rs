use std::ops::Range;

use super::{Cursor, LEAF, TreePath, leaf_count};

/// Some leaves of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which file of the list.
    pub index: usize,
    /// Which of its leaves.
    pub leaves: Range<u64>,
}

/// The part of the bytes that is this run's turn: `share_percent` of them, from the cursor on, at the end going on
/// with the first file; and the cursor of the next run. While the files stay as they are, `ceil(100 / share)` runs
/// take every byte. `files` are paths with sizes, in order.
pub fn window(files: &[(&TreePath, u64)], cursor: Option<&Cursor>, share_percent: u8) -> (Vec<Part>, Option<Cursor>) {
    let total: u128 = files.iter().map(|(_, size)| u128::from(*size)).sum();
    let budget = (total * u128::from(share_percent.clamp(1, 100))).div_ceil(100).max(1);
    let (start, start_leaf) = begin(files, cursor);
    let mut parts: Vec<Part> = Vec::new();
    let mut taken = 0_u128;
    for step in 0..files.len() {
        let index = (start + step) % files.len();
        let (path, size) = files[index];
        let first = if step == 0 { start_leaf } else { 0 };
        if taken >= budget {
            return (parts, Some(Cursor { path: path.clone(), leaf: first }));
        }
        let bytes = u128::from(size - first * LEAF);
        let count = leaf_count(size);
        let wanted = u64::try_from((budget - taken).div_ceil(u128::from(LEAF))).unwrap_or(u64::MAX);
        let end = count.min(first.saturating_add(wanted));
        parts.push(Part { index, leaves: first..end });
        if end < count {
            return (parts, Some(Cursor { path: path.clone(), leaf: end }));
        }
        taken += bytes;
    }
    // Once round: what is left is the beginning of the file that the cursor stood in.
    let mut leaf = 0;
    if taken < budget
        && let Some(part) = parts.first_mut()
    {
        leaf = part.leaves.start;
        part.leaves.start = 0;
    }
    (parts, files.get(start).map(|(path, _)| Cursor { path: (*path).clone(), leaf }))
}

/// The file and the leaf that the cursor names, or the next file where it is gone or shorter by now.
fn begin(files: &[(&TreePath, u64)], cursor: Option<&Cursor>) -> (usize, u64) {
    let Some(cursor) = cursor else { return (0, 0) };
    let at = files.partition_point(|(path, _)| **path < cursor.path);
    match files.get(at) {
        Some((path, size)) if **path == cursor.path && cursor.leaf < leaf_count(*size) => (at, cursor.leaf),
        Some(_) => (at, 0),
        None => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ceil_100_by_share_runs_take_every_leaf(
            sizes in prop::collection::vec(prop_oneof![0_u64..9, 0_u64..LEAF, 0_u64..9 * LEAF], 1..20),
            share in 1_u8..=100,
            from in any::<prop::sample::Index>(),
            leaf in 0_u64..9,
        ) {
            let paths: Vec<TreePath> = (0..sizes.len()).map(|i| format!("f{i:03}").parse().unwrap()).collect();
            let files: Vec<(&TreePath, u64)> = paths.iter().zip(sizes).collect();
            let mut cursor = Some(Cursor { path: from.get(&paths).clone(), leaf });
            let total: u64 = files.iter().map(|(_, size)| size).sum();
            let mut all: BTreeSet<(usize, u64)> = BTreeSet::new();
            for _ in 0..100_u64.div_ceil(u64::from(share)) {
                let (parts, next) = window(&files, cursor.as_ref(), share);
                let mut bytes = 0;
                for part in parts {
                    prop_assert!(part.leaves.start < part.leaves.end);
                    bytes += files[part.index].1.min(part.leaves.end * LEAF) - part.leaves.start * LEAF;
                    all.extend(part.leaves.map(|leaf| (part.index, leaf)));
                }
                // Never more than one leaf above the share, but where the round closes within one file.
                let largest = files.iter().map(|(_, size)| *size).max().unwrap_or_default();
                prop_assert!(bytes <= (total * u64::from(share)).div_ceil(100) + LEAF.max(largest));
                cursor = next;
            }
            for (index, (_, size)) in files.iter().enumerate().filter(|(_, (_, size))| *size > 0) {
                for leaf in 0..leaf_count(*size) {
                    prop_assert!(all.contains(&(index, leaf)), "file {index} leaf {leaf} was never read");
                }
            }
        }
    }

    #[test]
    fn the_cursor_passes_over_a_file_that_is_gone() {
        let path = |p: &str| p.parse::<TreePath>().unwrap();
        let (a, c) = (path("a"), path("c"));
        let files = [(&a, 10), (&c, 10)];
        let (parts, _) = window(&files, Some(&Cursor { path: path("b"), leaf: 7 }), 50);
        assert_eq!(parts, [Part { index: 1, leaves: 0..1 }]);
        assert_eq!(window(&[], None, 10), (vec![], None));
    }
}
