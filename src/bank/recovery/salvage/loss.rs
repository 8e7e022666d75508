//! What one database has that another has not.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::{SalvageError, fresh, quoted};
use crate::engine::recovery::Loss;

/// What is in one database and not in another, both sound; a full-text table that is not there counts as a row. Blocks.
pub fn lacking(of: &Path, within: &Path) -> Result<Loss, SalvageError> {
    let connection = Connection::open(of).map_err(fresh)?;
    let name = within.to_str().ok_or(SalvageError::NoSchema)?;
    connection.execute("ATTACH ?1 AS other", [name]).map_err(fresh)?;
    let tables = |database: &str| -> rusqlite::Result<BTreeSet<String>> {
        let list = format!(
            "SELECT name FROM {database}.sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite_%'"
        );
        connection.prepare(&list)?.query_map([], |row| row.get(0))?.collect()
    };
    let (own, other) = (tables("main").map_err(fresh)?, tables("other").map_err(fresh)?);
    let virtual_tables = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0 AND name NOT IN \
                          (SELECT name FROM other.sqlite_schema)";
    let missing: i64 = connection.query_row(virtual_tables, [], |row| row.get(0)).map_err(fresh)?;
    let mut loss = Loss { rows: u64::try_from(missing).unwrap_or_default(), ..Loss::default() };
    for table in own {
        let columns = |database: &str| -> rusqlite::Result<Vec<String>> {
            let list = format!("SELECT name FROM pragma_table_info(?1, '{database}') ORDER BY name");
            connection.prepare(&list)?.query_map([&table], |row| row.get::<_, String>(0).map(|n| quoted(&n)))?.collect()
        };
        let (mine, theirs) = (columns("main").map_err(fresh)?, columns("other").map_err(fresh)?);
        let name = quoted(&table);
        let count = if other.contains(&table) && mine == theirs {
            let list = mine.join(", ");
            format!("SELECT count(*) FROM (SELECT {list} FROM main.{name} EXCEPT SELECT {list} FROM other.{name})")
        } else {
            format!("SELECT count(*) FROM main.{name}")
        };
        let count: i64 = connection.query_row(&count, [], |row| row.get(0)).map_err(fresh)?;
        let count = u64::try_from(count).unwrap_or_default();
        loss.rows += count;
        if table == "memories" {
            loss.memories = count;
        }
    }
    Ok(loss)
}

/// How many live memories of a database changed at or after a moment, in the form in which OpenMemory writes it; none
/// where it cannot be asked. Blocks.
pub fn younger(database: &Path, moment: &str) -> Option<u64> {
    let sql =
        "SELECT count(*) FROM memories WHERE state <> 'deleted' AND max(created_at, coalesce(updated_at, '')) >= ?1";
    let count = Connection::open(database).and_then(|open| open.query_row(sql, [moment], |row| row.get::<_, i64>(0)));
    count.ok().and_then(|count| u64::try_from(count).ok())
}

/// The ids of deleted memories after one, in their order, at most `most`. Blocks.
pub fn deleted(database: &Path, after: &str, most: u32) -> Result<Vec<String>, SalvageError> {
    let connection = Connection::open(database).map_err(fresh)?;
    let sql =
        "SELECT id FROM memories WHERE state = 'deleted' AND typeof(id) = 'text' AND id > ?1 ORDER BY id LIMIT ?2";
    let mut list = connection.prepare(sql).map_err(fresh)?;
    let ids = list.query_map(rusqlite::params![after, most], |row| row.get(0)).map_err(fresh)?;
    ids.collect::<Result<_, _>>().map_err(fresh)
}
