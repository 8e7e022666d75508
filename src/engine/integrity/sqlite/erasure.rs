//! Text of deleted memories that can still be read: the right to erasure.

use std::collections::HashSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::directory::{Part, key};
use crate::domain::{Digest, Finding, SecurityEventType, Severity};

/// Where the text of deleted memories remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// In `memories.content`, under state deleted.
    Memories,
    /// In `history.old_memory` or `history.new_memory`.
    History,
    /// In `messages.content`: a message that is the text of a deleted memory.
    Messages,
}

impl Remains {
    /// The finding for so many rows.
    pub fn finding(self, rows: u64, key: &[u8; 32]) -> Finding {
        let noun = if rows == 1 { "row" } else { "rows" };
        let (component, rule, place, advice) = match self {
            Self::Memories => (
                "database",
                "deleted-memory-readable",
                "memories.content",
                "OpenMemory only marks a memory as deleted. To erase it, delete the row or empty its content, then VACUUM.",
            ),
            Self::History => (
                "history",
                "deleted-memory-in-history",
                "history.new_memory",
                "Delete the history rows of deleted memories from mem0's history.db, then VACUUM.",
            ),
            Self::Messages => (
                "history",
                "deleted-memory-in-history",
                "messages.content",
                "Delete these messages from mem0's history.db, then VACUUM.",
            ),
        };
        Finding {
            check: "erasure".to_owned(),
            component: component.to_owned(),
            rule: rule.to_owned(),
            event_type: SecurityEventType::Audit,
            severity: Severity::Medium,
            place: place.to_owned(),
            title: format!("the text of deleted memories can still be read in {rows} {noun}"),
            excerpt: String::new(),
            fingerprint: fingerprint(key, &[rule, component, place]),
            advice: advice.to_owned(),
        }
    }
}

/// The deleted memories of one part: by id, and by text.
///
/// A memory that mem0 deleted and OpenMemory has alive (an import brought it back) is not deleted.
#[derive(Debug)]
pub struct Deleted {
    part: Part,
    ids: HashSet<u64>,
    texts: HashSet<u64>,
}

impl Deleted {
    /// Knows of none yet.
    pub fn new(part: Part) -> Self {
        Self { part, ids: HashSet::new(), texts: HashSet::new() }
    }

    /// Takes a memory that mem0 deleted. All of them come before the first of OpenMemory's.
    pub fn in_history(&mut self, id: u128) {
        let key = key(&id.to_be_bytes());
        if self.part.has(key) {
            self.ids.insert(key);
        }
    }

    /// Takes a memory of OpenMemory.
    pub fn memory(&mut self, id: u128, live: bool, text: &str) {
        if live {
            self.ids.remove(&key(&id.to_be_bytes()));
            return;
        }
        self.in_history(id);
        let key = key(text.as_bytes());
        if !text.is_empty() && self.part.has(key) {
            self.texts.insert(key);
        }
    }

    /// Whether this memory is deleted, and of this part.
    pub fn has(&self, id: u128) -> bool {
        self.ids.contains(&key(&id.to_be_bytes()))
    }

    /// Whether this is the text of a deleted memory, and of this part.
    pub fn has_text(&self, text: &str) -> bool {
        self.texts.contains(&key(text.as_bytes()))
    }
}

/// The count is no part of it: more of the same is the same finding.
fn fingerprint(key: &[u8; 32], fields: &[&str]) -> String {
    // HMAC fills a short key up to one block with zeros (RFC 2104); a whole block cannot be refused.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for field in fields {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field.as_bytes());
    }
    Digest::from_bytes(mac.finalize().into_bytes().into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_on_either_side_is_and_what_came_back_is_not() {
        let mut deleted = Deleted::new(Part::all(1).next().unwrap());
        deleted.in_history(1);
        deleted.in_history(2);
        deleted.memory(2, true, "came back");
        deleted.memory(3, false, "likes tea");
        deleted.memory(4, false, "");
        assert_eq!([1, 2, 3, 4, 5].map(|id| deleted.has(id)), [true, false, true, true, false]);
        assert!(deleted.has_text("likes tea") && !deleted.has_text("came back") && !deleted.has_text(""));
    }

    #[test]
    fn a_fingerprint_tells_place_and_key_and_not_the_count() {
        let print = |remains: Remains, rows, key| remains.finding(rows, &[key; 32]).fingerprint;
        assert_eq!(print(Remains::Memories, 1, 1), print(Remains::Memories, 99, 1));
        assert_ne!(print(Remains::Memories, 1, 1), print(Remains::Memories, 1, 2));
        assert_ne!(print(Remains::History, 1, 1), print(Remains::Messages, 1, 1));
        assert_eq!(print(Remains::History, 1, 1).len(), 64);
    }
}
