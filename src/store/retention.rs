use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::audit::{self, AuditEntry};
use super::blobs::{BlobPlace, blocking};
use super::value::{Arg, args};
use super::{Store, StoreError, blob_files};
use crate::domain::Digest;

/// Rows per transaction: each holds the write lock for some milliseconds only.
const BATCH: i64 = 2_000;
/// Content that nothing refers to stays this long: a run puts its outputs before its report names them.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples. The newest of each metric always stays.
    pub samples: SignedDuration,
    /// Runs, from their end. Unfinished ones always stay, and those that a person asked for: their document
    /// stands, and a run that is not known would be executed again.
    pub runs: SignedDuration,
    /// Finished runs of one bank that a person asked for, at most: only so that they have an end.
    pub runs_by_hand: u32,
    /// Fixed findings and resolved damage, from that moment. Open ones always stay.
    pub closed_events: SignedDuration,
    /// Reports, from the run's end. The newest of each kind of run of each bank always stays, and any
    /// whose run is still known.
    pub reports: SignedDuration,
    /// Reports of one kind of one bank, at most.
    pub reports_per_kind: u32,
    /// Rows at the start of the audit log. Their last hash stays as the anchor of the rest.
    pub audit: SignedDuration,
}

impl Default for Limits {
    /// A quarter of a year of operation, two years of events and deeds.
    fn default() -> Self {
        const fn days(days: i64) -> SignedDuration {
            SignedDuration::from_hours(24 * days)
        }
        Self {
            samples: days(90),
            runs: days(90),
            runs_by_hand: 10_000,
            closed_events: days(730),
            reports: days(90),
            reports_per_kind: 100,
            audit: days(730),
        }
    }
}

/// How many of each were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Removed {
    pub samples: u64,
    pub runs: u64,
    pub events: u64,
    pub reports: u64,
    pub audit_rows: u64,
    pub blobs: u64,
}

impl Store {
    /// Removes what is older than its limit, in small transactions, and says so in the audit log.
    pub async fn apply_retention(&self, now: Timestamp, limits: &Limits) -> Result<Removed, StoreError> {
        let before = |age: SignedDuration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut removed = Removed {
            samples: self.delete(DELETE_SAMPLES, args![before(limits.samples), BATCH]).await?,
            runs: self.delete(DELETE_RUNS, args![before(limits.runs), BATCH]).await?
                + self.delete(DELETE_RUNS_BY_HAND, args![i64::from(limits.runs_by_hand), BATCH]).await?,
            events: self.delete(DELETE_FINDINGS, args![before(limits.closed_events), BATCH]).await?
                + self.delete(DELETE_CORRUPTION, args![before(limits.closed_events), BATCH]).await?,
            ..Removed::default()
        };
        let reports = args![before(limits.reports), i64::from(limits.reports_per_kind.max(1)), BATCH];
        removed.reports = self.delete(DELETE_REPORTS, reports).await?;
        removed.audit_rows = self.trim_audit(before(limits.audit)).await?;
        removed.blobs = self.collect_blobs(before(GRACE)).await?;
        if removed != Removed::default() {
            self.append_audit(&AuditEntry {
                time: now,
                actor: "store".to_owned(),
                action: "retention-applied".to_owned(),
                namespace: String::new(),
                bank: String::new(),
                detail: json!({
                    "samples": removed.samples,
                    "runs": removed.runs,
                    "events": removed.events,
                    "reports": removed.reports,
                    "auditRows": removed.audit_rows,
                    "blobs": removed.blobs,
                }),
            })
            .await?;
        }
        Ok(removed)
    }

