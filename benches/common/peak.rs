//! How much memory a measurement takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The most anonymous memory that this process had (`RssAnon`), sampled each 20 ms.
pub struct Peak {
    most: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
}

impl Peak {
    /// Watches from now on.
    pub fn watch() -> Self {
        let peak = Self { most: Arc::default(), end: Arc::default() };
        let (most, end) = (Arc::clone(&peak.most), Arc::clone(&peak.end));
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
                let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
                most.fetch_max(kilobytes.unwrap_or_default() * 1024, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        peak
    }

    /// What it was, in bytes.
    pub fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed)
    }
}
