//! The store under faults: killed, no room, locked, damaged, server gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails as the test does.

#[path = "common/postgres.rs"]
mod postgres_server;
#[path = "common/reports.rs"]
mod reports;
#[path = "common/small_disk.rs"]
mod small_disk;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use memorybank::domain::{Digest, RunReport, TaskKind, Verdict};
use memorybank::store::{Finish, Location, Store};
use reports::{at, check, damage, finding, raw, record, report, task};
use small_disk::SmallDisk;
use sqlx::Connection as _;

/// Tells a copy of this test binary which folder to work on.
const CHILD: &str = "MEMORYBANK_TEST_CHILD";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts this test binary again for one test, which then acts as the child on `folder`.
fn child(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Report `n`: the findings and damage of every report differ in part from those of the one before.
fn numbered(n: u64) -> RunReport {
    let mut work = task(TaskKind::SecurityAudit, "Leaks");
    work.checks = vec![check("leaks", Verdict::Failed), check("sqlite-schema", Verdict::Failed)];
    work.findings = (n..n + 200).map(|f| finding("leaks", &format!("f{f}"))).collect();
    work.corruption = (n..n + 20).map(|d| damage("sqlite-schema", &format!("t{d}"))).collect();
    report(&n.to_string(), at(i64::try_from(n).unwrap()), vec![work])
}

/// How often each report is in the audit log.
async fn told(store: &Store) -> BTreeMap<u64, u32> {
    let mut told = BTreeMap::new();
    for row in store.audit_log(None, 100_000).await.unwrap() {
        if row.action == "run-finished" {
            *told.entry(row.detail["uid"].as_str().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    told
}

#[test]
fn a_kill_loses_no_acknowledged_report_and_doubles_none() {
    if let Some(folder) = child_folder() {
        runtime().block_on(report_until_killed(&folder));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_owned());
    let seed = std::process::id();
    println!("seed {seed}");
    let mut next = 0;
    let mut in_the_middle = 0;
    for round in 0..50 {
        let mut writer = child("a_kill_loses_no_acknowledged_report_and_doubles_none", folder.path());
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acknowledged = |line: &String| line.strip_prefix("kept ").map(|n| n.parse::<u64>().unwrap());
        let first = lines.by_ref().find_map(|line| acknowledged(&line)).expect("the child reports");
        // Anywhere in the next two reports or so.
        let random = Digest::of(format!("{seed}/{round}").as_bytes()).as_bytes()[0];
        std::thread::sleep(Duration::from_micros(u64::from(random) * 200));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let last = lines.filter_map(|line| acknowledged(&line)).last().unwrap_or(first);

        next = last + 1;
        runtime().block_on(async {
            let store = Store::open(&location).await.unwrap();
            let before = told(&store).await;
            for n in 0..=last {
                assert_eq!(before.get(&n), Some(&1), "round {round}: report {n} was acknowledged");
            }
            assert_eq!(store.finish_run(&numbered(last)).await.unwrap(), Finish::Duplicate);
            // The one that was under way is there whole or not at all; delivered again, it is there once.
            let under_way = store.finish_run(&numbered(next)).await.unwrap();
            assert_eq!(under_way == Finish::Stored, !before.contains_key(&next));
            in_the_middle += u32::from(under_way == Finish::Stored);
            assert_eq!(told(&store).await.get(&next), Some(&1));
            assert!(store.verify_audit().await.unwrap().is_intact());
            let facts = store.facts("default", "assistant").await.unwrap();
            assert_eq!((facts.findings.high, facts.corruption.open), (200, 20));
            assert_eq!((facts.findings.new, facts.findings.fixed), if next == 0 { (200, 0) } else { (1, 1) });
            let run = store.run("default", &format!("run-{last}")).await.unwrap().unwrap();
            let kept = store.get_blob(&run.report.unwrap()).await.unwrap().unwrap();
            assert_eq!(serde_json::from_slice::<RunReport>(&kept).unwrap(), numbered(last));
            store.close().await;
        });
    }
    assert!(next > 50 && in_the_middle > 10, "{next} reports, {in_the_middle} kills within one");
}

async fn report_until_killed(folder: &Path) {
    let store = Store::open(&Location::Sqlite(folder.to_owned())).await.unwrap();
    let from = told(&store).await.keys().max().map_or(0, |n| n + 1);
    for n in from.. {
        let run = numbered(n);
        store.begin_run(&record(&run.uid, run.started)).await.unwrap();
        assert_eq!(store.finish_run(&run).await.unwrap(), Finish::Stored);
        println!("\nkept {n}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_full_disk_is_told_and_the_store_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::over(folder.path(), "6m") else { return };
    let location = Location::Sqlite(disk.path().join("data"));
    runtime().block_on(async {
        let store = Store::open(&location).await.unwrap();
        store.finish_run(&numbered(0)).await.unwrap();
        let mut kept = 1;
        for _ in 0..3 {
            let ballast = disk.fill();
            // Pages that the database has to spare take some reports still.
            let error = loop {
                match store.finish_run(&numbered(kept)).await {
                    Ok(finish) => assert_eq!(finish, Finish::Stored),
                    Err(error) => break error,
                }
                kept += 1;
            };
            assert_eq!(error.reason(), "Full", "{error}");
            assert!(error.is_transient() && error.to_string().contains(disk.path().to_str().unwrap()), "{error}");
            assert_eq!(store.put_blob(vec![7; 100_000]).await.map_err(|error| error.reason()).unwrap_err(), "Full");
            assert_eq!(store.facts("default", "assistant").await.unwrap().findings.high, 200, "it still answers");

            std::fs::remove_file(ballast).unwrap();
            assert_eq!(store.finish_run(&numbered(kept)).await.unwrap(), Finish::Stored);
            kept += 1;
            assert!(told(&store).await.into_iter().eq((0..kept).map(|n| (n, 1))));
            let verdict = store.verify_audit().await.unwrap();
            assert!(verdict.is_intact(), "{verdict:?}");
        }
        store.close().await;
        let ballast = disk.fill();
        let opened = Store::open(&location).await;
        if let Err(error) = opened {
            assert_eq!(error.reason(), "Full", "{error}");
        }
        std::fs::remove_file(ballast).unwrap();
        Store::open(&location).await.unwrap();
    });
}

#[test]
fn a_database_locked_by_another_process_is_told_and_the_store_goes_on() {
    if let Some(folder) = child_folder() {
        runtime().block_on(hold_the_write_lock(&folder));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_owned());
    runtime().block_on(async {
        let store = Store::open(&location).await.unwrap();
        store.finish_run(&numbered(0)).await.unwrap();
        let mut holder = child("a_database_locked_by_another_process_is_told_and_the_store_goes_on", folder.path());
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.by_ref().find(|line| line.contains("locked")).expect("the child takes the lock");
        let begun = Instant::now();
        let error = store.finish_run(&numbered(1)).await.unwrap_err();
        assert_eq!(error.reason(), "Locked", "{error}");
        assert!(error.to_string().contains("memorybank.db"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(15), "it does not wait for ever");
        assert_eq!(store.facts("default", "assistant").await.unwrap().findings.high, 200, "readers go on");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(store.finish_run(&numbered(1)).await.unwrap(), Finish::Stored);
    });
}

async fn hold_the_write_lock(folder: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("memorybank.db"));
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut connection).await.unwrap();
    println!("\nlocked");
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

/// A closed store with some content, and the bytes of its database.
async fn healthy(folder: &Path) -> Vec<u8> {
    let location = Location::Sqlite(folder.to_owned());
    let store = Store::open(&location).await.unwrap();
    for n in 0..5 {
        store.finish_run(&numbered(n)).await.unwrap();
    }
    store.close().await;
    std::fs::read(folder.join("memorybank.db")).unwrap()
}

/// Opens a store and asks it for everything; how that failed, if it did.
async fn ask_everything(location: &Location) -> Result<(), memorybank::store::StoreError> {
    let store = Store::open(location).await?;
    let asked = async {
        store.facts("default", "assistant").await?;
        store.bank_metrics().await?;
        store.runs("default", "assistant").await?;
        store.outputs("default", "assistant").await?;
        store.verify_audit().await?;
        store.finish_run(&numbered(77)).await.map(drop)
    };
    let result = asked.await;
    store.close().await;
    result
}

#[test]
fn a_damaged_database_is_told_and_never_made_again() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_owned());
        let database = folder.path().join("memorybank.db");
        let bytes = healthy(folder.path()).await;
        let seed = std::process::id();
        println!("seed {seed}, {} bytes", bytes.len());
        let random = |n: usize, below: usize| {
            let digest = Digest::of(format!("{seed}/{n}").as_bytes());
            usize::try_from(u32::from_be_bytes(digest.as_bytes()[..4].try_into().unwrap())).unwrap() % below
        };

        // Cut anywhere, to the last byte that matters.
        for n in 0..40 {
            let length = random(n, bytes.len() - 1);
            std::fs::write(&database, &bytes[..length]).unwrap();
            let error = ask_everything(&location).await.expect_err("a cut database is no database");
            assert_eq!(error.reason(), "Damaged", "cut to {length}: {error}");
            assert!(error.to_string().contains("memorybank.db") && error.to_string().contains("restore"), "{error}");
            assert!(std::fs::metadata(&database).unwrap().len() <= u64::try_from(bytes.len()).unwrap());
        }
        // The type of a page: what SQLite's own check always sees.
        for page in 1..bytes.len() / 4096 {
            let mut damaged = bytes.clone();
            damaged[page * 4096] = 0xa5;
            std::fs::write(&database, damaged).unwrap();
            let error = Store::open(&location).await.map(drop).expect_err("a page of no type");
            assert_eq!(error.reason(), "Damaged", "page {page}: {error}");
            if page > 60 {
                break;
            }
        }
        // A bit anywhere: an answer or an error, never a crash or a hang.
        for n in 0..60 {
            let mut damaged = bytes.clone();
            damaged[random(1_000 + n, bytes.len())] ^= 1 << (n % 8);
            std::fs::write(&database, damaged).unwrap();
            let _ = std::fs::remove_file(folder.path().join("memorybank.db-wal"));
            let _ = std::fs::remove_file(folder.path().join("memorybank.db-shm"));
            let asked = tokio::time::timeout(Duration::from_secs(30), ask_everything(&location)).await;
            asked.expect("an answer in time").err().inspect(|error| println!("flip {n}: {}", error.reason()));
        }
        // Mended, it is as before.
        let _ = std::fs::remove_file(folder.path().join("memorybank.db-wal"));
        let _ = std::fs::remove_file(folder.path().join("memorybank.db-shm"));
        std::fs::write(&database, &bytes).unwrap();
        std::fs::remove_file(folder.path().join("audit.head")).unwrap();
        ask_everything(&location).await.unwrap();

        // Gone, it is not silently made again: beside it lie the traces of its life.
        std::fs::remove_file(&database).unwrap();
        let error = Store::open(&location).await.map(drop).unwrap_err();
        assert_eq!(error.reason(), "Damaged", "{error}");
        assert!(error.to_string().contains("missing") && !database.exists(), "{error}");
    });
}

#[test]
fn a_database_that_is_removed_while_in_use_acknowledges_nothing() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        store.finish_run(&numbered(0)).await.unwrap();
        let (database, aside) = (folder.path().join("memorybank.db"), folder.path().join("aside"));
        std::fs::rename(&database, &aside).unwrap();
        let error = store.finish_run(&numbered(1)).await.unwrap_err();
        assert_eq!(error.reason(), "Damaged", "{error}");
        std::fs::copy(&aside, &database).unwrap();
        assert_eq!(store.finish_run(&numbered(1)).await.unwrap_err().reason(), "Damaged", "another file of that name");
        std::fs::rename(&aside, &database).unwrap();
        assert_eq!(store.finish_run(&numbered(1)).await.unwrap(), Finish::Stored, "put back, it goes on");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "not a folder").unwrap();
        let error = Store::open(&Location::Sqlite(file.clone())).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        assert_eq!(error.reason(), "NotAFolder", "{error}");
        std::fs::create_dir(folder.path().join("memorybank.db")).unwrap();
        let error = Store::open(&Location::Sqlite(folder.path().to_owned())).await.map(drop).unwrap_err();
        assert_eq!(error.reason(), "Damaged", "{error}");
    });
}

