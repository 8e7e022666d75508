use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::ServerError;
use crate::bank::net::postgres::{NoConnection, connect, failed, heard, hides};

/// How long one statement may take, an index over many vectors among them, and how long the server is waited for.
const STATEMENT: &str = "6h";
const SILENCE: Duration = Duration::from_hours(6);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// What is written is written as it came, whatever the server's own settings; nobody is waited for long.
const WRITING: &str = "SET default_transaction_read_only = off; SET lock_timeout = '10s'; SET search_path = ''; \
    SET row_security = off; SET \"DateStyle\" = 'ISO, YMD'; SET \"IntervalStyle\" = 'postgres'; \
    SET idle_in_transaction_session_timeout = 0";
/// Where the server can, it ends what it does, an index say, once nobody is there any more who asked for it.
const WATCHING: &str = "SELECT pg_catalog.set_config(name, '10s', false) FROM pg_catalog.pg_settings \
    WHERE name = 'client_connection_check_interval'";
/// A database like the one of the session, whose new sessions find tables as those of the old one do.
const LIKE: &str = "SELECT pg_catalog.quote_literal(pg_catalog.pg_encoding_to_char(encoding)), \
      pg_catalog.quote_literal(datcollate), pg_catalog.quote_literal(datctype) \
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
const RIGHT: &str =
    "SELECT rolname::text, rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
const OWN: &str = "SELECT pg_catalog.current_database()::text";
const NAMES: &str =
    "SELECT datname::text FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, $1) LIMIT 100";

/// A session that may write.
#[derive(Debug)]
pub(super) struct Session {
    pub connection: PgConnection,
    /// HOST:PORT.
    pub place: String,
    /// Where it finds tables that are named without their schema.
    search_path: String,
}

impl Session {
    /// Logs in; for people why not.
    pub async fn open(url: &str) -> Result<Self, String> {
        let (connection, place) = connect(url, STATEMENT).await.map_err(|no| match no {
            NoConnection::NoUrl => "the secret of its url is no url of PostgreSQL: \
                                    expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned(),
            NoConnection::Forbidden(place) => {
                format!("the database at {place} is a link-local or metadata address: it is never called")
            }
            NoConnection::Failed(trouble) => format!("the database at {} {}", trouble.place, trouble.told),
        })?;
        let mut session = Self { connection, place, search_path: String::new() };
        let rows = session.ask("SELECT pg_catalog.current_setting('search_path')", None).await;
        session.search_path = rows.and_then(|rows| text(&rows, 0)).map_err(|error| told(&error, &session.place))?;
        session.run(WRITING).await.map_err(|error| told(&error, &session.place))?;
        // Some systems cannot look: there it stays as it is.
        let _ = session.run(WATCHING).await;
        Ok(session)
    }

    /// Executes statements.
    pub async fn run(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        heard(SILENCE, query.execute(&mut self.connection)).await.map(drop)
    }

