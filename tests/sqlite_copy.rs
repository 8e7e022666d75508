//! A live SQLite bank is copied whole, its writers are not disturbed, and nothing of it is changed. The writers are
//! processes of their own (this test binary again): SQLite's locks do not hold between connections of one process
//! and descriptors that it does not know.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests; clippy.toml allows it in test functions only.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memorybank::bank::Meter;
use memorybank::bank::sqlite::{CopyError, JournalMode, SqliteCopy, copy, wipe};
use memorybank::domain::{CorruptionEvent, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const DB: &str = "openmemory.db";

/// A volume with a bank, and a scratch folder beside it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["volume", "scratch"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn volume(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    fn db(&self, suffix: &str) -> PathBuf {
        self.volume().join(format!("{DB}{suffix}"))
    }

    fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    fn copy(&self) -> Result<SqliteCopy, CopyError> {
        copy(&self.volume(), DB, &self.scratch(), &Meter::default())
    }

    /// All that could tell that somebody was here.
    fn state(&self) -> BTreeMap<String, (Vec<u8>, u64, [i64; 6])> {
        let mut state = BTreeMap::new();
        let mut put = |path: &Path, bytes| {
            let m = fs::metadata(path).unwrap();
            let times = [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), m.atime(), m.atime_nsec()];
            state.insert(path.display().to_string(), (bytes, m.ino(), times));
        };
        put(&self.volume(), Vec::new());
        for path in files(&self.volume()) {
            put(&path, Vec::new());
        }
        for path in files(&self.volume()) {
            // Read through a descriptor that leaves the access time alone is not to be had here: times come first.
            let name = path.display().to_string();
            let bytes = fs::read(&path).unwrap();
            if let Some(entry) = state.get_mut(&name) {
                entry.0 = bytes;
            }
        }
        state
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

async fn open(path: &Path, mode: SqliteJournalMode, sync: SqliteSynchronous) -> SqliteConnection {
    SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))
        .unwrap()
        .create_if_missing(true)
        .journal_mode(mode)
        .synchronous(sync)
        .busy_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap()
}

async fn run(db: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db).await.unwrap();
}

async fn add(db: &mut SqliteConnection, n: i64, bytes: i64) {
    sqlx::query("INSERT INTO memories VALUES (?1, hex(randomblob(?2)))").bind(n).bind(bytes).execute(db).await.unwrap();
}

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS memories (n INTEGER PRIMARY KEY, content TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS by_content ON memories (substr(content, 1, 20))";

/// Makes a bank of rows 1 to `rows`, and closes it.
async fn make(path: &Path, mode: SqliteJournalMode, page_size: u32, rows: i64) {
    let mut db = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(page_size)
        .journal_mode(mode)
        .connect()
        .await
        .unwrap();
    run(&mut db, SCHEMA).await;
    sqlx::query(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
         INSERT INTO memories SELECT n, hex(randomblob(100 + n % 400)) FROM c WHERE ?1 > 0",
    )
    .bind(rows)
    .execute(&mut db)
    .await
    .unwrap();
    db.close().await.unwrap();
}

/// Opens a copy as the checks do, and tells what `PRAGMA integrity_check` says and how many rows there are, which
/// must be 1 to that.
async fn recovered(copy: &mut SqliteCopy) -> Result<(String, i64), sqlx::Error> {
    copy.prepare().unwrap();
    let mut db = SqliteConnectOptions::new().filename(copy.path()).connect().await?;
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut db).await?;
    let (rows, last): (i64, i64) =
        sqlx::query_as("SELECT count(*), coalesce(max(n), 0) FROM memories").fetch_one(&mut db).await?;
    db.close().await?;
    assert_eq!(rows, last, "rows are missing in between");
    Ok((verdict, rows))
}

fn events(copy: &SqliteCopy) -> Vec<CorruptionEvent> {
    let judgement = copy.raw.judge("database");
    let ids: Vec<_> = judgement.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["sqlite-file", "sqlite-side-files", "sqlite-wal", "sqlite-page-checksums"]);
    for check in &judgement.checks {
        let named = judgement.events.iter().any(|event| event.check == check.id);
        assert_eq!(check.verdict == Verdict::Failed, named, "{check:?}");
    }
    judgement.events
}

