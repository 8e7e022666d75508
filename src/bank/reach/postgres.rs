//! A PostgreSQL server: whether one can log in, and whether the table is there.

use sqlx::Connection as _;

use super::Miss;
use crate::bank::net::postgres::{NoConnection, Trouble, connect, failed};
use crate::domain::ReachReason;

/// What is looked for there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// For people: `database` or `vector store`.
    pub what: &'static str,
    /// The field that names the secret.
    pub field: &'static str,
    /// The reason of everything but a refused log-in.
    pub unreachable: ReachReason,
    /// Its schema; any that the user's search path has without it.
    pub schema: Option<&'a str>,
    /// The table's name.
    pub table: &'a str,
}

impl Wanted<'_> {
    fn missed(&self, place: &str, told: &str) -> Miss {
        Miss::new(self.unreachable, format!("the {} at {place} {told}", self.what))
    }

    fn failed(&self, trouble: &Trouble) -> Miss {
        if trouble.denied() {
            let told = format!(
                "the {} at {} {}: correct the secret of {}",
                self.what, trouble.place, trouble.told, self.field
            );
            return Miss::new(ReachReason::AuthenticationFailed, told);
        }
        self.missed(&trouble.place, &trouble.told)
    }
}

/// The catalogue may be read by everybody who may log in.
const FIND_TABLE: &str = "SELECT count(*) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
    AND CASE WHEN $2 = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $2 END";

/// Logs in and looks for the table.
pub(super) async fn ask(url: &str, wanted: Wanted<'_>) -> Result<(), Miss> {
    let (mut connection, place) = connect(url, "5s").await.map_err(|no| match no {
        NoConnection::NoUrl => {
            let told = format!(
                "the secret of {} is no url of PostgreSQL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                wanted.field
            );
            Miss::new(ReachReason::SecretUnreadable, told)
        }
        NoConnection::Forbidden(place) => Miss::forbidden(&place, wanted.field),
        NoConnection::Failed(trouble) => wanted.failed(&trouble),
    })?;
    let found: i64 = sqlx::query_scalar(FIND_TABLE)
        .bind(wanted.table)
        .bind(wanted.schema.unwrap_or_default())
        .fetch_one(&mut connection)
        .await
        .map_err(|error| wanted.failed(&failed(&error, &place)))?;
    // It was reached; whether it hears the farewell changes nothing.
    let _ = connection.close().await;
    if found > 0 {
        return Ok(());
    }
    let told = match wanted.schema {
        Some(schema) => format!("has no table {} in the schema {schema}: correct the schema, or the url", wanted.table),
        None => format!("has no table {}: correct the table's name, or the url", wanted.table),
    };
    Err(wanted.missed(&place, &told))
}
