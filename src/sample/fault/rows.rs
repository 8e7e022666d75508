//! Damage through SQL: the file stays well-formed.
#![allow(clippy::unnecessary_wraps, reason = "one type for all kinds")]

use super::base::Base;
use super::kind::Change;
use crate::sample::random::Random;

/// A row of a table, by chance, as a condition.
fn row(table: &str, random: &mut Random) -> String {
    format!(
        "rowid = (SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {} % (SELECT count(*) FROM {table}))",
        random.below(10_000)
    )
}

/// An active memory, by chance, as a condition.
fn active(random: &mut Random) -> String {
    format!(
        "rowid = (SELECT rowid FROM memories WHERE state = 'active' ORDER BY rowid LIMIT 1 OFFSET {} % (SELECT count(*) FROM memories WHERE state = 'active'))",
        random.below(10_000)
    )
}

fn sql(text: String) -> Option<Change> {
    Some(Change::Sql(text))
}

pub fn memory_vanished(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!("DELETE FROM memories WHERE {}", active(random)))
}

/// A row that no other row refers to.
pub fn row_vanished(_: &Base, random: &mut Random) -> Option<Change> {
    let table = random.pick(&["memory_access_logs", "memory_categories", "memory_status_history"]);
    sql(format!("DELETE FROM {table} WHERE {}", row(table, random)))
}

pub fn row_added(_: &Base, random: &mut Random) -> Option<Change> {
    let id = random.uuid().simple();
    sql(format!(
        "INSERT INTO memories SELECT '{id}', user_id, app_id, content || ' indeed', vector, metadata, state, created_at, updated_at, archived_at, deleted_at FROM memories WHERE {}",
        active(random)
    ))
}

pub fn number_changed(_: &Base, _: &mut Random) -> Option<Change> {
    sql("UPDATE archive_policies SET days_to_archive = days_to_archive + 16".to_owned())
}

pub fn text_changed(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!("UPDATE memories SET content = replace(content, ' ', '  ') WHERE {}", active(random)))
}

pub fn orphan(_: &Base, random: &mut Random) -> Option<Change> {
    let id = random.uuid().simple();
    let (table, column) = random.pick(&[
        ("memories", "app_id"),
        ("memory_access_logs", "memory_id"),
        ("memory_categories", "category_id"),
        ("memory_status_history", "changed_by"),
    ]);
    sql(format!("UPDATE {table} SET {column} = '{id}' WHERE {}", row(table, random)))
}

pub fn invalid_utf8(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!("UPDATE memories SET content = CAST(content || x'C328' AS TEXT) WHERE {}", active(random)))
}

pub fn nul_in_text(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!("UPDATE memories SET content = content || char(0) || 'x' WHERE {}", active(random)))
}

pub fn bad_state(_: &Base, random: &mut Random) -> Option<Change> {
    let state = random.pick(&["activ", "ACTIVE", "removed", ""]);
    sql(format!("UPDATE memories SET state = '{state}' WHERE {}", active(random)))
}

pub fn bad_json(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!(
        "UPDATE memories SET metadata = substr(metadata, 1, {}) WHERE {}",
        2 + random.below(20),
        active(random)
    ))
}

pub fn bad_date(_: &Base, random: &mut Random) -> Option<Change> {
    let date = random.pick(&["2025-13-01 00:00:00.000000", "yesterday", "2025-02-30 12:00:00.000000", "1751353200"]);
    sql(format!("UPDATE memories SET created_at = '{date}' WHERE {}", active(random)))
}

pub fn numeric_uuid(_: &Base, random: &mut Random) -> Option<Change> {
    let table = random.pick(&["memories", "memory_access_logs", "memory_status_history"]);
    sql(format!("UPDATE {table} SET id = '{:032}' WHERE {}", random.below_u64(u64::MAX), row(table, random)))
}

pub fn time_missing(_: &Base, random: &mut Random) -> Option<Change> {
    let state = random.pick(&["archived", "deleted"]);
    sql(format!(
        "UPDATE memories SET {state}_at = NULL WHERE rowid = (SELECT min(rowid) FROM memories WHERE state = '{state}')"
    ))
}

pub fn full_text_entry_lost(_: &Base, random: &mut Random) -> Option<Change> {
    sql(format!("DELETE FROM memory_search_content WHERE {}", row("memory_search_content", random)))
}
