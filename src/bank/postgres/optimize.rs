//! Has a server look after the tables of a bank: `VACUUM (ANALYZE)` of each, and invalid indexes made anew.

use sqlx::Row as _;

use super::catalogue::invalid_indexes;
use super::session::{Session, quoted};
use crate::bank::net::secret::Held;
use crate::bank::{Cancelled, Meter, Secrets};
use crate::domain::{PgvectorEndpoint, PostgresEndpoint};

/// How long a lock of the bank's own sessions is waited for.
const LOCKS: &str = "SET lock_timeout = '10s'";
/// Tables with whether this user may look after them: the server passes over others with a warning alone.
const TABLES: &str = "SELECT c.relname::text, pg_catalog.pg_has_role(c.relowner, 'USAGE') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1 LIMIT 1000";
/// The schema in which a table stands that is named without one.
const SCHEMA: &str = "SELECT n.nspname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = $1 AND c.relkind = 'r' AND pg_catalog.pg_table_is_visible(c.oid)";

/// What was done to a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Optimized {
    /// How many tables were looked after.
    pub tables: u64,
    /// Indexes that were made anew.
    pub reindexed: Vec<String>,
    /// What was not done, and why.
    pub left: Vec<String>,
}

/// Looks after a bank's database; the inner error says why nothing could be done.
///
/// # Errors
/// The meter is cancelled.
pub async fn optimize_postgres<S: Secrets>(
    endpoint: &PostgresEndpoint,
    (namespace, secrets): (&str, &S),
    meter: &Meter,
) -> Result<Result<Optimized, String>, Cancelled> {
    let held = Held { namespace, secrets };
    let work = async {
        let url = held.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        let mut session = Session::open(&url, &endpoint.schema).await?;
        let done = steps(&mut session, None).await;
        session.close().await;
        done
    };
    meter.unless_cancelled(work).await
}

/// Looks after the table that a bank's points are in; the inner error says why nothing could be done.
///
/// # Errors
/// The meter is cancelled.
pub async fn optimize_pgvector<S: Secrets>(
    endpoint: &PgvectorEndpoint,
    (namespace, secrets): (&str, &S),
    meter: &Meter,
) -> Result<Result<Optimized, String>, Cancelled> {
    let held = Held { namespace, secrets };
    let table = endpoint.table.as_str();
    let work = async {
        let url = held.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        // `$1` is the table here, until its schema is known.
        let mut session = Session::open(&url, table).await?;
        let found = session.ask(SCHEMA).await?;
        let schema = found.first().map(|row| row.try_get(0)).transpose().map_err(|error| session.told(&error))?;
        let done = match schema {
            None => Err(format!("the database has no table {table}")),
            Some(schema) => {
                session.schema = schema;
                steps(&mut session, Some(table)).await
            }
        };
        session.close().await;
        done
    };
    meter.unless_cancelled(work).await
}

/// A server takes these commands in a read-only session: they change nothing that can be read. `only` is one table of
/// the schema; without it all.
async fn steps(session: &mut Session, only: Option<&str>) -> Result<Optimized, String> {
    let wanted = |table: &str| only.is_none_or(|only| only == table);
    session.ask(LOCKS).await?;
    let mut done = Optimized::default();
    for row in session.ask(TABLES).await? {
        let get = || -> Result<(String, bool), sqlx::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        let (table, ours) = get().map_err(|error| session.told(&error))?;
        if !wanted(&table) {
            continue;
        }
        if !ours {
            done.left.push(format!("{table}: it is of a role that the bank's user does not have"));
            continue;
        }
        let name = format!("{}.{}", quoted(&session.schema), quoted(&table));
        match session.ask(&format!("VACUUM (ANALYZE) {name}")).await {
            Ok(_) => done.tables += 1,
            Err(why) => done.left.push(format!("{table}: {why}")),
        }
    }
    for (index, _) in invalid_indexes(session).await?.into_iter().filter(|(_, table)| wanted(table)) {
        let name = format!("{}.{}", quoted(&session.schema), quoted(&index));
        // Not CONCURRENTLY: where that fails it leaves another invalid index behind.
        match session.ask(&format!("REINDEX INDEX {name}")).await {
            Ok(_) => done.reindexed.push(index),
            Err(why) => done.left.push(format!("{index}: {why}")),
        }
    }
    Ok(done)
}