/// What a writer in another process tells: rows acknowledged, microseconds of the slowest commit, errors.
struct Writer {
    child: Child,
    told: PathBuf,
}

impl Writer {
    fn start(place: &Place, what: &str, mode: &str, sync: &str) -> Self {
        let told = place.dir.path().join("told");
        fs::write(&told, [0; 24]).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_process", "--nocapture"])
            .env("WRITER", [what, mode, sync].join(" "))
            .env("WRITER_DB", place.db(""))
            .env("WRITER_TOLD", &told)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let writer = Self { child, told };
        let start = Instant::now();
        while writer.told(0) < 3 {
            assert!(start.elapsed() < Duration::from_secs(30), "the writer does not write");
            thread::sleep(Duration::from_millis(1));
        }
        writer
    }

    fn told(&self, field: u64) -> u64 {
        let mut bytes = [0; 8];
        File::open(&self.told).unwrap().read_exact_at(&mut bytes, field * 8).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// SIGKILL, wherever it is.
    fn kill(mut self) -> i64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        i64::try_from(self.told(0)).unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test by itself: the writer that the tests start.
#[tokio::test]
async fn writer_process() {
    let Ok(what) = std::env::var("WRITER") else { return };
    let words: Vec<_> = what.split(' ').collect();
    let told = File::options().write(true).open(std::env::var("WRITER_TOLD").unwrap()).unwrap();
    let tell = |field: u64, value: u64| told.write_all_at(&value.to_le_bytes(), field * 8).unwrap();
    let (mode, sync) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    let mut db = open(Path::new(&std::env::var("WRITER_DB").unwrap()), mode, sync).await;
    run(&mut db, SCHEMA).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM memories").fetch_one(&mut db).await.unwrap();
    match words[0] {
        // Rewrites pages in a transaction that does not fit the cache, so that the file has both old and new.
        "spill" => {
            run(&mut db, "PRAGMA cache_size = 5; PRAGMA cache_spill = 5; BEGIN").await;
            run(
                &mut db,
                "UPDATE memories SET content = 'x' || hex(randomblob(200)); DELETE FROM memories WHERE n > 50",
            )
            .await;
            add(&mut db, 100_000, 50_000).await;
            tell(0, 3);
            thread::sleep(Duration::from_mins(2));
        }
        // Commits some rows, leaves a half-done transaction in the -wal, and hangs.
        "pause" => {
            for n in rows + 1..=rows + 40 {
                add(&mut db, n, 900).await;
            }
            run(
                &mut db,
                "PRAGMA cache_size = 5; PRAGMA cache_spill = 5; BEGIN; UPDATE memories SET content = 'x' || content",
            )
            .await;
            tell(0, u64::try_from(rows + 40).unwrap());
            thread::sleep(Duration::from_mins(2));
        }
        // Opens, commits, and closes as the last one, again and again.
        "visit" => {
            db.close().await.unwrap();
            let (start, path) = (Instant::now(), std::env::var("WRITER_DB").unwrap());
            for n in rows + 1.. {
                if start.elapsed() > Duration::from_mins(2) {
                    return; // Nobody killed it.
                }
                let mut db = open(Path::new(&path), mode, sync).await;
                add(&mut db, n, 900).await;
                db.close().await.unwrap();
                tell(0, u64::try_from(n).unwrap());
            }
        }
        _ => {
            let (mut slowest, mut errors) = (0, 0);
            let start = Instant::now();
            for n in rows + 1.. {
                if start.elapsed() > Duration::from_mins(2) {
                    return; // Nobody killed it.
                }
                let since = Instant::now();
                let commit = async {
                    let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
                    sqlx::query("INSERT INTO memories VALUES (?1, hex(randomblob(abs(random() % 1500))))")
                        .bind(n)
                        .execute(&mut *tx)
                        .await?;
                    sqlx::query("UPDATE memories SET content = hex(randomblob(abs(random() % 900))) WHERE n = abs(random() % ?1)")
                        .bind(n)
                        .execute(&mut *tx)
                        .await?;
                    tx.commit().await
                };
                match commit.await {
                    Ok(()) => tell(0, u64::try_from(n).unwrap()),
                    Err(error) => {
                        eprintln!("{error}");
                        errors += 1;
                        tell(2, errors);
                    }
                }
                slowest = slowest.max(u64::try_from(since.elapsed().as_micros()).unwrap());
                tell(1, slowest);
            }
        }
    }
}

async fn beside_a_writer(mode: &str, sync: &str) {
    let place = Place::new();
    make(&place.db(""), mode.parse().unwrap(), 4096, 20_000).await;
    let writer = Writer::start(&place, "hammer", mode, sync);
    let (start, mut copies, mut mended) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(4) || copies < 4 {
        let acknowledged = i64::try_from(writer.told(0)).unwrap();
        let mut copy = place.copy().unwrap();
        assert_eq!(events(&copy), [], "a live bank is healthy");
        mended += copy.effort.mended_pages;
        let (verdict, rows) = recovered(&mut copy).await.unwrap();
        assert_eq!(verdict, "ok");
        assert!(rows >= acknowledged, "{rows} of {acknowledged} rows");
        copies += 1;
    }
    let (rows, slowest, errors) = (writer.told(0), Duration::from_micros(writer.told(1)), writer.told(2));
    eprintln!("{mode}: {copies} copies, {} commits, slowest {slowest:?}, {mended} pages mended", rows - 20_000);
    assert_eq!(errors, 0, "the writer met `database is locked`");
    assert!(slowest < Duration::from_secs(2), "a commit took {slowest:?}");
    assert!(rows > 20_000 + copies, "the writer wrote all the time");
    let strangers: Vec<_> = files(&place.volume())
        .into_iter()
        .filter(|f| !["", "-wal", "-shm", "-journal"].iter().any(|suffix| *f == place.db(suffix)))
        .collect();
    assert_eq!(strangers, Vec::<PathBuf>::new());
    assert_eq!(files(&place.scratch()), Vec::<PathBuf>::new(), "no copy is left behind");
}

#[tokio::test]
async fn copies_beside_a_writer_with_a_deleted_journal_are_whole() {
    beside_a_writer("delete", "full").await;
}

#[tokio::test]
async fn copies_beside_a_writer_with_a_truncated_journal_are_whole() {
    beside_a_writer("truncate", "off").await;
}

#[tokio::test]
async fn copies_beside_a_writer_with_a_persistent_journal_are_whole() {
    beside_a_writer("persist", "normal").await;
}

#[tokio::test]
async fn copies_beside_a_writer_with_a_wal_are_whole() {
    beside_a_writer("wal", "normal").await;
}

/// A bank after SIGKILL in each state that is left on disk, with the rows that it must have.
async fn crashed(state: &str) -> (Place, i64) {
    let place = Place::new();
    let mode = if state == "hot journal" { SqliteJournalMode::Delete } else { SqliteJournalMode::Wal };
    make(&place.db(""), mode, 4096, 500).await;
    let rows = match state {
        "hot journal" => {
            Writer::start(&place, "spill", "delete", "full").kill();
            500
        }
        _ => Writer::start(&place, "pause", "wal", "normal").kill(),
    };
    if state == "wal without shm" {
        fs::remove_file(place.db("-shm")).unwrap();
    }
    (place, rows)
}

#[tokio::test]
async fn what_a_crash_leaves_is_healthy_and_stays_as_it_is() {
    for (state, side_file) in [("hot journal", "-journal"), ("wal", "-wal"), ("wal without shm", "-wal")] {
        let (place, rows) = crashed(state).await;
        assert!(fs::metadata(place.db(side_file)).unwrap().len() > 4096, "{state}");
        let mut read_only = fs::metadata(place.volume()).unwrap().permissions();
        read_only.set_mode(0o555);
        fs::set_permissions(place.volume(), read_only).unwrap();
        let before = place.state();
        let mut copy = place.copy().unwrap();
        assert_eq!(events(&copy), [], "{state}");
        assert_eq!(recovered(&mut copy).await.unwrap(), ("ok".to_owned(), rows), "{state}");
        assert_eq!(fs::metadata(copy.path()).unwrap().mode() & 0o777, 0o600);
        drop(copy);
        // The access times were changed by the look before, if at all.
        let mut after = place.state();
        for (name, entry) in &mut after {
            entry.2[4..].copy_from_slice(&before[name].2[4..]);
        }
        assert!(after == before, "{state}: the bank was changed");
        let mut writable = fs::metadata(place.volume()).unwrap().permissions();
        writable.set_mode(0o755);
        fs::set_permissions(place.volume(), writable).unwrap();
    }
}

#[tokio::test]
async fn every_page_size_and_journal_mode_is_read_at_rest() {
    for shift in 9..=16 {
        for mode in [SqliteJournalMode::Delete, SqliteJournalMode::Persist, SqliteJournalMode::Wal] {
            let place = Place::new();
            make(&place.db(""), mode, 1 << shift, 300).await;
            let before = files(&place.volume());
            let mut copy = place.copy().unwrap();
            assert_eq!(copy.mode == JournalMode::Wal, mode == SqliteJournalMode::Wal);
            assert_eq!(events(&copy), [], "{mode:?}, pages of {}", 1 << shift);
            assert_eq!(recovered(&mut copy).await.unwrap(), ("ok".to_owned(), 300));
            assert_eq!(files(&place.volume()), before);
        }
    }
}

fn of_object<'a>(events: &'a [CorruptionEvent], object: &str) -> &'a CorruptionEvent {
    events.iter().find(|event| event.object == object).unwrap_or_else(|| panic!("no event of {object}: {events:?}"))
}

