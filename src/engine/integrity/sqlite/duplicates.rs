//! Exact duplicates (I15): the same text stored more than once for one user.

use super::directory::{Part, key};
use super::tally::Rule;
use crate::domain::Severity;

/// Texts that repeat another, of object `memories.content`.
pub const REPEATED: Rule = Rule {
    check: "sqlite-duplicates",
    invariant: Some("I15"),
    severity: Severity::Low,
    what: "the same text of the same user stored again",
    advice: "Delete the repetitions through the API; if they keep coming, look at what feeds the bank.",
};

/// The texts of one part, by key and row.
#[derive(Debug)]
pub struct Duplicates {
    part: Part,
    seen: Vec<(u64, i64)>,
}

impl Duplicates {
    /// For about so many rows in all.
    pub fn new(part: Part, rows: u64) -> Self {
        Self { part, seen: Vec::with_capacity(part.share(rows)) }
    }

    /// Takes the text of a live memory, and its user.
    pub fn add(&mut self, row: i64, user: &[u8], content: &[u8]) {
        // The user's id has one length in a bank, so that no two pairs run into each other.
        let key = key(content) ^ key(user).rotate_left(1);
        if self.part.has(key) {
            self.seen.push((key, row));
        }
    }

    /// The rows that repeat an earlier one, in the order of their keys.
    pub fn repeats(mut self) -> impl Iterator<Item = i64> {
        self.seen.sort_unstable();
        let mut last = None;
        self.seen.into_iter().filter_map(move |(key, row)| (last.replace(key) == Some(key)).then_some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_repeated_only_for_the_same_user() {
        let part = Part::all(6).next().unwrap();
        let mut duplicates = Duplicates::new(part, 6);
        for (row, user, content) in
            [(1, "a", "x"), (2, "a", "y"), (3, "b", "x"), (4, "a", "x"), (5, "a", "x"), (6, "x", "a")]
        {
            duplicates.add(row, user.as_bytes(), content.as_bytes());
        }
        assert_eq!(duplicates.repeats().collect::<Vec<_>>(), [4, 5]);
    }
}
