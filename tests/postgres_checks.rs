//! A bank's database on a real PostgreSQL server: damage on disk and in rows, and what cannot be asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/postgres_bank.rs"]
mod postgres_bank;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use memorybank::bank::postgres::{Optimized, PostgresReport, check_postgres, optimize_pgvector, optimize_postgres};
use memorybank::bank::{FolderSecrets, Meter};
use memorybank::domain::{CorruptionType, Level, PgvectorEndpoint, PostgresEndpoint, SecretKey, Severity, Verdict};
use memorybank::engine::integrity::sqlite::schema::SchemaKind;
use postgres::Postgres;

/// Rows of `memories`: some hundred pages.
const MEMORIES: u32 = 5_000;
/// The bytes of a page.
const PAGE: usize = 8192;

/// OpenMemory's tables as its application makes them on PostgreSQL, with rows in them.
fn fill(server: &Postgres, database: &str) {
    let mut sql = postgres_bank::schema();
    for reference in SchemaKind::OpenMemory.references() {
        let (table, column, parent) = (reference.table, reference.column, reference.parent);
        writeln!(sql, "ALTER TABLE {table} ADD FOREIGN KEY ({column}) REFERENCES {parent} (id);").unwrap();
    }
    let id = |space: &str| format!("md5('{space}' || n)::uuid");
    write!(
        sql,
        "CREATE UNIQUE INDEX ix_users_user_id ON users (user_id);
         CREATE INDEX idx_memory_user_state ON memories (user_id, state);
         INSERT INTO users SELECT {user}, 'user-' || lpad(n::text, 6, '0'), 'N', NULL, '{{}}', now(), now()
           FROM generate_series(1, 500) n;
         INSERT INTO apps SELECT {app}, {user}, 'openmemory', NULL, '{{}}', true, now(), now() FROM generate_series(1, 1) n;
         INSERT INTO memories SELECT {memory}, md5('user' || 1 + n % 500)::uuid, md5('app1')::uuid,
           'a memory of some length, number ' || n || repeat(' and so on', 20), NULL, '{{}}', 'active', now(), now()
           FROM generate_series(1, {MEMORIES}) n;
         INSERT INTO memory_status_history SELECT {change}, {memory}, md5('user1')::uuid, 'deleted', 'active', now()
           FROM generate_series(1, {MEMORIES}) n;
         ANALYZE;",
        user = id("user"),
        app = id("app"),
        memory = id("memory"),
        change = id("change"),
    )
    .unwrap();
    server.psql(database, &sql);
}

/// A server with checksums, and a filled database in it with amcheck.
fn server() -> Option<(Postgres, String)> {
    let server = Postgres::made_with(&["--data-checksums"])?;
    let database = database(&server);
    server.psql(&database, "CREATE EXTENSION amcheck");
    Some((server, database))
}

fn database(server: &Postgres) -> String {
    let url = server.database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    fill(server, &name);
    name
}

/// A bank's endpoint with its url in a Secret of the folder.
fn endpoint(url: &str) -> (PostgresEndpoint, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pg")).unwrap();
    fs::write(folder.path().join("pg/url"), url).unwrap();
    let url = SecretKey { name: "pg".to_owned(), key: "url".to_owned() };
    (PostgresEndpoint { url, schema: "public".to_owned() }, folder)
}

async fn check(url: &str, level: Level) -> PostgresReport {
    let (endpoint, folder) = endpoint(url);
    let secrets = FolderSecrets::new(folder.path());
    check_postgres(&endpoint, "database", level, ("ns", &secrets), &Meter::default()).await.unwrap()
}

async fn optimized(url: &str) -> Result<Optimized, String> {
    let (endpoint, folder) = endpoint(url);
    let secrets = FolderSecrets::new(folder.path());
    optimize_postgres(&endpoint, ("ns", &secrets), &Meter::default()).await.unwrap()
}

fn verdict(report: &PostgresReport, id: &str) -> (Verdict, String) {
    let check = report.checks.iter().find(|check| check.id == id);
    let check = check.unwrap_or_else(|| panic!("no check {id}: {:?}", report.checks));
    (check.verdict, check.detail.clone())
}

fn of<'a>(report: &'a PostgresReport, id: &str) -> Vec<(&'a str, CorruptionType, Severity, u64)> {
    let events = report.corruption.iter().filter(|event| event.check == id);
    events.map(|event| (event.object.as_str(), event.corruption_type, event.severity, event.count)).collect()
}