#[test]
fn a_server_that_crashes_loses_no_acknowledged_report_and_doubles_none() {
    let Some(server) = postgres_server::Postgres::start() else { return };
    let location = Location::Postgres(server.database());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&location).await.unwrap();
        for round in 0..4_u64 {
            let first = round * 1_000;
            let writer = store.clone();
            let (sender, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
            let work = tokio::spawn(async move {
                for n in first.. {
                    match writer.finish_run(&numbered(n)).await {
                        Ok(finish) => assert_eq!(finish, Finish::Stored),
                        Err(error) => return (n, error),
                    }
                    sender.send(n).unwrap();
                }
                unreachable!()
            });
            for _ in 0..=round {
                acknowledged.recv().await.unwrap();
            }
            server.crash();
            let (failed, error) = work.await.unwrap();
            assert_eq!(error.reason(), "Unavailable", "{error}");
            assert!(error.is_transient(), "{error}");
            server.restart();

            // The same store goes on by itself.
            let before = told(&store).await;
            for n in first..failed {
                assert_eq!(before.get(&n), Some(&1), "report {n} was acknowledged");
            }
            let again = store.finish_run(&numbered(failed)).await.unwrap();
            assert_eq!(again == Finish::Stored, !before.contains_key(&failed));
            assert!(told(&store).await.values().all(|times| *times == 1));
            assert!(store.verify_audit().await.unwrap().is_intact());
        }
    });
}

