//! What the store promises, on both databases.

#[path = "common/postgres.rs"]
mod postgres_server;
#[path = "common/reports.rs"]
mod reports;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::SignedDuration;
use memorybank::domain::{
    BankFacts, CorruptionType, Digest, FindingState, Level, Outcome, Output, Reason, Sample, Severity, TaskKind,
    TaskReport, Verdict,
};
use memorybank::store::{
    AuditEntry, Begin, DataLock, Finish, LatestSample, Limits, Location, Object, Phase, Removed, Store, StoreError,
};
use proptest::prelude::*;
use reports::{at, check, damage, finding, raw, record, report, task};
use serde_json::json;

/// Each test runs on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(super::Location::Sqlite(folder.path().join("data"))).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(server) = super::postgres_server::Postgres::shared() else { return };
                super::$name(super::Location::Postgres(server.database())).await;
            })*
        }
    };
}

on_both!(
    a_run_goes_from_pending_to_its_report,
    a_run_that_ended_without_a_report_takes_a_late_one,
    findings_are_new_then_persisting_then_fixed_then_new_again,
    damage_is_closed_only_by_a_verdict,
    a_late_report_changes_nothing_that_a_newer_one_judged,
    deliveries_at_once_are_kept_once_each,
    a_report_of_thousands_is_kept_whole,
    measurements_and_samples_are_the_newest,
    objects_tell_whether_they_changed,
    blobs_come_back_whole_or_not_at_all,
    outputs_are_the_newest_that_were_put,
    fingerprint_keys_stay,
    retention_keeps_what_is_open_newest_or_referred_to,
    an_edit_of_the_audit_log_is_seen,
    a_trimmed_audit_log_verifies_from_its_anchor,
    an_older_schema_is_brought_up_to_date_with_its_rows,
    a_newer_schema_is_refused,
    texts_with_nul_are_kept,
);

async fn facts(store: &Store) -> BankFacts {
    store.facts("default", "assistant").await.unwrap()
}

fn audit_task() -> TaskReport {
    task(TaskKind::SecurityAudit, "Leaks")
}

fn check_task() -> TaskReport {
    task(TaskKind::IntegrityCheck, "Database")
}

async fn a_run_goes_from_pending_to_its_report(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let run = record("a", at(0));
    assert_eq!(store.begin_run(&run).await.unwrap(), Begin::New);
    let mut same_name = record("b", at(1));
    same_name.name.clone_from(&run.name);
    assert_eq!(store.begin_run(&same_name).await.unwrap(), Begin::Exists(Box::new(run.clone())));
    assert_eq!(store.unfinished_runs().await.unwrap(), [run.clone()]);

    assert!(store.set_phase("a", Phase::Held, "Overlap", "another run has the bank", at(1)).await.unwrap());
    assert!(!store.set_phase("a", Phase::Held, "Overlap", "another run has the bank", at(2)).await.unwrap());
    assert!(store.mark_started("a", at(3)).await.unwrap());
    assert!(!store.mark_started("unknown", at(3)).await.unwrap());

    let mut tasks = vec![check_task(), audit_task()];
    tasks[1].outcome = Outcome::Unknown;
    tasks[1].reason = Reason::PermissionDenied;
    tasks[1].message = "uid 1000 cannot read it".to_owned();
    let done = report("a", at(5), tasks);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Stored);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Duplicate);
    assert!(!store.set_phase("a", Phase::Failed, "JobDeleted", "", at(6)).await.unwrap(), "a report is the last word");
    assert!(!store.mark_started("a", at(6)).await.unwrap());

    let kept = store.run("default", "run-a").await.unwrap().unwrap();
    assert_eq!((kept.phase, kept.reason.as_str()), (Phase::Unknown, "PermissionDenied"));
    assert_eq!(kept.message, "uid 1000 cannot read it");
    assert_eq!((kept.started, kept.finished), (Some(at(3)), Some(at(5))));
    let bytes = store.get_blob(&kept.report.unwrap()).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<memorybank::domain::RunReport>(&bytes).unwrap(), done);
    assert_eq!(store.unfinished_runs().await.unwrap(), []);

    assert_eq!(store.begin_run(&record("c", at(9))).await.unwrap(), Begin::New);
    let newest_first: Vec<String> =
        store.runs("default", "assistant").await.unwrap().into_iter().map(|run| run.uid).collect();
    assert_eq!(newest_first, ["c", "a"]);
    assert_eq!(store.delete_runs(&["a".to_owned(), "unknown".to_owned()]).await.unwrap(), 1);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Duplicate, "also when its run is forgotten");

    // What was acknowledged is there after the process is gone.
    store.close().await;
    let again = Store::open(&location).await.unwrap();
    assert_eq!(again.finish_run(&done).await.unwrap(), Finish::Duplicate);
    assert_eq!(again.runs("default", "assistant").await.unwrap().len(), 1);
}

