//! What SQLite itself can check: b-trees, indexes, foreign keys, full-text tables.

use std::collections::{BTreeMap, BTreeSet};

use super::query::{Reader, Trouble, cell, text};
use super::schema::Schema;
use crate::domain::{CorruptionEvent, Level};
use crate::engine::integrity::sqlite::cell::Cell;
use crate::engine::integrity::sqlite::schema::{Reference, SchemaKind};
use crate::engine::integrity::sqlite::structure::{Lines, ORPHANS};
use crate::engine::integrity::sqlite::tally::Rows;

/// The most lines that SQLite is asked for; it stops its check there.
const LINES: u32 = 1_000;

/// Runs the pragma of the level. `integrity_check` includes all that `quick_check` does.
pub(super) async fn pragma(reader: &mut Reader, level: Level, lines: &mut Lines) -> Result<(), Trouble> {
    let pragma = if level == Level::Quick { "quick_check" } else { "integrity_check" };
    let result = reader
        .each(format!("PRAGMA {pragma}({LINES})"), |row| {
            lines.take(&text(row, 0));
            Ok(())
        })
        .await;
    match result {
        // It breaks off only where the file is broken, having told what it can; then that is the proof.
        Err(Trouble::Damaged(words)) => {
            if lines.is_empty() {
                lines.broke_off("file", &words);
            }
            Ok(())
        }
        other => other,
    }
}

/// Lets each full-text table check itself. Gives those that failed, with SQLite's words.
pub(super) async fn full_text(reader: &mut Reader, schema: &Schema) -> Result<Vec<(String, String)>, Trouble> {
    let mut failed = Vec::new();
    for table in &schema.full_text {
        match reader.each(&table.check, |_| Ok(())).await {
            Ok(()) => {}
            Err(Trouble::Damaged(words)) => failed.push((table.table.clone(), words)),
            Err(other) => return Err(other),
        }
    }
    Ok(failed)
}

/// Rows that refer to rows which do not exist (I7), by `table.column`. SQLite checks what is declared, we
/// check what should be. A missing parent table is the schema's fault, not that of each row.
pub(super) async fn orphans(
    reader: &mut Reader,
    component: &str,
    kind: SchemaKind,
    schema: &Schema,
) -> Result<Vec<CorruptionEvent>, Trouble> {
    let mut found: BTreeMap<String, Rows> = BTreeMap::new();
    let mut checked = BTreeSet::new();
    for table in &schema.tables {
        let keys = foreign_keys(reader, table).await?;
        if keys.is_empty() || !declared(reader, table, &keys, schema, &mut found).await? {
            continue;
        }
        checked.extend(keys.into_values().map(|(column, parent)| (table.clone(), column, parent)));
    }
    for reference in kind.references() {
        let known = (reference.table.to_owned(), reference.column.to_owned(), reference.parent.to_owned());
        if !checked.contains(&known) {
            undeclared(reader, *reference, schema, &mut found).await?;
        }
    }
    Ok(found.into_iter().map(|(object, rows)| ORPHANS.event(component, object, &rows)).collect())
}

/// The declared foreign keys of a table: number, column, parent.
async fn foreign_keys(reader: &mut Reader, table: &str) -> Result<BTreeMap<i64, (String, String)>, Trouble> {
    let mut keys = BTreeMap::new();
    let list = format!("SELECT +id, +\"from\", +\"table\" FROM pragma_foreign_key_list({})", literal(table));
    reader
        .each(list, |row| {
            if let Cell::Integer(number) = cell(row, 0) {
                // A key of several columns is told by its first.
                keys.entry(number).or_insert((text(row, 1), text(row, 2)));
            }
            Ok(())
        })
        .await?;
    Ok(keys)
}

/// Whether SQLite could check the table: it refuses where a parent has no unique key.
async fn declared(
    reader: &mut Reader,
    table: &str,
    keys: &BTreeMap<i64, (String, String)>,
    schema: &Schema,
    found: &mut BTreeMap<String, Rows>,
) -> Result<bool, Trouble> {
    let mut rows: BTreeMap<String, Rows> = BTreeMap::new();
    let check = format!("SELECT +\"rowid\", +\"fkid\" FROM pragma_foreign_key_check({})", literal(table));
    let result = reader
        .each(check, |row| {
            let Cell::Integer(number) = cell(row, 1) else { return Ok(()) };
            if let Some((column, parent)) = keys.get(&number)
                && schema.tables.iter().any(|name| name.eq_ignore_ascii_case(parent))
            {
                rows.entry(format!("{table}.{column}")).or_default().add(|| match cell(row, 0) {
                    Cell::Integer(rowid) => format!("row {rowid}"),
                    _ => "a row without number".to_owned(),
                });
            }
            Ok(())
        })
        .await;
    match result {
        Err(Trouble::Unreadable(words)) if words.contains("foreign key mismatch") => Ok(false),
        Err(other) => Err(other),
        Ok(()) => {
            found.append(&mut rows);
            Ok(true)
        }
    }
}

async fn undeclared(
    reader: &mut Reader,
    reference: Reference,
    schema: &Schema,
    found: &mut BTreeMap<String, Rows>,
) -> Result<(), Trouble> {
    let Reference { table, column, parent } = reference;
    if !schema.has(table, &[column]) || !schema.has(parent, &["id"]) {
        return Ok(());
    }
    let mut rows = Rows::default();
    let query = format!(
        "SELECT +rowid FROM \"{table}\" NOT INDEXED WHERE \"{column}\" IS NOT NULL \
         AND \"{column}\" NOT IN (SELECT id FROM \"{parent}\" WHERE id IS NOT NULL)"
    );
    reader
        .each(query, |row| {
            if let Cell::Integer(rowid) = cell(row, 0) {
                rows.add(|| format!("row {rowid}"));
            }
            Ok(())
        })
        .await?;
    if rows.count > 0 {
        found.insert(format!("{table}.{column}"), rows);
    }
    Ok(())
}

fn literal(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
