//! Text of deleted memories that can still be read: the right to erasure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

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
    fn a_fingerprint_tells_place_and_key_and_not_the_count() {
        let print = |remains: Remains, rows, key| remains.finding(rows, &[key; 32]).fingerprint;
        assert_eq!(print(Remains::Memories, 1, 1), print(Remains::Memories, 99, 1));
        assert_ne!(print(Remains::Memories, 1, 1), print(Remains::Memories, 1, 2));
        assert_ne!(print(Remains::History, 1, 1), print(Remains::Messages, 1, 1));
        assert_eq!(print(Remains::History, 1, 1).len(), 64);
    }
}
