//! What the catalogue and the statistics tell; everybody who may log in may read them.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::session::{Session, quoted};
use crate::domain::Sample;
use crate::engine::integrity::postgres::{Answer, Checksums, TableFacts};
use crate::engine::integrity::sqlite::schema::SchemaKind;

const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, \
    coalesce(s.n_live_tup, 0)::int8, coalesce(s.n_dead_tup, 0)::int8 \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.oid \
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY 1, a.attnum";
/// Without checksums the number of failures is null.
const CHECKSUMS: &str = "SELECT current_setting('data_checksums') = 'on', coalesce(sum(checksum_failures), 0)::int8 \
    FROM pg_catalog.pg_stat_database WHERE datname = current_database() OR datname IS NULL";
const INVALID: &str = "SELECT c.relname::text, t.relname::text FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND NOT i.indisvalid ORDER BY 1 LIMIT 100";
const AGE: &str = "SELECT age(datfrozenxid)::int8 FROM pg_catalog.pg_database WHERE datname = current_database()";
const SIZE: &str = "SELECT pg_catalog.pg_database_size(current_database())::int8";

/// The known tables of the schema.
pub(super) async fn tables(session: &mut Session) -> Answer<Vec<TableFacts>> {
    let known = SchemaKind::OpenMemory.tables();
    let mut tables = BTreeMap::<String, TableFacts>::new();
    for row in session.ask(COLUMNS).await? {
        let get = || -> Result<(String, String, i64, i64), sqlx::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (name, column, live, dead) = get().map_err(|error| session.told(&error))?;
        if known.iter().any(|table| table.name == name) {
            let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
            let fresh = TableFacts { name: name.clone(), columns: Vec::new(), live: count(live), dead: count(dead) };
            tables.entry(name).or_insert(fresh).columns.push(column);
        }
    }
    Ok(tables.into_values().collect())
}

/// What the checksums of pages tell, of the database and of what all share.
pub(super) async fn checksums(session: &mut Session) -> Answer<Checksums> {
    let rows = session.ask(CHECKSUMS).await?;
    let get = || -> Result<(bool, i64), sqlx::Error> {
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (enabled, failures) = get().map_err(|error| session.told(&error))?;
    Ok(Checksums { enabled, failures: u64::try_from(failures).unwrap_or_default() })
}

/// The schema's indexes that are not valid, each with its table, at most a hundred.
pub(super) async fn invalid_indexes(session: &mut Session) -> Answer<Vec<(String, String)>> {
    let rows = session.ask(INVALID).await?;
    let names: Result<Vec<_>, _> = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
    names.map_err(|error| session.told(&error))
}

/// How many transactions the oldest that must be told apart is old.
pub(super) async fn age(session: &mut Session) -> Answer<u64> {
    number(session, AGE).await
}

/// What can be measured of the bank.
pub(super) async fn samples(session: &mut Session) -> Vec<Sample> {
    let memories = format!(
        "SELECT count(*)::int8 FROM {}.memories WHERE state::text IN ('active', 'paused', 'archived')",
        quoted(&session.schema)
    );
    let mut asked = vec![("database_size_bytes", SIZE)];
    // A count without the rows that a policy hides is none.
    if session.see_all().await.is_ok() {
        asked.push(("memories", memories.as_str()));
    }
    let mut samples = Vec::new();
    for (metric, question) in asked {
        #[allow(clippy::cast_precision_loss)] // A gauge; exact up to 2^53.
        if let Ok(value) = number(session, question).await {
            samples.push(Sample { metric: metric.to_owned(), value: value as f64 });
        }
    }
    samples
}

async fn number(session: &mut Session, question: &str) -> Answer<u64> {
    let rows = session.ask(question).await?;
    let value: Result<i64, _> = rows.first().ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0));
    value.map(|value| u64::try_from(value).unwrap_or_default()).map_err(|error| session.told(&error))
}