async fn a_run_that_ended_without_a_report_takes_a_late_one(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.begin_run(&record("a", at(0))).await.unwrap();
    assert!(store.set_phase("a", Phase::Failed, "ReportLost", "", at(9)).await.unwrap());
    assert_eq!(store.run("default", "run-a").await.unwrap().unwrap().finished, Some(at(9)));
    assert_eq!(store.finish_run(&report("a", at(5), vec![check_task()])).await.unwrap(), Finish::Stored);
    let kept = store.run("default", "run-a").await.unwrap().unwrap();
    assert_eq!((kept.phase, kept.reason.as_str(), kept.finished), (Phase::Succeeded, "Completed", Some(at(5))));
}

/// An audit that comes to `verdict` and finds these.
fn audit(uid: &str, minutes: i64, verdict: Verdict, fingerprints: &[&str]) -> memorybank::domain::RunReport {
    let mut task = audit_task();
    task.checks = vec![check("leaks", verdict)];
    task.findings = fingerprints.iter().map(|fingerprint| finding("leaks", fingerprint)).collect();
    report(uid, at(minutes), vec![task])
}

async fn findings_are_new_then_persisting_then_fixed_then_new_again(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x", "y"])).await.unwrap();
    let first = facts(&store).await.findings;
    assert_eq!((first.high, first.new, first.persisting, first.fixed), (2, 2, 0, 0));

    store.finish_run(&audit("2", 2, Verdict::Failed, &["x", "z"])).await.unwrap();
    let second = facts(&store).await.findings;
    assert_eq!((second.new, second.persisting, second.fixed), (1, 1, 1), "z is new, x persists, y is fixed");
    assert_eq!(second.top[0], (FindingState::New, finding("leaks", "z")));
    assert_eq!(second.top[1], (FindingState::Persisting, finding("leaks", "x")));

    store.finish_run(&audit("3", 3, Verdict::Unknown, &[])).await.unwrap();
    let third = facts(&store).await.findings;
    assert_eq!((third.new, third.persisting, third.fixed), (1, 1, 0), "what was not looked at stays as it is");

    store.finish_run(&audit("4", 4, Verdict::Failed, &["y"])).await.unwrap();
    let fourth = facts(&store).await.findings;
    assert_eq!((fourth.high, fourth.new, fourth.persisting, fourth.fixed), (1, 1, 0, 2), "y came back and is new");
}

fn integrity(uid: &str, minutes: i64, verdict: Verdict, objects: &[&str]) -> memorybank::domain::RunReport {
    let mut task = check_task();
    task.checks = vec![check("sqlite-schema", verdict)];
    task.corruption = objects.iter().map(|object| damage("sqlite-schema", object)).collect();
    report(uid, at(minutes), vec![task])
}

