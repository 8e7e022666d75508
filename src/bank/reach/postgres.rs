//! A PostgreSQL server: whether one can log in, and whether the table is there.

use std::str::FromStr as _;

use reqwest::Url;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::Miss;
use super::address::{AddressError, resolve};
use super::http::{CONNECT, of_io};
use crate::domain::ReachReason;

/// What is looked for there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// For people: `database` or `vector store`.
    pub what: &'static str,
    /// The field that names the secret.
    pub field: &'static str,
    /// The reason of everything but a refused log-in.
    pub unreachable: ReachReason,
    /// Its schema; any that the user's search path has without it.
    pub schema: Option<&'a str>,
    /// The table's name.
    pub table: &'a str,
}

impl Wanted<'_> {
    fn missed(&self, place: &str, told: &str) -> Miss {
        Miss::new(self.unreachable, format!("the {} at {place} {told}", self.what))
    }
}

/// The catalogue may be read by everybody who may log in.
const FIND_TABLE: &str = "SELECT count(*) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
    AND CASE WHEN $2 = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $2 END";

/// Logs in and looks for the table.
pub(super) async fn ask(url: &str, wanted: Wanted<'_>) -> Result<(), Miss> {
    let options = options(url).ok_or_else(|| {
        let told = format!(
            "the secret of {} is no url of PostgreSQL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            wanted.field
        );
        Miss::new(ReachReason::SecretUnreadable, told)
    })?;
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    let place = format!("{host}:{}", options.get_port());
    let addresses = resolve(&host, options.get_port()).await.map_err(|error| match error {
        AddressError::Forbidden(_) => Miss::forbidden(&place, wanted.field),
        AddressError::NotResolved(_) => wanted.missed(&place, "has a name that cannot be resolved"),
    })?;
    // Where TLS must be, the name stays: certificates and gateways go by it, and all that could reach another
    // address is the eight bytes that ask for TLS. Else the address that was judged is the one that is called.
    let encrypted = !matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
    let targets: Vec<PgConnectOptions> = if encrypted {
        vec![options]
    } else {
        addresses.iter().map(|address| options.clone().host(&address.ip().to_string())).collect()
    };
    let mut trouble = wanted.missed(&place, "cannot be connected to");
    for target in targets {
        match tokio::time::timeout(CONNECT, target.connect()).await {
            Err(_) => trouble = wanted.missed(&place, "does not accept a connection within 5 s"),
            Ok(Err(error)) => trouble = failed(&error, &place, wanted),
            Ok(Ok(connection)) => return look(connection, &place, wanted).await,
        }
        if trouble.reason == ReachReason::AuthenticationFailed {
            break;
        }
    }
    Err(trouble)
}

async fn look(mut connection: PgConnection, place: &str, wanted: Wanted<'_>) -> Result<(), Miss> {
    let found: i64 = sqlx::query_scalar(FIND_TABLE)
        .bind(wanted.table)
        .bind(wanted.schema.unwrap_or_default())
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failed(&error, place, wanted))?;
    // It was reached; whether it hears the farewell changes nothing.
    let _ = connection.close().await;
    if found > 0 {
        return Ok(());
    }
    let told = match wanted.schema {
        Some(schema) => format!("has no table {} in the schema {schema}: correct the schema, or the url", wanted.table),
        None => format!("has no table {}: correct the table's name, or the url", wanted.table),
    };
    Err(wanted.missed(place, &told))
}

/// What a url says, and nothing that this process' own environment or files say: a password of ours must not go
/// to whatever host a bank names. None for what is no url with user and host, for sockets, and for client
/// certificates, which would be files of this machine.
fn options(url: &str) -> Option<PgConnectOptions> {
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
            .options([("statement_timeout", "5s"), ("default_transaction_read_only", "on")])
            .disable_statement_logging(),
    )
}

/// Without the server's own words: they tell who logs in.
fn failed(error: &sqlx::Error, place: &str, wanted: Wanted<'_>) -> Miss {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if code.starts_with("28") {
                let told = format!(
                    "the {} at {place} does not accept the user or the password (SQLSTATE {code}): correct the secret of {}",
                    wanted.what, wanted.field
                );
                return Miss::new(ReachReason::AuthenticationFailed, told);
            }
            let told = match code.as_ref() {
                "3D000" => "has no database of that name".to_owned(),
                "53300" => "has no connection left".to_owned(),
                "57P03" => "is starting up or shutting down".to_owned(),
                _ => format!("answers with an error (SQLSTATE {code})"),
            };
            wanted.missed(place, &format!("{told}: look at its log"))
        }
        sqlx::Error::Io(error) => wanted.missed(place, of_io(error.kind()).unwrap_or("cannot be connected to")),
        sqlx::Error::Tls(_) => {
            wanted.missed(place, "does not speak TLS as the url asks, or its certificate is not accepted")
        }
        _ => wanted.missed(place, "does not answer as PostgreSQL does"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_url_says_where_to_go_and_with_what() {
        let good = options("postgres://reader:secret@db.example:6432/memories?sslmode=require").unwrap();
        assert_eq!((good.get_host(), good.get_port()), ("db.example", 6432));
        assert_eq!((good.get_username(), good.get_database()), ("reader", Some("memories")));
        assert!(matches!(good.get_ssl_mode(), PgSslMode::Require));
        let short = options("postgresql://reader@db.example").unwrap();
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
            assert!(options(url).is_none(), "{url}");
        }
    }
}
