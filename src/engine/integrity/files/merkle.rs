use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// The bytes of a leaf: 4 MiB, small enough to locate damage and to share one file among threads, large
/// enough that the digests of a terabyte are 8 MB.
pub const LEAF: u64 = 4 << 20;

/// The digest of a leaf of zeros, so that a hole costs nothing.
pub const ZERO_LEAF: Digest = Digest::from_bytes([
    0xbb, 0x9f, 0x8d, 0xf6, 0x14, 0x74, 0xd2, 0x5e, 0x71, 0xfa, 0x00, 0x72, 0x23, 0x18, 0xcd, 0x38, 0x73, 0x96, 0xca,
    0x17, 0x36, 0x60, 0x5e, 0x12, 0x48, 0x82, 0x1c, 0xc0, 0xde, 0x3d, 0x3a, 0xf8,
]);

/// Comes before the two digests of an inner node, as in RFC 9162 section 2.1.1. Leaves carry no prefix, so that
/// a file of one leaf has its plain SHA-256 as root; hence a root means something only beside the file's size.
const INNER: u8 = 0x01;

/// How many leaves a file of `size` bytes has; an empty file has one, of no bytes.
pub const fn leaf_count(size: u64) -> u64 {
    if size == 0 { 1 } else { size.div_ceil(LEAF) }
}

/// The Merkle root over the digests of a file's leaves, shaped as RFC 9162 section 2.1.1 has it: the root of one
/// leaf is its digest; of more, the SHA-256 of `0x01`, the root of the first k and the root of the rest, where k is
/// the largest power of two below their number.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            let mut node = Sha256::new();
            node.update([INNER]);
            node.update(root(left).as_bytes());
            node.update(root(right).as_bytes());
            Digest::from_bytes(node.finalize().into())
        }
    }
}

/// The digests of one file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    sha256: Digest,
    /// Empty for a file of one leaf, whose digest is `sha256`.
    leaves: Box<[Digest]>,
}

impl Sums {
    /// Of a file with one leaf.
    pub fn one(sha256: Digest) -> Self {
        Self { sha256, leaves: Box::default() }
    }

    /// Of a file with any number of leaves, and the plain digest of the whole.
    pub fn many(sha256: Digest, leaves: Vec<Digest>) -> Self {
        if leaves.len() < 2 { Self::one(sha256) } else { Self { sha256, leaves: leaves.into_boxed_slice() } }
    }

    /// The plain SHA-256 of the whole.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The digest of each leaf.
    pub fn leaves(&self) -> &[Digest] {
        if self.leaves.is_empty() { std::slice::from_ref(&self.sha256) } else { &self.leaves }
    }

    /// The Merkle root over the leaves.
    pub fn root(&self) -> Digest {
        root(self.leaves())
    }
}

/// Hashes the leaves of a file that comes in pieces, in order.
#[derive(Debug, Default)]
pub struct LeafHasher {
    leaf: Sha256,
    at: u64,
    cut: Option<u64>,
    leaves: Vec<Digest>,
    beginning: Option<Digest>,
}

impl LeafHasher {
    /// A hasher that also takes the digest of what lies between the last leaf's border before `cut` and `cut`:
    /// the last leaf of the file when it was `cut` bytes long.
    pub fn new(cut: Option<u64>) -> Self {
        Self { cut, ..Self::default() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let border = (self.at / LEAF + 1) * LEAF;
            let stop = self.cut.filter(|cut| (self.at + 1..border).contains(cut)).unwrap_or(border);
            let take = usize::try_from(stop - self.at).map_or(bytes.len(), |n| n.min(bytes.len()));
            let (now, rest) = bytes.split_at(take);
            self.leaf.update(now);
            self.at += take as u64;
            bytes = rest;
            if self.cut == Some(self.at) && self.at < border {
                self.beginning = Some(Digest::from_bytes(self.leaf.clone().finalize().into()));
            }
            if self.at == border {
                self.leaves.push(Digest::from_bytes(self.leaf.finalize_reset().into()));
            }
        }
    }

    /// The digests of all leaves, and of the part before the cut where it lies within a leaf and was reached.
    pub fn finish(&mut self) -> (Vec<Digest>, Option<Digest>) {
        if !self.at.is_multiple_of(LEAF) || self.leaves.is_empty() {
            self.leaves.push(Digest::from_bytes(self.leaf.finalize_reset().into()));
        }
        (std::mem::take(&mut self.leaves), self.beginning.take())
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(n: usize) -> Vec<Digest> {
        (0..n).map(|i| Digest::of(&i.to_be_bytes())).collect()
    }

    #[test]
    fn the_zero_leaf_is_the_digest_of_zeros() {
        assert_eq!(Digest::of(&vec![0; LEAF as usize]), ZERO_LEAF);
    }

    #[test]
    fn the_root_is_the_one_that_docs_define() {
        let d = digests(3);
        let inner = |l: Digest, r: Digest| Digest::of(&[&[1][..], l.as_bytes(), r.as_bytes()].concat());
        assert_eq!(root(&d[..1]), d[0]);
        assert_eq!(root(&d[..2]), inner(d[0], d[1]));
        assert_eq!(root(&d), inner(inner(d[0], d[1]), d[2]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_root_depends_on_every_leaf_and_their_order(n in 2_usize..40, i in any::<prop::sample::Index>()) {
            let leaves = digests(n);
            let mut other = leaves.clone();
            let i = i.index(n);
            other[i] = Digest::of(b"other");
            prop_assert_ne!(root(&leaves), root(&other));
            let mut swapped = leaves.clone();
            swapped.swap(i, (i + 1) % n);
            prop_assert_ne!(root(&leaves), root(&swapped));
            prop_assert_ne!(root(&leaves), root(&leaves[..n - 1]));
        }

        #[test]
        fn pieces_do_not_matter(size in 0_u64..2 * LEAF + 9, piece in 1_usize..2_000_000, cut in 0_u64..2 * LEAF) {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut hasher = LeafHasher::new(Some(cut));
            bytes.chunks(piece).for_each(|c| hasher.update(c));
            let (leaves, beginning) = hasher.finish();
            let whole: Vec<Digest> = if bytes.is_empty() {
                vec![Digest::of(&[])]
            } else {
                bytes.chunks(LEAF as usize).map(Digest::of).collect()
            };
            prop_assert_eq!(leaves.len() as u64, leaf_count(size));
            prop_assert_eq!(leaves, whole);
            let expected = (cut % LEAF != 0 && cut <= size)
                .then(|| Digest::of(&bytes[(cut / LEAF * LEAF) as usize..cut as usize]));
            prop_assert_eq!(beginning, expected);
        }
    }
}
