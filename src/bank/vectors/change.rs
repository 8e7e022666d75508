//! Points that are changed, made or removed one by one, each only while it is what it was seen to be, as far as the store
//! can tell: Qdrant cannot, a table compares in the statement that writes.

use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::pgvector::{Session, Table, map, odd, point, quoted, uuids};
use super::{PgvectorError, Reading, VectorError, VectorSource};
use crate::bank::net::postgres::heard;
use crate::bank::qdrant::{NewPoint, Wanted};
use crate::domain::{Point, PointId};
use crate::engine::integrity::sqlite::uuid;

/// A point as it was seen before it is changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: PointId,
    /// All that is beside its vector.
    pub payload: Map<String, Value>,
    /// Of a row the transaction that wrote it; empty in Qdrant.
    version: String,
}

/// What is written of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its id.
    pub id: PointId,
    /// What it was; none for one that is made, where there is none.
    pub seen: Option<Seen>,
    /// What comes beside its vector, in place of what is there under the same keys.
    pub keys: Map<String, Value>,
    /// Its dense vector; none where that stays.
    pub vector: Option<Vec<f32>>,
}

impl Change {
    /// All that will be beside the vector.
    pub fn payload(&self) -> Map<String, Value> {
        let mut payload = self.seen.as_ref().map(|seen| seen.payload.clone()).unwrap_or_default();
        payload.extend(self.keys.clone());
        payload
    }
}

impl VectorSource {
    /// Those of some points that are there, as they are now.
    pub async fn seen(&self, ids: &[PointId]) -> Result<Vec<Seen>, VectorError> {
        Ok(match self {
            Self::Qdrant { client, collection } => {
                let found = client.payloads(collection, ids).await?;
                found.into_iter().map(|(id, payload)| Seen { id, payload, version: String::new() }).collect()
            }
            Self::Pgvector(table) => table.0.seen(ids).await?,
        })
    }

    /// Those of some points that are there, with their payloads and, where `vector` names one, their dense vectors.
    pub async fn points(&self, ids: &[PointId], vector: Option<&str>) -> Result<Vec<Point>, VectorError> {
        Ok(match self {
            Self::Qdrant { client, collection } => {
                let wanted = Wanted { payload: true, vector: vector.map(str::to_owned) };
                client.points(collection, ids, &wanted).await?
            }
            Self::Pgvector(table) => table.0.points(ids, vector.is_some()).await?,
        })
    }

    /// Writes points; those that were written, without such as changed since they were seen. `name` is that of the dense
    /// vector, empty for the one without.
    pub async fn change(&self, name: &str, changes: &[Change]) -> Result<Vec<PointId>, VectorError> {
        match self {
            Self::Qdrant { client, collection } => {
                let whole = |change: &Change| {
                    let vector = change.vector.clone()?;
                    Some(NewPoint { id: change.id, payload: change.payload(), vector })
                };
                let points: Vec<NewPoint> = changes.iter().filter_map(whole).collect();
                let keys = changes.iter().filter(|change| change.vector.is_none());
                let keys: Vec<_> = keys.map(|change| (change.id, change.keys.clone())).collect();
                if !points.is_empty() {
                    client.upsert(collection, name, &points).await?;
                }
                if !keys.is_empty() {
                    client.set_payload(collection, &keys).await?;
                }
                Ok(changes.iter().map(|change| change.id).collect())
            }
            Self::Pgvector(table) => Ok(table.0.change(changes).await?),
        }
    }

    /// Removes points; those that were removed, without such as changed since they were seen.
    pub async fn take_away(&self, points: &[Seen]) -> Result<Vec<PointId>, VectorError> {
        let ids: Vec<PointId> = points.iter().map(|point| point.id).collect();
        match self {
            Self::Qdrant { client, collection } => {
                client.delete_points(collection, &ids).await?;
                Ok(ids)
            }
            Self::Pgvector(table) => Ok(table.0.take_away(points).await?),
        }
    }
}

impl Table {
    async fn seen(&self, ids: &[PointId]) -> Result<Vec<Seen>, PgvectorError> {
        let sql = format!("SELECT id, payload::text, xmin::text FROM {} WHERE {SOME}", quoted(self.name()));
        let mut session = Session::begin(self.url()).await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(uuids(ids));
        let rows = heard(Session::SILENCE, query.fetch_all(&mut session.connection)).await;
        let rows = rows.map_err(|error| session.failed(&error))?;
        let seen = |row: &PgRow| -> Result<Seen, sqlx::Error> {
            let payload = map(row.try_get::<Option<&str>, _>(1)?).map_err(odd)?;
            Ok(Seen { id: point(row, Reading::IDS)?.id, payload, version: row.try_get(2)? })
        };
        let seen: Result<Vec<Seen>, _> = rows.iter().map(seen).collect();
        let seen = seen.map_err(|error| session.failed(&error))?;
        session.end().await;
        Ok(seen)
    }

