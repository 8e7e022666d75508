use super::db::Tx;
use super::records::{self, named};
use super::value::args;
use super::{Store, StoreError};
use crate::domain::{BankFacts, CorruptionSummary, FindingSummary, Level, Measurement, Severity, TaskKind};

const TOP: i64 = BankFacts::TOP as i64;

impl Store {
    /// What is known of a bank, as of one moment: all that its conditions are derived from.
    pub async fn facts(&self, namespace: &str, bank: &str) -> Result<BankFacts, StoreError> {
        let mut tx = self.db.read().await?;
        Ok(BankFacts {
            measurements: measurements(&mut tx, namespace, bank).await?,
            corruption: corruption(&mut tx, namespace, bank).await?,
            findings: findings(&mut tx, namespace, bank).await?,
        })
    }
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
    // The two sums say what `CorruptionEvent::breaks` says of one event.
    let sql = "SELECT COUNT(*) AS open, \
               COUNT(CASE WHEN severity <> 'LOW' AND COALESCE(invariant, 'I14') = 'I14' THEN 1 END) AS intact, \
               COUNT(CASE WHEN severity <> 'LOW' AND COALESCE(invariant, 'I14') <> 'I14' THEN 1 END) AS consistent \
               FROM corruption_events WHERE namespace = $1 AND bank = $2 AND resolved_timestamp IS NULL";
    let counts = tx.row(sql, args![namespace, bank]).await?;
    let count = |column| counts.as_ref().map_or(Ok(0), |row| row.count(column));
    let sql = "SELECT MAX(detected_timestamp) AS newest FROM corruption_events WHERE namespace = $1 AND bank = $2";
    let newest = tx.row(sql, args![namespace, bank]).await?;
    let sql = "SELECT * FROM corruption_events WHERE namespace = $1 AND bank = $2 AND resolved_timestamp IS NULL \
               ORDER BY CASE severity WHEN 'CRITICAL' THEN 0 WHEN 'HIGH' THEN 1 WHEN 'MEDIUM' THEN 2 ELSE 3 END, \
               detected_timestamp DESC, event_key LIMIT $3";
    let top = tx.rows(sql, args![namespace, bank, TOP]).await?;
    Ok(CorruptionSummary {
        open: count("open")?,
        against_intact: count("intact")?,
        against_consistent: count("consistent")?,
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
    let sql = "SELECT COUNT(*) AS fixed FROM security_events WHERE namespace = $1 AND bank = $2 AND fixed_timestamp = \
               (SELECT MAX(finished) FROM measurements WHERE namespace = $1 AND bank = $2 AND task = 'SecurityAudit')";
    summary.fixed = tx.row(sql, args![namespace, bank]).await?.map_or(Ok(0), |row| row.count("fixed"))?;
    let sql = "SELECT * FROM security_events \
               WHERE namespace = $1 AND bank = $2 AND fixed_timestamp IS NULL AND state <> 'waived' \
               ORDER BY CASE severity WHEN 'CRITICAL' THEN 0 WHEN 'HIGH' THEN 1 WHEN 'MEDIUM' THEN 2 ELSE 3 END, \
               CASE state WHEN 'new' THEN 0 ELSE 1 END, timestamp DESC, fingerprint LIMIT $3";
    let top = tx.rows(sql, args![namespace, bank, TOP]).await?;
    summary.top = top.iter().map(records::finding).collect::<Result<_, _>>()?;
    Ok(summary)
}
