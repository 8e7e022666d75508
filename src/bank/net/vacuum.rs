//! Has a server free what is left of rows that were removed.

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
/// All transactions of until now that wrote, and which session this is.
const NEWEST: &str =
    "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - 1, pg_catalog.pg_backend_pid()";
/// Who may still see what they removed: transactions, replicas that ask for it, and what was prepared.
const HOLDERS: &str = "SELECT ((SELECT count(*) FROM pg_catalog.pg_stat_activity a \
      WHERE a.pid <> pg_catalog.pg_backend_pid() AND coalesce(a.backend_type, '') <> 'autovacuum worker' \
        AND (a.datname = pg_catalog.current_database() OR a.datname IS NULL) \
        AND greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) >= pg_catalog.age(x.id)) \
    + (SELECT count(*) FROM pg_catalog.pg_replication_slots s WHERE pg_catalog.age(s.xmin) >= pg_catalog.age(x.id)) \
    + (SELECT count(*) FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() \
        AND pg_catalog.age(p.transaction) >= pg_catalog.age(x.id)))::int8 \
    FROM (SELECT ($1::text::int8 % 4294967296)::text::xid AS id) x";

/// Ends the statement of a session, where that is a vacuum of ours.
const CANCEL: &str = "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
    WHERE pid = $1 AND usename = session_user AND application_name = 'memorybank' AND query LIKE 'VACUUM %'";
/// How long a short answer may take.
const SHORTLY: Duration = Duration::from_mins(1);

/// Vacuums tables, named with their schemas and quoted, outside of any transaction, once nobody sees rows any more that were
/// removed from them before; where it is to stop, on the server too. The error says, for people, what of it could not be done.
pub(in crate::bank) async fn vacuum(
    connection: &mut PgConnection,
    (url, place): (&str, &str),
    tables: &[String],
    meter: &Meter,
) -> Result<(), String> {
    let begun = meter.unless_cancelled(begin(connection)).await.map_err(|cancelled| cancelled.to_string())?;
    let (newest, session) = begun.map_err(|error| told(&error, place))?;
    match meter.unless_cancelled(each(connection, place, tables, newest)).await {
        Ok(done) => done,
        Err(cancelled) => {
            end(url, session).await;
            Err(cancelled.to_string())
        }
    }
}

/// The newest transaction until now, and which session of the server this is.
async fn begin(connection: &mut PgConnection) -> Result<(i64, i32), sqlx::Error> {
    // An index over vectors takes its time.
    for setting in ["SET statement_timeout = '15min'", "SET lock_timeout = '10s'"] {
        heard(SHORTLY, sqlx::query(setting).execute(&mut *connection)).await?;
    }
    let row = heard(SHORTLY, sqlx::query(NEWEST).fetch_one(&mut *connection)).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn told(error: &sqlx::Error, place: &str) -> String {
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("55P03") => format!("somebody keeps a table at {place} locked for more than 10 s; the next run goes on"),
        _ => format!("the database at {place} {}", failed(error, place).told),
    }
}

/// Asks the server to end the vacuum of a session; where it does not hear of it, that ends by its own limit.
async fn end(url: &str, session: i32) {
    let Ok((mut connection, _)) = connect(url, "5s").await else { return };
    let _ = heard(SHORTLY, sqlx::query(CANCEL).bind(session).execute(&mut connection)).await;
}

/// One table after another, once nobody sees any more what transactions up to the newest removed.
async fn each(connection: &mut PgConnection, place: &str, tables: &[String], newest: i64) -> Result<(), String> {
    let told = |error: sqlx::Error| told(&error, place);
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
