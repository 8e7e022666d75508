//! Rows that go for good from a bank's database on a server, a few at a time. Each few are one transaction, which the
//! server undoes where somebody changed one of them meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::memories::{array, id};
use super::session::{Session, quoted};
use crate::bank::net::postgres::heard;
use crate::bank::net::secret::Held;
use crate::bank::net::vacuum::vacuum;
use crate::bank::sqlite::{Deleted, DeletedPage};
use crate::bank::{Meter, Secrets};
use crate::domain::{Digest, PointId, PostgresEndpoint};
use crate::engine::integrity::sqlite::schema::SchemaKind;

/// How many rows of a log go in one transaction.
const AT_ONCE: u32 = 5_000;
/// How a time stands in a statement.
const TIME: &str = "%Y-%m-%d %H:%M:%S%.6f";
/// The rights over memories are not of them: who may read which.
const CONTROLS: (&str, &str) = ("access_controls", "object_id");
const MEMORIES: &str = "memories";
const LOG: &str = "memory_access_logs";
/// Begins a few. Rows that the user may not see are an error, and nothing is called by a name that somebody else may have given.
const BEGIN: [&str; 4] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE",
    "SET LOCAL row_security = off",
    "SET LOCAL search_path = pg_catalog",
    "SET LOCAL lock_timeout = '10s'",
];
/// The columns of a schema, and what the user may do with their tables.
const KNOWN: &str = "SELECT c.relname::text, a.attname::text, t.typname::text, \
      pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.has_table_privilege(c.oid, 'DELETE'), \
      pg_catalog.row_security_active(c.oid) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 1, a.attnum LIMIT 10000";

/// A bank's own database on a server, of which rows go. Errors are words for people.
#[derive(Clone)]
pub struct PurgedServer {
    url: String,
    schema: String,
}

/// Without the url, which has a password.
impl fmt::Debug for PurgedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurgedServer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// One table of the schema.
#[derive(Debug, Default)]
struct Table {
    /// The types of its columns by their names.
    columns: BTreeMap<String, String>,
    read: bool,
    delete: bool,
    /// A policy may hide rows of it.
    veiled: bool,
}

type Tables = BTreeMap<String, Table>;

