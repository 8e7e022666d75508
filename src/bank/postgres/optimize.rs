//! Has a server look after the tables of a bank: `VACUUM (ANALYZE)` of each, and invalid indexes made anew.

use sqlx::Row as _;

use super::catalogue::invalid_indexes;
use super::session::{Session, quoted};
use crate::bank::net::secret::Held;
use crate::bank::{Cancelled, Meter, Secrets};
use crate::domain::PostgresEndpoint;

/// How long a lock of the bank's own sessions is waited for.
const LOCKS: &str = "SET lock_timeout = '10s'";
/// Tables with whether this user may look after them: the server passes over others with a warning alone.
const TABLES: &str = "SELECT c.relname::text, pg_catalog.pg_has_role(c.relowner, 'USAGE') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY 1 LIMIT 1000";

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
        let done = steps(&mut session).await;
        session.close().await;
        done
    };
    meter.unless_cancelled(work).await
}

/// A server takes these commands in a read-only session: they change nothing that can be read.
async fn steps(session: &mut Session) -> Result<Optimized, String> {
    session.ask(LOCKS).await?;
    let mut done = Optimized::default();
    for row in session.ask(TABLES).await? {
        let get = || -> Result<(String, bool), sqlx::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        let (table, ours) = get().map_err(|error| session.told(&error))?;
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
    for index in invalid_indexes(session).await? {
        let name = format!("{}.{}", quoted(&session.schema), quoted(&index));
        // Not CONCURRENTLY: where that fails it leaves another invalid index behind.
        match session.ask(&format!("REINDEX INDEX {name}")).await {
            Ok(_) => done.reindexed.push(index),
            Err(why) => done.left.push(format!("{index}: {why}")),
        }
    }
    Ok(done)
}