    async fn points(&self, ids: &[PointId], vector: bool) -> Result<Vec<Point>, PgvectorError> {
        let columns = if vector { "id, payload::text, vector" } else { "id, payload::text" };
        let sql = format!("SELECT {columns} FROM {} WHERE {SOME}", quoted(self.name()));
        let mut session = Session::begin(self.url()).await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(uuids(ids));
        let rows = heard(Session::SILENCE, query.fetch_all(&mut session.connection)).await;
        let rows = rows.map_err(|error| session.failed(&error))?;
        let reading = Reading { payload: true, vector, from: None };
        let points: Result<Vec<Point>, _> = rows.iter().map(|row| point(row, reading)).collect();
        let points = points.map_err(|error| session.failed(&error))?;
        session.end().await;
        Ok(points)
    }

    async fn change(&self, changes: &[Change]) -> Result<Vec<PointId>, PgvectorError> {
        let table = quoted(self.name());
        // Of a row that was written since, the transaction is another: it is left alone, also where it was waited for.
        let changed = format!(
            "UPDATE {table} v SET payload = v.payload::jsonb || n.keys::jsonb, \
             vector = coalesce(n.vector::vector, v.vector) FROM {NEW} \
             WHERE v.id = n.id::uuid AND v.xmin::text = n.version RETURNING v.id::text"
        );
        let made = format!(
            "INSERT INTO {table} (id, vector, payload) SELECT n.id::uuid, n.vector::vector, n.keys::jsonb FROM {NEW} \
             WHERE n.version IS NULL AND NOT EXISTS (SELECT FROM {table} v WHERE v.id = n.id::uuid) \
             ON CONFLICT DO NOTHING RETURNING id::text"
        );
        let versions: Vec<Option<String>> =
            changes.iter().map(|change| change.seen.as_ref().map(|seen| seen.version.clone())).collect();
        let keys: Vec<String> = changes.iter().map(|change| Value::Object(change.keys.clone()).to_string()).collect();
        let vectors: Vec<Option<String>> =
            changes.iter().map(|change| change.vector.as_ref().map(|vector| format!("{vector:?}"))).collect();
        let ids: Vec<PointId> = changes.iter().map(|change| change.id).collect();
        let mut session = Session::write(self.url()).await?;
        let mut written = Vec::new();
        for sql in [changed, made] {
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(all(&ids));
            let query = query.bind(&versions).bind(&keys).bind(&vectors);
            let done: Result<Vec<String>, _> = heard(Session::SILENCE, query.fetch_all(&mut session.connection)).await;
            written.extend(done.map_err(|error| session.failed(&error))?);
        }
        session.run("COMMIT".to_owned()).await?;
        session.end().await;
        Ok(parsed(&written))
    }

    async fn take_away(&self, points: &[Seen]) -> Result<Vec<PointId>, PgvectorError> {
        let sql = format!(
            "DELETE FROM {} v USING unnest($1::text[], $2::text[]) AS n (id, version) \
             WHERE v.id = n.id::uuid AND v.xmin::text = n.version RETURNING v.id::text",
            quoted(self.name())
        );
        let ids: Vec<PointId> = points.iter().map(|point| point.id).collect();
        let versions: Vec<&str> = points.iter().map(|point| point.version.as_str()).collect();
        let mut session = Session::write(self.url()).await?;
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(all(&ids)).bind(&versions);
        let done: Result<Vec<String>, _> = heard(Session::SILENCE, query.fetch_all(&mut session.connection)).await;
        let removed = done.map_err(|error| session.failed(&error))?;
        session.run("COMMIT".to_owned()).await?;
        session.end().await;
        Ok(parsed(&removed))
    }
}

const SOME: &str = "id = ANY($1::text[]::uuid[])";
/// Points beside the table in one statement.
const NEW: &str = "unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n (id, version, keys, vector)";

/// Each id as text; a table has no other ids than UUIDs, nor has what was seen in one.
fn all(ids: &[PointId]) -> Vec<String> {
    ids.iter().map(PointId::to_string).collect()
}

fn parsed(ids: &[String]) -> Vec<PointId> {
    ids.iter().filter_map(|id| uuid::any(id.as_bytes())).map(PointId::Uuid).collect()
}
