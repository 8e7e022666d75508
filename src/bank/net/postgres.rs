//! A connection to a PostgreSQL server, and what its failures mean in words that stay the same as long as the
//! trouble does.

use std::io;
use std::str::FromStr as _;
use std::time::Duration;

use reqwest::Url;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSslMode};

use super::address::{AddressError, resolve};
use super::http::{CONNECT, of_io};

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) enum NoConnection {
    /// The url is none of PostgreSQL.
    NoUrl,
    /// Its host, given here with the port, is never called.
    Forbidden(String),
    /// It was tried.
    Failed(Trouble),
}

/// What went wrong with a server that may be called; the words continue "the database at HOST:PORT".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) struct Trouble {
    /// HOST:PORT.
    pub place: String,
    /// What happened.
    pub told: String,
    /// The server's own code, where it answered with an error.
    pub sqlstate: Option<String>,
}

impl Trouble {
    /// Whether it does not accept who logs in.
    pub fn denied(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|code| code.starts_with("28"))
    }
}

/// A read-only session with a limit for each statement, and HOST:PORT for people.
pub(in crate::bank) async fn connect(
    url: &str,
    statement_timeout: &'static str,
) -> Result<(PgConnection, String), NoConnection> {
    let options = options(url, statement_timeout).ok_or(NoConnection::NoUrl)?;
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    let place = format!("{host}:{}", options.get_port());
    let trouble = |told: &str| Trouble { place: place.clone(), told: told.to_owned(), sqlstate: None };
    let addresses = resolve(&host, options.get_port()).await.map_err(|error| match error {
        AddressError::Forbidden(_) => NoConnection::Forbidden(place.clone()),
        AddressError::NotResolved(_) => NoConnection::Failed(trouble("has a name that cannot be resolved")),
    })?;
    // Where TLS must be, the name stays: certificates and gateways go by it, and all that could reach another
    // address is the eight bytes that ask for TLS. Else the address that was judged is the one that is called.
    let encrypted = !matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
    let targets: Vec<PgConnectOptions> = if encrypted {
        vec![options]
    } else {
        addresses.iter().map(|address| options.clone().host(&address.ip().to_string())).collect()
    };
    let mut last = trouble("cannot be connected to");
    for target in targets {
        match tokio::time::timeout(CONNECT, target.connect()).await {
            Err(_) => last = trouble("does not accept a connection within 5 s"),
            Ok(Err(error)) => last = failed(&error, &place),
            Ok(Ok(connection)) => return Ok((connection, place)),
        }
        if last.denied() {
            break;
        }
    }
    Err(NoConnection::Failed(last))
}

/// What a url says, and nothing that this process' own environment or files say: a password of ours must not go
/// to whatever host a bank names. None for what is no url with user and host, for sockets, and for client
/// certificates, which would be files of this machine.
fn options(url: &str, statement_timeout: &'static str) -> Option<PgConnectOptions> {
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"))?;
    let asks = |name: &str| parsed.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let named = asks("host").or_else(|| asks("hostaddr")).or_else(|| parsed.host_str().map(str::to_owned))?;
    let files = ["sslcert", "ssl-cert", "sslkey", "ssl-key"];
    if named.is_empty() || named.starts_with(['/', '%']) || files.into_iter().any(|name| asks(name).is_some()) {
        return None;
    }
    let mut options = PgConnectOptions::from_str(url).ok()?;
    if options.get_socket().is_some() || (parsed.username().is_empty() && asks("user").is_none()) {
        return None;
    }
    if parsed.password().is_none() && asks("password").is_none() {
        options = options.password("");
    }
    if parsed.port().is_none() && asks("port").is_none() {
        options = options.port(5432);
    }
    if parsed.path().trim_start_matches('/').is_empty() && asks("dbname").is_none() {
        let user = options.get_username().to_owned();
        options = options.database(&user);
    }
    if asks("sslmode").is_none() && asks("ssl-mode").is_none() {
        options = options.ssl_mode(PgSslMode::Prefer);
    }
    Some(
        options
            .application_name("memorybank")
            .options([("statement_timeout", statement_timeout), ("default_transaction_read_only", "on")])
            .disable_statement_logging(),
    )
}

