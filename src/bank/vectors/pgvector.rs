//! A table as mem0 makes it with pgvector: `id uuid` as its key, `vector vector(N)`, `payload jsonb`.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::postgres::{PgConnection, PgRow, PgValueFormat};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::Reading;
use super::error::PgvectorError;
use crate::bank::net::postgres::{connect, failed, heard};
use crate::bank::net::secret::Held;
use crate::bank::net::vacuum::vacuum;
use crate::bank::{Meter, Secrets};
use crate::domain::{Payload, PgvectorEndpoint, Point, PointId};
use crate::engine::integrity::sqlite::uuid;
use crate::engine::integrity::vectors::{Collection, Colour, Dense, Distance, payload};

/// The longest that one statement may take.
const STATEMENT: &str = "120s";
/// How long the server is waited for where it is not heard of, and for its farewell.
const SILENCE: Duration = Duration::from_secs(150);
const FAREWELL: Duration = Duration::from_secs(2);
/// About how many bytes a page has, what a payload takes about, and the most rows of a page.
const PAGE: usize = 4 << 20;
const PAYLOAD: usize = 1_024;
const MOST: usize = 10_000;

const VISIBLE: &str = "SELECT c.oid::int8 FROM pg_catalog.pg_class c \
    WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_catalog.pg_table_is_visible(c.oid)";
const COLUMNS: &str = "SELECT a.attname::text, t.typname::text, a.atttypmod FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid::int8 = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ('id', 'vector', 'payload')";
const TABLES: &str = "SELECT c.relname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' LIMIT 1000";

/// A table, and the database that has it.
#[derive(Clone)]
pub(super) struct Table {
    url: String,
    name: String,
}

/// Without the url, which has a password.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The rows of a table in the order of their ids, as they are at one moment.
#[derive(Debug)]
pub(super) struct Rows {
    session: Session,
    first: String,
    further: String,
    /// How many rows a page has, and may have.
    limit: i64,
    most: i64,
    reading: Reading,
    last: Option<u128>,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Session {
    pub connection: PgConnection,
    place: String,
}

impl Table {
    pub async fn open(
        namespace: &str,
        endpoint: &PgvectorEndpoint,
        secrets: &impl Secrets,
    ) -> Result<Self, PgvectorError> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await;
        let url = url.map_err(|no| PgvectorError::Secret(no.message))?;
        Ok(Self { url, name: endpoint.table.clone() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the catalogue says of the table.
    pub async fn collection(&self) -> Result<Collection, PgvectorError> {
        let mut session = Session::begin(&self.url).await?;
        let found: Option<i64> = sqlx::query_scalar(VISIBLE)
            .bind(&self.name)
            .fetch_optional(&mut session.connection)
            .await
            .map_err(|error| session.failed(&error))?;
        let Some(table) = found else {
            return Err(PgvectorError::NoTable { place: session.place, table: self.name.clone() });
        };
        let columns: Vec<(String, String, i32)> = sqlx::query_as(COLUMNS)
            .bind(table)
            .fetch_all(&mut session.connection)
            .await
            .map_err(|error| session.failed(&error))?;
        session.end().await;
        let mut size = None;
        for (name, types) in [("id", &["uuid"][..]), ("vector", &["vector"]), ("payload", &["jsonb", "json"])] {
            let column = columns.iter().find(|(column, ..)| column == name);
            match column {
                Some((_, found, modifier)) if types.contains(&found.as_str()) => {
                    if name == "vector" {
                        // Without a length it is -1.
                        size = u32::try_from(*modifier).ok();
                    }
                }
                Some((_, found, _)) => return Err(self.other(format!("{name} is of type {found}, not {}", types[0]))),
                None => return Err(self.other(format!("it has no column {name}"))),
            }
        }
        // What pgvector is given it keeps, whatever its length.
        let dense = Dense { name: String::new(), size, distance: Distance::Unknown, normalised: false, several: false };
        Ok(Collection { colour: Colour::Green, optimizer_error: None, dense: vec![dense], approximate_points: None })
    }

    fn other(&self, why: String) -> PgvectorError {
        PgvectorError::OtherTable { table: self.name.clone(), why }
    }

    pub async fn others(&self) -> Result<Vec<String>, PgvectorError> {
        let mut session = Session::begin(&self.url).await?;
        let tables = sqlx::query_scalar(TABLES).fetch_all(&mut session.connection).await;
        let tables = tables.map_err(|error| session.failed(&error))?;
        session.end().await;
        Ok(tables)
    }

    /// The rows of the table itself: an index that lost some is found by walking it.
    pub async fn count(&self) -> Result<u64, PgvectorError> {
        let mut session = Session::begin(&self.url).await?;
        for index in ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"] {
            session.run(format!("SET LOCAL {index} = off")).await?;
        }
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}", quoted(&self.name)));
        let counted = heard(SILENCE, sqlx::query_scalar(sql).fetch_one(&mut session.connection)).await;
        let count: i64 = counted.map_err(|error| session.failed(&error))?;
        session.end().await;
        Ok(count.unsigned_abs())
    }

