//! The checks of a SQLite bank, on real databases: a healthy one has nothing to tell, and each single
//! damage is told as what it is.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // Small numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{APP, Bank, GENERATIONS, Generation, USER, change};
use memorybank::bank::Meter;
use memorybank::bank::sqlite::{SchemaKind, SqliteError, SqliteReport, check, check_history, erasure};
use memorybank::domain::{CorruptionType, Level, Severity, Verdict};
use proptest::prelude::*;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const PAGE: u64 = 4096;

async fn bank(generation: Generation) -> (TempDir, Bank) {
    let folder = TempDir::new().unwrap();
    let bank = Bank::build(folder.path(), generation, 7, 200).await;
    (folder, bank)
}

async fn examine(path: &Path, level: Level) -> SqliteReport {
    check(path, "database", SchemaKind::OpenMemory, level, &Meter::default()).await.unwrap()
}

fn verdict(report: &SqliteReport, id: &str) -> Verdict {
    report.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no {id}")).verdict
}

/// What identifies each event, in order.
fn told(report: &SqliteReport) -> Vec<(&str, &str, u64)> {
    let mut told: Vec<_> =
        report.corruption.iter().map(|event| (event.check.as_str(), event.object.as_str(), event.count)).collect();
    told.sort_unstable();
    told
}

