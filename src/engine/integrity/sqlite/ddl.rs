//! The words of a statement that declares a known table or an index of one.
//!
//! SQLite takes nearly any word for a type, and so reads `VARCHAR NOT NULL` with one bit changed as a column that may be
//! NULL. Other words than the known ones are normal: a bank may have columns, types and indexes of its own. A word that
//! is a known one but for a single bit is how a disk errs, and not how people name things.

use super::schema::SchemaKind;

/// SQL that `SQLAlchemy`, mem0 and SQLite itself write into these statements.
const SQL: [&[u8]; 24] = [
    b"CREATE",
    b"TABLE",
    b"UNIQUE",
    b"INDEX",
    b"NOT",
    b"NULL",
    b"PRIMARY",
    b"KEY",
    b"FOREIGN",
    b"REFERENCES",
    b"CONSTRAINT",
    b"DEFAULT",
    b"CHECK",
    b"WHERE",
    b"UUID",
    b"CHAR",
    b"VARCHAR",
    b"TEXT",
    b"JSON",
    b"DATETIME",
    b"TIMESTAMP",
    b"BOOLEAN",
    b"INTEGER",
    b"FLOAT",
];

/// Shorter words have too many neighbours that mean something.
const SHORTEST: usize = 3;

/// Whether a statement has a word that is a known one but for a bit.
pub fn has_flipped_word(kind: SchemaKind, sql: &[u8]) -> bool {
    let names = kind.tables().iter().flat_map(|table| {
        std::iter::once(table.name).chain(table.columns.iter().map(|column| column.name)).map(str::as_bytes)
    });
    let known: Vec<_> = SQL.into_iter().chain(names).collect();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 128..);
    sql.split(|byte| !is_part(byte))
        .filter(|word| word.len() >= SHORTEST && !known.contains(word))
        .any(|word| known.iter().any(|known| is_flipped(known, word)))
}

/// Whether one bit differs, and it is not that of a capital at the beginning: `Name` is a name that somebody may choose.
fn is_flipped(known: &[u8], word: &[u8]) -> bool {
    if known.len() != word.len() {
        return false;
    }
    let mut others = known.iter().zip(word).enumerate().filter(|(_, (known, word))| known != word);
    match (others.next(), others.next()) {
        (Some((at, (known, word))), None) => {
            let capital = at == 0 && known.is_ascii_lowercase() && word.is_ascii_uppercase();
            (known ^ word).is_power_of_two() && !capital
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flipped(sql: &str) -> bool {
        has_flipped_word(SchemaKind::OpenMemory, sql.as_bytes())
    }

    #[test]
    fn tables_with_columns_of_their_own_are_as_they_should() {
        for sql in [
            "CREATE TABLE users (id CHAR(32) NOT NULL, Name VARCHAR, \"key\" TEXT, State NVARCHAR(9) COLLATE NOCASE)",
            "create table memories (id uuid primary key, content text not null, tags jsonb default '[]', hash bytea)",
            "CREATE INDEX ix_memories_hash ON memories (hash, length(content)) WHERE state = 'active'",
        ] {
            assert!(!flipped(sql), "{sql}");
        }
    }

    #[test]
    fn a_known_word_with_a_bit_changed_is_seen() {
        for sql in [
            "CREATE TABLE users (id QUID NOT NULL)",
            "CREATE TABLE users (id UUID FOT NULL)",
            "CREATE TABLE users (id uUID)",
            "CREATE TABLE apps (owner_id UUID REFERENCES usdrs (id))",
            "CREATE INDEX ix_users_created_at ON users (created_aT)",
        ] {
            assert!(flipped(sql), "{sql}");
        }
        assert!(has_flipped_word(SchemaKind::Mem0History, b"CREATE TABLE history (event T\xc5XT)"));
    }

    /// None of the known words is another one but for a bit: then a change of one into the other would be an alarm.
    #[test]
    fn known_words_are_no_neighbours() {
        for kind in [SchemaKind::OpenMemory, SchemaKind::Mem0History] {
            for table in kind.tables() {
                assert!(table.columns.iter().all(|column| !has_flipped_word(kind, column.name.as_bytes())));
            }
        }
    }
}
