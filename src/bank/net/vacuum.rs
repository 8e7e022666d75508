//! Has a server free what is left of rows that were removed.

use std::sync::OnceLock;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::postgres::{connect, failed, heard};
use crate::bank::Meter;

/// How long the server is waited for where it is not heard of.
const SILENCE: Duration = Duration::from_mins(16);
/// How long a transaction that sees removed rows is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(200);
/// Whether the user may look after a table: the server passes over others with a warning alone.
const OURS: &str = "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.quote_ident(current_user) \
    FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";
/// All transactions of until now that wrote.
const NEWEST: &str = "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - 1";
/// Who may still see what they removed: transactions, replicas that ask for it, and what was prepared.
const HOLDERS: &str = "SELECT ((SELECT count(*) FROM pg_catalog.pg_stat_activity a \
      WHERE a.pid <> pg_catalog.pg_backend_pid() AND coalesce(a.backend_type, '') <> 'autovacuum worker' \
        AND (a.datname = pg_catalog.current_database() OR a.datname IS NULL) \
        AND greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) >= pg_catalog.age(x.id)) \
    + (SELECT count(*) FROM pg_catalog.pg_replication_slots s WHERE pg_catalog.age(s.xmin) >= pg_catalog.age(x.id)) \
    + (SELECT count(*) FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() \
        AND pg_catalog.age(p.transaction) >= pg_catalog.age(x.id)))::int8 \
    FROM (SELECT ($1::text::int8 % 4294967296)::text::xid AS id) x";

/// Which session of the server a connection is.
const OWN: &str = "SELECT pg_catalog.pg_backend_pid()";
/// Ends the statement of a session, where that is a vacuum of ours.
const CANCEL: &str = "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
    WHERE pid = $1 AND usename = current_user AND application_name = 'memorybank' AND query LIKE 'VACUUM %'";
/// How long that may take.
const ENDING: Duration = Duration::from_secs(5);

/// Vacuums tables, named with their schemas and quoted, outside of any transaction, once nobody sees rows any more that were
/// removed from them before; where it is to stop, on the server too. The error says, for people, what of it could not be done.
pub(in crate::bank) async fn vacuum(
    connection: &mut PgConnection,
    (url, place): (&str, &str),
    tables: &[String],
    meter: &Meter,
) -> Result<(), String> {
    let session = OnceLock::new();
    match meter.unless_cancelled(each(connection, place, tables, &session)).await {
        Ok(done) => done,
        Err(cancelled) => {
            if let Some(session) = session.get() {
                end(url, *session).await;
            }
            Err(cancelled.to_string())
        }
    }
}

/// Asks the server to end the vacuum of a session; one that does not hear of it ends it by itself.
async fn end(url: &str, session: i32) {
    let Ok((mut connection, _)) = connect(url, "5s").await else { return };
    let _ = heard(ENDING, sqlx::query(CANCEL).bind(session).execute(&mut connection)).await;
}

/// One table after another; `session` becomes that of the connection.
async fn each(
    connection: &mut PgConnection,
    place: &str,
    tables: &[String],
    session: &OnceLock<i32>,
) -> Result<(), String> {
    let told = |error: sqlx::Error| match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("55P03") => format!("somebody keeps a table at {place} locked for more than 10 s; the next run goes on"),
        _ => format!("the database at {place} {}", failed(&error, place).told),
    };
    // An index over vectors takes its time.
    for setting in ["SET statement_timeout = '15min'", "SET lock_timeout = '10s'"] {
        heard(SILENCE, sqlx::query(setting).execute(&mut *connection)).await.map_err(told)?;
    }
    let row = heard(SILENCE, sqlx::query(NEWEST).fetch_one(&mut *connection)).await;
    let newest: i64 = row.and_then(|row| row.try_get(0)).map_err(told)?;
    let begun = tokio::time::Instant::now();
    loop {
        let asked = sqlx::query(HOLDERS).bind(newest.to_string()).fetch_one(&mut *connection);
        let holders: i64 = heard(SILENCE, asked).await.and_then(|row| row.try_get(0)).map_err(told)?;
        if holders == 0 {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "{holders} transactions or replicas of {place} from before keep the removed rows in the tables; the next \
                 run vacuums them"
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
    let row = heard(SILENCE, sqlx::query(OWN).fetch_one(&mut *connection)).await;
    let own = row.and_then(|row| row.try_get(0)).map_err(told)?;
    session.get_or_init(|| own);
    let mut foreign = Vec::new();
    for table in tables {
        let asked = sqlx::query(OURS).bind(table).fetch_optional(&mut *connection);
        let Some(row) = heard(SILENCE, asked).await.map_err(told)? else { continue };
        let get = || Ok::<(bool, String), sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
        let (ours, role) = get().map_err(told)?;
        if !ours {
            foreign.push((table.as_str(), role));
            continue;
        }
        let statement = sqlx::query(AssertSqlSafe(format!("VACUUM {table}"))).persistent(false);
        heard(SILENCE, statement.execute(&mut *connection)).await.map_err(told)?;
    }
    let Some((_, role)) = foreign.first() else { return Ok(()) };
    let names = foreign.iter().map(|(table, _)| *table).collect::<Vec<_>>().join(", ");
    Err(format!(
        "the role {role} may not VACUUM {names}, which is for their owner: GRANT the role that owns them TO {role}"
    ))
}