#[tokio::test]
async fn a_foreign_wal_is_named_and_costs_no_row() {
    let (stranger, _) = crashed("wal").await;
    for mode in [SqliteJournalMode::Delete, SqliteJournalMode::Wal] {
        let place = Place::new();
        make(&place.db(""), mode, 4096, 1_500).await;
        fs::copy(stranger.db("-wal"), place.db("-wal")).unwrap();
        let mut copy = place.copy().unwrap();
        let found = events(&copy);
        let event = of_object(&found, "openmemory.db-wal");
        assert!(event.evidence.contains("does not belong"), "{event:?}");
        assert_eq!(recovered(&mut copy).await.unwrap(), ("ok".to_owned(), 1_500), "{mode:?}");
    }
}

#[tokio::test]
async fn a_foreign_journal_is_named_and_costs_no_row() {
    let (stranger, _) = crashed("hot journal").await;
    let place = Place::new();
    make(&place.db(""), SqliteJournalMode::Delete, 4096, 1_500).await;
    fs::copy(stranger.db("-journal"), place.db("-journal")).unwrap();
    let mut copy = place.copy().unwrap();
    let found = events(&copy);
    assert!(of_object(&found, "openmemory.db-journal").evidence.contains("does not belong"), "{found:?}");
    assert_eq!(recovered(&mut copy).await.unwrap(), ("ok".to_owned(), 1_500));
}

