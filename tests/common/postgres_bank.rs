//! The tables of a bank on a PostgreSQL server, as OpenMemory and mem0 make them, with memories in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use memorybank::domain::PointId;
use memorybank::engine::integrity::sqlite::schema::{ColumnKind, SchemaKind};
use serde_json::{Value, json};

use crate::postgres::Postgres;

pub const SIZE: usize = 8;
/// The table of the points.
pub const NAME: &str = "openmemory";

/// The id of a memory; the server calls it `md5('memory' || N)::uuid`.
pub fn id(number: u32) -> PointId {
    PointId::Uuid(u128::from_be_bytes(Md5::digest(format!("memory{number}")).into()))
}

pub fn text(number: u32) -> String {
    format!("likes tea, cup {number}")
}

pub fn payload(number: u32) -> Value {
    let text = text(number);
    let hash = format!("{:032x}", u128::from_be_bytes(Md5::digest(&text).into()));
    json!({"data": text, "hash": hash, "user_id": "ada", "created_at": "2025-10-01T00:00:00+00:00"})
}

#[allow(clippy::cast_precision_loss)] // Small numbers.
pub fn vector(number: u32) -> Vec<f32> {
    let raw: Vec<f32> = (0..SIZE).map(|at| ((number as usize * 7 + at * 13) % 17 + 1) as f32).collect();
    let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
    raw.into_iter().map(|number| number / length).collect()
}

/// Statements that make OpenMemory's tables as its application makes them on PostgreSQL, without their references.
pub fn schema() -> String {
    let mut sql = "CREATE TYPE memorystate AS ENUM ('active', 'paused', 'archived', 'deleted');\n".to_owned();
    for table in SchemaKind::OpenMemory.tables() {
        let columns = table.columns.iter().map(|column| {
            let kind = match column.kind {
                ColumnKind::Uuid | ColumnKind::AnyUuid => "uuid",
                ColumnKind::Json => "json",
                ColumnKind::Date => "timestamp",
                ColumnKind::State => "memorystate",
                ColumnKind::Boolean => "boolean",
                ColumnKind::Integer => "integer",
                ColumnKind::Text | ColumnKind::Event | ColumnKind::Any => "text",
            };
            let key = if column.name == "id" { " PRIMARY KEY" } else { "" };
            format!("{} {kind}{key}", column.name)
        });
        writeln!(sql, "CREATE TABLE {} ({});", table.name, columns.collect::<Vec<_>>().join(", ")).unwrap();
    }
    sql
}

/// OpenMemory's tables with so many active memories of one user, all of them old.
pub fn tables(server: &Postgres, database: &str, memories: u32) {
    let mut sql = schema();
    write!(
        sql,
        "CREATE INDEX idx_memory_user_state ON memories (user_id, state);
         INSERT INTO users VALUES (md5('ada')::uuid, 'ada', 'Ada', NULL, '{{}}', '2025-09-01', '2025-09-01');
         INSERT INTO apps VALUES (md5('app')::uuid, md5('ada')::uuid, 'openmemory', NULL, '{{}}', true, now(), now());
         INSERT INTO memories (id, user_id, app_id, content, metadata, state, created_at, updated_at)
           SELECT md5('memory' || n)::uuid, md5('ada')::uuid, md5('app')::uuid, 'likes tea, cup ' || n, '{{}}', 'active',
             '2025-10-01', '2025-10-01' FROM generate_series(1, {memories}) n;
         ANALYZE;"
    )
    .unwrap();
    server.psql(database, &sql);
}

/// mem0's table with the points of so many memories.
pub fn points(server: &Postgres, database: &str, memories: u32) {
    server.psql(
        database,
        &format!(
            "CREATE EXTENSION vector; CREATE TABLE {NAME} (id uuid PRIMARY KEY, vector vector({SIZE}), payload jsonb)"
        ),
    );
    for chunk in (1..=memories).collect::<Vec<_>>().chunks(200) {
        let rows = chunk.iter().map(|number| row(id(*number), &payload(*number), &vector(*number)));
        server.psql(database, &format!("INSERT INTO {NAME} VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    server.psql(database, &format!("CREATE INDEX {NAME}_hnsw_idx ON {NAME} USING hnsw (vector vector_cosine_ops)"));
}

/// A point as it stands in an INSERT.
pub fn row(id: PointId, payload: &Value, vector: &[f32]) -> String {
    format!("('{id}', '{}', '{payload}')", format!("{vector:?}").replace(' ', ""))
}
