use serde::de::DeserializeOwned;

use super::db::Tx;
use super::reach;
use super::records::{self, named};
use super::value::args;
use super::{Store, StoreError};
use crate::domain::{
    BackupVerdict, BankFacts, CorruptionEvent, CorruptionSummary, Digest, Finding, FindingState, FindingSummary, Level,
    Measurement, RestoreVerdict, Severity, TaskKind,
};

/// Worst first.
const OPEN_CORRUPTION: &str = "SELECT * FROM corruption_events \
    WHERE namespace = $1 AND bank = $2 AND resolved_timestamp IS NULL \
    ORDER BY CASE severity WHEN 'CRITICAL' THEN 0 WHEN 'HIGH' THEN 1 WHEN 'MEDIUM' THEN 2 ELSE 3 END, \
    detected_timestamp DESC, event_key LIMIT $3";
/// Of equals by what and where it is, before the fingerprint, whose key is another in each installation.
const OPEN_FINDINGS: &str = "SELECT * FROM security_events \
    WHERE namespace = $1 AND bank = $2 AND fixed_timestamp IS NULL AND state <> 'waived' \
    ORDER BY CASE severity WHEN 'CRITICAL' THEN 0 WHEN 'HIGH' THEN 1 WHEN 'MEDIUM' THEN 2 ELSE 3 END, \
    CASE state WHEN 'new' THEN 0 ELSE 1 END, timestamp DESC, check_id, source_component, metadata, fingerprint LIMIT $3";

impl Store {
    /// The open damage of a bank, worst first, at most `limit`.
    pub async fn open_corruption(
        &self,
        namespace: &str,
        bank: &str,
        limit: u32,
    ) -> Result<Vec<CorruptionEvent>, StoreError> {
        let mut tx = self.db.read().await?;
        let top = tx.rows(OPEN_CORRUPTION, args![namespace, bank, u64::from(limit)]).await?;
        top.iter().map(|row| Ok(records::corruption(row)?.1)).collect()
    }

    /// The open findings of a bank, worst first, at most `limit`.
    pub async fn open_findings(
        &self,
        namespace: &str,
        bank: &str,
        limit: u32,
    ) -> Result<Vec<(FindingState, Finding)>, StoreError> {
        let mut tx = self.db.read().await?;
        let top = tx.rows(OPEN_FINDINGS, args![namespace, bank, u64::from(limit)]).await?;
        top.iter().map(records::finding).collect()
    }

    /// What is known of a bank, as of one moment: all that its conditions are derived from.
    pub async fn facts(&self, namespace: &str, bank: &str) -> Result<BankFacts, StoreError> {
        let mut tx = self.db.read().await?;
        let mut facts = BankFacts {
            measurements: measurements(&mut tx, namespace, bank).await?,
            corruption: corruption(&mut tx, namespace, bank).await?,
            findings: findings(&mut tx, namespace, bank).await?,
            reach: reach::of_bank(&mut tx, namespace, bank).await?,
            ..BankFacts::default()
        };
        let backup = output(&mut tx, namespace, bank, BackupVerdict::OUTPUT).await?;
        let restore = output(&mut tx, namespace, bank, RestoreVerdict::OUTPUT).await?;
        drop(tx);
        facts.backup = self.verdict(backup).await?;
        facts.restore = self.verdict(restore).await?;
        Ok(facts)
    }