#[tokio::test]
async fn a_wal_torn_in_the_middle_is_damage_though_sqlite_says_ok() {
    let (place, rows) = crashed("wal").await;
    let wal = File::options().write(true).open(place.db("-wal")).unwrap();
    wal.write_all_at(b"?", 32 + 3 * (24 + 4096) + 2_000).unwrap();
    let mut copy = place.copy().unwrap();
    let found = events(&copy);
    let event = of_object(&found, "openmemory.db-wal");
    assert_eq!((event.check.as_str(), found.len()), ("sqlite-wal", 1));
    assert!(event.evidence.contains("frame 4 at offset 12392"), "{}", event.evidence);
    let (verdict, left) = recovered(&mut copy).await.unwrap();
    assert_eq!(verdict, "ok");
    assert!(left < rows, "SQLite says nothing of the lost rows");
}

#[tokio::test]
async fn a_live_connection_tells_how_long_the_wal_must_be() {
    let place = Place::new();
    make(&place.db(""), SqliteJournalMode::Wal, 4096, 500).await;
    let writer = Writer::start(&place, "pause", "wal", "normal");
    assert_eq!(events(&place.copy().unwrap()), []);
    File::options().write(true).open(place.db("-wal")).unwrap().set_len(32 + 9 * (24 + 4096)).unwrap();
    of_object(&events(&place.copy().unwrap()), "openmemory.db-wal");
    // Not even a header is left; and the whole file is gone, as somebody tidied up.
    for gone in [false, true] {
        if gone {
            fs::remove_file(place.db("-wal")).unwrap();
        } else {
            File::options().write(true).open(place.db("-wal")).unwrap().set_len(20).unwrap();
        }
        let mut copy = place.copy().unwrap();
        let found = events(&copy);
        let event = of_object(&found, "openmemory.db-wal");
        assert_eq!((event.check.as_str(), found.len()), ("sqlite-wal", 1));
        assert!(event.evidence.contains("is gone") && event.count >= 40, "{event:?}");
        assert_eq!(recovered(&mut copy).await.unwrap(), ("ok".to_owned(), 500), "what is left is still checked");
    }
    // What a dead process counted proves nothing: the -wal may be as old as the last sync.
    writer.kill();
    assert_eq!(events(&place.copy().unwrap()), []);
}