/// Damages a bank by SQL and expects exactly these events at level Full, each of a check that failed.
async fn damaged(sql: &str, expected: &[(&str, &str, u64)]) {
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change(sql).await;
    let report = examine(&bank.database, Level::Full).await;
    assert_eq!(told(&report), expected, "{sql}\n{report:#?}");
    for check in &report.checks {
        let failed = expected.iter().any(|(id, ..)| *id == check.id);
        assert_eq!(check.verdict, if failed { Verdict::Failed } else { Verdict::Passed }, "{sql}: {check:?}");
    }
    for event in &report.corruption {
        assert!(!event.evidence.contains("likes"), "content of a memory in {event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_bank_of_any_generation_has_nothing_to_tell() {
    for generation in GENERATIONS {
        for seed in 0..8 {
            let folder = TempDir::new().unwrap();
            let bank = Bank::build(folder.path(), generation, seed, seed * 25).await;
            for level in Level::ALL {
                let report = examine(&bank.database, level).await;
                assert_eq!(report.corruption, [], "{generation:?} {seed} {level:?}");
                let sound = report.checks.iter().all(|check| check.verdict == Verdict::Passed);
                assert!(sound, "{generation:?} {seed} {level:?} {:?}", report.checks);
                let memories = report.samples.iter().find(|sample| sample.metric == "memories");
                assert!(memories.is_some_and(|sample| sample.value <= (seed * 25) as f64), "{:?}", report.samples);
            }
            let meter = Meter::default();
            let history = check(&bank.history, "history", SchemaKind::Mem0History, Level::Full, &meter).await.unwrap();
            assert_eq!(history.corruption, [], "{generation:?} {seed}");
            assert!(history.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:?}", history.checks);
            let both = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
            assert_eq!(both.corruption, [], "{generation:?} {seed}");
            assert_eq!(verdict(&both, "sqlite-history"), Verdict::Passed);
        }
    }
}

#[tokio::test]
async fn the_counts_of_memories_agree_at_every_level() {
    let (_folder, bank) = bank(Generation::Application).await;
    let quick = examine(&bank.database, Level::Quick).await.samples;
    let full = examine(&bank.database, Level::Full).await.samples;
    assert_eq!(quick, full);
    assert!(quick.iter().any(|sample| sample.metric == "memories" && sample.value > 100.0), "{quick:?}");
}

#[tokio::test]
async fn single_faults_of_data_are_told_exactly() {
    let one = "WHERE rowid = 7";
    for (sql, expected) in [
        (format!("UPDATE memories SET metadata = '{{\"a\": ' {one}"), ("sqlite-json", "memories.metadata", 1)),
        ("UPDATE configs SET value = ''".to_owned(), ("sqlite-json", "configs.value", 1)),
        ("UPDATE memory_access_logs SET metadata = '{''query'': 1}'".to_owned(), ("sqlite-json", "memory_access_logs.metadata", 200)),
        (format!("UPDATE memories SET created_at = '2025-02-30 00:00:00' {one}"), ("sqlite-dates", "memories.created_at", 1)),
        (format!("UPDATE memories SET created_at = 20250230 {one}"), ("sqlite-dates", "memories.created_at", 1)),
        ("UPDATE users SET created_at = '6025-02-03 00:00:00'".to_owned(), ("sqlite-dates", "users.created_at", 1)),
        (format!("UPDATE memories SET content = CAST(x'6c696b65ff' AS TEXT) {one}"), ("sqlite-text", "memories.content", 1)),
        (format!("UPDATE memories SET content = 'a' || char(0) || 'b' {one}"), ("sqlite-text", "memories.content", 1)),
        (format!("UPDATE memories SET content = x'6c696b65' {one}"), ("sqlite-text", "memories.content", 1)),
        ("UPDATE users SET name = CAST(x'c3' AS TEXT)".to_owned(), ("sqlite-text", "users.name", 1)),
        ("UPDATE apps SET is_active = 7".to_owned(), ("sqlite-states", "apps.is_active", 1)),
        ("UPDATE archive_policies SET days_to_archive = 'many'".to_owned(), ("sqlite-states", "archive_policies.days_to_archive", 1)),
        ("UPDATE access_controls SET object_id = 'ABC'".to_owned(), ("sqlite-uuids", "access_controls.object_id", 1)),
        (format!("UPDATE memory_status_history SET id = upper(id) {one}"), ("sqlite-uuids", "memory_status_history.id", 1)),
        ("UPDATE memory_access_logs SET app_id = 'ab000000000040008000000000000fff'".to_owned(), ("sqlite-foreign-keys", "memory_access_logs.app_id", 200)),
        (format!("UPDATE memories SET user_id = 'ab000000000040008000000000000fff' {one}"), ("sqlite-foreign-keys", "memories.user_id", 1)),
        ("UPDATE memories SET content = (SELECT content FROM memories WHERE state = 'active' ORDER BY rowid LIMIT 1) \
          WHERE rowid = (SELECT max(rowid) FROM memories WHERE state = 'paused')".to_owned(), ("sqlite-duplicates", "memories.content", 1)),
    ] {
        damaged(&sql, &[expected]).await;
    }
}

#[tokio::test]
async fn single_faults_of_states_are_told_exactly() {
    let first = |state: &str| format!("WHERE rowid = (SELECT min(rowid) FROM memories WHERE state = '{state}')");
    damaged(
        &format!("UPDATE memories SET state = 'activd' {}", first("active")),
        &[("sqlite-states", "memories.state", 1)],
    )
    .await;
    damaged(
        &format!("UPDATE memories SET deleted_at = NULL {}", first("deleted")),
        &[("sqlite-states", "memories.deleted_at", 1)],
    )
    .await;
    damaged(
        &format!("UPDATE memories SET archived_at = NULL {}", first("archived")),
        &[("sqlite-states", "memories.archived_at", 1)],
    )
    .await;
    damaged(
        &format!("UPDATE memories SET state = 'paused' {}", first("active")),
        &[("sqlite-states", "memories.state", 1)],
    )
    .await;
    damaged(
        "UPDATE memory_status_history SET new_state = 'gone' WHERE rowid = 1",
        &[("sqlite-states", "memory_status_history.new_state", 1)],
    )
    .await;
}

#[tokio::test]
async fn an_id_that_sqlite_took_for_a_number_is_told_in_every_column_that_has_it() {
    let (number, date) = ("12345678901244568890123456789012", "2025-10-01 10:00:00");
    damaged(
        &format!(
            "INSERT INTO memories VALUES ('{number}', '{USER}', '{APP}', 'new', NULL, NULL, 'active', '{date}', '{date}', NULL, NULL);
             INSERT INTO memory_status_history VALUES ('ab000000000040008000000000000ffe', '{number}', '{USER}', 'deleted', 'active', '{date}')"
        ),
        &[("sqlite-uuids", "memories.id", 1), ("sqlite-uuids", "memory_status_history.memory_id", 1)],
    )
    .await;
}

#[tokio::test]
async fn orphans_are_found_where_no_foreign_key_is_declared() {
    let (_folder, bank) = bank(Generation::Oldest).await;
    bank.change("DELETE FROM categories").await;
    for level in Level::ALL {
        let report = examine(&bank.database, level).await;
        assert_eq!(told(&report), [("sqlite-foreign-keys", "memory_categories.category_id", 200)], "{level:?}");
        assert_eq!(report.corruption[0].invariant.as_deref(), Some("I7"));
    }
}

#[tokio::test]
async fn a_table_or_column_that_is_gone_is_the_one_event() {
    damaged("DROP TABLE categories", &[("sqlite-schema", "categories", 1)]).await;
    damaged("DROP TABLE memory_access_logs", &[("sqlite-schema", "memory_access_logs", 1)]).await;
    damaged("ALTER TABLE users DROP COLUMN email", &[("sqlite-schema", "users.email", 1)]).await;
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change("DROP TABLE memories").await;
    let report = examine(&bank.database, Level::Quick).await;
    assert_eq!(told(&report), [("sqlite-schema", "memories", 1)]);
    assert_eq!(report.corruption[0].severity, Severity::Critical);
    assert!(!report.samples.iter().any(|sample| sample.metric == "memories"), "nothing was counted");
}

#[tokio::test]
async fn a_value_that_its_column_forbids_is_told_by_sqlite() {
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change("UPDATE users SET name = NULL").await;
    bank.change(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'name VARCHAR,', 'name VARCHAR NOT NULL,') WHERE name = 'users'",
    )
    .await;
    let report = examine(&bank.database, Level::Quick).await;
    assert_eq!(told(&report), [("sqlite-quick-check", "users.name", 1)]);
    assert_eq!(report.corruption[0].corruption_type, CorruptionType::DataInconsistency);
}

#[tokio::test]
async fn an_index_that_disagrees_is_told() {
    // The index is built over other rows than the table has, and the table does not know.
    let index = |condition: &str| {
        format!(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET \
             sql = 'CREATE INDEX ix_memories_state ON memories ({condition})' WHERE name = 'ix_memories_state'"
        )
    };
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change(&index("state) WHERE (state = 'none'").replace("'none'", "''none''")).await;
    bank.change("REINDEX ix_memories_state").await;
    bank.change(&index("state")).await;
    for (level, count) in [(Level::Quick, 1), (Level::Checksum, 201), (Level::Full, 201)] {
        let report = examine(&bank.database, level).await;
        assert_eq!(told(&report), [("sqlite-quick-check", "ix_memories_state", count)], "{level:?}");
    }
    // As many rows, with other values: only a look at each row tells.
    bank.change(&index("app_id")).await;
    bank.change("REINDEX ix_memories_state").await;
    bank.change(&index("state")).await;
    assert_eq!(told(&examine(&bank.database, Level::Quick).await), []);
    let report = examine(&bank.database, Level::Checksum).await;
    assert_eq!(told(&report), [("sqlite-integrity-check", "ix_memories_state", 200)]);
    assert_eq!(verdict(&report, "sqlite-quick-check"), Verdict::Passed);
    assert_eq!(verdict(&report, "sqlite-text"), Verdict::Passed, "rows are read without the index");
}

#[tokio::test]
async fn a_full_text_index_that_disagrees_is_told() {
    for (table, damage) in [
        ("CREATE VIRTUAL TABLE notes USING fts5(content)", "DELETE FROM notes_data WHERE id > 10"),
        ("CREATE VIRTUAL TABLE notes USING fts5(content, content='memories', content_rowid='rowid')", "SELECT 1"),
        ("CREATE VIRTUAL TABLE notes USING fts4(content)", "UPDATE notes_content SET c0content = 'other words'"),
    ] {
        let (_folder, bank) = bank(Generation::Application).await;
        bank.change(table).await;
        bank.change("INSERT INTO notes(rowid, content) VALUES (900, 'some words to be found')").await;
        let healthy = !table.contains("content=");
        if healthy {
            let report = examine(&bank.database, Level::Quick).await;
            assert_eq!(verdict(&report, "sqlite-fts"), Verdict::Passed, "{table}: {report:?}");
        }
        bank.change(damage).await;
        for level in Level::ALL {
            let report = examine(&bank.database, level).await;
            assert_eq!(told(&report), [("sqlite-fts", "notes", 1)], "{table} {level:?} {report:?}");
        }
    }
}

#[tokio::test]
async fn a_zeroed_page_of_a_table_is_file_corruption() {
    let (_folder, bank) = bank(Generation::Application).await;
    let page = page_of(&bank.database, "memories", "leaf").await;
    write(&bank.database, (page - 1) * PAGE, &[0; PAGE as usize]);
    for level in Level::ALL {
        let report = examine(&bank.database, level).await;
        let event = report.corruption.iter().find(|event| event.object == "memories").unwrap();
        assert_eq!(event.check, "sqlite-quick-check", "{level:?}");
        assert_eq!((event.corruption_type, event.severity), (CorruptionType::FileCorruption, Severity::Critical));
        assert_eq!(verdict(&report, "sqlite-quick-check"), Verdict::Failed);
    }
    let report = examine(&bank.database, Level::Full).await;
    assert_eq!(verdict(&report, "sqlite-text"), Verdict::Unknown, "rows that could not be read are not healthy");
    assert!(!report.samples.iter().any(|sample| sample.metric == "memories"), "no number is invented");
}

#[tokio::test]
async fn a_file_cut_short_is_file_corruption() {
    let (_folder, bank) = bank(Generation::Application).await;
    let size = fs::metadata(&bank.database).unwrap().len();
    OpenOptions::new().write(true).open(&bank.database).unwrap().set_len(size / 2).unwrap();
    for level in Level::ALL {
        let report = examine(&bank.database, level).await;
        assert_eq!(verdict(&report, "sqlite-quick-check"), Verdict::Failed, "{report:?}");
        assert!(report.corruption.iter().any(|event| event.corruption_type == CorruptionType::FileCorruption));
    }
}

#[tokio::test]
async fn what_is_no_database_is_a_verdict_too() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openmemory.db");
    let noise: Vec<u8> = (0..40_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (content, check) in
        [(&noise[..], "sqlite-quick-check"), (&[], "sqlite-schema"), (b"SQLite format 3\0", "sqlite-quick-check")]
    {
        fs::write(&path, content).unwrap();
        for level in Level::ALL {
            let report = examine(&path, level).await;
            assert_eq!(told(&report), [(check, "file", 1)], "{} bytes, {level:?}: {report:?}", content.len());
            assert_eq!(report.corruption[0].corruption_type, CorruptionType::FileCorruption);
            assert_eq!(verdict(&report, check), Verdict::Failed);
        }
    }
    fs::remove_file(&path).unwrap();
    let missing = check(&path, "database", SchemaKind::OpenMemory, Level::Quick, &Meter::default()).await;
    assert!(matches!(missing, Err(SqliteError::Copy { .. })));
}

#[tokio::test]
async fn a_schema_that_cannot_be_read_is_told_without_quoting_it() {
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE SECRET likes tea' WHERE name = 'apps'",
    )
    .await;
    let report = examine(&bank.database, Level::Full).await;
    assert_eq!(told(&report), [("sqlite-quick-check", "file", 1)]);
    assert_eq!(verdict(&report, "sqlite-uuids"), Verdict::Unknown);
    assert!(!format!("{report:?}").contains("likes"), "{report:?}");
}

