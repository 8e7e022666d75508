//! What a database declares: its tables, their columns, its b-trees.

use super::query::{Reader, Trouble, cell, quoted, text};
use crate::domain::CorruptionEvent;
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::entry::{Entries, Entry};
use crate::engine::integrity::sqlite::schema::{Declared, SchemaKind};
use crate::engine::integrity::sqlite::structure::Tree;

/// The most entries of a schema that are kept. OpenMemory's has about 70.
const ENTRIES: u32 = 10_000;
/// The most columns of a table that are read. OpenMemory's widest has 11.
const COLUMNS: usize = 64;

/// A full-text table, and the statement by which it checks itself.
pub(super) struct FullText {
    pub(super) table: String,
    pub(super) check: String,
}

/// What a database declares.
#[derive(Default)]
pub(super) struct Schema {
    /// The known tables with their columns.
    pub(super) known: Declared,
    /// Every ordinary table, without columns where it is not known.
    pub(super) tables: Vec<String>,
    pub(super) trees: Vec<Tree>,
    pub(super) full_text: Vec<FullText>,
    entries: Entries,
    /// How many entries were read.
    count: u32,
}

impl Schema {
    pub(super) async fn read(reader: &mut Reader, kind: SchemaKind) -> Result<Self, Trouble> {
        let mut schema = Self::default();
        let query =
            format!("SELECT +type, +name, +rootpage, +sql, +tbl_name, +rowid FROM sqlite_schema LIMIT {ENTRIES}");
        reader
            .each(query, |row| {
                let number = if let Cell::Integer(number) = cell(row, 5) { number } else { 0 };
                schema.entries.take(
                    kind,
                    number,
                    Entry { kind: cell(row, 0), name: cell(row, 1), table: cell(row, 4), sql: cell(row, 3) },
                );
                schema.count += 1;
                let (entry, name, sql) = (text(row, 0), text(row, 1), text(row, 3));
                let root = if let Cell::Integer(root) = cell(row, 2) { root } else { 0 };
                let index = entry == "index";
                if root > 0 {
                    schema.trees.push(Tree { root, name: name.clone(), index });
                }
                if entry == "table" && root > 0 {
                    schema.tables.push(name);
                } else if entry == "table" {
                    schema.full_text.extend(full_text(name, &sql));
                }
                Ok(())
            })
            .await?;
        for table in kind.tables().iter().filter(|table| schema.tables.iter().any(|name| name == table.name)) {
            let mut columns = Vec::new();
            let names = format!("SELECT +name FROM pragma_table_info('{}') LIMIT {COLUMNS}", table.name);
            reader
                .each(names, |row| {
                    columns.push(text(row, 0));
                    Ok(())
                })
                .await?;
            schema.known.insert(table.name.to_owned(), columns);
        }
        Ok(schema)
    }

    /// The damage among its entries.
    pub(super) fn damage(&self, component: &str) -> Option<CorruptionEvent> {
        self.entries.event(component, self.count < ENTRIES)
    }

    /// Whether a known table has all of some columns.
    pub(super) fn has(&self, table: &str, columns: &[&str]) -> bool {
        self.known.get(table).is_some_and(|known| columns.iter().all(|column| known.iter().any(|name| name == column)))
    }
}

/// FTS5 compares with content that is kept elsewhere only where rank is 1 (sqlite.org/fts5.html, 6.6).
fn full_text(table: String, sql: &str) -> Option<FullText> {
    let sql = sql.to_ascii_lowercase();
    let name = quoted(&table);
    let check = if sql.contains("using fts5") {
        format!("INSERT INTO {name}({name}, rank) VALUES('integrity-check', 1)")
    } else if sql.contains("using fts3") || sql.contains("using fts4") {
        format!("INSERT INTO {name}({name}) VALUES('integrity-check')")
    } else {
        return None;
    };
    Some(FullText { table, check })
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Connection, Executor};

    use super::super::query::Stop;
    use super::*;

    /// Statements as people and tools write them: SQLite's own writing of each is what is compared.
    const ODD: &str = r#"
        create table if not exists main . /* users */ "users" (id char(32) primary key, "Key" text unique, unique (id, "Key"));
        Create Table [two words] (a, b, c generated always as (a + b), unique (a, b), check (a > 0));
        CREATE TABLE 'it''s' (x); CREATE TABLE "qu""ote" (x unique); CREATE TABLE `tick` (x);
        CREATE TABLE größe$1 (x); CREATE TABLE _a (x int unique) STRICT;
        CREATE TABLE copied AS SELECT * FROM users;
        CREATE TABLE keyed (k TEXT PRIMARY KEY, v UNIQUE) WITHOUT ROWID;
        CREATE TABLE counted (n INTEGER PRIMARY KEY AUTOINCREMENT);
        create unique index IF NOT EXISTS main."an index" ON USERS (lower("Key"));
        CREATE INDEX i ON [TWO WORDS] (a) WHERE b IS NOT NULL;
        create view main.seen as select * from users;
        CREATE VIEW "Seen too" (z) AS SELECT 1;
        create trigger main.'on users' after insert on USERS begin select 1; end;
        CREATE TRIGGER instead INSTEAD OF DELETE ON SEEN BEGIN SELECT 1; END;
        CREATE VIRTUAL TABLE IF NOT EXISTS main.[full text] USING fts5(content, tokenize = 'porter');
        CREATE VIRTUAL TABLE "Boxes" USING rtree(id, x0, x1);
        ALTER TABLE users RENAME TO "Renamed users"; ALTER TABLE tick RENAME TO memories;
        ALTER TABLE [full text] RENAME TO search; ALTER TABLE "qu""ote" RENAME x TO y;
        ALTER TABLE memories ADD COLUMN Content Varchar; ALTER TABLE memories ADD COLUMN tags JSON DEFAULT '[]';
        CREATE INDEX ix_tags ON Memories (tags);
        ANALYZE; VACUUM;
    "#;

    #[tokio::test]
    async fn whatever_sqlite_wrote_is_sound() {
        for encoding in ["'UTF-8'", "'UTF-16le'"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("odd.db");
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let mut connection = options.pragma("encoding", encoding).connect().await.unwrap();
            connection.execute(sqlx::raw_sql(ODD)).await.unwrap();
            connection.close().await.unwrap();
            let stop = Stop::default();
            let mut reader = Reader::open(&path, 1 << 20, &stop).await.unwrap();
            let schema = Schema::read(&mut reader, SchemaKind::OpenMemory).await.unwrap();
            assert!(schema.count > 30, "{}", schema.count);
            assert_eq!(schema.damage("database"), None, "{encoding}");
            reader.close().await;
        }
    }
}
