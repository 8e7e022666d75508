//! What the store promises; what both databases can do is tested on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails as the test does.

mod audit;
mod content;
mod events;
mod folder;
#[path = "../common/postgres.rs"]
mod postgres_server;
#[path = "../common/reports.rs"]
mod reports;
mod runs;
mod upkeep;

use memorybank::domain::{BankFacts, RunReport, TaskKind, TaskReport, Verdict};
use memorybank::store::{AuditEntry, Store};
use reports::{at, check, damage, finding, record, report, task};
use serde_json::json;

/// Each test runs on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(memorybank::store::Location::Sqlite(folder.path().join("data"))).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(server) = crate::postgres_server::Postgres::shared() else { return };
                super::$name(memorybank::store::Location::Postgres(server.database())).await;
            })*
        }
    };
}
use on_both;

async fn facts(store: &Store) -> BankFacts {
    store.facts("default", "assistant").await.unwrap()
}

/// Makes runs begin, in this order.
async fn begin(store: &Store, uids: &[&str]) {
    for uid in uids {
        store.begin_run(&record(uid, at(0))).await.unwrap();
    }
}

fn audit_task() -> TaskReport {
    task(TaskKind::SecurityAudit, "Leaks")
}

fn check_task() -> TaskReport {
    task(TaskKind::IntegrityCheck, "Database")
}

/// An audit that comes to `verdict` and finds these.
fn audit(uid: &str, minutes: i64, verdict: Verdict, fingerprints: &[&str]) -> RunReport {
    let mut task = audit_task();
    task.checks = vec![check("leaks", verdict)];
    task.findings = fingerprints.iter().map(|fingerprint| finding("leaks", fingerprint)).collect();
    report(uid, at(minutes), vec![task])
}

fn integrity(uid: &str, minutes: i64, verdict: Verdict, objects: &[&str]) -> RunReport {
    let mut task = check_task();
    task.checks = vec![check("sqlite-schema", verdict)];
    task.corruption = objects.iter().map(|object| damage("sqlite-schema", object)).collect();
    report(uid, at(minutes), vec![task])
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        time: at(n),
        actor: "local".to_owned(),
        action: "policy-changed".to_owned(),
        namespace: "default".to_owned(),
        bank: "assistant".to_owned(),
        detail: json!({ "n": n }),
    }
}