/// Where a relation lies below the data folder.
fn path(server: &Postgres, database: &str, relation: &str) -> String {
    server.value(database, &format!("SELECT pg_relation_filepath('{relation}')"))
}

fn overwrite(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_healthy_database_passes_all_and_is_measured() {
    let Some((server, database)) = server() else { return };
    let url = server.url(&database);
    let report = check(&url, Level::Full).await;
    assert!(report.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:?}", report.checks);
    assert_eq!((report.checks.len(), report.corruption.len()), (10, 0));
    let memories = report.samples.iter().find(|sample| sample.metric == "memories").unwrap();
    assert!((memories.value - f64::from(MEMORIES)).abs() < 0.5);
    let quick = check(&url, Level::Quick).await;
    assert_eq!(quick.checks.len(), 5);
}

#[tokio::test]
async fn damage_on_disk_is_told_by_what_it_is_in() {
    let Some((server, database)) = server() else { return };
    let heap = path(&server, &database, "memories");
    server.stop();
    overwrite(&server.file(&heap), |bytes| bytes[3 * PAGE + PAGE / 2] ^= 1);
    server.restart();
    let report = check(&server.url(&database), Level::Full).await;
    assert_eq!(of(&report, "postgres-heaps")[0].0, "memories");
    let checksums = of(&report, "postgres-checksums");
    assert_eq!((checksums[0].1, checksums[0].2), (CorruptionType::ChecksumMismatch, Severity::Critical));
}

#[tokio::test]
async fn an_index_out_of_order_is_told_and_pages_without_checksums_are_too() {
    let Some(server) = Postgres::start() else { return };
    let database = database(&server);
    server.psql(&database, "CREATE EXTENSION amcheck; CHECKPOINT");
    let index = path(&server, &database, "ix_users_user_id");
    server.stop();
    overwrite(&server.file(&index), |bytes| {
        let key = b"user-000250";
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
        bytes[at] = b'z';
    });
    server.restart();
    let report = check(&server.url(&database), Level::Checksum).await;
    let damaged = of(&report, "postgres-btrees");
    assert_eq!(damaged, [("ix_users_user_id", CorruptionType::FileCorruption, Severity::High, 1)]);
    assert_eq!(verdict(&report, "postgres-heaps").0, Verdict::Passed);
    assert_eq!(of(&report, "postgres-checksums")[0].2, Severity::Low);
}

#[tokio::test]
async fn rows_that_contradict_each_other_are_told_by_invariant() {
    let Some((server, database)) = server() else { return };
    // As a restore with triggers off, or a hand in the tables, leaves them.
    server.psql(
        &database,
        "SET session_replication_role = replica;
         DELETE FROM users WHERE user_id = 'user-000007';
         UPDATE memories SET state = 'deleted' WHERE id = md5('memory1')::uuid;
         UPDATE memories SET state = 'archived', archived_at = now() WHERE id = md5('memory2')::uuid;
         INSERT INTO memory_status_history VALUES
           (gen_random_uuid(), md5('memory2')::uuid, md5('user1')::uuid, 'active', 'archived', now() + '1s');
         UPDATE memories SET content = 'the same', user_id = md5('user1')::uuid WHERE id IN
           (md5('memory3')::uuid, md5('memory4')::uuid, md5('memory5')::uuid);
         CREATE TABLE apart (a int);
         INSERT INTO apart VALUES (1), (1);",
    );
    let report = check(&server.url(&database), Level::Checksum).await;
    let inconsistent = CorruptionType::DataInconsistency;
    assert_eq!(
        of(&report, "postgres-foreign-keys"),
        [("memories.user_id", inconsistent, Severity::Medium, u64::from(MEMORIES) / 500)]
    );
    assert_eq!(
        of(&report, "postgres-states"),
        [("memories.deleted_at", inconsistent, Severity::Low, 1), ("memories.state", inconsistent, Severity::Low, 1),]
    );
    assert_eq!(of(&report, "postgres-duplicates"), [("memories.content", inconsistent, Severity::Low, 2)]);
    let orphans = report.corruption.iter().find(|event| event.check == "postgres-foreign-keys").unwrap();
    assert_eq!(orphans.invariant.as_deref(), Some("I7"));
}

#[tokio::test]
async fn what_may_not_be_asked_is_unknown_and_says_what_is_missing() {
    let Some((server, database)) = server() else { return };
    server.psql(
        &database,
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
         ALTER TABLE memories ADD CONSTRAINT same UNIQUE (content)",
    );
    let url = server.url(&database).replace("memorybank@", "reader@");
    let report = check(&url, Level::Full).await;
    for id in ["postgres-btrees", "postgres-heaps"] {
        let (found, why) = verdict(&report, id);
        assert!(found == Verdict::Unknown && why.contains("EXECUTE on the functions of amcheck"), "{why}");
    }
    assert_eq!(verdict(&report, "postgres-foreign-keys").0, Verdict::Passed);
    // Rows that a policy hides are not taken for such that are gone.
    server.psql(&database, "ALTER TABLE users ENABLE ROW LEVEL SECURITY");
    let report = check(&url, Level::Checksum).await;
    let (found, why) = verdict(&report, "postgres-foreign-keys");
    assert!(found == Verdict::Unknown && why.contains("row level security"), "{why}");
    assert_eq!(report.corruption, []);
    server.psql(&database, "ALTER TABLE users DISABLE ROW LEVEL SECURITY");
    server.psql(&database, "DROP EXTENSION amcheck; REVOKE SELECT ON apps FROM reader");
    let report = check(&url, Level::Full).await;
    assert!(verdict(&report, "postgres-heaps").1.contains("CREATE EXTENSION amcheck"));
    let (found, why) = verdict(&report, "postgres-foreign-keys");
    assert!(found == Verdict::Unknown && why.contains("memories.app_id"), "{why}");
}

#[tokio::test]
async fn an_index_whose_building_broke_off_is_told() {
    let Some((server, database)) = server() else { return };
    // Rows of one state: the index is left behind, not valid.
    assert!(server.refuses(&database, "CREATE UNIQUE INDEX CONCURRENTLY broken ON memories (state)"));
    let report = check(&server.url(&database), Level::Quick).await;
    assert_eq!(of(&report, "postgres-indexes"), [("broken", CorruptionType::DataInconsistency, Severity::Medium, 1)]);
    // What made it break off is still so: it is left, and that is told.
    let done = optimized(&server.url(&database)).await.unwrap();
    assert!(done.reindexed.is_empty() && done.left.iter().any(|left| left.starts_with("broken")), "{done:?}");
    server.psql(&database, "DELETE FROM memory_status_history; DELETE FROM memories WHERE id <> md5('memory1')::uuid");
    let dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'memories'";
    let done = optimized(&server.url(&database)).await.unwrap();
    assert_eq!((done.reindexed.as_slice(), done.left.as_slice()), (["broken".to_owned()].as_slice(), [].as_slice()));
    assert_eq!(done.tables, SchemaKind::OpenMemory.tables().len() as u64);
    assert_eq!(server.value(&database, dead), "0");
    let report = check(&server.url(&database), Level::Full).await;
    assert_eq!(of(&report, "postgres-indexes"), []);
    // The table of the points alone, wherever it stands.
    let (endpoint, folder) = endpoint(&server.url(&database));
    for (table, tables) in [("users", Ok(1)), ("points", Err("the database has no table points".to_owned()))] {
        let points = PgvectorEndpoint { url: endpoint.url.clone(), table: table.to_owned() };
        let secrets = FolderSecrets::new(folder.path());
        let done = optimize_pgvector(&points, ("ns", &secrets), &Meter::default()).await.unwrap();
        assert_eq!(done.map(|done| done.tables), tables);
    }
    // Of a role that may only read nothing is told as done.
    server.psql(&database, "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader");
    let done = optimized(&server.url(&database).replace("memorybank@", "reader@")).await.unwrap();
    assert_eq!(done.tables, 0);
    assert!(done.left.iter().any(|left| left.starts_with("memories: it is of a role")), "{done:?}");
}

#[tokio::test]
async fn a_server_that_is_away_and_a_database_that_is_empty_are_never_healthy() {
    let Some(server) = Postgres::start() else { return };
    let empty = server.database();
    let report = check(&empty, Level::Full).await;
    let schema = of(&report, "postgres-schema");
    assert_eq!((schema[0].1, schema[0].2), (CorruptionType::FileCorruption, Severity::Critical));
    server.stop();
    let report = check(&empty, Level::Full).await;
    assert_eq!(report.checks.len(), 1);
    let (found, why) = verdict(&report, "postgres-connection");
    assert!(found == Verdict::Unknown && why.contains("refuses connections"), "{why}");
    server.restart();
}
