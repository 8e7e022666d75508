//! The arithmetic of the audit log's hash chain: no database here.

use crate::domain::Digest;

/// Names the canonical form, so that another form can follow one day.
const FORM: &str = "memorybank-audit-v1";

/// A place in the chain: a row's number and hash. Number 0 is the place before the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub seq: i64,
    pub hash: Digest,
}

impl Link {
    /// The place before the first row ever written.
    pub const GENESIS: Self = Self { seq: 0, hash: Digest::from_bytes([0; 32]) };
}

/// What a row says, exactly as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Microseconds since 1970.
    pub time: i64,
    pub actor: String,
    pub action: String,
    pub namespace: String,
    pub bank: String,
    /// JSON text.
    pub detail: String,
}

impl Content {
    /// The place of this row after another. The canonical form is the list: form name, previous hash as
    /// hex, row number, time, actor, action, namespace, bank, detail; numbers in decimal, each field
    /// preceded by its length in bytes as eight bytes, big end first.
    pub fn follow(&self, previous: &Link) -> Link {
        let seq = previous.seq + 1;
        let hash = Digest::of_fields(&[
            FORM,
            &previous.hash.to_string(),
            &seq.to_string(),
            &self.time.to_string(),
            &self.actor,
            &self.action,
            &self.namespace,
            &self.bank,
            &self.detail,
        ]);
        Link { seq, hash }
    }
}

/// A row with what it claims about its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub seq: i64,
    pub previous_hash: String,
    pub hash: String,
    pub content: Content,
}

impl Stored {
    /// The place of this row if it truly follows another, else why not.
    pub fn check(&self, previous: &Link) -> Result<Link, String> {
        let link = self.content.follow(previous);
        if self.seq != link.seq {
            Err(format!("row {} is missing: row {} follows row {}", link.seq, self.seq, previous.seq))
        } else if self.previous_hash != previous.hash.to_string() {
            Err(format!("row {} does not carry the hash of row {}", self.seq, previous.seq))
        } else if self.hash != link.hash.to_string() {
            Err(format!("the content of row {} does not have its hash", self.seq))
        } else {
            Ok(link)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(fields: &[String; 5]) -> Content {
        let [actor, action, namespace, bank, detail] = fields.clone();
        Content { time: 7, actor, action, namespace, bank, detail }
    }

    proptest! {
        #[test]
        fn any_other_content_has_another_hash(a: [String; 5], b: [String; 5]) {
            let same = content(&a).follow(&Link::GENESIS) == content(&b).follow(&Link::GENESIS);
            prop_assert_eq!(same, a == b);
        }

        #[test]
        fn text_that_moves_between_fields_is_seen(a in "[a-z]{0,5}", b in "[a-z]{1,5}", c in "[a-z]{0,5}") {
            let fields = |actor: String, action: String| content(&[actor, action, String::new(), String::new(), String::new()]);
            let one = fields(format!("{a}{b}"), c.clone()).follow(&Link::GENESIS);
            let other = fields(a, format!("{b}{c}")).follow(&Link::GENESIS);
            prop_assert_ne!(one, other);
        }
    }

    #[test]
    fn the_canonical_form_never_changes() {
        let fields =
            ["runner", "run-finished", "default", "assistant", r#"{"outcome":"Succeeded"}"#].map(str::to_owned);
        let link = content(&fields).follow(&Link::GENESIS);
        assert_eq!(link.seq, 1);
        insta::assert_snapshot!(link.hash, @"9f8d088b28b7273408727fce465688c637a5e5d7d8bd1031adb14d8f7baa327c");
    }
}
