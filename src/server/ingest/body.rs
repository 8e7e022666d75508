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
/// The largest body that is read though nobody wants it, and how long it may take.
const UNWANTED: (u64, Duration) = (MAX_REPORT, Duration::from_secs(5));

/// The memory that bodies may take together, whoever sends or gets them.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(ROOM / UNIT).unwrap_or(usize::MAX))))
    }

    /// Room for so many bytes, until it is dropped.
    pub async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refused> {
        // More than there is could never be had: a blob that another version left.
        let units = u32::try_from(bytes.min(ROOM).div_ceil(UNIT)).unwrap_or(u32::MAX);
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

/// Reads the rest of a body and forgets it: who still writes would not see the answer. What is too large for that
/// is not read, and its sender may find the connection closed.
pub(super) async fn drain(parts: &Parts, body: &mut BodyDataStream) {
    let (most, patience) = UNWANTED;
    if length(parts, most).is_ok() {
        let _ = timeout(patience, async { while let Some(Ok(_)) = body.next().await {} }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_much_at_once_waits_until_there_is_room() {
        let room = Room::new();
        let largest = room.take(MAX_OUTPUT).await.unwrap();
        let report = room.take(MAX_REPORT * super::super::REPORT_GROWS).await.unwrap();
        let moment = Duration::from_millis(50);
        assert!(timeout(moment, room.take(1)).await.is_err(), "there is more room than there should be");
        drop(report);
        let small = room.take(1).await.unwrap();
        drop((largest, small));
        assert!(room.take(u64::MAX).await.is_ok());
    }
}