async fn damage_is_closed_only_by_a_verdict(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&integrity("1", 1, Verdict::Failed, &["memories", "apps"])).await.unwrap();
    let first = facts(&store).await.corruption;
    assert_eq!((first.open, first.last_detected, first.top.len()), (2, Some(at(1)), 2));

    let mut worse = integrity("2", 2, Verdict::Failed, &["memories", "apps"]);
    worse.tasks[0].corruption[0].count = 9;
    worse.tasks[0].corruption[0].severity = Severity::Critical;
    store.finish_run(&worse).await.unwrap();
    let second = facts(&store).await.corruption;
    assert_eq!((second.open, second.last_detected), (2, Some(at(1))), "the same damage is no new event");
    assert_eq!(second.top[0].1, worse.tasks[0].corruption[0], "but it tells the newest state");
    let id_of = |summary: &memorybank::domain::CorruptionSummary, object: &str| {
        summary.top.iter().find(|(_, event)| event.object == object).map(|(id, _)| id.clone()).unwrap()
    };
    assert_eq!(id_of(&first, "memories"), id_of(&second, "memories"));

    store.finish_run(&integrity("3", 3, Verdict::Unknown, &[])).await.unwrap();
    let mut cut = integrity("4", 4, Verdict::Failed, &[]);
    cut.tasks[0].omitted = 1;
    store.finish_run(&cut).await.unwrap();
    let mut other = integrity("5", 5, Verdict::Passed, &[]);
    other.tasks[0].checks[0].component = "history".to_owned();
    store.finish_run(&other).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 2, "Unknown, left out, and another component close nothing");

    store.finish_run(&integrity("6", 6, Verdict::Failed, &["apps"])).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 1);
    store.finish_run(&integrity("7", 7, Verdict::Failed, &["apps", "memories"])).await.unwrap();
    let back = facts(&store).await.corruption;
    assert_eq!((back.open, back.last_detected), (2, Some(at(7))));
    assert_ne!(id_of(&back, "memories"), id_of(&second, "memories"), "what returns is another event");
    let metrics = store.bank_metrics().await.unwrap();
    let bank = &metrics[&("default".to_owned(), "assistant".to_owned())];
    assert_eq!(bank.corruption_total, [(CorruptionType::FileCorruption, 3)]);
    assert_eq!(bank.open_corruption, 2);
}

async fn a_late_report_changes_nothing_that_a_newer_one_judged(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&integrity("1", 1, Verdict::Failed, &["apps"])).await.unwrap();
    store.finish_run(&integrity("9", 9, Verdict::Failed, &["memories"])).await.unwrap();
    let mut late = integrity("5", 5, Verdict::Failed, &["apps"]);
    late.tasks[0].checks.push(check("sqlite-text", Verdict::Failed));
    late.tasks[0].corruption.push(damage("sqlite-text", "memories.content"));
    store.finish_run(&late).await.unwrap();
    let open: BTreeSet<String> =
        facts(&store).await.corruption.top.into_iter().map(|(_, event)| event.object).collect();
    assert_eq!(open, ["memories", "memories.content"].map(str::to_owned).into(), "only what nobody judged since");
}

async fn deliveries_at_once_are_kept_once_each(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let deliveries = (0..40).map(|n| {
        let store = store.clone();
        let delivered = audit(&format!("{}", n % 10), n % 10, Verdict::Failed, &["x", "y"]);
        tokio::spawn(async move { store.finish_run(&delivered).await.unwrap() })
    });
    let mut stored = 0;
    for delivery in deliveries.collect::<Vec<_>>() {
        stored += usize::from(delivery.await.unwrap() == Finish::Stored);
    }
    assert_eq!(stored, 10);
    assert_eq!(facts(&store).await.findings.high, 2, "ten reports of the same two findings");
    let verdict = store.verify_audit().await.unwrap();
    assert_eq!((verdict.rows, verdict.why), (10, None));
}

async fn a_report_of_thousands_is_kept_whole(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let tasks = (0..12).map(|t| {
        let mut task = audit_task();
        task.checks = vec![check("leaks", Verdict::Failed), check("sqlite-schema", Verdict::Failed)];
        task.findings = (0..1_000).map(|n| finding("leaks", &format!("{t}-{n}"))).collect();
        task.corruption = (0..300).map(|n| damage("sqlite-schema", &format!("{t}-{n}"))).collect();
        task
    });
    let mut large = report("1", at(1), tasks.collect());
    store.finish_run(&large).await.unwrap();
    let known = facts(&store).await;
    assert_eq!((known.findings.new, known.corruption.open), (12_000, 3_600));
    assert_eq!((known.findings.top.len(), known.corruption.top.len()), (BankFacts::TOP, BankFacts::TOP));
    large.uid = "2".to_owned();
    large.finished = at(2);
    large.tasks.truncate(1);
    store.finish_run(&large).await.unwrap();
    let known = facts(&store).await;
    assert_eq!((known.findings.persisting, known.findings.fixed, known.corruption.open), (1_000, 11_000, 300));
}

