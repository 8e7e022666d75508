use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, query_as, query_scalar};
use tokio::time::timeout;

use super::set::Set;
use crate::domain::Digest;

/// How long a damaged database may take to be read before it counts as different.
const PATIENCE: Duration = Duration::from_secs(30);

/// A digest of all that a bank says: every cell of every table, and every entry of every index, as SQLite
/// gives them after recovery. None where it cannot be read to the end.
///
/// Virtual tables are compared by the tables that they keep. Opening a set recovers it: give a copy.
pub async fn content(set: &Set) -> Option<Digest> {
    let mut lines = Vec::new();
    for path in [set.database(), set.history()] {
        let options = SqliteConnectOptions::new().filename(path).statement_cache_capacity(0).foreign_keys(false);
        let mut connection = timeout(PATIENCE, options.connect()).await.ok()?.ok()?;
        let read = timeout(PATIENCE, read(&mut connection, &mut lines)).await;
        let closed = connection.close().await;
        read.ok()?.ok()?;
        closed.ok()?;
    }
    Some(Digest::of(lines.join("\n").as_bytes()))
}

async fn read(connection: &mut SqliteConnection, lines: &mut Vec<String>) -> Result<(), sqlx::Error> {
    let sql = "SELECT type, name, tbl_name FROM sqlite_schema WHERE type = 'index' OR type = 'table' AND rootpage > 0 ORDER BY type, name";
    let objects: Vec<(String, String, String)> = query_as(sql).fetch_all(&mut *connection).await?;
    for (kind, name, table) in objects {
        let index = kind == "index";
        let sql = if index {
            "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
        } else {
            "SELECT name FROM pragma_table_info(?) ORDER BY cid"
        };
        let columns: Vec<String> = query_scalar(sql).bind(&name).fetch_all(&mut *connection).await?;
        // The bytes as they are: a text that is no UTF-8 must be compared, too.
        let cells: Vec<_> = columns.iter().map(|c| format!("typeof({0}) || hex({0})", quoted(c))).collect();
        let columns: Vec<_> = columns.iter().map(|c| quoted(c)).collect();
        let how = if index {
            format!("INDEXED BY {} ORDER BY {}, rowid", quoted(&name), columns.join(", "))
        } else {
            "NOT INDEXED".to_owned()
        };
        let sql = format!("SELECT {} FROM {} {how}", cells.join(" || ',' || "), quoted(&table));
        lines.push(name);
        lines.extend(query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?);
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
