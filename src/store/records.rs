//! How damage and findings of a report become rows, and rows become damage and findings again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::StoreError;
use super::db::Tx;
use super::merge::{Changes, Open};
use super::value::{Arg, Row, args};
use crate::domain::{CorruptionEvent, CorruptionType, Finding, FindingState, SecurityEventType, Severity};

/// What makes two sightings the same finding: check, component and fingerprint.
pub(super) type FindingKey = (String, String, String);

/// What of a finding has no column of its own.
#[derive(Serialize, Deserialize)]
struct Metadata {
    rule: String,
    place: String,
    excerpt: String,
    advice: String,
}

/// Reads a name of a closed set as documents write it.
pub(super) fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(Value::String(name.to_owned())).ok()
}

pub(super) async fn open_corruption(
    tx: &mut Tx,
    namespace: &str,
    bank: &str,
) -> Result<BTreeMap<String, Open>, StoreError> {
    let sql = "SELECT event_key, corruption_id, check_id, affected_component, seq FROM corruption_events \
               WHERE namespace = $1 AND bank = $2 AND resolved_timestamp IS NULL";
    let rows = tx.rows(sql, args![namespace, bank]).await?;
    rows.iter()
        .map(|row| {
            let subject = (row.text("check_id")?, row.text("affected_component")?);
            let last_seen = row.int("seq")?;
            Ok((row.text("event_key")?, Open { id: row.text("corruption_id")?, subject, last_seen }))
        })
        .collect()
}

pub(super) async fn open_findings(
    tx: &mut Tx,
    namespace: &str,
    bank: &str,
) -> Result<BTreeMap<FindingKey, Open>, StoreError> {
    let sql = "SELECT event_id, check_id, source_component, fingerprint, seq FROM security_events \
               WHERE namespace = $1 AND bank = $2 AND fixed_timestamp IS NULL";
    let rows = tx.rows(sql, args![namespace, bank]).await?;
    rows.iter()
        .map(|row| {
            let subject = (row.text("check_id")?, row.text("source_component")?);
            let key = (subject.0.clone(), subject.1.clone(), row.text("fingerprint")?);
            Ok((key, Open { id: row.text("event_id")?, subject, last_seen: row.int("seq")? }))
        })
        .collect()
}

/// Writes the damage that a report saw: new rows, newer content in open rows, closed rows.
pub(super) async fn write_corruption(
    tx: &mut Tx,
    namespace: &str,
    bank: &str,
    (finished, seq): (Timestamp, i64),
    changes: &Changes<'_, CorruptionEvent>,
) -> Result<(), StoreError> {
    let new = changes.new.iter().map(|event| (Uuid::new_v4().to_string(), *event));
    let again = changes.again.iter().map(|(id, event)| ((*id).to_owned(), *event));
    let rows = new.chain(again).map(|(id, event)| {
        args![
            id,
            finished,
            &event.component,
            event.corruption_type.record(),
            namespace,
            bank,
            &event.check,
            event.invariant.clone(),
            event.severity.record(),
            &event.object,
            event.count,
            &event.evidence,
            &event.advice,
            event.key(namespace, bank).to_string(),
            finished,
            seq
        ]
    });
    tx.insert(
        "INSERT INTO corruption_events (corruption_id, detected_timestamp, affected_component, corruption_type, \
         namespace, bank, check_id, invariant, severity, object, item_count, evidence, advice, event_key, \
         last_seen_timestamp, seq)",
        rows.collect(),
        "ON CONFLICT (corruption_id) DO UPDATE SET severity = excluded.severity, item_count = excluded.item_count, \
         evidence = excluded.evidence, advice = excluded.advice, last_seen_timestamp = excluded.last_seen_timestamp, \
         seq = excluded.seq",
    )
    .await?;
    let sql = "UPDATE corruption_events SET resolved_timestamp = $1, seq = $2 WHERE corruption_id IN";
    tx.execute_list(sql, &[Arg::from(finished), Arg::from(seq)], &changes.gone).await?;

    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &changes.new {
        *totals.entry(event.corruption_type.record()).or_default() += 1;
    }
    tx.insert(
        "INSERT INTO corruption_totals (namespace, bank, corruption_type, total)",
        totals.into_iter().map(|(kind, total)| args![namespace, bank, kind, total]).collect(),
        "ON CONFLICT (namespace, bank, corruption_type) \
         DO UPDATE SET total = corruption_totals.total + excluded.total",
    )
    .await?;
    Ok(())
}

