//! Tables of a PostgreSQL database as of one moment: one snapshot in which all of them are read.

mod catalogue;
mod rows;

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::bank::Secrets;
use crate::bank::net::postgres::{NoConnection, connect, failed, heard, hides};
use crate::bank::net::secret::Held;
use crate::bank::vectors::ENTITIES;
use crate::domain::{PgvectorEndpoint, PostgresEndpoint, SecretKey};
use crate::engine::backup::{Relation, Script};

/// How long the server may read on one table, and how long it is waited for where it is not heard of.
const STATEMENT: &str = "6h";
const SILENCE: Duration = Duration::from_mins(5);
/// How long the rows of a table may take to be counted.
const COUNTING: Duration = Duration::from_mins(30);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Begins the moment. Rows that the user may not see are an error and not left out; names are told in full; nobody who
/// alters a table is waited for long.
const BEGIN: [&str; 7] = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL row_security = off",
    "SET LOCAL lock_timeout = '60s'",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL extra_float_digits = 3",
    "SET LOCAL \"DateStyle\" = 'ISO, YMD'",
    "SET LOCAL \"IntervalStyle\" = 'postgres'",
];

/// Tables that go into a set. The server keeps what they held when this was opened until it is dropped.
#[derive(Debug)]
pub struct Dump {
    connection: PgConnection,
    /// HOST:PORT, and the database's name.
    place: (String, String),
    /// What it is of the bank.
    pub component: &'static str,
    tables: Vec<Table>,
    /// The one of them whose rows are points.
    points: Option<String>,
    script: Script,
    /// The schema of which it has all tables.
    schema: Option<String>,
    /// What it cannot hold though the bank has it, and why.
    pub beyond: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Table {
    oid: i64,
    /// About how many bytes it takes on the server.
    bytes: u64,
    relation: Relation,
}

/// Which tables of a database.
enum Wanted<'a> {
    /// All of a schema.
    Schema(&'a str),
    /// Those of these names that the search path shows.
    Named(&'a [String]),
}

impl Dump {
    /// The tables of a bank's database, as of now; for people why there are none. Those that `others` hold are left to
    /// them.
    pub async fn database(
        endpoint: &PostgresEndpoint,
        component: &'static str,
        held: (&str, &impl Secrets),
        others: &[Self],
    ) -> Result<Self, String> {
        let wanted = Wanted::Schema(&endpoint.schema);
        let mut dump = Self::open(&endpoint.url, component, held, &wanted).await?;
        let theirs = |table: &Table| {
            let same = |other: &&Self| other.place == dump.place;
            let tables = others.iter().filter(same).flat_map(|other| &other.tables);
            tables.map(|other| other.oid).any(|oid| oid == table.oid)
        };
        let own: Vec<_> = dump.tables.iter().filter(|table| !theirs(table)).cloned().collect();
        dump.tables = own;
        dump.describe().await?;
        Ok(dump)
    }

    /// The table of a bank's vectors, and that of its entities where there is one, as of now.
    pub async fn vectors(
        endpoint: &PgvectorEndpoint,
        component: &'static str,
        held: (&str, &impl Secrets),
    ) -> Result<Self, String> {
        let names = [endpoint.table.clone(), format!("{}{ENTITIES}", endpoint.table)];
        let mut dump = Self::open(&endpoint.url, component, held, &Wanted::Named(&names)).await?;
        if !dump.tables.iter().any(|table| table.relation.plain == endpoint.table) {
            let why = format!("the database at {} has no table {}", dump.place.0, endpoint.table);
            return Err(dump.beyond.first().cloned().unwrap_or(why));
        }
        dump.points = Some(endpoint.table.clone());
        dump.describe().await?;
        Ok(dump)
    }

    async fn open(
        url: &SecretKey,
        component: &'static str,
        (namespace, secrets): (&str, &impl Secrets),
        wanted: &Wanted<'_>,
    ) -> Result<Self, String> {
        let url = Held { namespace, secrets }.text(url).await.map_err(|no| no.message)?;
        let (connection, place) = connect(&url, STATEMENT).await.map_err(|no| match no {
            NoConnection::NoUrl => "the secret of its url is no url of PostgreSQL: \
                                    expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned(),
            NoConnection::Forbidden(place) => {
                format!("the database at {place} is a link-local or metadata address: it is never called")
            }
            NoConnection::Failed(trouble) => format!("the database at {} {}", trouble.place, trouble.told),
        })?;
        let (script, place) = (Script::default(), (place, String::new()));
        let (tables, beyond) = (Vec::new(), Vec::new());
        let mut dump = Self { connection, place, component, tables, points: None, script, schema: None, beyond };
        for statement in BEGIN {
            dump.run(statement).await?;
        }
        dump.begin(wanted).await?;
        Ok(dump)
    }

    /// About how many bytes all of it has as text.
    pub fn bytes(&self) -> u64 {
        // Vectors and what is compressed on the server grow, indexes and dead rows are not in it.
        self.tables.iter().map(|table| table.bytes.saturating_mul(2)).sum()
    }

    async fn run(&mut self, statement: &str) -> Result<(), String> {
        let ran =
            heard(SILENCE, sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.connection)).await;
        ran.map(drop).map_err(|error| self.told(&error))
    }

    /// The value of a question.
    async fn value<T>(&mut self, question: &str) -> Result<T, String>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let asked = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_one(&mut self.connection);
        let row = heard(COUNTING, asked).await.map_err(|error| self.told(&error))?;
        row.try_get(0).map_err(|error| self.told(&error))
    }

    /// Says farewell; whether it is heard changes nothing.
    async fn close(self) {
        let _ = tokio::time::timeout(FAREWELL, self.connection.close()).await;
    }

    fn told(&self, error: &sqlx::Error) -> String {
        told(error, &self.place.0)
    }
}

/// An error in words for people.
fn told(error: &sqlx::Error, place: &str) -> String {
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("42501") if !hides(error) => {
            "the user of the bank's url may not read all of its tables and sequences".to_owned()
        }
        Some("55P03") => format!("somebody keeps a table at {place} locked for more than 60 s"),
        _ => format!("the database at {place} {}", failed(error, place).told),
    }
}
