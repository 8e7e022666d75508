//! Reports and stores for the tests of the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use jiff::{SignedDuration, Timestamp};
use memorybank::domain::Phase;
use memorybank::domain::{
    Check, CorruptionEvent, CorruptionType, Finding, Level, Outcome, Reason, RunReport, ScopeReport, SecurityEventType,
    Severity, TaskKind, TaskReport, Verdict,
};
use memorybank::store::{Location, RunRecord};
use sqlx::Connection as _;

/// Some minutes after a fixed moment.
pub fn at(minutes: i64) -> Timestamp {
    "2026-11-22T06:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub fn check(id: &str, verdict: Verdict) -> Check {
    Check { id: id.to_owned(), component: "database".to_owned(), verdict, detail: String::new() }
}

pub fn damage(check: &str, object: &str) -> CorruptionEvent {
    CorruptionEvent {
        check: check.to_owned(),
        component: "database".to_owned(),
        corruption_type: CorruptionType::FileCorruption,
        invariant: Some("I7".to_owned()),
        severity: Severity::High,
        object: object.to_owned(),
        count: 3,
        evidence: "pages 3, 4 and 5".to_owned(),
        advice: "restore it".to_owned(),
    }
}

pub fn finding(check: &str, fingerprint: &str) -> Finding {
    Finding {
        check: check.to_owned(),
        component: "database".to_owned(),
        rule: "openai-api-key".to_owned(),
        event_type: SecurityEventType::DataLeak,
        severity: Severity::High,
        place: format!("memories/{fingerprint}/content"),
        title: "An API key".to_owned(),
        excerpt: "sk-…".to_owned(),
        fingerprint: fingerprint.to_owned(),
        advice: "revoke it".to_owned(),
    }
}

/// A task that did all of its work.
pub fn task(kind: TaskKind, scope: &str) -> TaskReport {
    TaskReport {
        name: kind.name().to_lowercase(),
        task: kind,
        level: (kind == TaskKind::IntegrityCheck).then_some(Level::Quick),
        outcome: Outcome::Succeeded,
        reason: Reason::Completed,
        message: String::new(),
        duration_milliseconds: 5,
        scopes: vec![ScopeReport { scope: scope.to_owned(), outcome: Outcome::Succeeded, message: String::new() }],
        coverage_percent: None,
        checks: Vec::new(),
        corruption: Vec::new(),
        findings: Vec::new(),
        omitted: 0,
        samples: Vec::new(),
        outputs: Vec::new(),
        recovery: None,
    }
}

/// A report of `uid` about the bank `default/assistant`, of a run that ended at `finished`.
pub fn report(uid: &str, finished: Timestamp, tasks: Vec<TaskReport>) -> RunReport {
    RunReport {
        uid: uid.to_owned(),
        namespace: "default".to_owned(),
        run: format!("run-{uid}"),
        bank: "assistant".to_owned(),
        runner_version: "0.1.0".to_owned(),
        started: finished - SignedDuration::from_secs(30),
        finished,
        tasks,
    }
}

pub fn record(uid: &str, created: Timestamp) -> RunRecord {
    RunRecord {
        uid: uid.to_owned(),
        namespace: "default".to_owned(),
        bank: "assistant".to_owned(),
        name: format!("run-{uid}"),
        owner: serde_json::json!({ "policy": "standard", "schedule": "daily" }),
        spec: serde_json::json!({ "tasks": [] }),
        phase: Phase::Pending,
        reason: String::new(),
        message: String::new(),
        created,
        started: None,
        finished: None,
        report: None,
    }
}

/// Changes a store behind its back.
pub async fn raw(location: &Location, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    match location {
        Location::Sqlite(data_dir) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(data_dir.join("memorybank.db"))
                .create_if_missing(true);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        Location::Postgres(url) => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}
