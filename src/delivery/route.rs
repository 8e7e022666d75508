use std::fmt::{self, Write as _};

use thiserror::Error;

/// Where all paths begin.
const PREFIX: &str = "/ingest/v1/namespaces/";
/// Longest names, in bytes: those of Kubernetes, and of an output.
const MAX_NAME: usize = 253;

/// A name that cannot stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Of a namespace or a run.
    #[error("{0:?} is no name of an object in Kubernetes")]
    Object(String),
    /// Of an input or output.
    #[error("{0:?} cannot be sent: a name has 1 to 253 bytes, no control character, and is not `.` or `..`")]
    Content(String),
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The report of the run.
    Report,
    /// The newest output of this name of the run's bank.
    Input(String),
    /// An output of this name, which the report names with its digest.
    Output(String),
    /// The bank's key for fingerprints.
    FingerprintKey,
}

/// The path of a request: `/ingest/v1/namespaces/NS/runs/RUN/WHAT[/NAME]`, names percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The namespace of the run.
    pub namespace: String,
    /// The run's name.
    pub run: String,
    /// What of it.
    pub what: What,
}

impl Route {
    /// A route whose names can be sent.
    pub fn new(namespace: &str, run: &str, what: What) -> Result<Self, InvalidName> {
        let cut = |name: &str| name.chars().take(MAX_NAME).collect();
        if let Some(bad) = [namespace, run].into_iter().find(|name| !is_object(name)) {
            return Err(InvalidName::Object(cut(bad)));
        }
        match &what {
            What::Input(name) | What::Output(name) if !sendable(name) => return Err(InvalidName::Content(cut(name))),
            _ => {}
        }
        Ok(Self { namespace: namespace.to_owned(), run: run.to_owned(), what })
    }

    /// Reads the path of a request; none where it is no route.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(PREFIX)?.splitn(5, '/');
        let namespace = decode(parts.next()?)?;
        (parts.next()? == "runs").then_some(())?;
        let run = decode(parts.next()?)?;
        // A name may hold slashes, encoded or not: it is all that is left.
        let what = match (parts.next()?, parts.next()) {
            ("report", None) => What::Report,
            ("fingerprint-key", None) => What::FingerprintKey,
            ("inputs", Some(name)) => What::Input(decode(name)?),
            ("outputs", Some(name)) => What::Output(decode(name)?),
            _ => return None,
        };
        Self::new(&namespace, &run, what).ok()
    }
}

impl fmt::Display for Route {
    /// The path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/runs/{}", Encoded(&self.namespace), Encoded(&self.run))?;
        match &self.what {
            What::Report => f.write_str("/report"),
            What::FingerprintKey => f.write_str("/fingerprint-key"),
            What::Input(name) => write!(f, "/inputs/{}", Encoded(name)),
            What::Output(name) => write!(f, "/outputs/{}", Encoded(name)),
        }
    }
}

/// Whether it can be the name of an object (a DNS subdomain): whoever builds another path from it needs no escape.
fn is_object(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= MAX_NAME && name.bytes().all(inner) && end(name.as_bytes().first()) && end(name.as_bytes().last())
}

/// `.` and `..` are steps between folders to whoever normalises a path, encoded or not.
fn sendable(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// A name with everything percent-encoded that is not unreserved (RFC 3986, 2.3).
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => f.write_char(char::from(byte)),
            other => write!(f, "%{other:02X}"),
        })
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_documentation() {
        let path = |what| Route::new("team-a", "bank-quick-1", what).unwrap().to_string();
        assert_eq!(path(What::Report), "/ingest/v1/namespaces/team-a/runs/bank-quick-1/report");
        assert_eq!(path(What::FingerprintKey), "/ingest/v1/namespaces/team-a/runs/bank-quick-1/fingerprint-key");
        assert_eq!(
            path(What::Output("manifest/up loads%".to_owned())),
            "/ingest/v1/namespaces/team-a/runs/bank-quick-1/outputs/manifest%2Fup%20loads%25"
        );
    }

    #[test]
    fn a_slash_of_a_name_may_come_as_it_is() {
        let route = Route::parse("/ingest/v1/namespaces/a/runs/b/inputs/manifest/uploads").unwrap();
        assert_eq!(route.what, What::Input("manifest/uploads".to_owned()));
    }

    #[test]
    fn what_is_no_route_is_none() {
        for path in [
            "",
            "/",
            "/ingest/v1/namespaces/a/runs/b",
            "/ingest/v1/namespaces/a/runs/b/",
            "/ingest/v1/namespaces/a/runs/b/report/",
            "/ingest/v1/namespaces/a/runs/b/report/x",
            "/ingest/v1/namespaces/a/runs/b/inputs",
            "/ingest/v1/namespaces/a/runs/b/inputs/",
            "/ingest/v1/namespaces//runs/b/report",
            "/ingest/v1/namespaces/a/jobs/b/report",
            "/ingest/v2/namespaces/a/runs/b/report",
            "/ingest/v1/namespaces/a/runs/b/inputs/%",
            "/ingest/v1/namespaces/a/runs/b/inputs/%4",
            "/ingest/v1/namespaces/a/runs/b/inputs/%zz",
            "/ingest/v1/namespaces/a/runs/b/inputs/%ff",
            "/ingest/v1/namespaces/a/runs/b/inputs/%00",
            "/ingest/v1/namespaces/a/runs/b/inputs/%2B%0A",
            "/ingest/v1/namespaces/%2E%2e/runs/b/report",
            "/ingest/v1/namespaces/a%2Fpods/runs/b/report",
            "/ingest/v1/namespaces/a/runs/b%3Fwatch/report",
            "/ingest/v1/namespaces/A/runs/b/report",
            "/ingest/v1/namespaces/a/runs/-b/report",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
        assert!(Route::parse(&format!("/ingest/v1/namespaces/a/runs/{}/report", "b".repeat(254))).is_none());
        assert!(Route::new("a", "b", What::Input("x".repeat(254))).is_err());
    }

    proptest! {
        #[test]
        fn every_name_comes_through(
            namespace in "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?",
            run in "[a-z0-9]([-.a-z0-9]{0,90}[a-z0-9])?",
            name in "\\PC{1,60}",
        ) {
            for what in [What::Report, What::Input(name.clone()), What::Output(name.clone()), What::FingerprintKey] {
                let Ok(route) = Route::new(&namespace, &run, what) else { continue };
                let path = route.to_string();
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
                prop_assert_eq!(Route::parse(&path), Some(route));
            }
        }
    }
}