    pub async fn there(&self, ids: &[PointId]) -> Result<Vec<PointId>, PgvectorError> {
        let mut session = Session::begin(&self.url).await?;
        let sql = format!("SELECT id::text FROM {} WHERE id = ANY($1::text[]::uuid[])", quoted(&self.name));
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(uuids(ids));
        let found: Vec<String> =
            heard(SILENCE, query.fetch_all(&mut session.connection)).await.map_err(|error| session.failed(&error))?;
        session.end().await;
        Ok(found.iter().filter_map(|id| uuid::any(id.as_bytes())).map(PointId::Uuid).collect())
    }

    pub async fn remove(&self, ids: &[PointId]) -> Result<(), PgvectorError> {
        let mut session = Session::write(&self.url).await?;
        let sql = format!("DELETE FROM {} WHERE id = ANY($1::text[]::uuid[])", quoted(&self.name));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(uuids(ids));
        let done = heard(SILENCE, query.execute(&mut session.connection)).await;
        done.map_err(|error| session.failed(&error))?;
        session.run("COMMIT".to_owned()).await?;
        session.end().await;
        Ok(())
    }

    /// Has the server free what is left of removed rows, until it is to stop; the error says, for people, why it did not.
    pub async fn vacuum(&self, meter: &Meter) -> Result<(), String> {
        let opening = async {
            let mut session = Session::begin(&self.url).await?;
            session.run("COMMIT".to_owned()).await?;
            Ok::<_, PgvectorError>(session)
        };
        let opened = meter.unless_cancelled(opening).await.map_err(|cancelled| cancelled.to_string())?;
        let mut session = opened.map_err(|error| error.to_string())?;
        let place = session.place.clone();
        let done = vacuum(&mut session.connection, (&self.url, &place), &[quoted(&self.name)], meter).await;
        session.end().await;
        done
    }

    pub async fn walk(&self, collection: &Collection, reading: Reading) -> Result<Rows, PgvectorError> {
        let session = Session::begin(&self.url).await?;
        let mut bytes = 16;
        let mut columns = "id".to_owned();
        if reading.payload {
            columns.push_str(", payload::text AS payload");
            bytes += PAYLOAD;
        }
        if reading.vector {
            columns.push_str(", vector");
            bytes += collection.dense.first().and_then(|dense| dense.size).unwrap_or(1_536) as usize * 4;
        }
        let table = quoted(&self.name);
        let select = |compared: &str| {
            format!("SELECT {columns} FROM {table} WHERE id {compared} $1::text::uuid ORDER BY id LIMIT $2")
        };
        let most = i64::try_from((PAGE / bytes).clamp(1, MOST)).unwrap_or(1);
        Ok(Rows { session, first: select(">="), further: select(">"), limit: most, most, reading, last: None })
    }
}

/// As text; a number is no id of a table.
pub(super) fn uuids(ids: &[PointId]) -> Vec<String> {
    ids.iter().filter(|id| matches!(id, PointId::Uuid(_))).map(PointId::to_string).collect()
}

impl Rows {
    /// With pages of at most so many.
    pub fn at_most(&mut self, most: usize) {
        self.limit = self.most.min(i64::try_from(most).unwrap_or(i64::MAX)).max(1);
    }

    /// The rows from another id on, as they were at the same moment.
    pub fn go_to(&mut self, from: PointId, most: usize) {
        self.at_most(most);
        (self.reading.from, self.last) = (Some(from), None);
    }

