use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::delivery::{DIGEST_HEADER, Refused, Why};
use crate::domain::Digest;

/// When a caller may come again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// The bytes of an input that are handed to the connection at a time.
const CHUNK: usize = 64 << 10;
/// A message is cut so that the whole answer is read.
const MAX_MESSAGE: usize = 1_000;

fn response(status: StatusCode, content: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A small answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // These values have no key that is no text.
    let text = serde_json::to_vec(value).unwrap_or_default();
    response(status, "application/json", Body::from(text))
}

/// The bytes of an input; they keep their room until the last is sent.
pub(super) fn bytes(digest: &Digest, content: Vec<u8>, room: OwnedSemaphorePermit) -> Response {
    let length = content.len();
    let body = stream::unfold((Bytes::from(content), room), |(mut rest, room)| async move {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        (!chunk.is_empty()).then_some((Ok::<_, Infallible>(chunk), (rest, room)))
    });
    let mut response = response(StatusCode::OK, "application/octet-stream", Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    if let Ok(digest) = HeaderValue::from_str(&digest.to_string()) {
        headers.insert(DIGEST_HEADER, digest);
    }
    response
}

/// The answer to what is not done.
pub(super) fn refused(refused: &Refused) -> Response {
    let status = match refused.reason {
        Why::Unauthenticated => StatusCode::UNAUTHORIZED,
        Why::Forbidden => StatusCode::FORBIDDEN,
        Why::UnknownRun | Why::NotFound | Why::NoInput => StatusCode::NOT_FOUND,
        Why::Invalid => StatusCode::BAD_REQUEST,
        Why::LengthRequired => StatusCode::LENGTH_REQUIRED,
        Why::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Why::Mismatch => StatusCode::CONFLICT,
        Why::Failed | Why::Other => StatusCode::INTERNAL_SERVER_ERROR,
        Why::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let message = refused.message.chars().take(MAX_MESSAGE).collect();
    let mut response = json(status, &Refused { reason: refused.reason, message });
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