    /// What verification or a restore test said of a bank's sets. What cannot be read proves nothing, and keeps nothing
    /// else from being planned.
    async fn verdict<T: DeserializeOwned>(&self, digest: Option<Digest>) -> Result<Option<T>, StoreError> {
        let Some(digest) = digest else { return Ok(None) };
        match self.get_blob(&digest).await {
            Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
            Err(StoreError::Damaged { place, detail }) => {
                tracing::warn!(place, detail, "a verdict on backup sets cannot be read");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The digest of the newest output of a name.
async fn output(tx: &mut Tx, namespace: &str, bank: &str, name: &str) -> Result<Option<Digest>, StoreError> {
    let sql = "SELECT digest FROM outputs WHERE namespace = $1 AND bank = $2 AND name = $3";
    let row = tx.row(sql, args![namespace, bank, name]).await?;
    row.map(|row| row.parsed("digest", |text| text.parse().ok())).transpose()
}

async fn measurements(tx: &mut Tx, namespace: &str, bank: &str) -> Result<Vec<Measurement>, StoreError> {
    let sql = "SELECT * FROM measurements WHERE namespace = $1 AND bank = $2 ORDER BY task, level, scope";
    let rows = tx.rows(sql, args![namespace, bank]).await?;
    rows.iter()
        .map(|row| {
            let level = row.text("level")?;
            let known = named::<Level>(&level);
            if known.is_none() && !level.is_empty() {
                return Err(StoreError::damaged("measurements.level", format_args!("unknown value {level:?}")));
            }
            Ok(Measurement {
                task: row.parsed("task", named::<TaskKind>)?,
                level: known,
                scope: row.text("scope")?,
                outcome: row.parsed("outcome", named)?,
                message: row.text("message")?,
                finished: row.time("finished")?,
                run: row.text("run")?,
            })
        })
        .collect()
}

async fn corruption(tx: &mut Tx, namespace: &str, bank: &str) -> Result<CorruptionSummary, StoreError> {
    let sql = "SELECT COUNT(*) AS open FROM corruption_events \
               WHERE namespace = $1 AND bank = $2 AND resolved_timestamp IS NULL";
    let open = tx.row(sql, args![namespace, bank]).await?.map_or(Ok(0), |row| row.count("open"))?;
    let sql = "SELECT MAX(detected_timestamp) AS newest FROM corruption_events WHERE namespace = $1 AND bank = $2";
    let newest = tx.row(sql, args![namespace, bank]).await?;
    let top = tx.rows(OPEN_CORRUPTION, args![namespace, bank, BankFacts::TOP as u64]).await?;
    Ok(CorruptionSummary {
        open,
        last_detected: newest.map_or(Ok(None), |row| row.maybe_time("newest"))?,
        top: top.iter().map(records::corruption).collect::<Result<_, _>>()?,
    })
}

async fn findings(tx: &mut Tx, namespace: &str, bank: &str) -> Result<FindingSummary, StoreError> {
    let mut summary = FindingSummary::default();
    let sql = "SELECT severity, state, COUNT(*) AS findings FROM security_events \
               WHERE namespace = $1 AND bank = $2 AND fixed_timestamp IS NULL GROUP BY severity, state";
    for row in tx.rows(sql, args![namespace, bank]).await? {
        let (count, state) = (row.count("findings")?, row.text("state")?);
        if state == "waived" {
            summary.waived += count;
            continue;
        }
        match state.as_str() {
            "new" => summary.new += count,
            _ => summary.persisting += count,
        }
        match row.parsed("severity", Severity::from_record)? {
            Severity::Critical => summary.critical += count,
            Severity::High => summary.high += count,
            Severity::Medium => summary.medium += count,
            Severity::Low => summary.low += count,
        }
    }
    let sql = "SELECT COUNT(*) AS fixed FROM security_events WHERE namespace = $1 AND bank = $2 AND fixed_timestamp IS NOT NULL AND seq > 0 \
               AND seq = (SELECT MAX(seq) FROM measurements WHERE namespace = $1 AND bank = $2 AND task = 'SecurityAudit')";
    summary.fixed = tx.row(sql, args![namespace, bank]).await?.map_or(Ok(0), |row| row.count("fixed"))?;
    let top = tx.rows(OPEN_FINDINGS, args![namespace, bank, BankFacts::TOP as u64]).await?;
    summary.top = top.iter().map(records::finding).collect::<Result<_, _>>()?;
    Ok(summary)
}
