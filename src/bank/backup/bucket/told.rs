use std::error::Error as _;

use object_store::Error;
use object_store::path::Path;

use super::open::WHOLE;
use crate::bank::net::http::{Failure, broken, failure};

/// What a bucket does not do, for people. Nothing of what the server wrote: that may repeat who asked, and with what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}, {key}: {told}")]
pub struct BucketError {
    place: String,
    key: String,
    told: String,
}

impl BucketError {
    pub(super) fn new(place: &str, key: &Path, told: impl Into<String>) -> Self {
        Self { place: place.to_owned(), key: key.to_string(), told: told.into() }
    }

    pub(super) fn of(place: &str, key: &Path, error: &Error) -> Self {
        Self::new(place, key, told(error))
    }
}

/// The server's own code of an error, where it gave one.
pub(super) fn code(error: &Error) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

fn told(error: &Error) -> String {
    if let Some(code) = code(error) {
        return of_code(&code);
    }
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(error) = one.downcast_ref::<reqwest::Error>() {
            let failed =
                if error.is_body() || error.is_decode() { broken(error, WHOLE) } else { failure(error, WHOLE) };
            return match failed {
                Failure::Forbidden => {
                    "the server is at a link-local or metadata address: it is never called".to_owned()
                }
                Failure::Unreachable(told) | Failure::Broken(told) => format!("the server {told}"),
            };
        }
        cause = one.source();
    }
    match error {
        // An answer without a body, as to HEAD.
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => of_code("AccessDenied"),
        Error::NotFound { .. } => "it is not there".to_owned(),
        Error::Precondition { .. } | Error::NotModified { .. } => "it was changed meanwhile".to_owned(),
        Error::AlreadyExists { .. } => "it is there already".to_owned(),
        Error::InvalidPath { .. } => {
            "there are keys that no set of ours has: remove them, or use another prefix".to_owned()
        }
        other => match status(&other.to_string()) {
            Some(301 | 307 | 308) => of_code("PermanentRedirect"),
            Some(429 | 503) => of_code("SlowDown"),
            Some(501) => of_code("NotImplemented"),
            Some(status) => format!("the server answers with status {status}: look at its log"),
            None if other.to_string().contains("redirect") => of_code("PermanentRedirect"),
            None => "the server does not answer as S3 does: correct spec.repository.s3.endpoint".to_owned(),
        },
    }
}

/// The HTTP status that a message of `object_store` tells.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn of_code(code: &str) -> String {
    let known = match code {
        "NoSuchBucket" => "there is no such bucket: make it, or correct spec.repository.s3.bucket",
        "InvalidAccessKeyId" | "XAdminUserNotFound" => {
            "the server does not know the access key: correct AWS_ACCESS_KEY_ID of spec.repository.s3.credentialsSecretRef"
        }
        "SignatureDoesNotMatch" => {
            "the server does not accept the access key: correct AWS_SECRET_ACCESS_KEY of \
             spec.repository.s3.credentialsSecretRef"
        }
        "ExpiredToken" | "InvalidToken" => {
            "the server does not accept the token of the workload identity, or no longer"
        }
        "AccessDenied" | "AllAccessDisabled" => {
            "the server does not admit this with these credentials: let them do what docs/backup.md lists"
        }
        "RequestTimeTooSkewed" | "RequestExpired" => {
            "the clocks of this machine and of the server differ: set them right"
        }
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" => {
            "the bucket is in another region: correct spec.repository.s3.region"
        }
        "SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "RequestLimitExceeded" => {
            "the server asked to slow down, and still did after several attempts: try again later"
        }
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage" => {
            "the server has no room: give it more, or keep fewer sets"
        }
        "NotImplemented" => "the server does not know this request: use one that heeds If-Match and If-None-Match",
        _ => return format!("the server answers {code}: look at its log"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_a_server_writes_is_told_by_its_code_alone() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
            <AWSAccessKeyId>AKIAWHO</AWSAccessKeyId></Error>";
        let error = BucketError::of("bucket sets at s3:443", &Path::from("a/b"), &generic(body));
        let text = format!("{error} {error:?}");
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && text.contains("bucket sets at s3:443, a/b"), "{text}");
        assert!(!text.contains("AKIAWHO"), "{text}");
        for (text, expected) in [
            ("status code: 503 Service Unavailable: ", "slow down"),
            ("status code: 301 Moved: ", "region"),
            ("status code: 418 I'm a teapot: ", "status 418"),
            ("Received redirect without LOCATION", "region"),
            ("<Code>../../etc</Code>", "does not answer as S3"),
            ("<Code>Odd</Code>", "answers Odd"),
        ] {
            let told = told(&generic(text));
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
