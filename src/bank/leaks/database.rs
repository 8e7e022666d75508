use std::path::Path;

use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Row};

use super::LeakScan;
use super::collector::{Collector, Place};
use super::text::from_utf16;
use crate::bank::{Cancelled, Meter};
use crate::engine::audit::leak::Scanner;

/// A table, the column that names its rows, and the columns with texts.
type Table = (&'static str, &'static str, &'static [&'static str]);

/// The texts of OpenMemory's database, of all its generations. `users.email` is where an address belongs.
const DATABASE: &[Table] = &[
    ("memories", "id", &["content", "metadata"]),
    ("configs", "key", &["value"]),
    ("users", "id", &["metadata"]),
    ("apps", "id", &["name", "description", "metadata"]),
    ("categories", "id", &["name", "description"]),
    ("memory_access_logs", "id", &["metadata"]),
];

/// The texts of mem0's history.
const HISTORY: &[Table] = &[("history", "id", &["old_memory", "new_memory"]), ("messages", "id", &["content"])];

/// A value larger than this is not read: SQLite would hold all of it in memory.
const LARGEST: usize = 8 << 20;
/// How many rows SQLite may be ahead of the scan; few, as each may hold values of that size.
const AHEAD: usize = 4;

/// Scans the texts of OpenMemory's SQLite database; `copy` is a copy that SQLite may open.
///
/// Between rows it works as long as the scan of one value takes: run it on a thread that may be busy.
pub async fn scan_database(
    copy: &Path,
    component: &str,
    scanner: &Scanner,
    meter: &Meter,
) -> Result<LeakScan, Cancelled> {
    scan(copy, component, DATABASE, scanner, meter).await
}

/// Scans the texts of mem0's history; as [`scan_database`].
pub async fn scan_history(
    copy: &Path,
    component: &str,
    scanner: &Scanner,
    meter: &Meter,
) -> Result<LeakScan, Cancelled> {
    scan(copy, component, HISTORY, scanner, meter).await
}

/// What was read, and what was not.
#[derive(Default)]
struct Tally {
    tables: u64,
    rows: u64,
    bytes: u64,
    oversize: u64,
    unread: Vec<String>,
}

async fn scan(
    copy: &Path,
    component: &str,
    tables: &[Table],
    scanner: &Scanner,
    meter: &Meter,
) -> Result<LeakScan, Cancelled> {
    let mut collector = Collector::new(scanner, component);
    let mut tally = Tally::default();
    let options = SqliteConnectOptions::new()
        .filename(copy)
        .create_if_missing(false)
        .row_buffer_size(AHEAD)
        .disable_statement_logging();
    match SqliteConnection::connect_with(&options).await {
        Ok(mut connection) => {
            if let Err(error) = all(&mut connection, tables, &mut collector, &mut tally, meter).await {
                match error {
                    ScanError::Cancelled(cancelled) => return Err(cancelled),
                    ScanError::Sql(error) => tally.unread.push(format!("the database: {}", told(&error))),
                }
            }
            // Whether a copy that is thrown away closes well changes nothing that was read.
            let _ = connection.close().await;
        }
        Err(error) => tally.unread.push(format!("the database: {}", told(&error))),
    }
    if tally.oversize > 0 {
        tally.unread.push(format!("{} values larger than {} MiB", tally.oversize, LARGEST >> 20));
    }
    if tally.tables == 0 && tally.unread.is_empty() {
        tally.unread.push("no table of the expected schema is there".to_owned());
    }
    let read = format!("read {} bytes in {} rows of {} tables", tally.bytes, tally.rows, tally.tables);
    Ok(collector.finish(&read, &tally.unread))
}

#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// SQLite's own words: they name files and tables, never values.
fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

async fn all(
    connection: &mut SqliteConnection,
    tables: &[Table],
    collector: &mut Collector<'_>,
    tally: &mut Tally,
    meter: &Meter,
) -> Result<(), ScanError> {
    let encoding: String = sqlx::query_scalar("PRAGMA encoding").fetch_one(&mut *connection).await?;
    for (table, key, columns) in tables {
        let present: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info(?)").bind(table).fetch_all(&mut *connection).await?;
        let columns: Vec<&str> = columns.iter().copied().filter(|c| present.iter().any(|p| p == c)).collect();
        if columns.is_empty() {
            continue;
        }
        tally.tables += 1;
        let key = present.iter().any(|p| p == key).then_some(*key);
        match rows(connection, table, key, &columns, &encoding, collector, tally, meter).await {
            Err(ScanError::Sql(error)) => tally.unread.push(format!("the rest of {table}: {}", told(&error))),
            other => other?,
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // One call, of one private function.
async fn rows(
    connection: &mut SqliteConnection,
    table: &str,
    key: Option<&str>,
    columns: &[&str],
    encoding: &str,
    collector: &mut Collector<'_>,
    tally: &mut Tally,
    meter: &Meter,
) -> Result<(), ScanError> {
    // As bytes: a text that is not valid in its encoding is scanned too. Identifiers are our own constants.
    let values: Vec<String> = columns
        .iter()
        .map(|c| format!("octet_length(\"{c}\") > {LARGEST}, CASE WHEN octet_length(\"{c}\") <= {LARGEST} THEN CAST(\"{c}\" AS BLOB) END"))
        .collect();
    let key = key.map_or_else(
        || "NULL".to_owned(),
        |key| format!("CASE WHEN octet_length(\"{key}\") <= 64 THEN CAST(\"{key}\" AS BLOB) END"),
    );
    let sql = format!("SELECT rowid, {key}, {} FROM \"{table}\"", values.join(", "));
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        meter.check()?;
        tally.rows += 1;
        let name = row_name(&row, encoding)?;
        for (place, column) in columns.iter().enumerate() {
            tally.oversize += u64::from(row.try_get::<Option<bool>, _>(2 + 2 * place)?.unwrap_or_default());
            let Some(bytes) = row.try_get::<Option<Vec<u8>>, _>(3 + 2 * place)? else { continue };
            tally.bytes += bytes.len() as u64;
            meter.grow(bytes.len() as u64);
            let object = format!("{table}/{name}/{column}");
            collector.scan(&decode(&bytes, encoding), &Place { object: &object, line: None, settings: None });
            meter.advance(bytes.len() as u64);
        }
    }
    Ok(())
}

/// The key of a row where it is an identifier, else its row number: a place never carries content.
fn row_name(row: &SqliteRow, encoding: &str) -> Result<String, sqlx::Error> {
    let number: i64 = row.try_get(0)?;
    let key = row.try_get::<Option<Vec<u8>>, _>(1)?.map(|bytes| decode(&bytes, encoding).into_owned());
    let identifier = |key: &Vec<u8>| {
        !key.is_empty() && key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let key = key.filter(identifier).and_then(|key| String::from_utf8(key).ok());
    Ok(key.unwrap_or_else(|| format!("rowid:{number}")))
}

fn decode<'b>(bytes: &'b [u8], encoding: &str) -> std::borrow::Cow<'b, [u8]> {
    match encoding {
        "UTF-16le" => from_utf16(bytes, true).into(),
        "UTF-16be" => from_utf16(bytes, false).into(),
        _ => bytes.into(),
    }
}
