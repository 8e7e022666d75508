use std::collections::BTreeMap;

use sqlx::Row as _;

use super::session::{Session, quoted};
use crate::bank::net::secret::Held;
use crate::bank::{Cancelled, Meter, Secrets};
use crate::domain::PostgresEndpoint;

const TABLES: &str = "SELECT c.relname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence <> 't' ORDER BY 1 LIMIT 500";

/// How many rows each table of a bank's database has now; none where it cannot be asked.
///
/// # Errors
/// The meter is cancelled.
pub async fn count_rows<S: Secrets>(
    endpoint: &PostgresEndpoint,
    (namespace, secrets): (&str, &S),
    meter: &Meter,
) -> Result<Option<BTreeMap<String, u64>>, Cancelled> {
    let work = async {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.ok()?;
        let mut session = Session::open(&url, &endpoint.schema).await.ok()?;
        session.see_all().await.ok()?;
        let mut rows = BTreeMap::new();
        for table in session.ask(TABLES).await.ok()? {
            let table: String = table.try_get(0).ok()?;
            let sql = format!("SELECT count(*) FROM {}.{}", quoted(&endpoint.schema), quoted(&table));
            let counted: i64 = session.ask(&sql).await.ok()?.first()?.try_get(0).ok()?;
            rows.insert(table, counted.unsigned_abs());
        }
        session.close().await;
        Some(rows)
    };
    meter.unless_cancelled(work).await
}