    /// The next rows, and whether there may be more.
    pub async fn page(&mut self) -> Result<(Vec<Point>, bool), PgvectorError> {
        let (sql, from) = match (self.last, self.reading.from) {
            (Some(last), _) => (&self.further, PointId::Uuid(last)),
            (None, Some(from @ PointId::Uuid(_))) => (&self.first, from),
            // Numbers come before all UUIDs.
            (None, Some(PointId::Number(_)) | None) => (&self.first, PointId::Uuid(0)),
        };
        let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(from.to_string()).bind(self.limit);
        let rows = heard(SILENCE, query.fetch_all(&mut self.session.connection)).await;
        let rows = rows.map_err(|error| self.session.failed(&error))?;
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == self.limit);
        let mut points = Vec::with_capacity(rows.len());
        for row in rows {
            let point = point(&row, self.reading).map_err(|error| self.session.failed(&error))?;
            if let PointId::Uuid(bits) = point.id {
                self.last = Some(bits);
            }
            points.push(point);
        }
        Ok((points, full))
    }
}

/// A point of a row with its id, and as much more as was read, in this order.
pub(super) fn point(row: &PgRow, reading: Reading) -> Result<Point, sqlx::Error> {
    let id = row.try_get_raw(0)?;
    let bytes: [u8; 16] = id.as_bytes().map_err(sqlx::Error::Decode)?.try_into().map_err(odd)?;
    let mut column = 1;
    let mut read = Payload::default();
    if reading.payload {
        read = payload(map(row.try_get(column)?).map_err(odd)?);
        column += 1;
    }
    let vector = if reading.vector { vector(row, column)? } else { None };
    Ok(Point { id: PointId::Uuid(u128::from_be_bytes(bytes)), payload: read, vector })
}

/// What is no object lacks every key, and is told by that.
pub(super) fn map(text: Option<&str>) -> serde_json::Result<Map<String, Value>> {
    Ok(match text.map(serde_json::from_str).transpose()? {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    })
}

/// pgvector sends the number of numbers, two bytes that are zero, and the numbers.
fn vector(row: &PgRow, column: usize) -> Result<Option<Vec<f32>>, sqlx::Error> {
    use sqlx::ValueRef as _;

    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(None);
    }
    if raw.format() != PgValueFormat::Binary {
        return Err(odd("a vector that is not sent as bytes"));
    }
    let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
    let numbers = bytes.get(4..).filter(|rest| {
        let announced = u16::from_be_bytes([bytes[0], bytes[1]]);
        rest.len() == usize::from(announced) * 4
    });
    let numbers = numbers.ok_or_else(|| odd("a vector that is not as long as it says"))?;
    Ok(Some(numbers.chunks_exact(4).map(|four| f32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect()))
}

pub(super) fn odd(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}

impl Session {
    /// How long the server is waited for where it is not heard of.
    pub const SILENCE: Duration = SILENCE;

    /// Begins to look at the database as it is now.
    pub async fn begin(url: &str) -> Result<Self, PgvectorError> {
        Self::with(url, &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]).await
    }

    /// Begins to write; who has a row locked is not waited for long.
    pub async fn write(url: &str) -> Result<Self, PgvectorError> {
        Self::with(url, &["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "SET LOCAL lock_timeout = '10s'"]).await
    }

    async fn with(url: &str, statements: &[&str]) -> Result<Self, PgvectorError> {
        let (connection, place) = connect(url, STATEMENT).await.map_err(PgvectorError::no_connection)?;
        let mut session = Self { connection, place };
        // Rows that the user may not see are an error, and who reads may take its time between two pages.
        let settings = ["SET LOCAL row_security = off", "SET LOCAL idle_in_transaction_session_timeout = 0"];
        for statement in statements.iter().chain(&settings) {
            session.run((*statement).to_owned()).await?;
        }
        Ok(session)
    }

    pub async fn run(&mut self, sql: String) -> Result<(), PgvectorError> {
        let done = heard(SILENCE, sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection)).await;
        done.map(drop).map_err(|error| self.failed(&error))
    }

    pub fn failed(&self, error: &sqlx::Error) -> PgvectorError {
        PgvectorError::of(failed(error, &self.place))
    }

    /// It is done; whether the server hears the farewell changes nothing.
    pub async fn end(self) {
        let _ = heard(FAREWELL, self.connection.close()).await;
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