#[tokio::test]
async fn names_in_the_schema_that_are_no_text_do_not_stop_the_check() {
    let (_folder, bank) = bank(Generation::Application).await;
    bank.change("ALTER TABLE users ADD COLUMN zzzz VARCHAR").await;
    let mut bytes = fs::read(&bank.database).unwrap();
    let places: Vec<_> = bytes.windows(4).enumerate().filter(|(_, w)| *w == b"zzzz").map(|(at, _)| at).collect();
    for at in places {
        bytes[at..at + 4].copy_from_slice(b"\xff\xfe\xff\xfe");
    }
    fs::write(&bank.database, bytes).unwrap();
    let report = examine(&bank.database, Level::Full).await;
    assert!(report.checks.iter().any(|check| check.verdict == Verdict::Passed), "{report:?}");
}

#[tokio::test]
async fn a_cancelled_check_ends_at_once() {
    let (_folder, bank) = bank(Generation::Application).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let meter = Meter::new(cancel);
    let result = check(&bank.database, "database", SchemaKind::OpenMemory, Level::Full, &meter).await;
    assert!(matches!(result, Err(SqliteError::Cancelled(_))));
}

#[tokio::test]
async fn daily_use_of_openmemory_is_told_at_most_as_low() {
    let (_folder, bank) = bank(Generation::Application).await;
    let date = "2025-10-01 10:00:00";
    // Each is what a defect of OpenMemory leaves behind: an edit in SQL alone, a deletion in SQL alone, an import.
    bank.change(
        "UPDATE memories SET content = 'edited' WHERE rowid = (SELECT min(rowid) FROM memories WHERE state = 'active')",
    )
    .await;
    bank.change(&format!("INSERT INTO memories VALUES ('ab000000000040008000000000000ffe', '{USER}', '{APP}', 'new', NULL, NULL, 'active', '{date}', '{date}', NULL, NULL)")).await;
    change(&bank.history, "DELETE FROM history WHERE event = 'DELETE'").await;
    let report = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
    let objects: Vec<_> = report.corruption.iter().map(|event| (event.object.as_str(), event.severity)).collect();
    let low = Severity::Low;
    assert_eq!(objects, [("memories.id", low), ("memories.state", low), ("memories.content", low)]);
    assert_eq!((report.corruption[0].count, report.corruption[2].count), (1, 1));
    assert_eq!(verdict(&report, "sqlite-history"), Verdict::Failed);
}