    /// Repeats a statement that deletes at most [`BATCH`] rows until it finds fewer.
    async fn delete(&self, sql: &'static str, args: Vec<Arg>) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let _writer = self.writer.lock().await;
            let mut tx = self.db.write().await?;
            let gone = tx.execute(sql, args.clone()).await?;
            tx.commit().await?;
            total += gone;
            if i64::try_from(gone).unwrap_or(i64::MAX) < BATCH {
                return Ok(total);
            }
        }
    }

    async fn trim_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let _writer = self.writer.lock().await;
            let mut tx = self.db.write().await?;
            match audit::trim(&mut tx, before).await {
                Ok(0) => return Ok(total),
                Ok(gone) => {
                    tx.commit().await?;
                    total += gone;
                }
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::error!(%error, "the audit log is not trimmed: run `memorybank audit verify`");
                    return Ok(total);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes blobs that nothing refers to and nobody put since `before`, and files without a row.
    async fn collect_blobs(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let _writer = self.writer.lock().await;
            let mut tx = self.db.write().await?;
            let rows = tx.rows(UNREFERENCED, args![before, BATCH]).await?;
            let digests = rows
                .iter()
                .map(|row| row.parsed("digest", |text| text.parse().ok()))
                .collect::<Result<Vec<Digest>, _>>()?;
            let names: Vec<String> = digests.iter().map(Digest::to_string).collect();
            tx.execute_list("DELETE FROM blobs WHERE digest IN", &[], &names).await?;
            tx.commit().await?;
            total += digests.len() as u64;
            let last = digests.is_empty();
            if let BlobPlace::Files(folder) = &self.blobs {
                // Still under `writer`: nobody can put one of them again before its file is gone.
                let folder = folder.clone();
                blocking(move || digests.iter().try_for_each(|digest| blob_files::remove(&folder, digest))).await?;
            }
            if last {
                break;
            }
        }
        if let BlobPlace::Files(folder) = &self.blobs {
            total += self.sweep(folder).await?;
        }
        Ok(total)
    }

    /// Removes files that a crash left without a row.
    async fn sweep(&self, folder: &Path) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        let place = folder.to_owned();
        let old = blocking(move || {
            blob_files::older_than(&place, Duration::from_secs(GRACE.as_secs().unsigned_abs()))
                .map_err(|error| StoreError::io(place.display(), &error))
        })
        .await?;
        let mut tx = self.db.read().await?;
        let mut swept = 0;
        for (path, digest) in old {
            let known = match digest {
                Some(digest) => {
                    tx.row("SELECT digest FROM blobs WHERE digest = $1", args![digest.to_string()]).await?.is_some()
                }
                None => false,
            };
            if !known {
                fs::remove_file(&path).map_err(|error| StoreError::io(path.display(), &error))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

const DELETE_SAMPLES: &str = "DELETE FROM samples WHERE (namespace, bank, metric, timestamp) IN \
    (SELECT namespace, bank, metric, timestamp FROM samples WHERE timestamp < $1 LIMIT $2)";
/// An owner is JSON without spaces, in which a quotation mark within a name has a backslash before it.
const DELETE_RUNS: &str = "DELETE FROM runs WHERE uid IN (SELECT uid FROM runs \
    WHERE finished IS NOT NULL AND finished < $1 AND owner NOT LIKE '%\"owner\":\"Hand\"%' LIMIT $2)";
/// `place` 1 is the newest of its bank.
const DELETE_RUNS_BY_HAND: &str = "DELETE FROM runs WHERE uid IN (SELECT uid FROM \
    (SELECT uid, ROW_NUMBER() OVER (PARTITION BY namespace, bank ORDER BY COALESCE(seq, 0) DESC, created DESC, uid) \
    AS place FROM runs WHERE finished IS NOT NULL AND owner LIKE '%\"owner\":\"Hand\"%') AS ranked \
    WHERE place > $1 LIMIT $2)";
const DELETE_FINDINGS: &str = "DELETE FROM security_events WHERE event_id IN \
    (SELECT event_id FROM security_events WHERE fixed_timestamp IS NOT NULL AND fixed_timestamp < $1 LIMIT $2)";
const DELETE_CORRUPTION: &str = "DELETE FROM corruption_events WHERE corruption_id IN \
    (SELECT corruption_id FROM corruption_events WHERE resolved_timestamp IS NOT NULL AND resolved_timestamp < $1 LIMIT $2)";
/// `place` 1 is the newest of its kind.
const DELETE_REPORTS: &str = "DELETE FROM reports WHERE uid IN (SELECT uid FROM \
    (SELECT uid, finished, ROW_NUMBER() OVER (PARTITION BY namespace, bank, kind ORDER BY seq DESC, finished DESC, uid) AS place \
    FROM reports) AS ranked \
    WHERE place > 1 AND (finished < $1 OR place > $2) AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.uid = ranked.uid) \
    LIMIT $3)";
const UNREFERENCED: &str = "SELECT digest FROM blobs WHERE touched < $1 \
    AND NOT EXISTS (SELECT 1 FROM reports WHERE reports.digest = blobs.digest) \
    AND NOT EXISTS (SELECT 1 FROM outputs WHERE outputs.digest = blobs.digest) LIMIT $2";