#[test]
fn two_replicas_merge_reports_of_one_bank_without_a_double() {
    let Some(server) = postgres_server::Postgres::shared() else { return };
    let location = Location::Postgres(server.database());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let replicas = futures::future::join_all((0..3).map(|_| Store::open(&location))).await;
        let replicas: Vec<Store> = replicas.into_iter().map(Result::unwrap).collect();
        let deliveries = (0..30).map(|n| {
            let (store, report) = (replicas[n % 3].clone(), numbered(u64::try_from(n / 2).unwrap()));
            tokio::spawn(async move {
                store.begin_run(&record(&report.uid, report.started)).await.unwrap();
                store.mark_started(&report.uid, report.started).await.unwrap();
                store.finish_run(&report).await.unwrap()
            })
        });
        let mut stored = 0;
        for delivery in deliveries.collect::<Vec<_>>() {
            stored += u32::from(delivery.await.unwrap() == Finish::Stored);
        }
        assert_eq!(stored, 15);
        let facts = replicas[0].facts("default", "assistant").await.unwrap();
        assert_eq!((facts.findings.high, facts.corruption.open), (200, 20), "the newest report says what is open");
        assert!(replicas[1].verify_audit().await.unwrap().is_intact());
    });
}

#[test]
fn a_table_that_is_gone_is_a_clear_error() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        raw(&location, "DROP TABLE runs").await;
        let error = store.runs("default", "assistant").await.unwrap_err();
        assert_eq!(error.reason(), "Internal");
        assert!(error.to_string().contains("runs"), "{error}");
    });
}
