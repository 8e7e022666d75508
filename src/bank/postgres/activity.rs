//! Whether anybody writes to the tables of a bank.

use sqlx::Row as _;

use super::session::Session;
use crate::bank::Secrets;
use crate::bank::net::secret::Held;
use crate::domain::SecretKey;

/// What changes whenever somebody writes to some tables of a server, as far as it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Rows that were written since the server counts.
    pub written: i64,
    /// Transactions of the database that have written something and have not ended.
    pub open: i64,
}

/// What the server tells of a schema, or of one table and that of its entities; none where it cannot be asked.
pub async fn activity<S: Secrets>(
    url: &SecretKey,
    (namespace, secrets): (&str, &S),
    schema: Option<&str>,
    table: Option<&str>,
) -> Option<Activity> {
    let url = Held { namespace, secrets }.text(url).await.ok()?;
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let of = match (schema, table) {
        (Some(schema), _) => format!("schemaname = {}", literal(schema)),
        (None, Some(table)) => format!("relname IN ({}, {})", literal(table), literal(&format!("{table}_entities"))),
        (None, None) => return None,
    };
    let question = format!(
        "SELECT (SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int8 \
           FROM pg_catalog.pg_stat_user_tables WHERE {of}), \
         (SELECT count(*)::int8 FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
           AND backend_xid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' AND pid <> pg_catalog.pg_backend_pid())"
    );
    let mut session = Session::open(&url, schema.unwrap_or_default()).await.ok()?;
    let rows = session.ask(&question).await.ok();
    session.close().await;
    let row = rows?.into_iter().next()?;
    Some(Activity { written: row.try_get(0).ok()?, open: row.try_get(1).ok()? })
}
