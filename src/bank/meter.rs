use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Counts the bytes of a piece of work, and carries the wish to stop it. Shared by all its threads.
#[derive(Debug, Default)]
pub struct Meter {
    done: AtomicU64,
    total: AtomicU64,
    cancel: CancellationToken,
}

/// The work was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Meter {
    /// A meter that stops when `cancel` is cancelled.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// Adds to the bytes that are to be done.
    pub fn grow(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds to the bytes that are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done, and bytes to be done in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Stops the work.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What is cancelled when the work is to stop, for what outlives a borrow of this.
    pub fn stop(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Does work that waits for others, until it is to stop.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Cancelled),
            done = work => Ok(done),
        }
    }

    /// An error once the work is to stop; to be called at least once per megabyte or millisecond.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}
