//! The schema table: what SQLite writes into it of each table, index, view and trigger
//! (<https://www.sqlite.org/schematab.html>), whoever made them.
//!
//! SQLite compares the columns with each other where it reads them, but not the case of letters, and hardly at all for
//! the indexes that it makes itself. As it writes them from one source, any difference is damage.

use std::collections::HashSet;

use super::cell::Cell;
use super::ddl;
use super::schema::SchemaKind;
use super::tally::{Rows, Rule};
use crate::domain::{CorruptionEvent, CorruptionType, Severity};

const DAMAGED: Rule = Rule {
    check: "sqlite-schema",
    invariant: None,
    severity: Severity::High,
    what: "damaged entries of the schema table: names that disagree, or a known word with a bit changed",
    advice: "Find out what wrote the file besides SQLite; restore it from a verified backup, or build it anew from \
             its rows (VACUUM INTO does not mend this).",
};

/// A row of the schema table, column by column.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// `type`.
    pub kind: Cell<'a>,
    /// `name`.
    pub name: Cell<'a>,
    /// `tbl_name`.
    pub table: Cell<'a>,
    /// `sql`.
    pub sql: Cell<'a>,
}

/// The entries of one schema table.
#[derive(Debug, Default)]
pub struct Entries {
    /// The names of tables and views.
    tables: HashSet<Vec<u8>>,
    /// The rows of indexes, with the table that each is of.
    indexes: Vec<(i64, Vec<u8>)>,
    broken: Rows,
}

impl Entries {
    /// Takes the next row, with its number.
    pub fn take(&mut self, kind: SchemaKind, row: i64, entry: Entry<'_>) {
        if let (Cell::Text(what), Cell::Text(name), Cell::Text(table)) = (entry.kind, entry.name, entry.table)
            && is_sqlites(what, name, table, entry.sql)
            && !is_flipped(kind, what, table, entry.sql)
        {
            match what {
                b"index" => self.indexes.push((row, table.to_vec())),
                b"table" | b"view" => _ = self.tables.insert(name.to_vec()),
                // SQLite keeps the name of a trigger's table as the statement had it, in any case.
                _ => {}
            }
        } else {
            self.broken.add(|| row.to_string());
        }
    }

    /// What is wrong with them. Where not all were taken (`whole`), the table of an index may be among the others.
    pub fn event(&self, component: &str, whole: bool) -> Option<CorruptionEvent> {
        let strays = self.indexes.iter().filter(|(_, table)| whole && !self.tables.contains(table));
        let mut broken = self.broken.clone();
        strays.for_each(|(row, _)| broken.add(|| row.to_string()));
        let event = DAMAGED.event(component, "sqlite_schema", &broken);
        (broken.count > 0).then_some(CorruptionEvent { corruption_type: CorruptionType::FileCorruption, ..event })
    }
}

