use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::header;
use axum::http::request::Parts;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refuse;
use crate::delivery::{MAX_OUTPUT, MAX_REPORT, Refused, Why};

/// The unit in which room is counted.
const UNIT: u64 = 1 << 10;
/// All bodies that are in memory at once: the largest output beside the largest report. What comes beyond that
/// waits.
const ROOM: u64 = MAX_OUTPUT + MAX_REPORT * super::REPORT_GROWS;
/// How long it waits before it is sent away.
const WAIT: Duration = Duration::from_secs(20);
/// What is read of a body that nobody wants, and for how long.
const UNWANTED: (usize, Duration) = (1 << 20, Duration::from_secs(5));

/// The memory that bodies may take together, whoever sends or gets them.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(ROOM / UNIT).unwrap_or(usize::MAX))))
    }

    /// Room for so many bytes, until it is dropped.
    pub async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refused> {
        // More than there is could never be had: a blob that another version left.
        let units = u32::try_from(bytes.min(ROOM) / UNIT + 1).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(ROOM / UNIT).unwrap_or(u32::MAX));
        match timeout(WAIT, Arc::clone(&self.0).acquire_many_owned(units)).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(refuse(Why::Unavailable, "too many large bodies are being moved at once")),
        }
    }
}

/// The length that the head of a request declares, which must be within the limit.
pub(super) fn length(parts: &Parts, limit: u64) -> Result<u64, Refused> {
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match declared {
        Some(length) if length > limit => {
            Err(refuse(Why::TooLarge, format!("it has {length} bytes, and at most {limit} are taken")))
        }
        Some(length) => Ok(length),
        // Without either it has no body (RFC 9112, 6.3).
        None if !parts.headers.contains_key(header::TRANSFER_ENCODING) => Ok(0),
        None => Err(refuse(Why::LengthRequired, "there must be a Content-Length")),
    }
}

/// Reads a body of the declared length.
pub(super) async fn read(body: &mut BodyDataStream, length: u64) -> Result<Vec<u8>, Refused> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| refuse(Why::Invalid, format!("its body broke off: {error}")))?;
        if bytes.len() + chunk.len() > length {
            return Err(refuse(Why::Invalid, "its body is longer than declared"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() < length {
        return Err(refuse(Why::Invalid, "its body is shorter than declared"));
    }
    Ok(bytes)
}

/// Reads some of a body and forgets it.
pub(super) async fn drain(body: &mut BodyDataStream) {
    let (most, patience) = UNWANTED;
    let _ = timeout(patience, async {
        let mut read = 0;
        while let Some(Ok(chunk)) = body.next().await {
            read += chunk.len();
            if read > most {
                break;
            }
        }
    })
    .await;
}
