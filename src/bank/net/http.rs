//! The HTTP client, and what its failures mean in words that stay the same as long as the trouble does.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Url, redirect};
use rustls::CertificateError;

use super::address::{AddressError, Guarded, forbidden};

/// How long a server may take to accept a connection.
pub(in crate::bank) const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer; in words that continue "the API at HOST:PORT".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) enum Failure {
    /// It is never called.
    Forbidden,
    /// It gave no answer.
    Unreachable(String),
    /// It began an answer that could not be taken.
    Broken(String),
}

/// How the certificate of a server is verified beyond the public authorities.
#[derive(Debug, Default)]
pub(in crate::bank) struct Extra {
    pub roots: Vec<Certificate>,
    pub unverified: bool,
}

/// A client that calls the addresses that may be called, and follows nowhere.
pub(in crate::bank) fn builder(extra: Extra) -> ClientBuilder {
    // The first one counts, and there is only one: whoever was earlier chose the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientBuilder::new()
        // One connection for each request that is under way: what is large does not wait for what is small.
        .http1_only()
        .tls_certs_merge(extra.roots)
        .tls_danger_accept_invalid_certs(extra.unverified)
        .dns_resolver(Guarded)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .user_agent(concat!("memorybank/", env!("CARGO_PKG_VERSION")))
}

/// Where a url leads, for people: never its path or its query.
pub(in crate::bank) fn place(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Whether a url has an address for host that is never called. Names are judged by what they resolve to; an
/// address in the url is not resolved.
pub(in crate::bank) fn names_forbidden(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok_and(forbidden)
}

/// The cause of a failed request lies at the ground of a chain of causes. `whole` is how long it was waited for.
pub(in crate::bank) fn failure(error: &reqwest::Error, whole: Duration) -> Failure {
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
    Failure::Unreachable(match (error.is_timeout(), error.is_connect()) {
        (true, true) => "does not accept a connection within 5 s".to_owned(),
        (true, false) => format!("does not answer within {} s", whole.as_secs()),
        (false, true) => "cannot be connected to".to_owned(),
        (false, false) => "closes the connection without an answer".to_owned(),
    })
}

/// What a failure in the middle of an answer means.
pub(in crate::bank) fn broken(error: &reqwest::Error, whole: Duration) -> Failure {
    Failure::Broken(if error.is_timeout() {
        format!("does not end its answer within {} s", whole.as_secs())
    } else {
        "breaks off in the middle of its answer".to_owned()
    })
}

/// What a failure to connect means, where its kind tells more than where it happened.
pub(in crate::bank) const fn of_io(kind: io::ErrorKind) -> Option<&'static str> {
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
