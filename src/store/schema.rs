use jiff::Timestamp;

use super::StoreError;
use super::db::{Db, Tx};
use super::value::args;

/// One step of the schema. Steps only add, and a released step is never edited: a database made by any
/// earlier version gets there by the same steps as a new one.
struct Migration {
    version: i64,
    both: &'static str,
    postgres: Option<&'static str>,
}

const MIGRATIONS: [Migration; 4] = [
    Migration { version: 1, both: include_str!("../../migrations/0001_records.sql"), postgres: None },
    Migration {
        version: 2,
        both: include_str!("../../migrations/0002_operation.sql"),
        postgres: Some(include_str!("../../migrations/0002_operation.postgres.sql")),
    },
    Migration { version: 3, both: include_str!("../../migrations/0003_order.sql"), postgres: None },
    Migration { version: 4, both: include_str!("../../migrations/0004_reach.sql"), postgres: None },
];

/// The version that this program knows.
pub(super) const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Any number, the same in every replica: only one changes the schema at a time.
const MIGRATION_LOCK: i64 = 0x006d_656d_6261_6e6b;

/// Brings the schema to [`VERSION`], in one transaction.
pub(super) async fn migrate(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    if !tx.is_sqlite() {
        tx.rows("SELECT pg_advisory_xact_lock($1)", args![MIGRATION_LOCK]).await?;
    }
    tx.script("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL)")
        .await?;
    let found = version(&mut tx).await?;
    if found > VERSION {
        return Err(StoreError::Newer { place: tx.place().to_owned(), found, known: VERSION });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        tx.script(migration.both).await?;
        if let Some(script) = migration.postgres
            && !tx.is_sqlite()
        {
            tx.script(script).await?;
        }
        let args = args![migration.version, Timestamp::now()];
        tx.execute("INSERT INTO schema_version (version, applied) VALUES ($1, $2)", args).await?;
        tracing::info!(version = migration.version, place = tx.place(), "schema brought up to date");
    }
    tx.commit().await
}

/// An error unless the schema is the one that this program knows; changes nothing.
pub(super) async fn check(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.read().await?;
    let found = version(&mut tx).await?;
    let place = tx.place().to_owned();
    match found {
        VERSION => Ok(()),
        _ if found > VERSION => Err(StoreError::Newer { place, found, known: VERSION }),
        _ => Err(StoreError::Older { place, found, known: VERSION }),
    }
}

async fn version(tx: &mut Tx) -> Result<i64, StoreError> {
    let newest = tx.row("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version", Vec::new()).await?;
    newest.map_or(Ok(0), |row| row.int("version"))
}
