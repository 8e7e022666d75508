use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;

use super::audit::{self, AuditEntry};
use super::db::Tx;
use super::merge::{self, Scope, Subject};
use super::value::{Arg, args};
use super::{Store, StoreError, order, records};
use crate::domain::{CorruptionEvent, Digest, Finding, Phase, RunReport};

/// Whether a report was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It is kept, with all that follows from it.
    Stored,
    /// A report of this uid was kept before; nothing was changed.
    Duplicate,
}

impl Store {
    /// Takes a run's report: the report itself, how the run ended, damage, findings, measurements, samples,
    /// outputs and the audit log, in one transaction. Once per uid, however often it is delivered. When this
    /// returns, it is on the disk; when it fails, nothing of it was kept and it may be delivered again.
    pub async fn finish_run(&self, report: &RunReport) -> Result<Finish, StoreError> {
        let bytes = serde_json::to_vec(report)
            .map_err(|error| StoreError::Internal { place: "the report".to_owned(), detail: error.to_string() })?;
        let _writer = self.writer.lock().await;
        let staged = self.stage(bytes).await?;
        let mut tx = self.db.write().await?;
        // Also what keeps two replicas from merging two reports of one bank at once.
        audit::lock(&mut tx).await?;
        let seq = order::of_run(&mut tx, &report.uid).await?;
        let row = args![
            &report.uid,
            &report.namespace,
            &report.bank,
            &report.run,
            kind(report),
            report.finished,
            staged.digest.to_string(),
            seq
        ];
        let sql = "INSERT INTO reports (uid, namespace, bank, run, kind, finished, digest, seq) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (uid) DO NOTHING";
        if tx.execute(sql, row).await? == 0 {
            return Ok(Finish::Duplicate);
        }
        staged.record(&mut tx, Timestamp::now()).await?;
        end_run(&mut tx, report, &staged.digest).await?;
        let counts = write_events(&mut tx, report, seq).await?;
        write_measurements(&mut tx, report, seq).await?;
        write_samples(&mut tx, report, seq).await?;
        let missing = write_outputs(&mut tx, report, seq).await?;
        let (outcome, reason) = report.outcome();
        let entry = AuditEntry {
            time: report.finished,
            actor: "runner".to_owned(),
            action: "run-finished".to_owned(),
            namespace: report.namespace.clone(),
            bank: report.bank.clone(),
            detail: json!({
                "run": report.run,
                "uid": report.uid,
                "outcome": outcome,
                "reason": reason,
                "report": staged.digest,
                "corruption": counts.corruption,
                "findings": counts.findings,
                "outputsMissing": missing,
            }),
        };
        let head = audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        self.advance(head).await;
        Ok(Finish::Stored)
    }
}

/// What kind of run a report is of: its tasks with their levels. Retention keeps the newest of each.
fn kind(report: &RunReport) -> String {
    let tasks: BTreeSet<String> = report
        .tasks
        .iter()
        .map(|task| match task.level {
            Some(level) => format!("{}/{}", task.task.name(), level.name()),
            None => task.task.name().to_owned(),
        })
        .collect();
    tasks.into_iter().collect::<Vec<_>>().join(",")
}

async fn end_run(tx: &mut Tx, report: &RunReport, digest: &Digest) -> Result<(), StoreError> {
    let (outcome, reason) = report.outcome();
    let args = args![
        &report.uid,
        Phase::from(outcome).name(),
        reason.name(),
        report.decisive().map(|task| task.message.as_str()).unwrap_or_default(),
        report.started,
        report.finished,
        digest.to_string()
    ];
    let sql = "UPDATE runs SET phase = $2, reason = $3, message = $4, started = COALESCE(started, $5), finished = $6, \
               report_digest = $7 WHERE uid = $1";
    tx.execute(sql, args).await.map(drop)
}

/// How many new, persisting and closed events a report brought.
struct Counts {
    corruption: [usize; 3],
    findings: [usize; 3],
}

async fn write_events(tx: &mut Tx, report: &RunReport, seq: i64) -> Result<Counts, StoreError> {
    let (namespace, bank) = (report.namespace.as_str(), report.bank.as_str());
    let scope = Scope { seq, judged: merge::judged(report), settled: settled(tx, report, seq).await? };

    let seen: BTreeMap<String, &CorruptionEvent> = report
        .tasks
        .iter()
        .flat_map(|task| &task.corruption)
        .map(|event| (event.key(namespace, bank).to_string(), event))
        .collect();
    let open = records::open_corruption(tx, namespace, bank).await?;
    let subject = |event: &CorruptionEvent| (event.check.clone(), event.component.clone());
    let damage = merge::changes(&open, &seen, subject, &scope);
    records::write_corruption(tx, namespace, bank, (report.finished, seq), &damage).await?;
    write_mended(tx, report).await?;

    let seen: BTreeMap<records::FindingKey, &Finding> = report
        .tasks
        .iter()
        .flat_map(|task| &task.findings)
        .map(|finding| ((finding.check.clone(), finding.component.clone(), finding.fingerprint.clone()), finding))
        .collect();
    let open = records::open_findings(tx, namespace, bank).await?;
    let subject = |finding: &Finding| (finding.check.clone(), finding.component.clone());
    let findings = merge::changes(&open, &seen, subject, &scope);
    records::write_findings(tx, namespace, bank, (report.finished, seq), &findings).await?;

    let rows = scope
        .judged
        .difference(&scope.settled)
        .map(|(check, component)| args![namespace, bank, check, component, report.finished, seq])
        .collect();
    tx.insert(
        "INSERT INTO judged (namespace, bank, check_id, component, finished, seq)",
        rows,
        "ON CONFLICT (namespace, bank, check_id, component) DO UPDATE SET finished = excluded.finished, \
         seq = excluded.seq",
    )
    .await?;
    Ok(Counts {
        corruption: [damage.new.len(), damage.again.len(), damage.gone.len()],
        findings: [findings.new.len(), findings.again.len(), findings.gone.len()],
    })
}