impl PurgedServer {
    /// The database of a bank; nothing is called yet.
    pub async fn of(endpoint: &PostgresEndpoint, (namespace, secrets): (&str, &impl Secrets)) -> Result<Self, String> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        Ok(Self { url, schema: endpoint.schema.clone() })
    }

    /// Makes it an error that rows cannot be removed, which names what is missing.
    pub async fn may_purge(&self) -> Result<(), String> {
        let mut session = Session::open(&self.url, &self.schema).await?;
        let tables = known(&mut session).await?;
        let rows = session.ask("SELECT pg_catalog.quote_ident(current_user)").await?;
        let role: String = rows
            .first()
            .ok_or(sqlx::Error::RowNotFound)
            .and_then(|row| row.try_get(0))
            .map_err(|e| session.told(&e))?;
        session.close().await;
        let kind = |table: &str, column: &str| tables.get(table)?.columns.get(column).map(String::as_str);
        match (kind(MEMORIES, "id"), kind(MEMORIES, "content"), kind(MEMORIES, "state"), kind("users", "user_id")) {
            (Some("uuid"), Some(_), Some(_), Some(_)) => {}
            (Some(other), Some(_), Some(_), Some(_)) => {
                return Err(format!("memories.id is of type {other} and not uuid"));
            }
            _ => return Err("a table or column of the memories is missing".to_owned()),
        }
        for (table, column) in [(MEMORIES, "deleted_at"), (LOG, "accessed_at")] {
            if !matches!(kind(table, column), Some("timestamp" | "timestamptz")) {
                return Err(format!("{table}.{column} is no time"));
            }
        }
        let of_memories = referring(&tables).into_iter().map(|(table, _)| table).chain([MEMORIES]);
        let lacking = |name: &&str| tables.get(*name).is_none_or(|table| !table.read || !table.delete);
        let mut lacking: Vec<&str> = of_memories.filter(lacking).collect();
        if tables.get("users").is_none_or(|table| !table.read) {
            lacking.push("users");
        }
        if !lacking.is_empty() {
            let names = lacking.join(", ");
            return Err(format!("the role {role} may not remove memories: GRANT SELECT, DELETE ON {names} TO {role}"));
        }
        let looked_in = |hidden: fn(&Table) -> bool| {
            let holding = |table: &Table| table.columns.values().any(|kind| holds(kind).is_some());
            let all = tables.iter().filter(|(_, table)| hidden(table) && holding(table));
            all.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let unproven = "whether anything of them is left in";
        let (closed, veiled) = (looked_in(|table| !table.read), looked_in(|table| table.veiled));
        if !closed.is_empty() {
            return Err(format!("{unproven} {closed} could not be proven: GRANT SELECT ON {closed} TO {role}"));
        }
        if !veiled.is_empty() {
            return Err(format!(
                "{unproven} {veiled} could not be proven, of which a policy may hide rows from {role} (row level security): \
                 ALTER ROLE {role} BYPASSRLS"
            ));
        }
        Ok(())
    }

    /// Memories that were deleted before a moment, in the order of their ids after one, at most `most`; with those that have no
    /// time where `undated`.
    pub async fn deleted(
        &self,
        before: Timestamp,
        undated: bool,
        after: &str,
        most: u32,
    ) -> Result<DeletedPage, String> {
        let mut session = self.begin().await?;
        let old = older(&mut session, MEMORIES, "deleted_at", before).await?;
        let schema = quoted(&self.schema);
        let further = if after.is_empty() { String::new() } else { format!("m.id > '{after}' AND ") };
        let old = if undated { format!("(m.deleted_at IS NULL OR {old})") } else { old };
        let sql = format!(
            "SELECT m.id FROM {schema}.memories m WHERE {further}m.state::text = 'deleted' AND {old} \
             ORDER BY m.id LIMIT {most}"
        );
        let mut ids = Vec::new();
        session.each(&sql, |row| id(row).map(|id| ids.push(id))).await?;
        session.close().await;
        let last = ids.last().map(|last| PointId::Uuid(*last).to_string());
        Ok(DeletedPage { ids, last })
    }

    /// Those of some memories that are in the database.
    pub async fn there(&self, ids: &[u128]) -> Result<Vec<u128>, String> {
        let mut session = self.begin().await?;
        let sql = format!("SELECT m.id FROM {}.memories m WHERE m.id = ANY ({})", quoted(&self.schema), array(ids));
        let mut found = Vec::new();
        session.each(&sql, |row| id(row).map(|id| found.push(id))).await?;
        session.close().await;
        Ok(found)
    }

    /// Those of some memories that are still deleted since before a moment, with their texts.
    pub async fn still(&self, ids: &[u128], before: Timestamp) -> Result<Vec<Deleted>, String> {
        let mut session = self.begin().await?;
        let old = older(&mut session, MEMORIES, "deleted_at", before).await?;
        let schema = quoted(&self.schema);
        let sql = format!(
            "SELECT m.id, m.content::text, u.user_id::text FROM {schema}.memories m \
             LEFT JOIN {schema}.users u ON u.id = m.user_id \
             WHERE m.state::text = 'deleted' AND {old} AND m.id = ANY ({})",
            array(ids)
        );
        let mut found = Vec::new();
        let take = |row: &PgRow| {
            let text: Option<String> = row.try_get(1)?;
            found.push(Deleted { id: id(row)?, text: text.unwrap_or_default(), user: row.try_get(2)? });
            Ok(())
        };
        session.each(&sql, take).await?;
        session.close().await;
        Ok(found)
    }

    /// Removes memories that are still deleted, with all that belongs to them, in one transaction. How many.
    pub async fn memories(&self, ids: &[u128]) -> Result<u64, String> {
        let mut session = self.begin().await?;
        let tables = known(&mut session).await?;
        let schema = quoted(&self.schema);
        let chosen = format!(
            "SELECT m.id FROM {schema}.memories m WHERE m.state::text = 'deleted' AND m.id = ANY ({})",
            array(ids)
        );
        for (table, column) in referring(&tables) {
            let sql = format!("DELETE FROM {schema}.{} WHERE {} IN ({chosen})", quoted(table), quoted(column));
            self.change(&mut session, &sql).await?;
        }
        let sql = format!("DELETE FROM {schema}.memories WHERE id IN ({chosen})");
        let removed = self.change(&mut session, &sql).await?;
        self.change(&mut session, "COMMIT").await?;
        session.close().await;
        Ok(removed)
    }

    /// Those of some texts that a memory which is not deleted has too.
    pub async fn alive(&self, texts: &[String]) -> Result<Vec<String>, String> {
        let mut session = self.begin().await?;
        let sql = format!(
            "SELECT DISTINCT m.content::text FROM {}.memories m JOIN unnest($1::text[]) g (said) \
             ON g.said = m.content::text WHERE m.state::text <> 'deleted'",
            quoted(&self.schema)
        );
        let rows = with_texts(&mut session, &sql, texts).await?;
        session.close().await;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// Removes some accesses from before a moment; 0 once there are none.
    pub async fn accesses(&self, before: Timestamp) -> Result<u64, String> {
        let mut session = self.begin().await?;
        let old = older(&mut session, LOG, "accessed_at", before).await?;
        let log = format!("{}.{LOG}", quoted(&self.schema));
        let sql = format!(
            "DELETE FROM {log} WHERE id IN (SELECT m.id FROM {log} m WHERE {old} ORDER BY m.id LIMIT {AT_ONCE})"
        );
        let removed = self.change(&mut session, &sql).await?;
        self.change(&mut session, "COMMIT").await?;
        session.close().await;
        Ok(removed)
    }

    /// What is left of memories that are gone, for people; none where no row of any table has one of their ids in a column of
    /// ids, or is one of their texts, which are known by their SHA-256. A text that another memory has too is that one's.
    pub async fn left(&self, ids: &[u128], texts: &BTreeSet<Digest>) -> Result<Option<String>, String> {
        let mut session = self.begin().await?;
        let tables = known(&mut session).await?;
        let ids: Vec<String> = ids.iter().map(|id| PointId::Uuid(*id).to_string()).collect();
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        for (name, table) in &tables {
            for (column, kind) in &table.columns {
                let column = quoted(column);
                let (given, same) = match holds(kind) {
                    Some(Holds::Ids) => (&ids, format!("g.one::uuid = t.{column}")),
                    Some(Holds::Texts) if name != MEMORIES => {
                        (&texts, format!("g.one = encode(sha256(convert_to(t.{column}::text, 'UTF8')), 'hex')"))
                    }
                    _ => continue,
                };
                if given.is_empty() {
                    continue;
                }
                let sql = format!(
                    "SELECT count(*)::int8 FROM {}.{} t JOIN unnest($1::text[]) g (one) ON {same}",
                    quoted(&self.schema),
                    quoted(name)
                );
                let rows = with_texts(&mut session, &sql, given).await?;
                let count: i64 = rows
                    .first()
                    .ok_or(sqlx::Error::RowNotFound)
                    .and_then(|row| row.try_get(0))
                    .map_err(|error| session.told(&error))?;
                if count > 0 {
                    return Ok(Some(format!("{count} rows of them are left in {name}, column {column}")));
                }
            }
        }
        session.close().await;
        Ok(None)
    }

    /// Has the server free what is left of removed memories, until that is to stop. The error says, for people, why it did not.
    pub async fn vacuum(&self, meter: &Meter) -> Result<(), String> {
        let opening = async {
            let mut session = Session::open(&self.url, &self.schema).await?;
            let tables = known(&mut session).await?;
            Ok((session, referring(&tables).into_iter().map(|(table, _)| table).chain([MEMORIES]).collect()))
        };
        self.free(opening, meter).await
    }

    /// The same of removed accesses.
    pub async fn vacuum_accesses(&self, meter: &Meter) -> Result<(), String> {
        let opening = async { Ok((Session::open(&self.url, &self.schema).await?, vec![LOG])) };
        self.free(opening, meter).await
    }

    async fn free(
        &self,
        opening: impl Future<Output = Result<(Session, Vec<&'static str>), String>>,
        meter: &Meter,
    ) -> Result<(), String> {
        let opened = meter.unless_cancelled(opening).await.map_err(|cancelled| cancelled.to_string())?;
        let (mut session, tables) = opened?;
        let tables = tables.into_iter().map(|table| format!("{}.{}", quoted(&self.schema), quoted(table)));
        let (tables, place) = (tables.collect::<Vec<_>>(), session.place.clone());
        let done = vacuum(&mut session.connection, (&self.url, &place), &tables, meter).await;
        session.close().await;
        done
    }

    async fn begin(&self) -> Result<Session, String> {
        let mut session = Session::open(&self.url, &self.schema).await?;
        for statement in BEGIN {
            session.ask(statement).await?;
        }
        Ok(session)
    }

    async fn change(&self, session: &mut Session, sql: &str) -> Result<u64, String> {
        let statement = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        let done = heard(Session::SILENCE, statement.execute(&mut session.connection)).await;
        done.map(|done| done.rows_affected()).map_err(|error| {
            let answer = error.as_database_error();
            match answer.and_then(DatabaseError::code).as_deref() {
                Some("40001" | "40P01") => {
                    "somebody changed one of the rows meanwhile; the next run goes on".to_owned()
                }
                Some("55P03") => "somebody keeps rows locked for more than 10 s; the next run goes on".to_owned(),
                Some("23503") => {
                    let table = answer.and_then(|answer| answer.table()).unwrap_or("another table").to_owned();
                    format!("rows of {table} refer to deleted memories: remove these first")
                }
                _ => session.told(&error),
            }
        })
    }
}

/// What a column may have of a memory.
enum Holds {
    Ids,
    Texts,
}

/// What a column of a type may have of a memory.
fn holds(kind: &str) -> Option<Holds> {
    match kind {
        "uuid" => Some(Holds::Ids),
        "text" | "varchar" | "bpchar" => Some(Holds::Texts),
        _ => None,
    }
}

/// The rows of a question about texts or ids, `$1`.
async fn with_texts(session: &mut Session, sql: &str, texts: &[String]) -> Result<Vec<PgRow>, String> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).bind(texts);
    let rows = heard(Session::SILENCE, query.fetch_all(&mut session.connection)).await;
    rows.map_err(|error| session.told(&error))
}

