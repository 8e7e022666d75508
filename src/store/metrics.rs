use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;

use super::db::Pool;
use super::records::named;
use super::value::Row;
use super::{Store, StoreError};
use crate::domain::{CorruptionType, FindingState, Severity};

/// The numbers of one bank that `/metrics` shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BankMetrics {
    /// How many open findings of each severity are in each state.
    pub findings: Vec<(Severity, FindingState, u64)>,
    /// How many corruption events are open.
    pub open_corruption: u64,
    /// How many corruption events there ever were of each type; never falls.
    pub corruption_total: Vec<(CorruptionType, u64)>,
    /// The newest sample of each metric.
    pub samples: Vec<LatestSample>,
}

/// The newest sample of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestSample {
    /// As in [`crate::domain::Sample`].
    pub metric: String,
    /// As in [`crate::domain::Sample`].
    pub value: f64,
    /// When the run ended that measured it.
    pub time: Timestamp,
}

impl Store {
    /// The numbers of every bank that has any, by namespace and name.
    pub async fn bank_metrics(&self) -> Result<BTreeMap<(String, String), BankMetrics>, StoreError> {
        let mut tx = self.db.read().await?;
        let mut banks: BTreeMap<(String, String), BankMetrics> = BTreeMap::new();
        let sql = "SELECT namespace, bank, severity, state, COUNT(*) AS findings FROM security_events \
                   WHERE fixed_timestamp IS NULL GROUP BY namespace, bank, severity, state \
                   ORDER BY namespace, bank, severity, state";
        for row in tx.rows(sql, Vec::new()).await? {
            let severity = row.parsed("severity", Severity::from_record)?;
            let counted = (severity, row.parsed("state", named)?, row.count("findings")?);
            banks.entry(bank(&row)?).or_default().findings.push(counted);
        }
        let sql = "SELECT namespace, bank, COUNT(*) AS open FROM corruption_events \
                   WHERE resolved_timestamp IS NULL GROUP BY namespace, bank";
        for row in tx.rows(sql, Vec::new()).await? {
            banks.entry(bank(&row)?).or_default().open_corruption = row.count("open")?;
        }
        let sql = "SELECT * FROM corruption_totals ORDER BY namespace, bank, corruption_type";
        for row in tx.rows(sql, Vec::new()).await? {
            let counted = (row.parsed("corruption_type", CorruptionType::from_record)?, row.count("total")?);
            banks.entry(bank(&row)?).or_default().corruption_total.push(counted);
        }
        let sql = "SELECT * FROM latest_samples ORDER BY namespace, bank, metric";
        for row in tx.rows(sql, Vec::new()).await? {
            let sample =
                LatestSample { metric: row.text("metric")?, value: row.real("value")?, time: row.time("timestamp")? };
            banks.entry(bank(&row)?).or_default().samples.push(sample);
        }
        Ok(banks)
    }

    /// The size of the store in bytes: the database, its log and the blobs.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let mut tx = self.db.read().await?;
        if matches!(self.db.pool, Pool::Postgres(_)) {
            let row = tx.row("SELECT pg_database_size(current_database()) AS bytes", Vec::new()).await?;
            return row.map_or(Ok(0), |row| row.count("bytes"));
        }
        let path = std::path::Path::new(self.db.health.place());
        let files = [path.to_owned(), path.with_extension("db-wal")];
        let database: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum();
        let sql = "SELECT CAST(COALESCE(SUM(packed_bytes), 0) AS BIGINT) AS bytes FROM blobs";
        Ok(database + tx.row(sql, Vec::new()).await?.map_or(Ok(0), |row| row.count("bytes"))?)
    }

    /// When the oldest event that is kept was first seen; none while there is none.
    pub async fn oldest_event(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT MIN(oldest) AS oldest FROM (SELECT MIN(timestamp) AS oldest FROM security_events \
                   UNION ALL SELECT MIN(detected_timestamp) AS oldest FROM corruption_events) AS events";
        tx.row(sql, Vec::new()).await?.map_or(Ok(None), |row| row.maybe_time("oldest"))
    }
}

fn bank(row: &Row) -> Result<(String, String), StoreError> {
    Ok((row.text("namespace")?, row.text("bank")?))
}