async fn measurements_and_samples_are_the_newest(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let measure = |uid: &str, minutes, outcome, value| {
        let mut task = check_task();
        task.scopes[0].outcome = outcome;
        task.samples = vec![
            Sample { metric: "memories".to_owned(), value },
            Sample { metric: "broken".to_owned(), value: f64::NAN },
        ];
        report(uid, at(minutes), vec![task, task_without_scopes()])
    };
    store.finish_run(&measure("2", 2, Outcome::Unknown, 20.0)).await.unwrap();
    store.finish_run(&measure("1", 1, Outcome::Succeeded, 10.0)).await.unwrap();
    let mut known = facts(&store).await.measurements;
    known.reverse();
    assert_eq!(known.len(), 2);
    assert_eq!(
        (known[0].task, known[0].level, known[0].scope.as_str()),
        (TaskKind::IntegrityCheck, Some(Level::Quick), "Database")
    );
    assert_eq!((known[0].outcome, known[0].finished, known[0].run.as_str()), (Outcome::Unknown, at(2), "run-2"));
    assert_eq!((known[1].task, known[1].level, known[1].scope.as_str()), (TaskKind::Backup, None, ""));
    assert_eq!(known[1].message, "comes later");
    let metrics = store.bank_metrics().await.unwrap();
    let newest = LatestSample { metric: "memories".to_owned(), value: 20.0, time: at(2) };
    assert_eq!(metrics[&("default".to_owned(), "assistant".to_owned())].samples, [newest]);
    assert_eq!(facts(&store).await, facts(&store).await);
    assert_eq!(store.facts("default", "another").await.unwrap(), BankFacts::default());
}

fn task_without_scopes() -> TaskReport {
    let mut task = task(TaskKind::Backup, "");
    task.scopes.clear();
    task.outcome = Outcome::Unknown;
    task.reason = Reason::NotMeasured;
    task.message = "comes later".to_owned();
    task
}

async fn objects_tell_whether_they_changed(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let status = json!({ "phase": "Running", "conditions": [{ "type": "Ready" }] });
    assert!(store.put_object("MemoryBank", "default", "a", status.clone()).await.unwrap());
    assert!(!store.put_object("MemoryBank", "default", "a", status.clone()).await.unwrap());
    assert_eq!(store.object("MemoryBank", "default", "a").await.unwrap(), Some(status));
    assert_eq!(store.object("MaintenancePolicy", "default", "a").await.unwrap(), None);

    let object = |n: usize, value: usize| Object {
        kind: "MemoryBank".to_owned(),
        namespace: "default".to_owned(),
        name: format!("bank-{:04}", n % 1_000),
        status: json!({ "value": value }),
    };
    let many: Vec<Object> = (0..1_001).map(|n| object(n, n)).collect();
    assert_eq!(store.put_objects(&many).await.unwrap(), 1_000, "two of one name are one");
    assert_eq!(store.put_objects(&many).await.unwrap(), 0);
    let listed = store.objects("MemoryBank").await.unwrap();
    assert_eq!(listed.len(), 1_001);
    assert_eq!(listed[1], object(0, 1_000), "of two of one name the last counts");
    assert!(store.delete_object("MemoryBank", "default", "a").await.unwrap());
    assert!(!store.delete_object("MemoryBank", "default", "a").await.unwrap());
}

