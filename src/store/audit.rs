use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::chain::{Content, Link, Stored};
use super::checkpoint::Noted;
use super::db::Tx;
use super::value::{Row, args};
use super::{Store, StoreError};
use crate::domain::Digest;

/// Rows read at a time.
const PAGE: i64 = 1_000;

/// Who did what to which bank, and when. Never content of a bank, never a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// When; kept to the microsecond.
    pub time: Timestamp,
    /// Who: `runner`, `local`, `store`, or a person's name.
    pub actor: String,
    /// What, kebab-case: `run-finished`.
    pub action: String,
    /// The bank's namespace; empty where no bank is meant.
    pub namespace: String,
    /// The bank; empty where none is meant.
    pub bank: String,
    /// What else is to be known.
    pub detail: Value,
}

/// One row of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // As in AuditEntry.
pub struct AuditRow {
    /// Its number, from 1 on without gaps.
    pub seq: i64,
    pub time: Timestamp,
    pub actor: String,
    pub action: String,
    pub namespace: String,
    pub bank: String,
    pub detail: Value,
    /// The hash over the previous row's hash and this row's content.
    pub hash: String,
}

/// Whether the audit log is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerdict {
    /// How many rows were read and agree, up to the first that does not.
    pub rows: u64,
    /// The last row that retention took from the start of the log; 0 where it took none.
    pub trimmed_through: i64,
    /// The hash of the last row that agrees; note it elsewhere to prove the log against its owner.
    pub head: Digest,
    /// The first row that is wrong or missing.
    pub first_bad: Option<i64>,
    /// What is wrong; none where the log is intact.
    pub why: Option<String>,
}

impl AuditVerdict {
    /// Whether nothing contradicts the log.
    pub const fn is_intact(&self) -> bool {
        self.why.is_none()
    }
}

impl Store {
    /// Adds an entry to the audit log.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let head = append(&mut tx, entry).await?;
        tx.commit().await?;
        self.advance(head).await;
        Ok(())
    }

    /// The newest entries, newest first, at most `limit`; of one bank where one is named.
    pub async fn audit_log(&self, bank: Option<(&str, &str)>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = match bank {
            Some((namespace, bank)) => {
                let sql =
                    "SELECT * FROM enhanced_audit_log WHERE namespace = $1 AND bank = $2 ORDER BY seq DESC LIMIT $3";
                tx.rows(sql, args![namespace, bank, i64::from(limit)]).await?
            }
            None => {
                tx.rows("SELECT * FROM enhanced_audit_log ORDER BY seq DESC LIMIT $1", args![i64::from(limit)]).await?
            }
        };
        rows.iter().map(audit_row).collect()
    }

    /// Reads the whole log and says whether any row was edited, removed, moved, added or cut off.
    /// docs/store.md says what this can prove and what not.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        // Before the transaction: the log only grows, so it must have whatever was noted by then.
        let noted = self.checkpoint.read()?;
        let mut tx = self.db.read().await?;
        let ends = match ends(&mut tx).await {
            Ok(Some(ends)) => ends,
            Ok(None) => return Ok(verdict(0, &Link::GENESIS, &Link::GENESIS, Some("audit_chain is empty".to_owned()))),
            Err(error) => return damaged_verdict(0, &Link::GENESIS, &Link::GENESIS, error),
        };
        let (mut link, mut rows, mut noted_seen) = (ends.anchor, 0, noted == Noted::Head(ends.anchor));
        if let Some(stray) =
            tx.row("SELECT seq FROM enhanced_audit_log WHERE seq <= $1 LIMIT 1", args![link.seq]).await?
        {
            let why = format!("row {} stands before the trimmed start", stray.int("seq")?);
            return Ok(verdict(0, &ends.anchor, &link, Some(why)));
        }
        loop {
            let sql = "SELECT * FROM enhanced_audit_log WHERE seq > $1 ORDER BY seq LIMIT $2";
            let page = tx.rows(sql, args![link.seq, PAGE]).await?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                let checked = match stored(row) {
                    Ok(row) => row.check(&link),
                    Err(error) => return damaged_verdict(rows, &ends.anchor, &link, error),
                };
                match checked {
                    Ok(next) => link = next,
                    Err(why) => return Ok(verdict(rows, &ends.anchor, &link, Some(why))),
                }
                rows += 1;
                noted_seen |= noted == Noted::Head(link);
            }
        }
        let why = if ends.last == link {
            contradiction(&noted, noted_seen, link.seq)
        } else {
            Some(format!("the log ends with row {}, audit_chain says row {}", link.seq, ends.last.seq))
        };
        Ok(verdict(rows, &ends.anchor, &link, why))
    }

    /// Compares the checkpoint with the log when a store is opened, and makes a missing one on record.
    pub(super) async fn begin_checkpoint(&self) -> Result<(), StoreError> {
        let noted = self.checkpoint.read()?;
        if noted == Noted::Unused {
            return Ok(());
        }
        let mut tx = self.db.read().await?;
        let last = ends(&mut tx).await?.map_or(Link::GENESIS, |ends| ends.last);
        let agrees = match noted {
            Noted::Missing | Noted::Unused => true,
            Noted::Unreadable => false,
            Noted::Head(head) => holds(&mut tx, head).await?,
        };
        drop(tx);
        if !agrees {
            self.checkpoint.freeze();
            tracing::error!("the audit log does not agree with audit.head: run `memorybank audit verify`");
        } else if noted == Noted::Missing && last.seq == 0 {
            self.advance(last).await;
        } else if noted == Noted::Missing {
            self.append_audit(&AuditEntry {
                time: Timestamp::now(),
                actor: "store".to_owned(),
                action: "checkpoint-made".to_owned(),
                namespace: String::new(),
                bank: String::new(),
                detail: json!({ "rows": last.seq, "head": last.hash }),
            })
            .await?;
        }
        Ok(())
    }

    /// Notes the head of the chain outside the database, once it is committed.
    pub(super) async fn advance(&self, head: Link) {
        let checkpoint = std::sync::Arc::clone(&self.checkpoint);
        // A failed write is logged by the checkpoint; a panic there cannot undo what is committed.
        let _joined = tokio::task::spawn_blocking(move || checkpoint.advance(head)).await;
    }
}

