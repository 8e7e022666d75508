use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::StoreError;
use super::db::{Db, Health, Pool};
use super::sqlite_file::SqliteFile;

/// How long a statement waits for a lock, and a request for a connection.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// SQLite: one writer and two readers; each holds up to 2 MB of cache.
const SQLITE_CONNECTIONS: u32 = 3;
const POSTGRES_CONNECTIONS: u32 = 5;
/// A WAL that a long reader made grow is cut back to this.
const WAL_BYTES: &str = "16777216";
/// Up to this size the structure of the database is checked when it is opened (about 0.3 s at most);
/// a larger one is checked by whoever reads the damaged page.
const CHECKED_AT_OPEN: u64 = 64 << 20;

/// Whether a store may change what it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

/// Opens the database of a data folder.
pub(super) async fn sqlite(data_dir: &Path, access: Access) -> Result<Db, StoreError> {
    let file = match access {
        Access::ReadWrite => SqliteFile::open_or_create(data_dir)?,
        Access::ReadOnly => SqliteFile::find(data_dir)?,
    };
    let mut options = SqliteConnectOptions::new()
        .filename(file.path())
        .create_if_missing(false)
        .busy_timeout(LOCK_WAIT)
        .foreign_keys(true)
        .disable_statement_logging();
    options = match access {
        // FULL: a transaction is on the disk when its commit returns, also in WAL mode.
        Access::ReadWrite => options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", WAL_BYTES),
        Access::ReadOnly => options.read_only(true),
    };
    let small = file.bytes() <= CHECKED_AT_OPEN;
    let health = Health::new(file.path().display().to_string(), Some(file));
    let trusted = Arc::clone(&health);
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS)
        .acquire_timeout(CONNECTION_WAIT)
        // A local file needs no renewal of connections, and no task that wakes up for it.
        .idle_timeout(None)
        .max_lifetime(None)
        .before_acquire(move |_, meta| {
            let trusted = trusted.trusts(meta.age);
            Box::pin(async move { Ok(trusted) })
        })
        .connect_with(options)
        .await
        .map_err(|error| health.error(&error))?;
    let db = Db { pool: Pool::Sqlite(pool), health };
    readable_schema(&db).await?;
    if small {
        quick_check(&db).await?;
    }
    Ok(db)
}

/// The client takes the declared types of columns as UTF-8 and does not survive others, so the schema is
/// looked at as bytes before anything else is asked.
async fn readable_schema(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.read().await?;
    for row in tx.rows("SELECT CAST(sql AS BLOB) AS ddl FROM sqlite_schema WHERE sql IS NOT NULL", Vec::new()).await? {
        if std::str::from_utf8(&row.bytes("ddl")?).is_err() {
            return Err(StoreError::damaged(db.health.place(), "its schema is no text"));
        }
    }
    Ok(())
}

async fn quick_check(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.read().await?;
    let verdict = tx.row("PRAGMA quick_check(1)", Vec::new()).await?;
    match verdict.map(|row| row.text("quick_check")).transpose()?.as_deref() {
        Some("ok") => Ok(()),
        verdict => Err(StoreError::damaged(db.health.place(), verdict.unwrap_or("no verdict of quick_check"))),
    }
}

/// Opens a PostgreSQL database. Errors name host, port and database, never the URL: it has a password.
pub(super) async fn postgres(url: &str) -> Result<Db, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Absent {
        place: "PostgreSQL".to_owned(),
        detail: "its URL cannot be read: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
    })?;
    let options = options
        .application_name("memorybank")
        .options([("lock_timeout", "5s"), ("statement_timeout", "60s")])
        .disable_statement_logging();
    let place = format!(
        "PostgreSQL {}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or(options.get_username())
    );
    let health = Health::new(place, None);
    let trusted = Arc::clone(&health);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(CONNECTION_WAIT)
        .before_acquire(move |_, meta| {
            let trusted = trusted.trusts(meta.age);
            Box::pin(async move { Ok(trusted) })
        })
        .connect_with(options)
        .await
        .map_err(|error| health.error(&error))?;
    Ok(Db { pool: Pool::Postgres(pool), health })
}
