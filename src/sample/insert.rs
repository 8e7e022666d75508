use std::path::Path;

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, query_with};

use super::error::SampleError;

/// A value to be stored.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Number(i64),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// How a new database is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bytes of a page.
    pub page_size: u32,
    /// Encoding of texts, as `PRAGMA encoding` takes it.
    pub encoding: &'static str,
    /// As `PRAGMA auto_vacuum` takes it.
    pub auto_vacuum: &'static str,
}

impl Default for Format {
    /// As Python's SQLite makes it.
    fn default() -> Self {
        Self { page_size: 4096, encoding: "'UTF-8'", auto_vacuum: "NONE" }
    }
}

/// A new database that is being filled in one transaction.
///
/// Nothing is synced and nothing journalled meanwhile: a sample that was interrupted is written again.
#[derive(Debug)]
pub struct Filling {
    connection: SqliteConnection,
}

/// The rows of one table that wait to be stored together.
#[derive(Debug)]
pub struct Rows {
    table: &'static str,
    columns: usize,
    full: String,
    waiting: Vec<Value>,
}

/// Rows stored by one statement: enough to make the cost of a statement small, few enough to stay below
/// SQLite's 32,766 parameters.
const BATCH: usize = 64;

impl Filling {
    /// Makes the database and its tables.
    pub async fn begin(path: &Path, format: Format, tables: &[&'static str]) -> Result<Self, SampleError> {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(format.page_size)
            .pragma("encoding", format.encoding)
            .pragma("auto_vacuum", format.auto_vacuum)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .foreign_keys(false)
            .pragma("cache_size", "-65536")
            .connect()
            .await
            .map_err(SampleError::sqlite(path))?;
        let begin = async {
            connection.execute("BEGIN").await?;
            for sql in tables {
                connection.execute(sqlx::raw_sql(*sql)).await?;
            }
            Ok(())
        };
        begin.await.map_err(SampleError::sqlite(path))?;
        Ok(Self { connection })
    }

    /// Stores a row, sooner or later.
    pub async fn add<const N: usize>(&mut self, rows: &mut Rows, values: [Value; N]) -> Result<(), sqlx::Error> {
        debug_assert_eq!(N, rows.columns);
        rows.waiting.extend(values);
        if rows.waiting.len() < BATCH * rows.columns {
            return Ok(());
        }
        let waiting = std::mem::take(&mut rows.waiting);
        query_with(AssertSqlSafe(rows.full.clone()), arguments(waiting)?).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Stores what waits.
    pub async fn flush(&mut self, rows: &mut Rows) -> Result<(), sqlx::Error> {
        let waiting = std::mem::take(&mut rows.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let sql = insert(rows.table, rows.columns, waiting.len() / rows.columns);
        query_with(AssertSqlSafe(sql), arguments(waiting)?).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Makes the indexes and ends the transaction.
    pub async fn finish(mut self, indexes: &'static str) -> Result<(), sqlx::Error> {
        self.connection.execute(sqlx::raw_sql(indexes)).await?;
        self.connection.execute("COMMIT").await?;
        self.connection.close().await
    }
}

impl Rows {
    /// Rows of a table with so many columns, in the table's order.
    pub fn of(table: &'static str, columns: usize) -> Self {
        Self { table, columns, full: insert(table, columns, BATCH), waiting: Vec::new() }
    }
}

fn insert(table: &str, columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("INSERT INTO {table} VALUES {}", vec![row; rows].join(","))
}

fn arguments(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}