/// Both ends of the chain as the database states them.
pub(super) struct Ends {
    pub anchor: Link,
    pub last: Link,
}

/// Takes the chain for this transaction: every writer does so first, so all of them queue in one order.
pub(super) async fn lock(tx: &mut Tx) -> Result<Ends, StoreError> {
    tx.execute("UPDATE audit_chain SET id = 1 WHERE id = 1", Vec::new()).await?;
    let place = tx.place().to_owned();
    ends(tx).await?.ok_or_else(|| StoreError::damaged(place, "audit_chain is empty"))
}

async fn ends(tx: &mut Tx) -> Result<Option<Ends>, StoreError> {
    let row = tx.row("SELECT * FROM audit_chain WHERE id = 1", Vec::new()).await?;
    row.map(|row| {
        let hash = |column| row.parsed(column, |text| text.parse().ok());
        Ok(Ends {
            anchor: Link { seq: row.int("anchor_seq")?, hash: hash("anchor_hash")? },
            last: Link { seq: row.int("last_seq")?, hash: hash("last_hash")? },
        })
    })
    .transpose()
}

/// Adds an entry within a transaction; the new head, to be noted after the commit.
pub(super) async fn append(tx: &mut Tx, entry: &AuditEntry) -> Result<Link, StoreError> {
    let last = lock(tx).await?.last;
    // PostgreSQL refuses NUL; the hash must be over what is stored.
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let content = Content {
        time: entry.time.as_microsecond(),
        actor: clean(&entry.actor),
        action: clean(&entry.action),
        namespace: clean(&entry.namespace),
        bank: clean(&entry.bank),
        detail: entry.detail.to_string(),
    };
    let head = content.follow(&last);
    let row = args![
        head.seq,
        content.time,
        content.actor,
        content.action,
        content.namespace,
        content.bank,
        content.detail,
        last.hash.to_string(),
        head.hash.to_string()
    ];
    let sql = "INSERT INTO enhanced_audit_log (seq, timestamp, actor, action, namespace, bank, detail, previous_hash, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.execute(sql, row).await?;
    let sql = "UPDATE audit_chain SET last_seq = $1, last_hash = $2 WHERE id = 1";
    tx.execute(sql, args![head.seq, head.hash.to_string()]).await?;
    Ok(head)
}

