//! A SQLite bank of 1,000,000 memories: all our checks against `PRAGMA integrity_check` alone in the sqlite3
//! shell, in one run. `cargo bench --bench sqlite_check`; the bank is built once and kept under `target/`.
#![allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[allow(dead_code)] // The bench needs the empty schema only.
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "common/peak.rs"]
mod peak;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Generation, change, schema};
use memorybank::bank::Meter;
use memorybank::bank::sqlite::{SchemaKind, SqliteCopy, check, check_history, copy};
use memorybank::domain::Level;
use peak::Peak;

const MEMORIES: u64 = 1_000_000;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-bank");
    let (database, history) = (folder.join("openmemory.db"), folder.join("history.db"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if !folder.join("complete").exists() {
        println!("building a bank of {MEMORIES} memories in {} (once)", folder.display());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        runtime.block_on(build(&database, &history));
        fs::write(folder.join("complete"), "").unwrap();
    }
    let size = fs::metadata(&database).unwrap().len();
    println!("database: {MEMORIES} memories, {:.2} GB", size as f64 / 1e9);

    let shell = shell(&database);
    match shell {
        Some(time) => println!("sqlite3 shell, PRAGMA integrity_check: {:.1} s", time.as_secs_f64()),
        None => println!("sqlite3 shell: not installed, no ratio"),
    }
    let peak = Peak::watch();
    let meter = Meter::default();
    let began = Instant::now();
    let before = cpu();
    let lap = |what: &str| println!("  {:5.1} s, {:5.1} CPU s  {what}", began.elapsed().as_secs_f64(), cpu() - before);
    let memories = take(&folder, "openmemory.db", &meter);
    lap("copied the database");
    let (path, kind) = (memories.path(), SchemaKind::OpenMemory);
    let report = runtime.block_on(check(&path, "database", kind, Level::Full, &meter)).unwrap();
    lap("checked it");
    let taken = take(&folder, "history.db", &meter);
    lap("copied the history");
    let (events, kind) = (taken.path(), SchemaKind::Mem0History);
    let own = runtime.block_on(check(&events, "history", kind, Level::Full, &meter)).unwrap();
    lap("checked it");
    let both = runtime.block_on(check_history(&path, &events, "history", &meter)).unwrap();
    lap("compared both");
    let ours = began.elapsed();
    if let Some(shell) = shell {
        println!("ratio: {:.2} (at most 1.5)", ours.as_secs_f64() / shell.as_secs_f64());
    }
    println!("peak anonymous memory: {} MB (at most 128)", peak.end() / 1_000_000);
    for check in [&report, &own, &both].into_iter().flat_map(|report| &report.checks) {
        println!("  {:?} {} {}: {}", check.verdict, check.component, check.id, check.detail);
    }
}

/// The time of the shell's own check, where there is a shell.
fn shell(database: &Path) -> Option<Duration> {
    let began = Instant::now();
    let output = Command::new("sqlite3").arg(database).arg("PRAGMA integrity_check").output().ok()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    Some(began.elapsed())
}

/// The seconds of processor time that this process has used, its threads together; 100 ticks are a second.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The copy as a run makes it.
fn take(folder: &Path, name: &str, meter: &Meter) -> SqliteCopy {
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let mut taken = copy(folder, name, &scratch, meter).unwrap();
    taken.prepare().unwrap();
    taken
}

/// Rows come in the order of time and ids at random, with all indexes in place, as OpenMemory writes them.
async fn build(database: &Path, history: &Path) {
    let mut statements = vec!["PRAGMA synchronous = OFF; PRAGMA cache_size = -1500000; BEGIN".to_owned()];
    statements.extend(schema(Generation::Application));
    // No id of digits alone: the first one is always a letter.
    let id = "'a' || substr(lower(hex(randomblob(16))), 2)";
    let date = "strftime('%Y-%m-%d %H:%M:%S', 1735689600 + n * 20, 'unixepoch') || '.123456'";
    let words = "user prefers green tea in the morning and works on long projects about gardens, maps and old radios; ";
    let text = format!("n || ' ' || substr('{}', 1 + n % 90, 60 + abs(random() % 220))", words.repeat(4));
    let numbers = format!("WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {MEMORIES})");
    statements.push(format!(
        "INSERT INTO users VALUES ('{user}', 'ada', 'Ada', NULL, '{{}}', NULL, NULL);
         INSERT INTO apps VALUES ('{app}', '{user}', 'claude', NULL, '{{}}', 1, NULL, NULL);
         INSERT INTO categories VALUES ('{category}', 'home', NULL, NULL, NULL);
         {numbers} INSERT INTO memories SELECT {id}, '{user}', '{app}', {text}, NULL, '{{\"source\": \"openmemory\"}}',
            CASE WHEN n % 20 = 0 THEN 'deleted' WHEN n % 21 = 0 THEN 'paused' ELSE 'active' END, {date}, {date}, NULL,
            CASE WHEN n % 20 = 0 THEN {date} END FROM i;
         INSERT INTO memory_categories SELECT id, '{category}' FROM memories;
         INSERT INTO memory_status_history SELECT {id}, id, user_id, 'deleted', 'active', created_at FROM memories;
         INSERT INTO memory_status_history SELECT {id}, id, user_id, 'active', state, created_at FROM memories WHERE state <> 'active'",
        user = common::USER,
        app = common::APP,
        category = common::CATEGORY,
    ));
    statements.push("COMMIT".to_owned());
    fs::File::create(database).unwrap();
    change(database, &statements.join(";\n")).await;
    let cut = |id: &str| {
        let pieces = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
        pieces.map(|(from, length)| format!("substr({id}, {from}, {length})")).join(" || '-' || ")
    };
    let (memory, event) = (cut("id"), cut("lower(hex(randomblob(16)))"));
    fs::File::create(history).unwrap();
    change(
        history,
        &format!(
            "PRAGMA synchronous = OFF; {}; {};
             ATTACH '{}' AS bank;
             INSERT INTO history SELECT {event}, {memory}, NULL, content, 'ADD', created_at, NULL, 0, NULL, NULL FROM bank.memories;
             INSERT INTO history SELECT {event}, {memory}, content, NULL, 'DELETE', created_at, NULL, 1, NULL, NULL
                FROM bank.memories WHERE state = 'deleted'",
            common::HISTORY,
            common::MESSAGES,
            database.display(),
        ),
    )
    .await;
}