/// The same url, to another database of the server; none for what is no url.
pub(in crate::bank) fn elsewhere(url: &str, database: &str) -> Option<String> {
    let mut parsed = Url::parse(url).ok()?;
    parsed.path_segments_mut().ok()?.clear().push(database);
    let asked: Vec<_> = parsed
        .query_pairs()
        .filter(|(key, _)| key != "dbname")
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    parsed.set_query(None);
    if !asked.is_empty() {
        parsed.query_pairs_mut().extend_pairs(asked);
    }
    Some(parsed.into())
}

/// An answer, unless the server is not heard of for so long: its own limit for a statement is no help where the
/// connection is lost.
pub(in crate::bank) async fn heard<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// What is told of a server that would leave out rows, and says so because it was asked not to.
pub(in crate::bank) const HIDDEN: &str =
    "hides rows of a table from this user by a policy (row level security), for it has no BYPASSRLS";

/// Whether it is a policy that lets nothing be read, and no right that is missing: the code of both is the same.
pub(in crate::bank) fn hides(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error().and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.and_then(PgDatabaseError::routine) == Some("check_enable_rls")
}

/// Without the server's own words: they tell who logs in.
pub(in crate::bank) fn failed(error: &sqlx::Error, place: &str) -> Trouble {
    let trouble = |told: String, sqlstate| Trouble { place: place.to_owned(), told, sqlstate };
    match error {
        sqlx::Error::Database(answer) => {
            let code = answer.code().unwrap_or_default();
            let told = match code.as_ref() {
                code if code.starts_with("28") => {
                    format!("does not accept the user or the password (SQLSTATE {code})")
                }
                "3D000" => "has no database of that name: look at its log".to_owned(),
                "53300" => "has no connection left: look at its log".to_owned(),
                "53100" => "has no room left on its disk (SQLSTATE 53100): make room there".to_owned(),
                "42501" if hides(error) => HIDDEN.to_owned(),
                "57P03" => "is starting up or shutting down: look at its log".to_owned(),
                _ => format!("answers with an error (SQLSTATE {code}): look at its log"),
            };
            trouble(told, Some(code.into_owned()))
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            trouble("is not heard of any more".to_owned(), None)
        }
        sqlx::Error::Io(error) => trouble(of_io(error.kind()).unwrap_or("cannot be connected to").to_owned(), None),
        sqlx::Error::Tls(_) => {
            trouble("does not speak TLS as the url asks, or its certificate is not accepted".to_owned(), None)
        }
        _ => trouble("does not answer as PostgreSQL does".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_is_all_that_changes() {
        for (url, expected) in [
            (
                "postgres://a:p%40ss@db:6432/memories?sslmode=require",
                "postgres://a:p%40ss@db:6432/other?sslmode=require",
            ),
            ("postgres://a@db?dbname=memories&user=b", "postgres://a@db/other?user=b"),
        ] {
            let there = elsewhere(url, "other").unwrap();
            assert_eq!(there, expected);
            let (there, here) = (options(&there, "5s").unwrap(), options(url, "5s").unwrap());
            assert_eq!(there.get_database(), Some("other"));
            assert_eq!((there.get_host(), there.get_username()), (here.get_host(), here.get_username()));
        }
        assert_eq!(elsewhere("memories", "other"), None);
    }

    #[test]
    fn nothing_but_the_url_says_where_to_go_and_with_what() {
        let good = options("postgres://reader:secret@db.example:6432/memories?sslmode=require", "5s").unwrap();
        assert_eq!((good.get_host(), good.get_port()), ("db.example", 6432));
        assert_eq!((good.get_username(), good.get_database()), ("reader", Some("memories")));
        assert!(matches!(good.get_ssl_mode(), PgSslMode::Require));
        let short = options("postgresql://reader@db.example", "5s").unwrap();
        assert_eq!((short.get_port(), short.get_database()), (5432, Some("reader")));
        for url in [
            "",
            "db.example",
            "http://reader@db.example",
            "postgres://db.example/memories",
            "postgres:///memories?host=/var/run/postgresql&user=reader",
            "postgres://reader@%2Fvar%2Frun/memories",
            "postgres://reader@db.example/memories?host=/tmp",
            "postgres://reader@db.example/memories?sslcert=/etc/cert&sslkey=/etc/key",
        ] {
            assert!(options(url, "5s").is_none(), "{url}");
        }
    }
}