/// The last connection to close writes the -wal back and removes it with the -shm: no look in between is an alarm.
#[tokio::test]
async fn a_writer_that_comes_and_goes_is_no_alarm() {
    let place = Place::new();
    make(&place.db(""), SqliteJournalMode::Wal, 4096, 200).await;
    let writer = Writer::start(&place, "visit", "wal", "normal");
    let (start, mut copies) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(4) {
        let acknowledged = i64::try_from(writer.told(0)).unwrap();
        match place.copy() {
            Ok(mut copy) => {
                assert_eq!(events(&copy), [], "a live bank is healthy");
                let (verdict, rows) = recovered(&mut copy).await.unwrap();
                assert_eq!(verdict, "ok");
                assert!(rows >= acknowledged, "{rows} of {acknowledged} rows");
                copies += 1;
            }
            Err(error) => assert!(matches!(error, CopyError::CheckIncomplete { .. }), "{error}"),
        }
    }
    let visits = writer.told(0) - 200;
    eprintln!("{copies} copies beside {visits} visits");
    assert!(copies > 0 && visits > 20);
}

#[tokio::test]
async fn cut_and_grown_files_are_damage() {
    let place = Place::new();
    make(&place.db(""), SqliteJournalMode::Delete, 4096, 500).await;
    let size = fs::metadata(place.db("")).unwrap().len();
    for (len, evidence) in [
        (size - 4096, "1 of "),
        (size - 1, "pages are missing"),
        (size + 4096, "4096 bytes follow"),
        (60, "header alone needs 100"),
        (0, "empty"),
    ] {
        File::options().write(true).open(place.db("")).unwrap().set_len(len).unwrap();
        let found = events(&place.copy().unwrap());
        let event = of_object(&found, DB);
        assert!(event.evidence.contains(evidence), "{len}: {}", event.evidence);
        if len > size {
            File::options().write(true).open(place.db("")).unwrap().set_len(size - 4096).unwrap();
        }
    }
    fs::write(place.db(""), "a private text, and no database at all; it goes on for more than one hundred bytes, so that it is long enough.").unwrap();
    let found = events(&place.copy().unwrap());
    assert!(!of_object(&found, DB).evidence.contains("private"));
}

/// What people do to a database, in any order. A copy of its files between two steps is what a crash would leave.
const STEPS: [&str; 16] = [
    "INSERT INTO memories SELECT n + 10000, content FROM memories WHERE n < 400 ON CONFLICT DO NOTHING",
    "INSERT INTO memories SELECT abs(random() % 3000) + 500, hex(randomblob(300)) ON CONFLICT DO NOTHING",
    "UPDATE memories SET content = hex(randomblob(abs(random() % 700))) WHERE n % 7 = abs(random() % 7)",
    "DELETE FROM memories WHERE n % 3 = abs(random() % 3)",
    "DELETE FROM memories",
    "VACUUM",
    "CREATE TABLE IF NOT EXISTS other (a, b UNIQUE); INSERT INTO other VALUES (1, random())",
    "DROP TABLE IF EXISTS other",
    "PRAGMA user_version = 7",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(RESTART)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum(3)",
    "BEGIN; UPDATE memories SET content = 'x' || hex(randomblob(600)); ROLLBACK",
    "BEGIN; DELETE FROM memories WHERE n % 2; INSERT INTO memories SELECT n + 30000, 'y' || content FROM memories ON CONFLICT DO NOTHING; COMMIT",
    "REINDEX",
];