async fn blobs_come_back_whole_or_not_at_all(location: Location) {
    let store = Store::open(&location).await.unwrap();
    // More than one chunk, and not compressible.
    let random: Vec<u8> = (0..100_000_u32).flat_map(|n| *Digest::of(&n.to_be_bytes()).as_bytes()).collect();
    for bytes in [Vec::new(), b"a manifest".to_vec(), vec![0; 5 << 20], random] {
        let digest = store.put_blob(bytes.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(store.put_blob(bytes.clone()).await.unwrap(), digest);
        assert!(store.get_blob(&digest).await.unwrap() == Some(bytes));
    }
    assert_eq!(store.get_blob(&Digest::of(b"never put")).await.unwrap(), None);

    let digest = store.put_blob(b"to be damaged".to_vec()).await.unwrap();
    let other = zstd::bulk::compress(b"another text!", 3).unwrap();
    match &location {
        Location::Sqlite(data_dir) => {
            let name = digest.to_string();
            let path = data_dir.join("blobs").join(&name[..2]).join(format!("{}.zst", &name[2..]));
            for bytes in [other, Vec::new(), vec![7; 100_000]] {
                std::fs::write(&path, bytes).unwrap();
                let error = store.get_blob(&digest).await.unwrap_err();
                assert_eq!(error.reason(), "Damaged", "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            std::fs::remove_file(&path).unwrap();
            assert_eq!(store.get_blob(&digest).await.unwrap_err().reason(), "Damaged");
        }
        Location::Postgres(_) => {
            let hex: String = other.iter().map(|byte| format!("{byte:02x}")).collect();
            raw(&location, &format!("UPDATE blob_chunks SET data = '\\x{hex}' WHERE digest = '{digest}'")).await;
            assert_eq!(store.get_blob(&digest).await.unwrap_err().reason(), "Damaged");
        }
    }
    store.put_blob(b"to be damaged".to_vec()).await.unwrap();
    assert!(store.get_blob(&digest).await.unwrap().is_some(), "putting it again mends it");
}

fn with_output(uid: &str, minutes: i64, name: &str, digest: Digest) -> memorybank::domain::RunReport {
    let mut task = check_task();
    task.outputs = vec![Output { name: name.to_owned(), digest }];
    report(uid, at(minutes), vec![task])
}

async fn outputs_are_the_newest_that_were_put(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let old = store.put_blob(b"old".to_vec()).await.unwrap();
    let new = store.put_blob(b"new".to_vec()).await.unwrap();
    store.finish_run(&with_output("2", 2, "manifest/uploads", new)).await.unwrap();
    store.finish_run(&with_output("1", 1, "manifest/uploads", old)).await.unwrap();
    store.finish_run(&with_output("3", 3, "manifest/uploads", Digest::of(b"never put"))).await.unwrap();
    store.finish_run(&with_output("4", 4, "baseline", old)).await.unwrap();
    let outputs = store.outputs("default", "assistant").await.unwrap();
    let expected = [("manifest/uploads".to_owned(), new), ("baseline".to_owned(), old)];
    assert_eq!(outputs, expected.into());
}

async fn fingerprint_keys_stay(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let asked = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.fingerprint_key("default", "a").await.unwrap() })
    });
    let mut keys = BTreeSet::new();
    for key in asked.collect::<Vec<_>>() {
        keys.insert(key.await.unwrap());
    }
    assert_eq!(keys.len(), 1, "asked at once, made once");
    assert!(!keys.contains(&store.fingerprint_key("default", "b").await.unwrap()));
    store.close().await;
    let again = Store::open(&location).await.unwrap();
    assert!(keys.contains(&again.fingerprint_key("default", "a").await.unwrap()));

    raw(&location, "UPDATE fingerprint_keys SET secret = 'half-a-key' WHERE bank = 'a'").await;
    let error = again.fingerprint_key("default", "a").await.unwrap_err();
    assert_eq!(error.reason(), "Damaged");
    assert!(!format!("{error} {error:?}").contains("half-a-key"));
}

