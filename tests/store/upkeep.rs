//! Retention and schema versions.

use jiff::SignedDuration;
use memorybank::domain::Phase;
use memorybank::domain::{CorruptionType, Output, Sample, Verdict};
use memorybank::store::{Begin, Finish, Limits, Location, Removed, Store, StoreError};
use serde_json::json;

use crate::reports::{at, raw, record};
use crate::{audit, facts, integrity, on_both};

on_both!(
    retention_keeps_what_is_open_newest_or_referred_to,
    a_run_by_hand_outlives_every_limit_of_time,
    a_schema_without_an_order_of_runs_gives_way_to_new_reports,
    an_older_schema_is_brought_up_to_date_with_its_rows,
    a_newer_schema_is_refused
);

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

async fn a_run_by_hand_outlives_every_limit_of_time(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for (n, owner) in [json!("Hand"), json!("Hand"), json!({ "policy": "\"owner\":\"Hand\"" })].into_iter().enumerate()
    {
        let mut run = record(&n.to_string(), at(0));
        run.owner = json!({ "owner": owner, "slot": null });
        store.begin_run(&run).await.unwrap();
        store.set_phase(&run.uid, Phase::Succeeded, "", "", at(1)).await.unwrap();
    }
    let much_later = at(1) + SignedDuration::from_hours(24 * 3_000);
    assert_eq!(store.apply_retention(much_later, &Limits::default()).await.unwrap().runs, 1, "the policy's");
    assert!(matches!(store.begin_run(&record("0", at(9))).await.unwrap(), Begin::Exists(_)), "not executed again");
    let one = Limits { runs_by_hand: 1, ..Limits::default() };
    assert_eq!(store.apply_retention(much_later, &one).await.unwrap().runs, 1);
    let left: Vec<String> = store.runs("default", "assistant").await.unwrap().into_iter().map(|run| run.uid).collect();
    assert_eq!(left, ["1"], "the newest stays");
}

const SECOND_SCHEMA: &str = include_str!("../../migrations/0002_operation.sql");
const SECOND_SCHEMA_POSTGRES: &str = include_str!("../../migrations/0002_operation.postgres.sql");

async fn a_schema_without_an_order_of_runs_gives_way_to_new_reports(location: Location) {
    make_first_schema(&location).await;
    raw(&location, SECOND_SCHEMA).await;
    if matches!(location, Location::Postgres(_)) {
        raw(&location, SECOND_SCHEMA_POSTGRES).await;
    }
    let rows = "INSERT INTO schema_version VALUES (2, 0); \
                INSERT INTO runs (uid, namespace, bank, name, owner, spec, phase, reason, message, created) \
                VALUES ('1', 'default', 'assistant', 'run-1', '{}', '{}', 'Running', '', '', 0); \
                INSERT INTO judged VALUES ('default', 'assistant', 'sqlite-schema', 'database', 9000000000000000); \
                INSERT INTO measurements VALUES ('default', 'assistant', 'IntegrityCheck', 'Quick', 'Database', \
                'Unknown', '', 9000000000000000, 'run-0');";
    raw(&location, rows).await;
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&integrity("1", 1, Verdict::Failed, &["apps"])).await.unwrap();
    let known = facts(&store).await;
    assert_eq!((known.corruption.open, known.measurements[0].run.as_str()), (1, "run-1"));
}

const FIRST_SCHEMA: &str = include_str!("../../migrations/0001_records.sql");

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
