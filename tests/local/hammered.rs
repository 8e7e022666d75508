//! Checks beside an application that writes all the time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::guardian::{Bed, condition, field, files};

/// What the writer saw.
#[derive(Default)]
struct Seen {
    commits: AtomicU64,
    slowest_milliseconds: AtomicU64,
}

/// Writes as OpenMemory does, an access of a memory per transaction and some changes of a row, in the
/// given journal mode. An error (`database is locked`) fails the test.
fn hammer(database: &Path, mode: SqliteJournalMode, stop: &AtomicBool, seen: &Seen) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .journal_mode(mode)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        let mut db = options.connect().await.unwrap();
        let mut number = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let mut tx = db.begin().await.unwrap();
            sqlx::query(
                "INSERT INTO memory_access_logs (id, memory_id, app_id, accessed_at, access_type, metadata) \
                 SELECT printf('ac%030x', $1), id, app_id, '2026-01-02 03:04:05.000000', 'search', '{}' \
                 FROM memories LIMIT 1 OFFSET $1 % 100",
            )
            .bind(i64::try_from(number).unwrap())
            .execute(&mut *tx)
            .await
            .unwrap();
            sqlx::query("UPDATE users SET updated_at = printf('2026-01-02 03:04:05.%06d', $1 % 1000000)")
                .bind(i64::try_from(number).unwrap())
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            number += 1;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
            seen.slowest_milliseconds.fetch_max(took, Ordering::Relaxed);
            seen.commits.fetch_add(1, Ordering::Relaxed);
        }
        db.close().await.unwrap();
    });
}

/// Size, times and number of every file but those of the writer.
fn state(bank: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let theirs = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with("openmemory.db");
    let marks = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        (path, (metadata.len(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    files(bank).into_iter().filter(theirs).map(marks).collect()
}

fn beside_a_writer(mode: SqliteJournalMode, side: &str) {
    let bed = Bed::new(2_000);
    bed.once_ends(&["--now"], 0);
    let before = state(&bed.path("bank"));
    let database = bed.path("bank/openmemory.db");
    let (stop, seen) = (AtomicBool::new(false), Seen::default());
    thread::scope(|scope| {
        scope.spawn(|| hammer(&database, mode, &stop, &seen));
        for _ in 0..6 {
            let output = bed.once(&["--now"]);
            // Not measured in time is told as such; an alarm would be a lie.
            let bank = bed.status("MemoryBank", "sample").unwrap();
            if output.status.code() != Some(0) {
                stop.store(true, Ordering::Relaxed);
                panic!("{:?}: {}\n{bank:#}", output.status, crate::guardian::text(&output.stdout));
            }
            assert_eq!(condition(&bank, "Intact").0, "True", "{bank:#}");
            assert_eq!(field(&bank, "/status/corruption/open").parse::<u64>().unwrap_or(0), 0, "{bank:#}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let commits = seen.commits.load(Ordering::Relaxed);
    assert!(commits > 100, "only {commits} commits");
    let slowest = seen.slowest_milliseconds.load(Ordering::Relaxed);
    assert!(slowest < 2_000, "a commit waited {slowest} ms");
    assert_eq!(state(&bed.path("bank")), before);
    let left: Vec<_> = files(&bed.path("bank")).into_iter().filter(|path| !before.contains_key(path)).collect();
    // The writer closed its database, and with it took its own side files away.
    assert!(left.iter().all(|path| *path == database), "{left:?} of {side}");
}

#[test]
fn a_writer_with_a_rollback_journal_raises_no_alarm_and_never_waits_long() {
    beside_a_writer(SqliteJournalMode::Delete, "journal");
}

#[test]
fn a_writer_with_a_wal_raises_no_alarm_and_never_waits_long() {
    beside_a_writer(SqliteJournalMode::Wal, "wal");
}