async fn retention_keeps_what_is_open_newest_or_referred_to(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let kept_output = store.put_blob(b"the manifest".to_vec()).await.unwrap();
    let orphan = store.put_blob(b"nobody wants me".to_vec()).await.unwrap();
    for (minutes, objects) in [(1, vec!["apps", "memories"]), (2, vec!["apps"]), (3, vec!["apps"])] {
        let uid = minutes.to_string();
        let mut run = integrity(&uid, minutes, Verdict::Failed, &objects);
        run.tasks[0].samples = vec![Sample { metric: "memories".to_owned(), value: 1.0 }];
        run.tasks[0].outputs = vec![Output { name: "manifest".to_owned(), digest: kept_output }];
        store.begin_run(&record(&uid, at(minutes))).await.unwrap();
        store.finish_run(&run).await.unwrap();
    }
    store.finish_run(&audit("audit", 1, Verdict::Passed, &[])).await.unwrap();
    store.begin_run(&record("pending", at(0))).await.unwrap();
    let before = facts(&store).await;
    let limits = Limits::default();

    assert_eq!(store.apply_retention(at(4), &limits).await.unwrap(), Removed::default(), "all is young");
    assert!(store.get_blob(&orphan).await.unwrap().is_some(), "a run may still be about to report it");

    let much_later = jiff::Timestamp::now() + SignedDuration::from_hours(24 * 3_000);
    let removed = store.apply_retention(much_later, &Limits { audit: SignedDuration::MAX, ..limits }).await.unwrap();
    assert_eq!((removed.samples, removed.runs, removed.events, removed.reports), (3, 3, 1, 2));
    assert_eq!(removed.blobs, 3, "two reports and the orphan");
    assert_eq!(store.apply_retention(much_later, &limits).await.unwrap().reports, 0);

    let mut after = facts(&store).await;
    after.corruption.last_detected = before.corruption.last_detected;
    assert_eq!(after, before, "no condition changes");
    assert_eq!(store.get_blob(&orphan).await.unwrap(), None);
    assert!(store.get_blob(&kept_output).await.unwrap().is_some());
    assert_eq!(store.outputs("default", "assistant").await.unwrap().len(), 1);
    assert_eq!(store.unfinished_runs().await.unwrap().len(), 1);
    assert_eq!(store.finish_run(&integrity("3", 3, Verdict::Failed, &["apps"])).await.unwrap(), Finish::Duplicate);
    assert_eq!(store.finish_run(&audit("audit", 1, Verdict::Passed, &[])).await.unwrap(), Finish::Duplicate);
    let metrics = store.bank_metrics().await.unwrap();
    let bank = &metrics[&("default".to_owned(), "assistant".to_owned())];
    assert_eq!(bank.samples.len(), 1, "the newest sample of each metric stays");
    assert_eq!(bank.corruption_total, [(CorruptionType::FileCorruption, 2)], "a total never falls");
    assert!(store.verify_audit().await.unwrap().is_intact());

    for n in 0..5 {
        store.finish_run(&integrity(&format!("more-{n}"), 10 + n, Verdict::Failed, &["apps"])).await.unwrap();
    }
    let few = Limits { reports_per_kind: 2, ..limits };
    assert_eq!(store.apply_retention(at(20), &few).await.unwrap().reports, 4, "the newest two stay");
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

async fn an_edit_of_the_audit_log_is_seen(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for n in 1..=5 {
        store.append_audit(&entry(n)).await.unwrap();
    }
    let intact = store.verify_audit().await.unwrap();
    assert_eq!((intact.rows, intact.first_bad, intact.why.clone()), (5, None, None));
    let listed = store.audit_log(None, 2).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.seq).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(
        (listed[0].time, &listed[0].detail, &listed[0].hash),
        (at(5), &json!({ "n": 5 }), &intact.head.to_string())
    );
    assert_eq!(store.audit_log(Some(("default", "another")), 9).await.unwrap(), []);

    let log = "enhanced_audit_log";
    let edits = [
        (format!("UPDATE {log} SET actor = 'nobody' WHERE seq = 3"), 3),
        (format!("UPDATE {log} SET detail = '{{\"n\": 3}}' WHERE seq = 3"), 3),
        (format!("UPDATE {log} SET timestamp = timestamp + 1 WHERE seq = 1"), 1),
        (format!("UPDATE {log} SET hash = previous_hash WHERE seq = 5"), 5),
        (format!("DELETE FROM {log} WHERE seq = 3"), 3),
        (format!("DELETE FROM {log} WHERE seq = 1"), 1),
        (format!("DELETE FROM {log} WHERE seq = 5"), 5),
        (
            format!(
                "UPDATE {log} SET seq = 9 WHERE seq = 2; UPDATE {log} SET seq = 2 WHERE seq = 3; UPDATE {log} SET seq = 3 WHERE seq = 9"
            ),
            2,
        ),
        (format!("UPDATE {log} SET seq = 0 WHERE seq = 1; UPDATE audit_chain SET anchor_seq = 0"), 1),
        (
            format!(
                "INSERT INTO {log} SELECT 6, timestamp, actor, action, namespace, bank, detail, previous_hash, hash FROM {log} WHERE seq = 5"
            ),
            6,
        ),
        (format!("DELETE FROM {log} WHERE seq <= 2; UPDATE audit_chain SET anchor_seq = 2"), 3),
        ("DELETE FROM audit_chain".to_owned(), 1),
    ];
    let keep =
        format!("CREATE TABLE kept AS SELECT * FROM {log}; CREATE TABLE kept_chain AS SELECT * FROM audit_chain");
    let restore = format!(
        "DELETE FROM {log}; INSERT INTO {log} SELECT * FROM kept; \
         DELETE FROM audit_chain; INSERT INTO audit_chain SELECT * FROM kept_chain"
    );
    raw(&location, &keep).await;
    for (edit, first_bad) in edits {
        raw(&location, &edit).await;
        let verdict = store.verify_audit().await.unwrap();
        assert_eq!(verdict.first_bad, Some(first_bad), "{edit}: {verdict:?}");
        assert!(verdict.why.is_some() && !verdict.is_intact());
        raw(&location, &restore).await;
        assert_eq!(store.verify_audit().await.unwrap(), intact);
    }
}