/// None of the states of a healthy database is an alarm, and each is recovered.
#[tokio::test]
async fn no_state_of_a_healthy_bank_is_an_alarm() {
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (place, crash) = (Place::new(), Place::new());
        let modes = [SqliteJournalMode::Wal, SqliteJournalMode::Delete, SqliteJournalMode::Persist];
        let mode = modes[random.random_range(0..modes.len())];
        let connect = || {
            SqliteConnectOptions::new()
                .filename(place.db(""))
                .create_if_missing(true)
                .auto_vacuum(
                    [SqliteAutoVacuum::None, SqliteAutoVacuum::Incremental, SqliteAutoVacuum::Full]
                        [usize::try_from(seed % 3).unwrap()],
                )
                .journal_mode(mode)
                .pragma("cache_size", "5")
                .pragma("cache_spill", "5")
                .pragma("wal_autocheckpoint", "60")
                .busy_timeout(Duration::from_millis(50))
        };
        let mut connections = [connect().connect().await.unwrap(), connect().connect().await.unwrap()];
        run(&mut connections[0], SCHEMA).await;
        run(&mut connections[0], "BEGIN").await;
        for n in 1..500 {
            add(&mut connections[0], n, 200).await;
        }
        run(&mut connections[0], "COMMIT").await;
        for step in 0..25 {
            let which = random.random_range(0..2);
            let sql = STEPS[random.random_range(0..STEPS.len())];
            if random.random_ratio(1, 12) {
                let closing = std::mem::replace(&mut connections[which], connect().connect().await.unwrap());
                closing.close().await.unwrap();
            }
            // What is busy or refused now is not done.
            let open = random.random_ratio(1, 4) && sql.starts_with(['U', 'D', 'I']);
            if open {
                run(&mut connections[which], "BEGIN").await;
            }
            let _ = sqlx::raw_sql(sql).execute(&mut connections[which]).await;
            for suffix in ["", "-wal", "-journal"] {
                let _ = fs::remove_file(crash.db(suffix));
                if place.db(suffix).exists() {
                    fs::copy(place.db(suffix), crash.db(suffix)).unwrap();
                    let old = std::time::SystemTime::now() - Duration::from_mins(1);
                    File::options().write(true).open(crash.db(suffix)).unwrap().set_modified(old).unwrap();
                }
            }
            // Also one that a step left open because something was busy.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut connections[which]).await;
            let mut copy = crash.copy().unwrap();
            assert_eq!(events(&copy), [], "seed {seed}, step {step}, {mode:?}: {sql}");
            copy.prepare().unwrap();
            let mut db = SqliteConnectOptions::new().filename(copy.path()).connect().await.unwrap();
            let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut db).await.unwrap();
            assert_eq!(verdict, "ok", "seed {seed}, step {step}, {mode:?}: {sql}");
        }
    }
}

/// Random damage: never a panic, never a hang, always a verdict.
#[tokio::test]
async fn any_damage_gives_a_verdict() {
    for (state, suffixes) in [("hot journal", ["", "-journal"]), ("wal without shm", ["", "-wal"])] {
        let (place, _) = crashed(state).await;
        let sound: Vec<_> = suffixes.map(|suffix| fs::read(place.db(suffix)).unwrap()).into();
        for seed in 0..60 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for (suffix, bytes) in suffixes.iter().zip(&sound) {
                fs::write(place.db(suffix), bytes).unwrap();
            }
            let which = random.random_range(0..2);
            let mut bytes = sound[which].clone();
            match random.random_range(0..3) {
                0 => bytes.truncate(random.random_range(0..bytes.len())),
                1 => {
                    let at = random.random_range(0..bytes.len().min(200));
                    bytes[at] ^= 1 << random.random_range(0..8);
                }
                _ => {
                    let at = random.random_range(0..bytes.len());
                    let end = (at + 5_000).min(bytes.len());
                    random.fill(&mut bytes[at..end]);
                }
            }
            let path = place.db(suffixes[which]);
            fs::write(&path, bytes).unwrap();
            let old = std::time::SystemTime::now() - Duration::from_mins(1);
            for suffix in suffixes {
                File::options().write(true).open(place.db(suffix)).unwrap().set_modified(old).unwrap();
            }
            let since = Instant::now();
            let mut copy = place.copy().unwrap();
            events(&copy);
            copy.prepare().unwrap();
            assert!(since.elapsed() < Duration::from_secs(5), "{state}, seed {seed}");
        }
    }
}