#[tokio::test]
async fn memories_older_than_the_history_say_nothing() {
    let (_folder, bank) = bank(Generation::Application).await;
    change(&bank.history, "DELETE FROM history WHERE created_at < '2025-09'").await;
    let report = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
    assert_eq!(report.corruption, []);
    change(&bank.history, "DELETE FROM history").await;
    let report = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
    assert_eq!((report.corruption, report.checks[0].verdict), (Vec::new(), Verdict::Passed));
    change(&bank.history, "DROP TABLE history").await;
    let report = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
    assert_eq!(report.checks[0].verdict, Verdict::Unknown);
}

#[tokio::test]
async fn text_of_deleted_memories_is_found_until_it_is_purged() {
    let (_folder, bank) = bank(Generation::Application).await;
    change(
        &bank.history,
        "INSERT INTO messages SELECT 'm', 'user_id=ada', 'user', old_memory, NULL, NULL FROM history WHERE event = 'DELETE' LIMIT 1",
    )
    .await;
    let meter = Meter::default();
    let look = || erasure(&bank.database, Some(&bank.history), &[7; 32], &meter);
    let (checks, findings) = look().await.unwrap();
    let places: Vec<_> = findings.iter().map(|finding| (finding.component.as_str(), finding.place.as_str())).collect();
    assert_eq!(
        places,
        [("database", "memories.content"), ("history", "history.new_memory"), ("history", "messages.content")]
    );
    assert!(checks.iter().all(|check| check.verdict == Verdict::Failed && check.id == "erasure"));
    assert!(!format!("{findings:?}").contains("likes"));

    change(&bank.history, "UPDATE history SET old_memory = NULL, new_memory = '' WHERE memory_id IN (SELECT memory_id FROM history WHERE event = 'DELETE')").await;
    change(&bank.history, "DELETE FROM messages").await;
    bank.change("UPDATE memories SET content = '' WHERE state = 'deleted'").await;
    let (checks, findings) = look().await.unwrap();
    assert_eq!(findings, []);
    assert!(checks.len() == 2 && checks.iter().all(|check| check.verdict == Verdict::Passed), "{checks:?}");

    fs::write(&bank.history, "no database").unwrap();
    let (checks, _) = look().await.unwrap();
    assert_eq!(checks.iter().map(|check| check.verdict).collect::<Vec<_>>(), [Verdict::Passed, Verdict::Unknown]);
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_end_with_a_verdict() {
    let (_folder, bank) = bank(Generation::Application).await;
    let root = page_of(&bank.database, "memories", "internal").await;
    let mut page = fs::read(&bank.database).unwrap().split_off(usize::try_from((root - 1) * PAGE).unwrap());
    page.truncate(usize::try_from(PAGE).unwrap());
    let to_itself = u32::try_from(root).unwrap().to_be_bytes();
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
    for cell in (0..cells).map(|cell| 12 + 2 * cell) {
        let at = usize::from(u16::from_be_bytes([page[cell], page[cell + 1]]));
        page[at..at + 4].copy_from_slice(&to_itself);
    }
    page[8..12].copy_from_slice(&to_itself);
    write(&bank.database, (root - 1) * PAGE, &page);
    for level in Level::ALL {
        let report = examine(&bank.database, level).await;
        assert_eq!(verdict(&report, "sqlite-quick-check"), Verdict::Failed, "{report:?}");
        assert!(report.corruption.iter().any(|event| event.object == "memories"), "{report:?}");
    }
}

#[tokio::test]
async fn text_in_utf_16_is_read_as_such() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("openmemory.db"), "").unwrap();
    change(&folder.path().join("openmemory.db"), "PRAGMA encoding = 'UTF-16le'; CREATE TABLE extra (note TEXT)").await;
    let bank = Bank::build(folder.path(), Generation::Application, 3, 50).await;
    assert_eq!(told(&examine(&bank.database, Level::Full).await), []);
    let history = check_history(&bank.database, &bank.history, "history", &Meter::default()).await.unwrap();
    assert_eq!(told(&history), []);
    bank.change("UPDATE users SET name = CAST(x'00d8' AS TEXT)").await;
    assert_eq!(told(&examine(&bank.database, Level::Full).await), [("sqlite-text", "users.name", 1)]);
}