async fn a_trimmed_audit_log_verifies_from_its_anchor(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for n in 1..=10 {
        store.append_audit(&entry(n)).await.unwrap();
    }
    let only_audit = Limits { audit: SignedDuration::from_mins(5), ..Limits::default() };
    assert_eq!(store.apply_retention(at(10), &only_audit).await.unwrap().audit_rows, 4, "rows 1 to 4 are older");
    let verdict = store.verify_audit().await.unwrap();
    assert_eq!((verdict.rows, verdict.trimmed_through, verdict.why), (7, 4, None), "6 and the note of the trimming");
    raw(&location, "DELETE FROM enhanced_audit_log WHERE seq = 5").await;
    assert_eq!(store.verify_audit().await.unwrap().first_bad, Some(5));
    assert_eq!(store.apply_retention(at(100), &only_audit).await.unwrap().audit_rows, 0, "evidence is not trimmed");
}

const FIRST_SCHEMA: &str = include_str!("../migrations/0001_records.sql");

async fn make_first_schema(location: &Location) {
    if let Location::Sqlite(data_dir) = location {
        std::fs::create_dir_all(data_dir).unwrap();
    }
    let version = "CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL); \
                   INSERT INTO schema_version VALUES (1, 0);";
    raw(location, &format!("{version} {FIRST_SCHEMA}")).await;
}

async fn an_older_schema_is_brought_up_to_date_with_its_rows(location: Location) {
    make_first_schema(&location).await;
    let event = "INSERT INTO security_events (event_id, timestamp, event_type, severity, description, source_component, \
                 metadata, namespace, bank, check_id, fingerprint, state, last_seen_timestamp) VALUES ('id', 60000000, \
                 'DATA_LEAK', 'HIGH', 'a key', 'database', \
                 '{\"rule\":\"r\",\"place\":\"p\",\"excerpt\":\"\",\"advice\":\"\"}', 'default', 'assistant', 'leaks', \
                 'x', 'new', 60000000)";
    raw(&location, event).await;
    let error = Store::open_read_only(&location).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 1, .. }), "{error}");
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x"])).await.unwrap();
    assert_eq!(facts(&store).await.findings.persisting, 1, "the finding of before is known");
    assert_eq!(store.oldest_event().await.unwrap().unwrap().as_second(), 60);
    assert!(store.size_bytes().await.unwrap() > 1_000);
}

async fn a_newer_schema_is_refused(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.close().await;
    raw(&location, "INSERT INTO schema_version VALUES (999, 0)").await;
    for error in [Store::open(&location).await.unwrap_err(), Store::open_read_only(&location).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { found: 999, .. }), "{error}");
    }
}

async fn texts_with_nul_are_kept(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let mut odd = integrity("1", 1, Verdict::Failed, &["a\0b"]);
    odd.tasks[0].message = "half\0written".to_owned();
    odd.run = "run\0".to_owned();
    store.finish_run(&odd).await.unwrap();
    store.append_audit(&AuditEntry { actor: "al\0ice".to_owned(), ..entry(1) }).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 1);
    assert!(store.verify_audit().await.unwrap().is_intact());
}

