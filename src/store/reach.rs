use std::collections::BTreeMap;

use super::db::Tx;
use super::value::{Row, args};
use super::{Store, StoreError};
use crate::domain::{NetworkPart, PartSample, Reach, ReachReason};

/// A sample, and the bank that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BankSample {
    pub namespace: String,
    pub bank: String,
    pub sample: PartSample,
}

impl Store {
    /// Keeps samples in one transaction, each in place of the one before it. One that came to the same as the one
    /// before goes on from when that began.
    pub async fn put_reach(&self, samples: &[BankSample]) -> Result<(), StoreError> {
        // Of two of the same part the last one counts: a statement must not meet a row twice.
        let unique: BTreeMap<_, _> =
            samples.iter().map(|s| ((&s.namespace, &s.bank, s.sample.part), &s.sample)).collect();
        let rows = unique
            .into_iter()
            .map(|((namespace, bank, part), sample)| {
                let (reason, message) = match &sample.outcome {
                    Reach::Reached => ("", ""),
                    Reach::Missed { reason, message } => (reason.name(), message.as_str()),
                };
                let (time, since) = (sample.time, sample.since);
                args![namespace, bank, part.name(), time, since, sample.milliseconds, reason, message]
            })
            .collect();
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        tx.insert(
            "INSERT INTO reach (namespace, bank, part, timestamp, since, milliseconds, reason, message)",
            rows,
            "ON CONFLICT (namespace, bank, part) DO UPDATE SET timestamp = excluded.timestamp, \
             since = CASE WHEN reach.reason = excluded.reason THEN reach.since ELSE excluded.since END, \
             milliseconds = excluded.milliseconds, reason = excluded.reason, message = excluded.message",
        )
        .await?;
        tx.commit().await
    }

    /// The newest sample of each part of a bank.
    pub async fn reach(&self, namespace: &str, bank: &str) -> Result<Vec<PartSample>, StoreError> {
        let mut tx = self.db.read().await?;
        of_bank(&mut tx, namespace, bank).await
    }

    /// Forgets the samples of a bank that is gone; how many there were.
    pub async fn forget_reach(&self, namespace: &str, bank: &str) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let sql = "DELETE FROM reach WHERE namespace = $1 AND bank = $2";
        let gone = tx.execute(sql, args![namespace, bank]).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// The banks of a namespace of which there are samples.
    pub async fn sampled_banks(&self, namespace: &str) -> Result<Vec<String>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT DISTINCT bank FROM reach WHERE namespace = $1 ORDER BY bank";
        tx.rows(sql, args![namespace]).await?.iter().map(|row| row.text("bank")).collect()
    }
}

/// In the order in which parts are judged.
pub(super) async fn of_bank(tx: &mut Tx, namespace: &str, bank: &str) -> Result<Vec<PartSample>, StoreError> {
    let rows = tx.rows("SELECT * FROM reach WHERE namespace = $1 AND bank = $2", args![namespace, bank]).await?;
    let mut samples = rows.iter().map(sample).collect::<Result<Vec<_>, _>>()?;
    samples.sort_by_key(|sample| sample.part);
    Ok(samples)
}

fn sample(row: &Row) -> Result<PartSample, StoreError> {
    let reason = row.text("reason")?;
    let outcome = if reason.is_empty() {
        Reach::Reached
    } else {
        Reach::Missed { reason: row.parsed("reason", ReachReason::from_name)?, message: row.text("message")? }
    };
    Ok(PartSample {
        part: row.parsed("part", NetworkPart::from_name)?,
        time: row.time("timestamp")?,
        since: row.time("since")?,
        milliseconds: row.count("milliseconds")?,
        outcome,
    })
}