/// Takes up to a page of rows older than `before` from the start of the log, after checking them: a
/// tampered start is evidence and stays. The last row always stays. How many went.
pub(super) async fn trim(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    let ends = lock(tx).await?;
    let sql = "SELECT * FROM enhanced_audit_log WHERE seq > $1 AND seq < $2 ORDER BY seq LIMIT $3";
    let page = tx.rows(sql, args![ends.anchor.seq, ends.last.seq, PAGE]).await?;
    let mut anchor = ends.anchor;
    for row in &page {
        let row = stored(row)?;
        if row.content.time >= before.as_microsecond() {
            break;
        }
        anchor =
            row.check(&anchor).map_err(|why| StoreError::damaged(format_args!("{}, audit log", tx.place()), why))?;
    }
    if anchor == ends.anchor {
        return Ok(0);
    }
    let sql = "UPDATE audit_chain SET anchor_seq = $1, anchor_hash = $2 WHERE id = 1";
    tx.execute(sql, args![anchor.seq, anchor.hash.to_string()]).await?;
    tx.execute("DELETE FROM enhanced_audit_log WHERE seq <= $1", args![anchor.seq]).await
}

/// Whether the log has this place.
async fn holds(tx: &mut Tx, link: Link) -> Result<bool, StoreError> {
    if ends(tx).await?.is_some_and(|ends| ends.anchor == link) {
        return Ok(true);
    }
    let sql = "SELECT seq FROM enhanced_audit_log WHERE seq = $1 AND hash = $2";
    Ok(tx.row(sql, args![link.seq, link.hash.to_string()]).await?.is_some())
}

fn contradiction(noted: &Noted, noted_seen: bool, last: i64) -> Option<String> {
    match noted {
        Noted::Missing => Some("audit.head is missing: a cut tail would not be seen".to_owned()),
        Noted::Unreadable => Some("audit.head does not hold a row number and a hash".to_owned()),
        Noted::Head(head) if !noted_seen && head.seq > last => {
            Some(format!("the log ends with row {last}, audit.head has seen row {}", head.seq))
        }
        Noted::Head(head) if !noted_seen => Some(format!("row {} is not the one that audit.head has seen", head.seq)),
        Noted::Unused | Noted::Head(_) => None,
    }
}

fn verdict(rows: u64, anchor: &Link, last_good: &Link, why: Option<String>) -> AuditVerdict {
    AuditVerdict {
        rows,
        trimmed_through: anchor.seq,
        head: last_good.hash,
        first_bad: why.as_ref().map(|_| last_good.seq + 1),
        why,
    }
}

/// A value that cannot be one of ours is tampering; a database that fails is no verdict.
fn damaged_verdict(rows: u64, anchor: &Link, last: &Link, error: StoreError) -> Result<AuditVerdict, StoreError> {
    match error {
        StoreError::Damaged { .. } => Ok(verdict(rows, anchor, last, Some(error.to_string()))),
        error => Err(error),
    }
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    Ok(Stored {
        seq: row.int("seq")?,
        previous_hash: row.text("previous_hash")?,
        hash: row.text("hash")?,
        content: Content {
            time: row.int("timestamp")?,
            actor: row.text("actor")?,
            action: row.text("action")?,
            namespace: row.text("namespace")?,
            bank: row.text("bank")?,
            detail: row.text("detail")?,
        },
    })
}

fn audit_row(row: &Row) -> Result<AuditRow, StoreError> {
    let detail = row.text("detail")?;
    Ok(AuditRow {
        seq: row.int("seq")?,
        time: row.time("timestamp")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        namespace: row.text("namespace")?,
        bank: row.text("bank")?,
        detail: serde_json::from_str(&detail).unwrap_or(Value::String(detail)),
        hash: row.text("hash")?,
    })
}
