//! The memories of a database in the order of their ids, each with the name of its user, and their sums by range: all of
//! them as they are at one moment. Texts stay on the server, which hashes them: what comes here has a bounded size.

use std::fmt;
use std::fmt::Write as _;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::session::{Session, quoted};
use crate::bank::Secrets;
use crate::bank::net::secret::Held;
use crate::domain::{PointId, PostgresEndpoint};
use crate::engine::consistency::{Content, Row, Stored, Sums, of};
use crate::engine::recovery::MemoryText;

/// Rows that are fetched at once, at most 16 MiB.
const PAGE: usize = 2_000;
/// The name of a user that is longer, in bytes, is not compared.
const OWNER: usize = 4_096;
const TIMES: [&str; 3] = ["created_at", "updated_at", "deleted_at"];
const COLUMNS: [&str; 7] = ["id", "state", "user_id", "content", TIMES[0], TIMES[1], TIMES[2]];
const KNOWN: &str = "SELECT c.relname::text, a.attname::text, t.typname::text, pg_catalog.pg_table_size(c.oid)::int8 \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE n.nspname = $1 AND c.relname IN ('memories', 'users') AND c.relkind IN ('r', 'p')";
/// Begins the moment. Rows that the user may not see are an error, and not taken for missing; times are told in one
/// form, and nothing is called by a name that somebody else may have given; the server waits for the other side.
const BEGIN: [&str; 5] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL row_security = off",
    "SET LOCAL search_path = pg_catalog",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL \"DateStyle\" = 'ISO, YMD'",
];

/// A database whose memories are compared.
#[derive(Clone)]
pub struct PostgresMemories {
    url: String,
    schema: String,
    /// Until when a restored database has what the living one had.
    written: Option<Timestamp>,
}

/// Without the url, which has a password.
impl fmt::Debug for PostgresMemories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresMemories").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PostgresMemories {
    /// The database of a bank, or one that was restored and holds what there was at that moment. The error is in words for
    /// people.
    pub async fn of(
        endpoint: &PostgresEndpoint,
        (namespace, secrets): (&str, &impl Secrets),
        written: Option<Timestamp>,
    ) -> Result<Self, String> {
        let url = Held { namespace, secrets }.text(&endpoint.url).await.map_err(|lack| lack.message)?;
        Ok(Self { url, schema: endpoint.schema.clone(), written })
    }

    /// Those of some ids that have a row now.
    pub async fn having_rows(&self, ids: &[u128]) -> Result<Vec<u128>, String> {
        let mut reader = PostgresReader::open(self).await?;
        let found = reader.having_rows(ids).await;
        reader.close().await;
        found
    }

    /// Those of some memories that are live, have a text and belong to a user, as their points are made from them.
    pub async fn texts(&self, ids: &[u128]) -> Result<Vec<MemoryText>, String> {
        let mut reader = PostgresReader::open(self).await?;
        let texts = reader.texts(ids).await;
        reader.close().await;
        texts
    }
}

/// Reads the memories of a database as they are at one moment. Errors are words for people.
#[derive(Debug)]
pub struct PostgresReader {
    session: Session,
    /// What is compared must not be younger.
    pub at: Timestamp,
    /// About what the table takes on the server.
    pub bytes: u64,
    /// What is read of a row, but for the name of its user.
    columns: String,
    /// Its times among them.
    times: [String; 3],
    /// The ids that are to be read next.
    span: Option<(u128, u128)>,
    /// Whether a cursor is open.
    open: bool,
}