/// Writes the findings that a report made: new rows, open rows that persist, fixed rows.
pub(super) async fn write_findings(
    tx: &mut Tx,
    namespace: &str,
    bank: &str,
    (finished, seq): (Timestamp, i64),
    changes: &Changes<'_, Finding>,
) -> Result<(), StoreError> {
    let new = changes.new.iter().map(|finding| (Uuid::new_v4().to_string(), *finding));
    let again = changes.again.iter().map(|(id, finding)| ((*id).to_owned(), *finding));
    let rows: Result<Vec<Vec<Arg>>, StoreError> = new
        .chain(again)
        .map(|(id, finding)| {
            Ok(args![
                id,
                finished,
                finding.event_type.record(),
                finding.severity.record(),
                &finding.title,
                &finding.component,
                metadata(finding)?,
                namespace,
                bank,
                &finding.check,
                &finding.fingerprint,
                FindingState::New.name(),
                finished,
                seq
            ])
        })
        .collect();
    tx.insert(
        "INSERT INTO security_events (event_id, timestamp, event_type, severity, description, source_component, \
         metadata, namespace, bank, check_id, fingerprint, state, last_seen_timestamp, seq)",
        rows?,
        "ON CONFLICT (event_id) DO UPDATE SET severity = excluded.severity, description = excluded.description, \
         metadata = excluded.metadata, last_seen_timestamp = excluded.last_seen_timestamp, seq = excluded.seq, \
         state = CASE security_events.state WHEN 'new' THEN 'persisting' ELSE security_events.state END",
    )
    .await?;
    let sql = "UPDATE security_events SET state = 'fixed', fixed_timestamp = $1, seq = $2 WHERE event_id IN";
    tx.execute_list(sql, &[Arg::from(finished), Arg::from(seq)], &changes.gone).await?;
    Ok(())
}

fn metadata(finding: &Finding) -> Result<String, StoreError> {
    let metadata = Metadata {
        rule: finding.rule.clone(),
        place: finding.place.clone(),
        excerpt: finding.excerpt.clone(),
        advice: finding.advice.clone(),
    };
    serde_json::to_string(&metadata).map_err(|error| StoreError::Internal {
        place: "security_events.metadata".to_owned(),
        detail: error.to_string(),
    })
}

/// A row of `corruption_events` with its id.
pub(super) fn corruption(row: &Row) -> Result<(String, CorruptionEvent), StoreError> {
    let event = CorruptionEvent {
        check: row.text("check_id")?,
        component: row.text("affected_component")?,
        corruption_type: row.parsed("corruption_type", CorruptionType::from_record)?,
        invariant: row.maybe_text("invariant")?,
        severity: row.parsed("severity", Severity::from_record)?,
        object: row.text("object")?,
        count: row.count("item_count")?,
        evidence: row.text("evidence")?,
        advice: row.text("advice")?,
    };
    Ok((row.text("corruption_id")?, event))
}

/// A row of `security_events`.
pub(super) fn finding(row: &Row) -> Result<(FindingState, Finding), StoreError> {
    let metadata: Metadata = row.parsed("metadata", |text| serde_json::from_str(text).ok())?;
    let finding = Finding {
        check: row.text("check_id")?,
        component: row.text("source_component")?,
        rule: metadata.rule,
        event_type: row.parsed("event_type", SecurityEventType::from_record)?,
        severity: row.parsed("severity", Severity::from_record)?,
        place: metadata.place,
        title: row.text("description")?,
        excerpt: metadata.excerpt,
        fingerprint: row.text("fingerprint")?,
        advice: metadata.advice,
    };
    Ok((row.parsed("state", named)?, finding))
}
