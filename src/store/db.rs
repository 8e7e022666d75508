use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgPool};
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{Arguments as _, AssertSqlSafe, Postgres, SqlSafeStr as _, SqlStr, Sqlite, Transaction};

use super::StoreError;
use super::sqlite_file::SqliteFile;
use super::value::{Arg, Row};

/// Rows per statement of [`Tx::insert`]: below PostgreSQL's 65,535 and SQLite's 32,766 arguments for
/// every table here, and enough that the round trips no longer count.
const ROWS_PER_STATEMENT: usize = 100;

/// One of the two databases. Both take the same SQL (`$1` arguments, `ON CONFLICT`, partial indexes),
/// so only what differs is told apart here: how a transaction begins, and how values are carried.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A pool with the name that errors give it.
#[derive(Clone, Debug)]
pub(super) struct Db {
    pub pool: Pool,
    pub health: Arc<Health>,
}

/// What is known of the database's health: connections older than the last fault are not used again.
#[derive(Debug)]
pub(super) struct Health {
    place: String,
    file: Option<SqliteFile>,
    fault: Mutex<Option<Instant>>,
}

impl Health {
    pub fn new(place: String, file: Option<SqliteFile>) -> Arc<Self> {
        Arc::new(Self { place, file, fault: Mutex::new(None) })
    }

    /// Whether a connection of that age was made after the last fault.
    pub fn trusts(&self, age: Duration) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|fault| age < fault.elapsed())
    }

    /// Gives an error its name, and remembers it where connections may have gone bad with it.
    pub fn error(&self, error: &sqlx::Error) -> StoreError {
        let error = StoreError::sqlx(&self.place, error);
        if matches!(error, StoreError::Full { .. } | StoreError::Damaged { .. } | StoreError::Unavailable { .. }) {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        error
    }

    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Db {
    /// Begins a transaction that sees one state of the database and writes nothing.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        self.begin("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Begins a transaction that may write. In SQLite it takes the write lock at once: a lock taken
    /// later could not be waited for.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        self.begin("BEGIN IMMEDIATE", "BEGIN").await
    }

    async fn begin(&self, sqlite: &'static str, postgres: &'static str) -> Result<Tx, StoreError> {
        if let Some(file) = &self.health.file {
            file.still_there()?;
        }
        let inner = match &self.pool {
            Pool::Sqlite(pool) => pool.begin_with(sqlite).await.map(Inner::Sqlite),
            Pool::Postgres(pool) => pool.begin_with(postgres).await.map(Inner::Postgres),
        }
        .map_err(|error| self.health.error(&error))?;
        Ok(Tx { inner, health: Arc::clone(&self.health) })
    }

    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A transaction on either database; dropped without [`Tx::commit`], it is rolled back.
pub(super) struct Tx {
    inner: Inner,
    health: Arc<Health>,
}

impl Tx {
    /// Runs one statement; how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, StoreError> {
        self.run(sql.into_sql_str(), args).await
    }

    /// Runs one query; all of its rows. Callers bound them by a LIMIT or by what they ask for.
    pub async fn rows(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        let result = match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::query_with(sql, sqlite_arguments(args)?)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Inner::Postgres(tx) => sqlx::query_with(sql, postgres_arguments(args)?)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(|row| Row::Postgres(Box::new(row))).collect()),
        };
        result.map_err(|error| self.health.error(&error))
    }

    /// Runs a query for at most one row.
    pub async fn row(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Inserts rows in statements of bounded size: `head` ends before VALUES, `tail` is the ON CONFLICT clause.
    /// How many rows were inserted or changed.
    pub async fn insert(
        &mut self,
        head: &'static str,
        rows: Vec<Vec<Arg>>,
        tail: &'static str,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        let mut rows = rows.into_iter().peekable();
        while let Some(width) = rows.peek().map(Vec::len) {
            let batch: Vec<Vec<Arg>> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
            let sql = format!("{head} VALUES {} {tail}", placeholders(batch.len(), width));
            changed += self.run(AssertSqlSafe(sql).into_sql_str(), batch.into_iter().flatten().collect()).await?;
        }
        Ok(changed)
    }

    /// Runs a statement with a list at its end, in statements of bounded size: `head` ends before the
    /// list in parentheses; `args` come before those of the list.
    pub async fn execute_list(&mut self, head: &'static str, args: &[Arg], list: &[String]) -> Result<u64, StoreError> {
        let mut changed = 0;
        for batch in list.chunks(ROWS_PER_STATEMENT) {
            let items: Vec<String> = (1..=batch.len()).map(|n| format!("${}", n + args.len())).collect();
            let sql = format!("{head} ({})", items.join(", "));
            let args = args.iter().cloned().chain(batch.iter().map(Arg::from)).collect();
            changed += self.run(AssertSqlSafe(sql).into_sql_str(), args).await?;
        }
        Ok(changed)
    }

    /// Runs a script of several statements without arguments.
    pub async fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
            Inner::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
        }
        .map_err(|error| self.health.error(&error))
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        }
        .map_err(|error| self.health.error(&error))
    }

    pub const fn is_sqlite(&self) -> bool {
        matches!(self.inner, Inner::Sqlite(_))
    }

    pub fn place(&self) -> &str {
        self.health.place()
    }

    async fn run(&mut self, sql: SqlStr, args: Vec<Arg>) -> Result<u64, StoreError> {
        match &mut self.inner {
            Inner::Sqlite(tx) => {
                sqlx::query_with(sql, sqlite_arguments(args)?).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Inner::Postgres(tx) => sqlx::query_with(sql, postgres_arguments(args)?)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(|error| self.health.error(&error))
    }
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
fn placeholders(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let columns: Vec<String> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", columns.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

fn sqlite_arguments(args: Vec<Arg>) -> Result<SqliteArguments, StoreError> {
    let mut bound = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Int(number) => bound.add(number),
            Arg::Real(number) => bound.add(number),
            Arg::Bytes(bytes) => bound.add(bytes),
        }
        .map_err(|error| StoreError::Internal { place: "an argument".to_owned(), detail: error.to_string() })?;
    }
    Ok(bound)
}

fn postgres_arguments(args: Vec<Arg>) -> Result<PgArguments, StoreError> {
    let mut bound = PgArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Int(number) => bound.add(number),
            Arg::Real(number) => bound.add(number),
            Arg::Bytes(bytes) => bound.add(bytes),
        }
        .map_err(|error| StoreError::Internal { place: "an argument".to_owned(), detail: error.to_string() })?;
    }
    Ok(bound)
}
