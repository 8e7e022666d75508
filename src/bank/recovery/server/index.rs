//! Indexes of a bank's database that are made anew.

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::session::{quoted, told};
use super::{ServerError, Session};
use crate::bank::Secrets;
use crate::bank::net::secret::Held;
use crate::domain::PostgresEndpoint;

/// The indexes of a schema that this user may make anew.
const OURS: &str = "SELECT c.relname::text FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'i' AND pg_catalog.pg_has_role(c.relowner, 'USAGE')";

/// Which of these indexes the user of a bank may make anew. The error is in words for people.
pub async fn own_indexes(
    endpoint: &PostgresEndpoint,
    held: (&str, &impl Secrets),
    named: &BTreeSet<String>,
) -> Result<BTreeSet<String>, String> {
    let mut session = open(endpoint, held).await?;
    let read = async {
        let rows = session.ask(OURS, Some(&endpoint.schema)).await?;
        rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<BTreeSet<_>, _>>()
    };
    let found = read.await;
    let found = found.map_err(|error| told(&error, &session.place))?;
    session.close().await;
    Ok(named.intersection(&found).cloned().collect())
}

/// Makes indexes anew, all of them or none. Who writes waits meanwhile: where an index is made beside the old one
/// (`CONCURRENTLY`) and that fails, another one stays that is not valid.
pub async fn make_anew(
    endpoint: &PostgresEndpoint,
    held: (&str, &impl Secrets),
    indexes: &BTreeSet<String>,
) -> Result<(), ServerError> {
    let mut session = open(endpoint, held).await.map_err(ServerError::Away)?;
    let schema = quoted(&endpoint.schema);
    let each = indexes.iter().map(|index| (index.as_str(), format!("REINDEX INDEX {schema}.{}", quoted(index))));
    for (what, statement) in [("", "BEGIN".to_owned())].into_iter().chain(each).chain([("", "COMMIT".to_owned())]) {
        session.run(&statement).await.map_err(|error| ServerError::of(&error, what, &session.place))?;
    }
    session.close().await;
    Ok(())
}

async fn open(endpoint: &PostgresEndpoint, (namespace, secrets): (&str, &impl Secrets)) -> Result<Session, String> {
    let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
    Session::open(&url).await
}