async fn known(session: &mut Session) -> Result<Tables, String> {
    let mut tables = Tables::new();
    let take = |row: &PgRow| {
        let table: &mut Table = tables.entry(row.try_get(0)?).or_default();
        table.columns.insert(row.try_get(1)?, row.try_get(2)?);
        (table.read, table.delete, table.veiled) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        Ok(())
    };
    session.each(KNOWN, take).await?;
    Ok(tables)
}

/// The tables with what belongs to a memory, each with the column of its id.
fn referring(tables: &Tables) -> Vec<(&'static str, &'static str)> {
    let references = SchemaKind::OpenMemory.references().iter().filter(|reference| reference.parent == MEMORIES);
    let all = references.map(|reference| (reference.table, reference.column)).chain([CONTROLS]);
    let there = |(table, column): &(&str, &str)| tables.get(*table).is_some_and(|t| t.columns.contains_key(*column));
    all.filter(there).collect()
}

/// That a time of the row `m` lies before a moment, whether or not the column has a zone.
async fn older(session: &mut Session, table: &str, column: &str, before: Timestamp) -> Result<String, String> {
    let tables = known(session).await?;
    let zoned = tables.get(table).and_then(|table| table.columns.get(column)).is_some_and(|kind| kind == "timestamptz");
    let zone = if zoned { " AT TIME ZONE 'UTC'" } else { "" };
    Ok(format!("isfinite(m.{column}) AND m.{column}{zone} < timestamp '{}'", before.strftime(TIME)))
}
