//! PostgreSQL's own check of b-trees and tables, where its extension amcheck is installed. It takes no lock that a
//! writer waits for.

use sqlx::Row as _;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;

use super::session::{Session, quoted};
use crate::engine::integrity::postgres::{Amcheck, Answer};
use crate::engine::integrity::sqlite::tally::EXAMPLES;

const WHERE: &str = "SELECT n.nspname::text FROM pg_catalog.pg_extension e \
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
const BTREES: &str = "SELECT c.oid::int8, c.relname::text, t.relname::text FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_catalog.pg_am a ON a.oid = c.relam \
    WHERE n.nspname = $1 AND a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND c.relpersistence = 'p' \
    ORDER BY 2";
const HEAPS: &str = "SELECT c.oid::int8, c.relname::text, c.relname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY 2";
/// The most characters of the server's own words.
const WORDS: usize = 200;
/// What the server answers with where it cannot read a page, or a b-tree contradicts itself: `data_corrupted`,
/// `index_corrupted`, and what a missing or short file gives.
const DAMAGE: [&str; 4] = ["XX001", "XX002", "58P01", "58030"];

/// Looks at the known tables and their b-trees. `deep`: each row is looked up in its indexes, and what is stored
/// beside the table is read too.
pub(super) async fn look(session: &mut Session, tables: &[String], deep: bool) -> Answer<Amcheck> {
    let installed = session.ask(WHERE).await?;
    let Some(Ok(home)) = installed.first().map(|row| row.try_get::<String, _>(0)) else {
        return Err("the extension amcheck is not installed: CREATE EXTENSION amcheck, and grant the bank's user \
                    EXECUTE on its functions"
            .to_owned());
    };
    let home = quoted(&home);
    let mut found = Amcheck::default();
    for (oid, index) in of_tables(session, BTREES, tables).await? {
        let question = format!("SELECT {home}.bt_index_check({oid}::oid::regclass, {deep})");
        match session.try_ask(&question).await {
            Ok(_) => found.indexes += 1,
            Err(error) => match damage(&error) {
                Some(words) => found.damaged_indexes.push((index, words)),
                None => found.unread.push((format!("index {index}"), refused(session, &error))),
            },
        }
    }
    for (oid, table) in of_tables(session, HEAPS, tables).await? {
        let question = format!(
            "SELECT blkno::int8, offnum::int8, msg FROM {home}.verify_heapam({oid}::oid::regclass, false, {deep})"
        );
        match session.try_ask(&question).await {
            Ok(rows) if rows.is_empty() => found.tables += 1,
            Ok(rows) => {
                let examples = rows.iter().take(EXAMPLES).map(place).collect();
                found.damaged_tables.push((table, rows.len() as u64, examples));
            }
            Err(error) => match damage(&error) {
                Some(words) => found.damaged_tables.push((table, 1, vec![words])),
                None => found.unread.push((format!("table {table}"), refused(session, &error))),
            },
        }
    }
    Ok(found)
}

/// Number and name of the relations that belong to known tables.
async fn of_tables(session: &mut Session, question: &str, tables: &[String]) -> Answer<Vec<(i64, String)>> {
    let rows = session.ask(question).await?;
    let read = |row: &PgRow| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get::<String, _>(2)?));
    let all: Result<Vec<(i64, String, String)>, _> = rows.iter().map(read).collect();
    let all = all.map_err(|error| session.told(&error))?;
    Ok(all.into_iter().filter(|(_, _, table)| tables.contains(table)).map(|(oid, name, _)| (oid, name)).collect())
}

fn place(row: &PgRow) -> String {
    let number = |at: usize| row.try_get::<Option<i64>, _>(at).ok().flatten();
    let words = row.try_get::<Option<String>, _>(2).ok().flatten().unwrap_or_default();
    let at = match (number(0), number(1)) {
        (Some(block), Some(offset)) => format!("block {block}, item {offset}: "),
        (Some(block), None) => format!("block {block}: "),
        _ => String::new(),
    };
    format!("{at}{}", cut(&words))
}

/// The server's words, where its error is damage.
fn damage(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    let code = error.code()?;
    DAMAGE.contains(&code.as_ref()).then(|| cut(error.message()))
}

fn refused(session: &Session, error: &sqlx::Error) -> String {
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("42501") => "grant the bank's user EXECUTE on the functions of amcheck".to_owned(),
        _ => session.told(error),
    }
}

fn cut(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS).collect()
}