/// What a recovery did about damage, at the newest record of it.
async fn write_mended(tx: &mut Tx, report: &RunReport) -> Result<(), StoreError> {
    for mended in report.tasks.iter().filter_map(|task| task.recovery.as_ref()).flat_map(|told| &told.mended) {
        let key = mended.key.to_string();
        let (action, success) = (mended.action.name(), i64::from(mended.success));
        let sql = "UPDATE corruption_events SET recovery_action = $1, recovery_success = $2 WHERE corruption_id = \
                   (SELECT corruption_id FROM corruption_events WHERE namespace = $3 AND bank = $4 AND event_key = $5 \
                   ORDER BY detected_timestamp DESC, corruption_id LIMIT 1)";
        tx.execute(sql, args![action, success, &report.namespace, &report.bank, key]).await?;
    }
    Ok(())
}

/// The subjects that a newer report has judged already.
async fn settled(tx: &mut Tx, report: &RunReport, seq: i64) -> Result<BTreeSet<Subject>, StoreError> {
    let sql = "SELECT check_id, component FROM judged WHERE namespace = $1 AND bank = $2 AND seq > $3";
    let rows = tx.rows(sql, args![&report.namespace, &report.bank, seq]).await?;
    rows.iter().map(|row| Ok((row.text("check_id")?, row.text("component")?))).collect()
}

async fn write_measurements(tx: &mut Tx, report: &RunReport, seq: i64) -> Result<(), StoreError> {
    let mut rows: BTreeMap<[&str; 3], Vec<Arg>> = BTreeMap::new();
    for task in &report.tasks {
        let level = task.level.map_or("", crate::domain::Level::name);
        let mut add = |scope, outcome: crate::domain::Outcome, message: &str| {
            let row = args![
                &report.namespace,
                &report.bank,
                task.task.name(),
                level,
                scope,
                outcome.name(),
                message,
                report.finished,
                &report.run,
                seq
            ];
            rows.insert([task.task.name(), level, scope], row);
        };
        for scope in &task.scopes {
            add(scope.scope.as_str(), scope.outcome, &scope.message);
        }
        if task.scopes.is_empty() {
            add("", task.outcome, &task.message);
        }
    }
    tx.insert(
        "INSERT INTO measurements (namespace, bank, task, level, scope, outcome, message, finished, run, seq)",
        rows.into_values().collect(),
        "ON CONFLICT (namespace, bank, task, level, scope) DO UPDATE SET outcome = excluded.outcome, \
         message = excluded.message, finished = excluded.finished, run = excluded.run, seq = excluded.seq \
         WHERE measurements.seq <= excluded.seq",
    )
    .await
    .map(drop)
}

async fn write_samples(tx: &mut Tx, report: &RunReport, seq: i64) -> Result<(), StoreError> {
    // What is not finite was not measured, and SQLite cannot hold it.
    let samples: BTreeMap<&str, f64> = report
        .tasks
        .iter()
        .flat_map(|task| &task.samples)
        .filter(|sample| sample.value.is_finite())
        .map(|sample| (sample.metric.as_str(), sample.value))
        .collect();
    let rows = |tail: Option<i64>| -> Vec<Vec<Arg>> {
        let row = |(metric, value): (&&str, &f64)| {
            let mut row = args![&report.namespace, &report.bank, *metric, report.finished, *value];
            row.extend(tail.map(Arg::from));
            row
        };
        samples.iter().map(row).collect()
    };
    tx.insert(
        "INSERT INTO samples (namespace, bank, metric, timestamp, value)",
        rows(None),
        "ON CONFLICT (namespace, bank, metric, timestamp) DO UPDATE SET value = excluded.value",
    )
    .await?;
    tx.insert(
        "INSERT INTO latest_samples (namespace, bank, metric, timestamp, value, seq)",
        rows(Some(seq)),
        "ON CONFLICT (namespace, bank, metric) DO UPDATE SET timestamp = excluded.timestamp, value = excluded.value, \
         seq = excluded.seq WHERE latest_samples.seq <= excluded.seq",
    )
    .await
    .map(drop)
}

/// Points each output's name to its new content, where that was put. What it pointed to before keeps its
/// place for another day: a run that goes on may still read it. The names whose content is not here.
async fn write_outputs(tx: &mut Tx, report: &RunReport, seq: i64) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for output in report.tasks.iter().flat_map(|task| &task.outputs) {
        let digest = output.digest.to_string();
        if tx.row("SELECT digest FROM blobs WHERE digest = $1", args![&digest]).await?.is_none() {
            tracing::warn!(bank = report.bank, output = output.name, "an output was reported but never put");
            missing.push(output.name.clone());
            continue;
        }
        let sql = "UPDATE blobs SET touched = $1 WHERE digest = $2 OR digest IN \
                   (SELECT digest FROM outputs WHERE namespace = $3 AND bank = $4 AND name = $5)";
        tx.execute(sql, args![Timestamp::now(), &digest, &report.namespace, &report.bank, &output.name]).await?;
        let row = args![&report.namespace, &report.bank, &output.name, digest, report.finished, &report.run, seq];
        let sql = "INSERT INTO outputs (namespace, bank, name, digest, finished, run, seq) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                   ON CONFLICT (namespace, bank, name) DO UPDATE SET digest = excluded.digest, \
                   finished = excluded.finished, run = excluded.run, seq = excluded.seq WHERE outputs.seq <= excluded.seq";
        tx.execute(sql, row).await?;
    }
    Ok(missing)
}
