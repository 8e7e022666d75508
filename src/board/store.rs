use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts};

/// Numbers of the store.
#[derive(Debug)]
pub struct StoreNumbers {
    errors: IntCounterVec,
    size: IntGauge,
    oldest: IntGauge,
    /// What is not known is not shown.
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    size: bool,
    oldest: bool,
}

impl StoreNumbers {
    /// Nothing known.
    pub fn new() -> Result<Self, prometheus::Error> {
        let errors = Opts::new("memorybank_store_errors_total", "Requests that the store did not take");
        Ok(Self {
            errors: IntCounterVec::new(errors, &["reason"])?,
            size: IntGauge::new("memorybank_store_size_bytes", "Size of the store: database, its log and blobs")?,
            oldest: IntGauge::new(
                "memorybank_store_oldest_event_timestamp_seconds",
                "When the oldest event that is kept was first seen",
            )?,
            known: Mutex::default(),
        })
    }

    /// Counts a request that failed; `reason` is of the store's closed set.
    pub fn count_error(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// Notes how large the store is, and when its oldest event was first seen.
    pub fn set(&self, bytes: u64, oldest: Option<Timestamp>) {
        self.size.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.oldest.set(oldest.map_or(0, Timestamp::as_second));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Known { size: true, oldest: oldest.is_some() };
    }

    /// What is known, for the exposition.
    pub fn families(&self) -> Vec<MetricFamily> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families = self.errors.collect();
        if known.size {
            families.extend(self.size.collect());
        }
        if known.oldest {
            families.extend(self.oldest.collect());
        }
        families
    }
}
