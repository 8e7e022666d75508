use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::engine::integrity::sqlite::date;

/// The state of a memory, as far as its point depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Active, paused or archived: it has a point.
    Live,
    /// Deleted: it has none.
    Deleted,
    /// No state that OpenMemory knows (I12): nothing follows from it.
    Other,
}

/// The text of a memory, or what a server tells of it that hashes it itself.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// There is none that could be read.
    Absent,
    /// As it is stored.
    Text(&'a [u8]),
    /// Its digests and its length in bytes.
    Hashed {
        /// SHA-256.
        sha256: [u8; 32],
        /// MD5.
        md5: [u8; 16],
        /// Bytes.
        bytes: u64,
    },
}

impl Content<'_> {
    fn sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(Sha256::digest(text).into()),
            Self::Hashed { sha256, .. } => Some(*sha256),
        }
    }

    fn md5(&self) -> Option<[u8; 16]> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(Md5::digest(text).into()),
            Self::Hashed { md5, .. } => Some(*md5),
        }
    }

    const fn bytes(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Text(text) => text.len() as u64,
            Self::Hashed { bytes, .. } => *bytes,
        }
    }
}

/// The cells of one memory as they are stored; none for a cell that holds no text.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Stored<'a> {
    pub id: u128,
    pub state: Option<&'a [u8]>,
    /// `memories.user_id`, the key of the user.
    pub user: Option<&'a [u8]>,
    pub content: Content<'a>,
    pub created: Option<&'a [u8]>,
    pub updated: Option<&'a [u8]>,
    pub deleted: Option<&'a [u8]>,
}

impl Stored<'_> {
    fn state(&self) -> State {
        match self.state {
            Some(b"active" | b"paused" | b"archived") => State::Live,
            Some(b"deleted") => State::Deleted,
            _ => State::Other,
        }
    }

    /// Whether it is live, and its part in the sum of its range.
    pub fn sum(&self) -> (bool, u128) {
        (self.state() == State::Live, self.digest(self.content.sha256()))
    }

    fn digest(&self, content: Option<[u8; 32]>) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.id.to_be_bytes());
        for field in [
            self.state,
            self.user,
            content.as_ref().map(<[u8; 32]>::as_slice),
            self.created,
            self.updated,
            self.deleted,
        ] {
            // Shorter by one than any text can be: none differs from empty.
            hash.update(field.map_or(u64::MAX, |field| field.len() as u64).to_be_bytes());
            hash.update(field.unwrap_or_default());
        }
        short(hash)
    }

    /// The memory, with the name of its user where that is known.
    pub fn row(&self, owner: Option<&[u8]>) -> Row {
        let sha256 = self.content.sha256();
        let time = |field: Option<&[u8]>| std::str::from_utf8(field?).ok().and_then(date::parse);
        Row {
            id: self.id,
            state: self.state(),
            owner: owner.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned),
            sha256,
            md5: self.content.md5(),
            bytes: self.content.bytes(),
            times: [time(self.created), time(self.updated), time(self.deleted)],
            stamp: stamp(&[self.created, self.updated, self.deleted]),
            digest: self.digest(sha256),
        }
    }
}

/// One memory as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id, and that of its point.
    pub id: u128,
    /// Its state.
    pub state: State,
    /// The name of its user (`users.user_id`); none where the user is missing (I7).
    pub owner: Option<String>,
    /// Of its text; none where there is none that could be read.
    pub sha256: Option<[u8; 32]>,
    /// The same by MD5, as mem0 keeps it beside the vector.
    pub md5: Option<[u8; 16]>,
    /// The length of its text.
    pub bytes: u64,
    /// When it was created, changed and deleted, in microseconds since 1970.
    pub times: [Option<i64>; 3],
    /// A digest of these times as they are written.
    pub stamp: u32,
    /// Its part in the sum of its range.
    pub digest: u128,
}

/// The first 128 bits of a SHA-256.
pub(super) fn short(hash: Sha256) -> u128 {
    hash.finalize().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// A digest of times as they are written: another one means that something was meant to change. Never 0.
pub(super) fn stamp(times: &[Option<&[u8]>]) -> u32 {
    let mut hash = Sha256::new();
    for time in times {
        hash.update([u8::from(time.is_some())]);
        hash.update(time.unwrap_or_default());
    }
    hash.finalize().iter().take(4).fold(0, |bits, byte| bits << 8 | u32::from(*byte)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: Stored<'_> = Stored {
        id: 7,
        state: Some(b"active"),
        user: Some(b"u"),
        content: Content::Text(b"likes tea"),
        created: Some(b"2025-07-01 10:00:00.000000"),
        updated: None,
        deleted: None,
    };

    #[test]
    fn both_ways_to_read_a_row_come_to_the_same_sum() {
        assert_eq!(STORED.sum(), (true, STORED.row(None).digest));
        assert_eq!(STORED.row(Some(b"ada")).owner.as_deref(), Some("ada"));
    }

    #[test]
    fn a_text_that_was_hashed_elsewhere_makes_the_same_row() {
        let text: &[u8] = b"likes tea";
        let bytes = text.len() as u64;
        let hashed = Content::Hashed { sha256: Sha256::digest(text).into(), md5: Md5::digest(text).into(), bytes };
        assert_eq!(Stored { content: hashed, ..STORED }.row(None), STORED.row(None));
    }

    #[test]
    fn every_cell_is_part_of_the_sum() {
        let others = [
            Stored { id: 8, ..STORED },
            Stored { state: Some(b"deleted"), ..STORED },
            Stored { user: Some(b"v"), ..STORED },
            Stored { content: Content::Text(b"likes te"), ..STORED },
            Stored { content: Content::Absent, ..STORED },
            Stored { created: None, ..STORED },
            Stored { updated: Some(b""), ..STORED },
            Stored { deleted: Some(b""), ..STORED },
        ];
        let mut sums: Vec<_> = others.iter().chain([&STORED]).map(|stored| stored.sum().1).collect();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), 9);
        let stamps = [others[5], others[6], others[7], STORED].map(|stored| stored.row(None).stamp);
        assert!(stamps.iter().all(|stamp| stamps.iter().filter(|other| *other == stamp).count() == 1));
    }
}
