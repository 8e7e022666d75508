use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::bank::net::postgres::{HIDDEN, NoConnection, connect, failed, heard, hides};
use crate::engine::integrity::postgres::Answer;

/// How long one statement may take; the largest table of a bank is read in less.
const STATEMENT: &str = "15min";
/// The same where the server is not heard of any more.
const SILENCE: Duration = Duration::from_mins(16);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Whether no policy of a table lets rows be left out. It is asked for: what a session sets stays in the pool that lent it.
const SEES_ALL: &str = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid))";

/// One session with the server, which reads unless a transaction says otherwise, and the schema that is looked at.
#[derive(Debug)]
pub(super) struct Session {
    pub connection: PgConnection,
    /// HOST:PORT.
    pub place: String,
    pub schema: String,
}

impl Session {
    /// How long the server is waited for where it is not heard of.
    pub const SILENCE: Duration = SILENCE;

    /// Logs in; for people why not.
    pub async fn open(url: &str, schema: &str) -> Result<Self, String> {
        match connect(url, STATEMENT).await {
            Ok((connection, place)) => Ok(Self { connection, place, schema: schema.to_owned() }),
            Err(NoConnection::NoUrl) => Err("the secret of its url is no url of PostgreSQL: \
                                             expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned()),
            Err(NoConnection::Forbidden(place)) => {
                Err(format!("the database at {place} is a link-local or metadata address: it is never called"))
            }
            Err(NoConnection::Failed(trouble)) => Err(format!("the database at {} {}", trouble.place, trouble.told)),
        }
    }

    /// Makes it an error that rows could be left out which the user may not see.
    pub async fn see_all(&mut self) -> Answer<()> {
        let rows = self.ask(SEES_ALL).await?;
        match rows.first().and_then(|row| row.try_get(0).ok()) {
            Some(true) => Ok(()),
            _ => Err(format!("the database at {} {HIDDEN}", self.place)),
        }
    }

    /// The rows of a question. `$1` is the schema, where the question has it.
    pub async fn ask(&mut self, question: &str) -> Answer<Vec<PgRow>> {
        self.try_ask(question).await.map_err(|error| self.told(&error))
    }

    /// The same with the error as it came.
    pub async fn try_ask(&mut self, question: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(question.to_owned()));
        let query = if question.contains("$1") { query.bind(self.schema.clone()) } else { query };
        heard(SILENCE, query.fetch_all(&mut self.connection)).await
    }

    /// Takes each row of a question as it comes: they are never all in memory.
    pub async fn each(
        &mut self,
        question: &str,
        mut take: impl FnMut(&PgRow) -> Result<(), sqlx::Error>,
    ) -> Answer<()> {
        // Questions of a walk are asked once each: none is kept for another time.
        let query = sqlx::query(AssertSqlSafe(question.to_owned())).persistent(false);
        let query = if question.contains("$1") { query.bind(self.schema.clone()) } else { query };
        let taken: Result<(), sqlx::Error> = async {
            let mut rows = query.fetch(&mut self.connection);
            while let Some(row) = heard(SILENCE, rows.try_next()).await? {
                take(&row)?;
            }
            Ok(())
        }
        .await;
        taken.map_err(|error| self.told(&error))
    }

    /// An error in words for people.
    pub fn told(&self, error: &sqlx::Error) -> String {
        match error.as_database_error().and_then(DatabaseError::code).as_deref() {
            Some("42501") if !hides(error) => "the user of the bank's url may not do this".to_owned(),
            Some("57014") => "took longer than 15 minutes".to_owned(),
            _ => format!("the database at {} {}", self.place, failed(error, &self.place).told),
        }
    }

    /// Says farewell; whether it is heard changes nothing.
    pub async fn close(self) {
        let _ = tokio::time::timeout(FAREWELL, self.connection.close()).await;
    }
}

/// A name as it stands in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