#[tokio::test]
async fn a_cut_tail_of_the_audit_log_is_seen_by_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_owned());
    let store = Store::open(&location).await.unwrap();
    for n in 1..=5 {
        store.append_audit(&entry(n)).await.unwrap();
    }
    let cut = "DELETE FROM enhanced_audit_log WHERE seq > 3; \
               UPDATE audit_chain SET last_seq = 3, last_hash = (SELECT hash FROM enhanced_audit_log WHERE seq = 3)";
    raw(&location, cut).await;
    let seen = store.verify_audit().await.unwrap();
    assert_eq!(seen.first_bad, Some(4), "{seen:?}");
    store.close().await;

    // The evidence outlives a restart and further entries.
    let store = Store::open(&location).await.unwrap();
    for n in 14..=19 {
        store.append_audit(&entry(n)).await.unwrap();
    }
    let seen = store.verify_audit().await.unwrap();
    assert!(seen.why.unwrap().contains("row 5 is not the one"));

    let head = folder.path().join("audit.head");
    std::fs::write(&head, "nonsense").unwrap();
    assert!(store.verify_audit().await.unwrap().why.unwrap().contains("audit.head"));
    std::fs::remove_file(&head).unwrap();
    assert!(store.verify_audit().await.unwrap().why.unwrap().contains("missing"));
    store.close().await;
    let store = Store::open(&location).await.unwrap();
    let newest = &store.audit_log(None, 1).await.unwrap()[0];
    assert_eq!(newest.action, "checkpoint-made", "a new checkpoint is on record");
    assert!(store.verify_audit().await.unwrap().is_intact());
}

#[tokio::test]
async fn a_reader_works_beside_the_writer_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_owned());
    let absent = Store::open_read_only(&location).await.unwrap_err();
    assert!(matches!(absent, StoreError::Absent { .. }), "{absent}");
    let writer = Store::open(&location).await.unwrap();
    writer.append_audit(&entry(1)).await.unwrap();
    let reader = Store::open_read_only(&location).await.unwrap();
    assert_eq!(reader.verify_audit().await.unwrap().rows, 1);
    writer.append_audit(&entry(2)).await.unwrap();
    assert_eq!(reader.verify_audit().await.unwrap().rows, 2);
    assert_eq!(reader.append_audit(&entry(3)).await.unwrap_err().reason(), "Denied");
    writer.close().await;
    assert_eq!(Store::open_read_only(&location).await.unwrap().verify_audit().await.unwrap().rows, 2);
}

#[tokio::test]
async fn what_the_store_writes_only_its_owner_reads() {
    fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            found.push((entry.file_name().into_string().unwrap(), mode));
            if entry.path().is_dir() {
                modes(&entry.path(), found);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap();
    store.fingerprint_key("default", "assistant").await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x"])).await.unwrap();
    let mut found = Vec::new();
    modes(folder.path(), &mut found);
    let open: Vec<_> =
        found.iter().filter(|(_, mode)| mode & 0o077 != 0).filter(|(name, _)| name != "audit.head").collect();
    assert!(found.len() >= 6 && open.is_empty(), "{open:?} of {found:?}");
}

#[test]
fn one_process_has_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let lock = DataLock::acquire(&data).unwrap();
    let error = DataLock::acquire(&data).unwrap_err();
    assert_eq!(error.reason(), "Locked");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(lock);
    DataLock::acquire(&data).unwrap();
}

#[test]
fn a_password_is_never_shown() {
    let url = "postgres://alice:s3cr3t@127.0.0.1:1/db";
    let location = Location::Postgres(url.to_owned());
    assert!(!format!("{location:?}").contains("s3cr3t"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in [url, "postgres://alice:s3cr3t@127.0.0.1:port/db", "s3cr3t"] {
        let error = runtime.block_on(Store::open(&Location::Postgres(url.to_owned()))).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order of delivery, what is open in the end is what the newest verdicts say.
    #[test]
    fn the_order_of_delivery_does_not_matter(
        runs in prop::collection::vec((any::<bool>(), prop::collection::btree_set(0u8..4, 0..4)), 1..6),
        seed in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|n| Digest::of(format!("{seed}/{n}").as_bytes()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&Location::Sqlite(folder.path().to_owned())).await.unwrap();
            for n in order {
                let (complete, objects) = &runs[n];
                let objects: Vec<String> = objects.iter().map(u8::to_string).collect();
                let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
                let verdict = if *complete { Verdict::Failed } else { Verdict::Unknown };
                let delivered = integrity(&n.to_string(), i64::try_from(n).unwrap(), verdict, &objects);
                store.finish_run(&delivered).await.unwrap();
            }
            facts(&store).await.corruption.top.into_iter().map(|(_, event)| event.object).collect::<BTreeSet<_>>()
        });
        let newest_complete = runs.iter().rposition(|(complete, _)| *complete).unwrap_or(0);
        let expected: BTreeSet<String> =
            runs[newest_complete..].iter().flat_map(|(_, objects)| objects).map(u8::to_string).collect();
        prop_assert_eq!(open, expected);
    }
}
