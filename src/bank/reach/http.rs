//! One bounded GET, and what its failures mean in words that stay the same as long as the trouble does.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Url, redirect};
use rustls::CertificateError;

use super::address::{AddressError, Guarded, forbidden};

/// How long a server may take to accept a connection, and to give its whole answer.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
pub(super) const WHOLE: Duration = Duration::from_secs(10);
/// No answer to a probe is larger.
const MAX_BODY: usize = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no answer; in words that continue "the API at HOST:PORT".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is never called.
    Forbidden,
    /// It gave no answer.
    Unreachable(String),
    /// It began an answer that could not be taken.
    Broken(&'static str),
}

/// How the certificate of a server is verified beyond the public authorities.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub roots: Vec<Certificate>,
    pub unverified: bool,
}

/// A client that calls the addresses that may be called, and follows nowhere.
pub(super) fn client(extra: Extra) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_certs_merge(extra.roots)
        .tls_danger_accept_invalid_certs(extra.unverified)
        .dns_resolver(Guarded)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        // A connection of before says nothing of whether one can be made now.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("memorybank/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Where a url leads, for people: never its path or its query.
pub(super) fn place(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Asks once.
pub(super) async fn get(
    client: &Client,
    url: Url,
    secret: Option<(HeaderName, HeaderValue)>,
) -> Result<Answer, Failure> {
    // Names are judged by what they resolve to; an address in the url is not resolved.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok_and(forbidden) {
        return Err(Failure::Forbidden);
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(secret.map(|(name, value)| (Some(name), value)));
    let mut response = client.get(url).headers(headers).send().await.map_err(|error| failure(&error))?;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => {
                return Err(Failure::Broken("answers with more than 1 MiB"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Answer { status: response.status().as_u16(), body }),
            Err(error) if error.is_timeout() => {
                return Err(Failure::Broken("does not end its answer within 10 s"));
            }
            Err(_) => return Err(Failure::Broken("breaks off in the middle of its answer")),
        }
    }
}

/// The cause of a failed request lies at the ground of a chain of causes.
fn failure(error: &reqwest::Error) -> Failure {
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(address) = one.downcast_ref::<AddressError>() {
            return match address {
                AddressError::Forbidden(_) => Failure::Forbidden,
                AddressError::NotResolved(_) => Failure::Unreachable("has a name that cannot be resolved".to_owned()),
            };
        }
        if let Some(tls) = one.downcast_ref::<rustls::Error>() {
            return Failure::Unreachable(of_tls(tls).to_owned());
        }
        cause = match one.downcast_ref::<io::Error>() {
            Some(io) => match (io.get_ref(), of_io(io.kind())) {
                // An error that carries another one names as its source the source of that.
                (Some(inner), _) => Some(inner),
                (None, Some(told)) => return Failure::Unreachable(told.to_owned()),
                (None, None) => None,
            },
            None => one.source(),
        };
    }
    Failure::Unreachable(
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => "does not accept a connection within 5 s",
            (true, false) => "does not answer within 10 s",
            (false, true) => "cannot be connected to",
            (false, false) => "closes the connection without an answer",
        }
        .to_owned(),
    )
}

/// What a failure to connect means, where its kind tells more than where it happened.
pub(super) const fn of_io(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("refuses connections"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some("cannot be routed to"),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some("closes the connection without an answer"),
        _ => None,
    }
}

/// Without the words of the library: they tell the time of the day.
fn of_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has a certificate that has expired",
            CertificateError::UnknownIssuer => "has a certificate of an unknown authority (tls.caSecretRef names one)",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "has a certificate for another name"
            }
            _ => "has a certificate that is not accepted",
        },
        _ => "does not speak TLS as it should",
    }
}