/// A bank that is replaced all the time is copied as one of its versions, never as a mixture.
#[tokio::test]
async fn a_bank_that_is_replaced_is_never_mixed() {
    let place = Place::new();
    let versions = [("one", 2_000), ("two", 6_000)];
    for (name, rows) in versions {
        make(&place.dir.path().join(name), SqliteJournalMode::Delete, 4096, rows).await;
    }
    fs::copy(place.dir.path().join("one"), place.db("")).unwrap();
    let stop = AtomicBool::new(false);
    let copies: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            for (name, _) in versions.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let new = place.dir.path().join("new");
                fs::copy(place.dir.path().join(name), &new).unwrap();
                fs::rename(new, place.db("")).unwrap();
            }
        });
        let copies = (0..8).map(|_| place.copy()).collect();
        stop.store(true, Ordering::Relaxed);
        copies
    });
    for copy in copies {
        match copy {
            Ok(mut copy) => {
                assert_eq!(events(&copy), []);
                let (verdict, rows) = recovered(&mut copy).await.unwrap();
                assert_eq!(verdict, "ok");
                assert!([2_000, 6_000].contains(&rows), "{rows}");
            }
            Err(error) => assert!(matches!(error, CopyError::CheckIncomplete { .. }), "{error}"),
        }
    }
    assert_eq!(events(&place.copy().unwrap()), [], "at rest again");
}

#[tokio::test]
async fn a_long_transaction_makes_the_check_incomplete_and_can_be_cancelled() {
    let place = Place::new();
    make(&place.db(""), SqliteJournalMode::Delete, 4096, 500).await;
    let _writer = Writer::start(&place, "spill", "delete", "full");
    let cancel = CancellationToken::new();
    let meter = Meter::new(cancel.clone());
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(&place.volume(), DB, &place.scratch(), &meter));
        thread::sleep(Duration::from_millis(200));
        assert!(!copying.is_finished());
        cancel.cancel();
        let since = Instant::now();
        assert!(matches!(copying.join().unwrap(), Err(CopyError::Cancelled(_))));
        assert!(since.elapsed() < Duration::from_secs(1));
    });
    let error = place.copy().unwrap_err();
    assert!(matches!(error, CopyError::CheckIncomplete { .. }), "{error}");
    let judgement = error.judge("database", DB);
    assert_eq!((judgement.checks[0].verdict, judgement.events.len()), (Verdict::Unknown, 0));
}

#[test]
fn what_is_no_file_is_told_and_scratch_is_wiped() {
    let place = Place::new();
    let judged = |expected: &str| {
        let error = place.copy().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let judgement = error.judge("database", DB);
        assert_eq!((judgement.checks[0].verdict, judgement.events.len()), (Verdict::Failed, 1));
    };
    judged("does not exist");
    fs::create_dir(place.db("")).unwrap();
    judged("is a folder");
    fs::remove_dir(place.db("")).unwrap();
    nix::unistd::mkfifo(&place.db(""), nix::sys::stat::Mode::S_IRUSR).unwrap();
    judged("is a FIFO");
    assert_eq!(files(&place.scratch()), Vec::<PathBuf>::new());
    fs::create_dir(place.scratch().join("left")).unwrap();
    fs::write(place.scratch().join("left/bank.db"), "left by a run that was killed").unwrap();
    wipe(&place.scratch()).unwrap();
    assert_eq!(files(&place.scratch()), Vec::<PathBuf>::new());
}
