//! What the lines of `PRAGMA integrity_check` say, as events per table or index.

use std::collections::BTreeMap;

use super::tally::{EXAMPLES, Rows, Rule};
use crate::domain::{CorruptionEvent, CorruptionType, Severity};

/// The check of b-trees, free pages, cells and the length of indexes, which both pragmas make.
pub const QUICK: &str = "sqlite-quick-check";
/// The check of each row against the indexes, which only `integrity_check` makes.
pub const FULL: &str = "sqlite-integrity-check";
/// The check of full-text indexes.
pub const FTS: &str = "sqlite-fts";

/// Rows that refer to others which do not exist (I7), of object `table.column`.
pub const ORPHANS: Rule = Rule {
    check: "sqlite-foreign-keys",
    invariant: Some("I7"),
    severity: Severity::Medium,
    what: "refers to rows that do not exist",
    advice: "Restore the missing rows from a verified backup, or delete the rows that refer to them.",
};

/// The most characters of SQLite's own words in an event.
const WORDS: usize = 160;

/// A b-tree by the number of its first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The page.
    pub root: i64,
    /// The table or index.
    pub name: String,
    /// Whether an index can be built anew from its table.
    pub index: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// A table's b-tree, or one that has no name: rows are lost.
    Table,
    /// An index's b-tree.
    Index,
    /// An index with more or fewer rows than its table.
    Count,
    /// An index that says otherwise than its table.
    Disagreement,
    /// Pages that belong to nothing, or to two things.
    Pages,
    /// A value that the table's declaration forbids.
    Value,
    /// A full-text index that says otherwise than its table.
    FullText,
}

/// The lines of a check, gathered by what they are about.
#[derive(Debug)]
pub struct Lines {
    trees: Vec<Tree>,
    found: BTreeMap<(Fault, String), Rows>,
}

impl Lines {
    /// With the trees of the schema, to tell their names.
    pub fn new(trees: Vec<Tree>) -> Self {
        Self { trees, found: BTreeMap::new() }
    }

    /// Takes one row of the pragma's answer: `ok`, or one or more lines.
    pub fn take(&mut self, answer: &str) {
        let said_elsewhere = |line: &&str| {
            // Full-text tables are asked one by one, which tells more of those with content elsewhere.
            *line == "ok"
                || line.starts_with("*** in database")
                || line.contains("inverted index")
                || line.starts_with("fts5: ")
        };
        for line in answer.lines().filter(|line| !said_elsewhere(line)) {
            let (fault, object) = self.about(line);
            self.found.entry((fault, object)).or_default().add(|| words(line));
        }
    }

    /// Takes the error with which the check, or a reading, broke off.
    pub fn broke_off(&mut self, object: &str, error: &str) {
        self.found.entry((Fault::Table, object.to_owned())).or_default().add(|| words(error));
    }