    /// The rows of a question.
    pub async fn ask(&mut self, question: &str, bind: Option<&str>) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(question.to_owned())).persistent(false);
        let query = match bind {
            Some(value) => query.bind(value.to_owned()),
            None => query,
        };
        heard(SILENCE, query.fetch_all(&mut self.connection)).await
    }

    /// The same, with tables found by their names as the bank's own sessions find them.
    pub async fn ask_as_found(&mut self, question: &str, bind: &str) -> Result<Vec<PgRow>, String> {
        let path = self.search_path.clone();
        let asked = async {
            if !path.is_empty() {
                self.ask("SELECT pg_catalog.set_config('search_path', $1, false)", Some(&path)).await?;
            }
            let rows = self.ask(question, Some(bind)).await?;
            self.run("SET search_path = ''").await?;
            Ok::<_, sqlx::Error>(rows)
        };
        let rows = asked.await;
        rows.map_err(|error| told(&error, &self.place))
    }

    /// Makes it an error that the user may not make databases, which names what is missing.
    pub async fn may_make_databases(&mut self) -> Result<(), ServerError> {
        let read = async {
            let rows = self.ask(RIGHT, None).await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            Ok::<(String, bool), sqlx::Error>((row.try_get(0)?, row.try_get(1)?))
        };
        let (role, may) = read.await.map_err(|error| ServerError::Away(told(&error, &self.place)))?;
        if may {
            return Ok(());
        }
        Err(ServerError::Away(format!("the role {role} may not create a database: ALTER ROLE {role} CREATEDB")))
    }

    /// The name of the database that this is a session of.
    pub async fn database(&mut self) -> Result<String, String> {
        let rows = self.ask(OWN, None).await.map_err(|error| told(&error, &self.place))?;
        text(&rows, 0).map_err(|error| told(&error, &self.place))
    }

    /// The databases whose names begin so, and end with so many hex digits.
    pub async fn databases(&mut self, family: &str, digits: usize) -> Result<Vec<String>, String> {
        let rows = self.ask(NAMES, Some(family)).await.map_err(|error| told(&error, &self.place))?;
        let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let ours = |name: &String| {
            let run = name.strip_prefix(family);
            run.is_some_and(|run| run.len() == digits && run.bytes().all(hex))
        };
        Ok(names.map_err(|error| told(&error, &self.place))?.into_iter().filter(ours).collect())
    }

    /// Makes an empty database like this one.
    pub async fn make_database(&mut self, name: &str) -> Result<(), ServerError> {
        let place = self.place.clone();
        // None of it says anything of a set.
        let away = |error: &sqlx::Error| match ServerError::of(error, "an empty database", &place) {
            ServerError::Refused(why) | ServerError::Away(why) => ServerError::Away(why),
        };
        let rows = self.ask(LIKE, None).await.map_err(|error| away(&error))?;
        let like = || Ok::<_, sqlx::Error>((text(&rows, 0)?, text(&rows, 1)?, text(&rows, 2)?));
        let (encoding, collate, kind) = like().map_err(|error| away(&error))?;
        let name = quoted(name);
        let made = format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {kind}"
        );
        self.run(&made).await.map_err(|error| away(&error))?;
        // Names and their quotes alone: it comes from a setting that others may have made.
        let plain = |letter: char| letter.is_alphanumeric() || "_$,\" -".contains(letter);
        if self.search_path.is_empty() || !self.search_path.chars().all(plain) {
            return Ok(());
        }
        let path = format!("ALTER DATABASE {name} SET search_path = {}", self.search_path);
        self.run(&path).await.map_err(|error| away(&error))
    }

    /// Removes a database, whoever is in it; that it is not there is no error.
    pub async fn remove_database(mut self, name: &str) -> Result<(), String> {
        let name = quoted(name);
        let mut removed = self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        let code = |error: &sqlx::Error| error.as_database_error().and_then(DatabaseError::code).map(String::from);
        if removed.as_ref().is_err_and(|error| code(error).as_deref() == Some("42601")) {
            // A server before PostgreSQL 13.
            removed = self.run(&format!("DROP DATABASE IF EXISTS {name}")).await;
        }
        let removed = removed.map_err(|error| told(&error, &self.place));
        self.close().await;
        removed
    }

    /// Says farewell; whether it is heard changes nothing.
    pub async fn close(self) {
        let _ = tokio::time::timeout(FAREWELL, self.connection.close()).await;
    }
}

/// An error in words for people.
pub(super) fn told(error: &sqlx::Error, place: &str) -> String {
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("42501") if !hides(error) => format!("the role of the bank's url at {place} may not do this"),
        Some("55P03") => format!("somebody keeps a table at {place} locked for more than 10 s"),
        _ => format!("the database at {place} {}", failed(error, place).told),
    }
}

fn text(rows: &[PgRow], column: usize) -> Result<String, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(column)
}

/// A name as it stands in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