impl PostgresReader {
    /// Begins the moment in a database that has all that is compared.
    pub async fn open(memories: &PostgresMemories) -> Result<Self, String> {
        let mut session = Session::open(&memories.url, &memories.schema).await?;
        let at = memories.written.unwrap_or_else(Timestamp::now);
        for statement in BEGIN {
            session.ask(statement).await?;
        }
        let mut known: Vec<(String, String, String, i64)> = Vec::new();
        let take = |row: &PgRow| {
            known.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
            Ok(())
        };
        session.each(KNOWN, take).await?;
        let kind = |table: &str, column: &str| {
            let found = known.iter().find(|(name, of, ..)| (name.as_str(), of.as_str()) == (table, column));
            found.map(|(.., kind, _)| kind.as_str())
        };
        let has = |table, columns: &[&str]| columns.iter().all(|column| kind(table, column).is_some());
        if !has("memories", &COLUMNS) || !has("users", &["id", "user_id"]) {
            return Err("a table or column that is compared is missing".to_owned());
        }
        if let Some(other) = kind("memories", "id").filter(|kind| *kind != "uuid") {
            return Err(format!("memories.id is of type {other} and not uuid: its order is not that of the points"));
        }
        // Of the text the same bytes as it comes in, whatever it is made of: no byte of it is an error.
        let text = "textsend(m.content::text)";
        let mut columns = format!(
            "m.id, m.state::text, m.user_id::text, sha256({text}), decode(md5({text}), 'hex'), \
             octet_length({text})::int8"
        );
        let times = TIMES.map(|time| {
            let zoned = kind("memories", time) == Some("timestamptz");
            let zone = if zoned { " AT TIME ZONE 'UTC'" } else { "" };
            format!("(m.{time}{zone})::text")
        });
        for time in &times {
            let _ = write!(columns, ", {time}");
        }
        let sizes = known.iter().find(|(table, ..)| table == "memories").map(|(.., size)| size.unsigned_abs());
        Ok(Self { session, at, bytes: sizes.unwrap_or_default(), columns, times, span: None, open: false })
    }

    /// The sums of all rows by range, read in the order of storage and by no index.
    pub async fn sums(&mut self) -> Result<Sums, String> {
        let mut sums = Sums::default();
        let sql = format!("SELECT {}, NULL::text FROM {}.memories m", self.columns, quoted(&self.session.schema));
        let take = |row: &PgRow| {
            let (id, (live, digest)) = stored(row, |stored, _| (stored.id, stored.sum()))?;
            sums.live += u64::from(live);
            sums.ranges[of(id)].add(digest);
            Ok(())
        };
        self.session.each(&sql, take).await?;
        Ok(sums)
    }

    /// How many memories there are, for the room that they take.
    pub async fn count(&mut self) -> Result<u64, String> {
        let sql = format!("SELECT count(*)::int8 FROM {}.memories", quoted(&self.session.schema));
        let mut count = 0;
        let take = |row: &PgRow| {
            count = row.try_get::<i64, _>(0)?.unsigned_abs();
            Ok(())
        };
        self.session.each(&sql, take).await?;
        Ok(count)
    }

    /// Gives the id of each memory that is not deleted, in the order of storage.
    pub async fn live(&mut self, mut take: impl FnMut(u128)) -> Result<(), String> {
        let schema = quoted(&self.session.schema);
        let sql = format!("SELECT m.id FROM {schema}.memories m WHERE m.state::text <> 'deleted'");
        self.session.each(&sql, |row| id(row).map(&mut take)).await
    }

    async fn having_rows(&mut self, ids: &[u128]) -> Result<Vec<u128>, String> {
        let schema = quoted(&self.session.schema);
        let sql = format!("SELECT m.id FROM {schema}.memories m WHERE m.id = ANY ({})", array(ids));
        let mut found = Vec::new();
        let take = |row: &PgRow| {
            found.push(id(row)?);
            Ok(())
        };
        self.session.each(&sql, take).await?;
        Ok(found)
    }