#[tokio::test]
async fn what_stands_in_the_wal_alone_is_checked() {
    let (folder, bank) = bank(Generation::Application).await;
    bank.change("PRAGMA journal_mode = WAL").await;
    let copy = folder.path().join("copy.db");
    let mut writer = sqlx::sqlite::SqliteConnectOptions::new().filename(&bank.database).connect().await.unwrap();
    sqlx::query("UPDATE apps SET is_active = 7").execute(&mut writer).await.unwrap();
    fs::copy(&bank.database, &copy).unwrap();
    assert_eq!(told(&examine(&copy, Level::Full).await), [], "without the WAL the change is not there");
    fs::copy(&bank.database, &copy).unwrap();
    fs::copy(folder.path().join("openmemory.db-wal"), folder.path().join("copy.db-wal")).unwrap();
    assert_eq!(told(&examine(&copy, Level::Full).await), [("sqlite-states", "apps.is_active", 1)]);
    writer.close().await.unwrap();
}

#[test]
fn a_file_damaged_anywhere_has_a_verdict_and_never_hangs() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_folder, bank) = runtime.block_on(bank(Generation::Application));
    let whole = fs::read(&bank.database).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openmemory.db");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let damages = prop::collection::vec((0..whole.len(), any::<u8>()), 1..40);
    runner
        .run(&(damages, any::<Option<u16>>()), |(damages, cut)| {
            let mut bytes = whole.clone();
            for (at, byte) in damages {
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(usize::from(cut) * bytes.len() / usize::from(u16::MAX));
            }
            fs::write(&path, bytes).unwrap();
            let began = std::time::Instant::now();
            let report = runtime.block_on(examine(&path, Level::Full));
            prop_assert!(began.elapsed().as_secs() < 60, "took {:?}", began.elapsed());
            let failed = report.checks.iter().any(|check| check.verdict == Verdict::Failed);
            prop_assert!(!failed || !report.corruption.is_empty(), "failed without proof: {report:?}");
            prop_assert!(report.checks.len() >= 10);
            Ok(())
        })
        .unwrap();
}

/// The last page of a kind in a table.
async fn page_of(path: &Path, table: &str, kind: &str) -> u64 {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let page: i64 = sqlx::query_scalar("SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = ?")
        .bind(table)
        .bind(kind)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    page.try_into().unwrap()
}

fn write(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}
