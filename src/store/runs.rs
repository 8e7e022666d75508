use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::order;
use super::records::named;
use super::value::{Row, args};
use super::{Store, StoreError};
use crate::domain::{Digest, Phase};

/// One run. Times are kept to the microsecond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Identifies the execution; its report carries it too.
    pub uid: String,
    /// The bank's namespace.
    pub namespace: String,
    /// The bank.
    pub bank: String,
    /// The `MaintenanceRun`'s name, unique within its namespace.
    pub name: String,
    /// Who asked for it: a policy with schedule and slot, a check, an audit, a person. The front end's own form.
    pub owner: Value,
    /// The `RunSpec`.
    pub spec: Value,
    /// Where it stands.
    pub phase: Phase,
    /// Why; empty where there is nothing to say.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When it was planned.
    pub created: Timestamp,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The digest of its report, which is a blob.
    pub report: Option<Digest>,
}

/// Whether a run is new.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// It was not known, and is now.
    New,
    /// A run of this name, or uid, is known already: this one. Nothing was changed.
    Exists(Box<RunRecord>),
}

impl Store {
    /// Makes a run known, once: names are unique within a namespace, so a slot has one run. It takes its place
    /// in the order of runs, which decides whose report is the newest.
    pub async fn begin_run(&self, run: &RunRecord) -> Result<Begin, StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let seq = order::next(&mut tx).await?;
        let row = args![
            &run.uid,
            &run.namespace,
            &run.bank,
            &run.name,
            run.owner.to_string(),
            run.spec.to_string(),
            run.phase.name(),
            &run.reason,
            &run.message,
            run.created,
            run.started.map(Timestamp::as_microsecond),
            run.finished.map(Timestamp::as_microsecond),
            run.report.map(|digest| digest.to_string()),
            seq
        ];
        let sql = "INSERT INTO runs (uid, namespace, bank, name, owner, spec, phase, reason, message, created, started, \
                   finished, report_digest, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                   ON CONFLICT DO NOTHING";
        if tx.execute(sql, row).await? == 1 {
            tx.commit().await?;
            return Ok(Begin::New);
        }
        let sql = "SELECT * FROM runs WHERE (namespace = $1 AND name = $2) OR uid = $3 ORDER BY created LIMIT 1";
        let known = tx.row(sql, args![&run.namespace, &run.name, &run.uid]).await?;
        let known = known.ok_or_else(|| StoreError::damaged(tx.place(), "runs refuses a row without having it"))?;
        Ok(Begin::Exists(Box::new(record(&known)?)))
    }

    /// Notes that a run began; whether it was known and not yet ended. It moves to the end of the order of runs:
    /// what was planned first may be started last.
    pub async fn mark_started(&self, uid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let seq = order::next(&mut tx).await?;
        let sql = "UPDATE runs SET phase = 'Running', reason = '', message = '', started = $2, seq = $3 \
                   WHERE uid = $1 AND finished IS NULL";
        let changed = tx.execute(sql, args![uid, now, seq]).await?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Notes where a run stands; an end phase gets `now` as its end. Whether that changed anything: a run
    /// that has reported keeps what its report said.
    pub async fn set_phase(
        &self,
        uid: &str,
        phase: Phase,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let finished = phase.outcome().map(|_| now.as_microsecond());
        let sql = "UPDATE runs SET phase = $2, reason = $3, message = $4, finished = $5 \
                   WHERE uid = $1 AND report_digest IS NULL \
                   AND NOT (phase = $2 AND reason = $3 AND message = $4)";
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let changed = tx.execute(sql, args![uid, phase.name(), reason, message, finished]).await?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// The runs of a bank, newest first.
    pub async fn runs(&self, namespace: &str, bank: &str) -> Result<Vec<RunRecord>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT * FROM runs WHERE namespace = $1 AND bank = $2 ORDER BY created DESC, name";
        tx.rows(sql, args![namespace, bank]).await?.iter().map(record).collect()
    }

    /// The run of this name, if it is known.
    pub async fn run(&self, namespace: &str, name: &str) -> Result<Option<RunRecord>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.row("SELECT * FROM runs WHERE namespace = $1 AND name = $2", args![namespace, name]).await?;
        row.as_ref().map(record).transpose()
    }

    /// The runs that have not ended, of all banks, oldest first.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx.rows("SELECT * FROM runs WHERE finished IS NULL ORDER BY created, name", Vec::new()).await?;
        rows.iter().map(record).collect()
    }

    /// The banks of a namespace of which runs, measurements or samples are known; answered from indexes alone.
    pub async fn known_banks(&self, namespace: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut tx = self.db.read().await?;
        let sql = "SELECT bank FROM runs WHERE namespace = $1 UNION SELECT bank FROM measurements WHERE namespace = $1 \
                   UNION SELECT bank FROM reach WHERE namespace = $1";
        tx.rows(sql, args![namespace]).await?.iter().map(|row| row.text("bank")).collect()
    }

    /// Forgets runs; how many were known. Their reports, and what those said, stay.
    pub async fn delete_runs(&self, uids: &[String]) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        let mut tx = self.db.write().await?;
        let gone = tx.execute_list("DELETE FROM runs WHERE uid IN", &[], uids).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

fn record(row: &Row) -> Result<RunRecord, StoreError> {
    let json = |text: &str| serde_json::from_str(text).ok();
    let report = row.maybe_text("report_digest")?;
    Ok(RunRecord {
        uid: row.text("uid")?,
        namespace: row.text("namespace")?,
        bank: row.text("bank")?,
        name: row.text("name")?,
        owner: row.parsed("owner", json)?,
        spec: row.parsed("spec", json)?,
        phase: row.parsed("phase", named)?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        created: row.time("created")?,
        started: row.maybe_time("started")?,
        finished: row.maybe_time("finished")?,
        report: report
            .map(|text| text.parse().map_err(|error| StoreError::damaged("runs.report_digest", error)))
            .transpose()?,
    })
}