/// Whether SQLite can have written this.
fn is_sqlites(kind: &[u8], name: &[u8], table: &[u8], sql: Cell<'_>) -> bool {
    let begins: &[&[u8]] = match kind {
        b"table" => &[b"CREATE TABLE ", b"CREATE VIRTUAL TABLE "],
        b"index" => &[b"CREATE INDEX ", b"CREATE UNIQUE INDEX "],
        b"view" => &[b"CREATE VIEW "],
        b"trigger" => &[b"CREATE TRIGGER "],
        _ => return false,
    };
    match sql {
        Cell::Text(sql) => {
            (name == table || !matches!(kind, b"table" | b"view"))
                && begins.iter().filter_map(|begin| sql.strip_prefix(*begin)).any(|rest| first_name(rest) == name)
        }
        // An index that belongs to PRIMARY KEY or UNIQUE.
        Cell::Null => {
            let number = name.strip_prefix(b"sqlite_autoindex_").and_then(|rest| rest.strip_prefix(table));
            let number = number.and_then(|rest| rest.strip_prefix(b"_")).unwrap_or_default();
            kind == b"index" && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Whether it declares a known table or an index of one, with a known word that a bit was changed in.
fn is_flipped(kind: SchemaKind, what: &[u8], table: &[u8], sql: Cell<'_>) -> bool {
    let is_known = || kind.tables().iter().any(|known| known.name.as_bytes() == table);
    matches!(sql, Cell::Text(sql) if matches!(what, b"table" | b"index") && is_known() && ddl::has_flipped_word(kind, sql))
}

/// The name at the beginning of a statement's rest, without its quotes (<https://www.sqlite.org/lang_keywords.html>).
fn first_name(rest: &[u8]) -> Vec<u8> {
    let close = match rest.first() {
        Some(b'[') => b']',
        Some(quote @ (b'"' | b'\'' | b'`')) => *quote,
        _ => {
            let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 128..);
            return rest.iter().take_while(is_part).copied().collect();
        }
    };
    let mut name = Vec::new();
    let mut bytes = rest.iter().skip(1).copied().peekable();
    while let Some(byte) = bytes.next() {
        // A quote within the name is written twice; a bracket cannot be.
        if byte == close && (close == b']' || bytes.next_if_eq(&close).is_none()) {
            break;
        }
        name.push(byte);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: [(&str, &str, &str, Option<&str>); 10] = [
        ("table", "memories", "memories", Some("CREATE TABLE memories (id UUID)")),
        ("index", "sqlite_autoindex_memories_1", "memories", None),
        ("index", "ix_state", "memories", Some("CREATE INDEX ix_state ON Memories (state)")),
        ("index", "u", "memories", Some("CREATE UNIQUE INDEX u ON memories (id)")),
        ("table", "search", "search", Some("CREATE VIRTUAL TABLE search USING fts5(content)")),
        ("table", "search_data", "search_data", Some("CREATE TABLE 'search_data'(id INTEGER PRIMARY KEY)")),
        ("table", "a \"b\" ü", "a \"b\" ü", Some("CREATE TABLE \"a \"\"b\"\" ü\"(x)")),
        ("table", "x]", "x]", Some("CREATE TABLE `x]`(x)")),
        ("view", "v", "v", Some("CREATE VIEW [v] AS SELECT 1")),
        ("trigger", "t", "MEMORIES", Some("CREATE TRIGGER t AFTER INSERT ON MEMORIES BEGIN SELECT 1; END")),
    ];

    fn count(rows: &[(&str, &str, &str, Option<&str>)], whole: bool) -> u64 {
        let mut entries = Entries::default();
        for (row, (kind, name, table, sql)) in rows.iter().enumerate() {
            let text = |text: &'static str| Cell::Text(text.as_bytes());
            let owned = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
            let sql = sql.map_or(Cell::Null, |sql| text(owned(sql)));
            let [kind, name, table] = [*kind, *name, *table].map(|column| text(owned(column)));
            entries.take(SchemaKind::OpenMemory, i64::try_from(row).unwrap(), Entry { kind, name, table, sql });
        }
        entries.event("database", whole).map_or(0, |event| event.count)
    }

    #[test]
    fn what_sqlite_writes_is_sound() {
        assert_eq!(count(&SOUND, true), 0);
    }

    #[test]
    fn any_bit_of_type_and_names_is_seen() {
        for at in 0..SOUND.len() {
            for column in 0..3 {
                let (kind, name, table, sql) = SOUND[at];
                let whole = [kind, name, table][column];
                // The name of a trigger's table is written only once.
                if (kind, column) == ("trigger", 2) {
                    continue;
                }
                for place in 0..whole.len() {
                    for bit in 0..7 {
                        let mut bytes = whole.as_bytes().to_vec();
                        bytes[place] ^= 1 << bit;
                        let Ok(flipped) = String::from_utf8(bytes) else { continue };
                        // Another number of an automatic index.
                        if sql.is_none()
                            && column == 1
                            && flipped.ends_with(|c: char| c.is_ascii_digit())
                            && place + 1 == whole.len()
                        {
                            continue;
                        }
                        let mut rows = SOUND;
                        let columns = [&mut rows[at].0, &mut rows[at].1, &mut rows[at].2];
                        *columns.into_iter().nth(column).unwrap() = Box::leak(flipped.clone().into_boxed_str());
                        assert!(count(&rows, true) > 0, "{whole}: {flipped}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_statement_must_begin_as_sqlite_writes_it() {
        for sql in [
            "create TABLE memories (x)",
            "CREATE TABLE memorieS (x)",
            "CREATE  TABLE memories (x)",
            "CREATE INDEX memories",
        ] {
            assert_eq!(count(&[("table", "memories", "memories", Some(sql))], true), 1, "{sql}");
        }
        assert_eq!(count(&[("table", "memories", "memories", None)], true), 1);
    }

    #[test]
    fn an_index_has_a_table() {
        let stray = [("index", "i", "gone", Some("CREATE INDEX i ON gone (x)"))];
        assert_eq!(count(&stray, true), 1);
        assert_eq!(count(&stray, false), 0, "it may be among those that were not read");
    }
}