    async fn texts(&mut self, ids: &[u128]) -> Result<Vec<MemoryText>, String> {
        let schema = quoted(&self.session.schema);
        let [created, updated, _] = &self.times;
        let sql = format!(
            "SELECT m.id, m.content::text, u.user_id::text, a.name::text, {created}, {updated} FROM {schema}.memories m \
             JOIN {schema}.users u ON u.id = m.user_id LEFT JOIN {schema}.apps a ON a.id = m.app_id \
             WHERE m.id = ANY ({}) AND m.state::text IN ('active', 'paused', 'archived') \
             AND m.content::text <> ''",
            array(ids)
        );
        let mut texts = Vec::new();
        let take = |row: &PgRow| {
            texts.push(MemoryText {
                id: id(row)?,
                content: row.try_get(1)?,
                user: row.try_get(2)?,
                app: row.try_get(3)?,
                created: row.try_get(4)?,
                updated: row.try_get(5)?,
            });
            Ok(())
        };
        self.session.each(&sql, take).await?;
        Ok(texts)
    }

    /// Goes on with the ids from one to another, both included.
    pub const fn enter(&mut self, first: u128, last: u128) {
        self.span = Some((first, last));
    }

    /// The next rows in ascending order; none at the end of the ids that were entered.
    pub async fn next(&mut self) -> Result<Vec<Row>, String> {
        if let Some((first, last)) = self.span.take() {
            self.close_cursor().await?;
            let schema = quoted(&self.session.schema);
            let sql = format!(
                "DECLARE memorybank NO SCROLL CURSOR FOR SELECT {}, \
                 CASE WHEN octet_length(u.user_id::text) <= {OWNER} THEN u.user_id::text END \
                 FROM {schema}.memories m LEFT JOIN {schema}.users u ON u.id = m.user_id \
                 WHERE m.id >= '{}' AND m.id <= '{}' ORDER BY m.id",
                self.columns,
                PointId::Uuid(first),
                PointId::Uuid(last)
            );
            self.session.ask(&sql).await?;
            self.open = true;
        }
        let mut rows = Vec::new();
        if self.open {
            let take = |row: &PgRow| {
                rows.push(stored(row, |stored, owner| stored.row(owner))?);
                Ok(())
            };
            self.session.each(&format!("FETCH FORWARD {PAGE} FROM memorybank"), take).await?;
            if rows.len() < PAGE {
                self.close_cursor().await?;
            }
        }
        Ok(rows)
    }

    async fn close_cursor(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.open) {
            self.session.ask("CLOSE memorybank").await?;
        }
        Ok(())
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// Ids as they stand in a statement.
pub(super) fn array(ids: &[u128]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{}'", PointId::Uuid(*id))).collect();
    format!("ARRAY[{}]::uuid[]", ids.join(", "))
}

/// The id that a row begins with.
pub(super) fn id(row: &PgRow) -> Result<u128, sqlx::Error> {
    Ok(u128::from_be_bytes(fixed(row, 0)?.ok_or(sqlx::Error::RowNotFound)?))
}

/// A row as it was asked for, and the name of its user.
fn stored<T>(row: &PgRow, then: impl FnOnce(Stored<'_>, Option<&[u8]>) -> T) -> Result<T, sqlx::Error> {
    let content = match (fixed(row, 3)?, fixed(row, 4)?, row.try_get::<Option<i64>, _>(5)?) {
        (Some(sha256), Some(md5), Some(bytes)) => Content::Hashed { sha256, md5, bytes: bytes.unsigned_abs() },
        _ => Content::Absent,
    };
    let stored = Stored {
        id: id(row)?,
        state: bytes(row, 1)?,
        user: bytes(row, 2)?,
        content,
        created: bytes(row, 6)?,
        updated: bytes(row, 7)?,
        deleted: bytes(row, 8)?,
    };
    Ok(then(stored, bytes(row, 9)?))
}

/// A cell as it came: a text is not held against any encoding.
fn bytes(row: &PgRow, column: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    use sqlx::ValueRef as _;

    let raw = row.try_get_raw(column)?;
    if raw.is_null() { Ok(None) } else { raw.as_bytes().map(Some).map_err(sqlx::Error::Decode) }
}

fn fixed<const N: usize>(row: &PgRow, column: usize) -> Result<Option<[u8; N]>, sqlx::Error> {
    let read = bytes(row, column)?.map(<[u8; N]>::try_from).transpose();
    read.map_err(|error| sqlx::Error::Decode(error.into()))
}
