//! The rows that break an invariant, found by the server itself: nothing but their ids comes here.

use sqlx::Row as _;

use super::session::{Session, quoted};
use crate::engine::integrity::postgres::{Answer, Question, RowFault, TableFacts};
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::tally::EXAMPLES;

/// Asks whatever the tables that are there allow.
pub(super) async fn look(session: &mut Session, tables: &[TableFacts]) -> Vec<RowFault> {
    let has = |table: &str, columns: &[&str]| {
        let known = tables.iter().find(|known| known.name == table);
        known.is_some_and(|known| columns.iter().all(|column| known.columns.iter().any(|name| name == column)))
    };
    let schema = quoted(&session.schema);
    let mut asked = Vec::new();
    for reference in SchemaKind::OpenMemory.references() {
        let (table, column, parent) = (reference.table, reference.column, reference.parent);
        if !has(table, &[column]) || !has(parent, &["id"]) {
            continue;
        }
        // A link between two tables has no id of its own.
        let id = if has(table, &["id"]) { "id" } else { column };
        let from = format!(
            "{schema}.{table} c WHERE c.{column} IS NOT NULL \
             AND NOT EXISTS (SELECT FROM {schema}.{parent} p WHERE p.id = c.{column})"
        );
        asked.push((Question::Orphans, format!("{table}.{column}"), format!("SELECT c.{id}::text AS id FROM {from}")));
    }
    let memories = |question, column: &str, condition: &str| {
        let text = format!("SELECT m.id::text AS id FROM {schema}.memories m WHERE {condition}");
        (question, format!("memories.{column}"), text)
    };
    if has("memories", &["id", "state", "deleted_at", "archived_at"]) {
        let without = |state: &str, column: &str| format!("m.state::text = '{state}' AND m.{column} IS NULL");
        let (deleted, archived) = (without("deleted", "deleted_at"), without("archived", "archived_at"));
        asked.push(memories(Question::DeletedWithoutTime, "deleted_at", &deleted));
        asked.push(memories(Question::ArchivedWithoutTime, "archived_at", &archived));
    }
    if has("memories", &["id", "state"]) && has("memory_status_history", &["memory_id", "new_state", "changed_at"]) {
        // The end of a history is every change of its latest time: two of one transaction may have the same. A memory
        // without any was made by an import.
        let history = format!("{schema}.memory_status_history h WHERE h.memory_id = m.id");
        let ends = format!(
            "EXISTS (SELECT FROM {history}) AND NOT EXISTS (SELECT FROM {history} AND h.new_state::text = m.state::text \
             AND h.changed_at = (SELECT max(l.changed_at) FROM {schema}.memory_status_history l \
             WHERE l.memory_id = m.id))"
        );
        asked.push(memories(Question::BrokenChain, "state", &ends));
    }
    if has("memories", &["id", "user_id", "content", "state"]) {
        let repeated = format!(
            "SELECT id::text FROM (SELECT m.id, row_number() OVER \
             (PARTITION BY m.user_id, md5(m.content) ORDER BY m.id) AS nth \
             FROM {schema}.memories m WHERE m.state::text <> 'deleted') r WHERE nth > 1"
        );
        asked.push((Question::Repeated, "memories.content".to_owned(), repeated));
    }
    // Rows that a policy hides are not taken for such that are gone.
    let all = session.see_all().await;
    let mut faults = Vec::with_capacity(asked.len());
    for (question, object, text) in asked {
        let found = match &all {
            Ok(()) => ask(session, &text).await,
            Err(why) => Err(why.clone()),
        };
        faults.push(RowFault { question, object, found });
    }
    faults
}

/// How many rows a question has, and the first of their ids.
async fn ask(session: &mut Session, question: &str) -> Answer<(u64, Vec<String>)> {
    let counted = format!(
        "WITH f AS MATERIALIZED ({question}) \
         SELECT count(*)::int8, ARRAY(SELECT id FROM f ORDER BY id LIMIT {EXAMPLES}) FROM f"
    );
    let rows = session.ask(&counted).await?;
    let get = || -> Result<(i64, Vec<String>), sqlx::Error> {
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (count, ids) = get().map_err(|error| session.told(&error))?;
    Ok((u64::try_from(count).unwrap_or_default(), ids))
}