    /// Takes a full-text index that failed its own check.
    pub fn full_text(&mut self, table: &str, error: &str) {
        self.found.entry((Fault::FullText, table.to_owned())).or_default().add(|| words(error));
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// One event per fault and object.
    pub fn events(mut self, component: &str) -> Vec<CorruptionEvent> {
        self.merge_counts();
        let event = |((fault, object), lines): ((Fault, String), Rows)| {
            let (check, corruption_type, severity, advice) = fault.rule();
            CorruptionEvent {
                check: check.to_owned(),
                component: component.to_owned(),
                corruption_type,
                invariant: None,
                severity,
                object,
                count: lines.count,
                evidence: lines.examples.join("; "),
                advice: advice.to_owned(),
            }
        };
        self.found.into_iter().map(event).collect()
    }

    /// Rows that a shorter index lacks are the same damage as its length, by whichever level it is seen.
    fn merge_counts(&mut self) {
        let short: Vec<_> = self.found.keys().filter(|(fault, _)| *fault == Fault::Count).cloned().collect();
        for (_, index) in short {
            if let Some(lines) = self.found.remove(&(Fault::Disagreement, index.clone())) {
                let count = self.found.entry((Fault::Count, index)).or_default();
                count.count += lines.count;
                count.examples.extend(lines.examples);
                count.examples.truncate(EXAMPLES);
            }
        }
    }

    fn about(&self, line: &str) -> (Fault, String) {
        let after = |mark: &str| line.rsplit_once(mark).map(|(_, name)| words(name));
        if let Some(rest) = line.strip_prefix("Tree ") {
            let root = rest.split(' ').next().and_then(|number| number.parse().ok());
            let tree = self.trees.iter().find(|tree| Some(tree.root) == root);
            return match tree {
                Some(tree) if tree.index => (Fault::Index, tree.name.clone()),
                Some(tree) => (Fault::Table, tree.name.clone()),
                None => (Fault::Table, "file".to_owned()),
            };
        }
        if let Some(name) = after("wrong # of entries in index ") {
            return (Fault::Count, name);
        }
        for mark in ["missing from index ", "values differ from index ", " of index ", "entry in index "] {
            if let Some(name) = after(mark) {
                return (Fault::Disagreement, name);
            }
        }
        if let Some(name) = after(" value in ").or_else(|| after("CHECK constraint failed in ")) {
            return (Fault::Value, name);
        }
        if let Some(name) = after("not in PRIMARY KEY order for ") {
            return (Fault::Table, name);
        }
        (Fault::Pages, "file".to_owned())
    }
}

impl Fault {
    const fn rule(self) -> (&'static str, CorruptionType, Severity, &'static str) {
        const FILE: CorruptionType = CorruptionType::FileCorruption;
        const REINDEX: &str = "Run REINDEX if the table's rows are right, else restore from a verified backup.";
        match self {
            Self::Table => {
                (QUICK, FILE, Severity::Critical, "Stop writing, keep the file, restore it from a verified backup.")
            }
            Self::Index => (
                QUICK,
                FILE,
                Severity::High,
                "Restore from a verified backup, or keep the file and run REINDEX: the table itself is whole.",
            ),
            Self::Count => (QUICK, FILE, Severity::High, REINDEX),
            Self::Disagreement => (FULL, FILE, Severity::High, REINDEX),
            Self::Pages => {
                (QUICK, FILE, Severity::High, "Restore from a verified backup, or rebuild with VACUUM INTO.")
            }
            Self::Value => (
                QUICK,
                CorruptionType::DataInconsistency,
                Severity::High,
                "Restore these rows from a verified backup, or correct them by hand.",
            ),
            Self::FullText => (FTS, FILE, Severity::Medium, "Rebuild it: INSERT INTO name(name) VALUES('rebuild')."),
        }
    }
}

/// SQLite's words without what it may quote from the file: the message of a malformed schema holds text
/// of the page that was read as one.
pub fn words(message: &str) -> String {
    let message = match message.split_once("malformed database schema") {
        Some(_) => "malformed database schema",
        None => message,
    };
    message.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(answers: &[&str]) -> Vec<(String, String, CorruptionType, u64)> {
        let mut lines = Lines::new(vec![
            Tree { root: 5, name: "memories".to_owned(), index: false },
            Tree { root: 9, name: "ix_memories_state".to_owned(), index: true },
        ]);
        for answer in answers {
            lines.take(answer);
        }
        let events = lines.events("database").into_iter();
        events.map(|event| (event.check, event.object, event.corruption_type, event.count)).collect()
    }

    #[test]
    fn ok_is_no_event() {
        assert_eq!(events(&["ok"]), []);
        assert_eq!(events(&["malformed inverted index for FTS5 table main.notes"]), []);
    }

    #[test]
    fn each_line_is_about_its_object() {
        use CorruptionType::{DataInconsistency, FileCorruption};
        for (line, check, object, kind) in [
            ("Tree 5 page 12: btreeInitPage() returns error code 11", QUICK, "memories", FileCorruption),
            ("Tree 9 page 7 cell 3: Rowid 5 out of order", QUICK, "ix_memories_state", FileCorruption),
            ("Tree 77 page 7 right child: 2nd reference to page 3", QUICK, "file", FileCorruption),
            ("row 12 missing from index ix_memories_state", FULL, "ix_memories_state", FileCorruption),
            ("row 12 values differ from index ix_memories_state", FULL, "ix_memories_state", FileCorruption),
            ("rowid not at end-of-record for row 3 of index ix_a", FULL, "ix_a", FileCorruption),
            ("non-unique entry in index ix_users_user_id", FULL, "ix_users_user_id", FileCorruption),
            ("wrong # of entries in index ix_memories_state", QUICK, "ix_memories_state", FileCorruption),
            ("NULL value in memories.content", QUICK, "memories.content", DataInconsistency),
            ("NUMERIC value in memories.content", QUICK, "memories.content", DataInconsistency),
            ("CHECK constraint failed in apps", QUICK, "apps", DataInconsistency),
            ("Page 7: never used", QUICK, "file", FileCorruption),
            ("Freelist: size is 3 but should be 4", QUICK, "file", FileCorruption),
        ] {
            assert_eq!(events(&[line]), [(check.to_owned(), object.to_owned(), kind, 1)], "{line}");
        }
    }

    #[test]
    fn lines_of_one_object_are_one_event() {
        let answers = ["*** in database main ***\nTree 5 page 1: a\nTree 5 page 2: b", "Tree 5 page 3: c"];
        assert_eq!(events(&answers), [(QUICK.to_owned(), "memories".to_owned(), CorruptionType::FileCorruption, 3)]);
    }

    #[test]
    fn an_index_that_is_too_short_is_one_event_at_every_level() {
        let rows: Vec<_> = (0..9).map(|row| format!("row {row} missing from index ix_a")).collect();
        let mut answers: Vec<_> = rows.iter().map(String::as_str).collect();
        answers.push("wrong # of entries in index ix_a");
        assert_eq!(events(&answers), [(QUICK.to_owned(), "ix_a".to_owned(), CorruptionType::FileCorruption, 10)]);
    }

    #[test]
    fn nothing_of_the_files_content_is_quoted() {
        assert_eq!(words("malformed database schema (my secret) - near \"x\""), "malformed database schema");
        assert_eq!(words(&"é".repeat(1_000)), "?".repeat(160));
    }
}
