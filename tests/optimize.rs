//! Databases that are looked after while they are in use: real SQLite files, with connections of another program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.
#![allow(dead_code)] // The bed is shared.

#[path = "backup/bed.rs"]
mod bed;
#[path = "common/guardian.rs"]
mod guardian;
#[path = "common/qdrant/mod.rs"]
mod qdrant;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use bed::Bed;
use memorybank::domain::{Digest, Outcome, QdrantEndpoint, RunReport, Trust, VectorStore, Verdict, Work};
use qdrant::{Answer, Config, Qdrant};
use serde_json::json;

/// A table of 8 MB that comes and goes: its pages stay in the file, free.
const BLOAT: &str = "CREATE TABLE junk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
    SELECT randomblob(4000) AS bytes FROM n; DROP TABLE junk;";

/// Whether the other program is there.
fn able() -> bool {
    let found = Command::new("sqlite3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        guardian::skipped("sqlite3 is not installed");
    }
    found
}

fn sqlite3(file: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(file).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", guardian::text(&output.stderr));
    guardian::text(&output.stdout)
}

/// What a database holds, whatever its file looks like.
fn content(file: &Path) -> Digest {
    Digest::of(sqlite3(file, ".dump --nosys").as_bytes())
}

/// A connection of another program, which does what it is told.
struct Other {
    child: Child,
    to: ChildStdin,
    from: BufReader<std::process::ChildStdout>,
}

impl Other {
    fn open(file: &Path) -> Self {
        let mut command = Command::new("sqlite3");
        let mut child = command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    /// Executes a statement; the first line that it prints.
    fn does(&mut self, sql: &str) -> String {
        writeln!(self.to, "{sql}\n.print done").unwrap();
        let mut first = String::new();
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "it ended at {sql}");
            match line.trim_end() {
                "done" => return first,
                other if first.is_empty() => other.clone_into(&mut first),
                _ => {}
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn optimized(bed: &Bed) -> RunReport {
    bed.run("optimizer", &[Work::Optimize])
}

fn database(report: &RunReport) -> (Verdict, &str) {
    of(report, "database")
}

fn of<'a>(report: &'a RunReport, component: &str) -> (Verdict, &'a str) {
    let check = report.tasks[0].checks.iter().find(|check| check.component == component).unwrap();
    (check.verdict, &check.detail)
}

#[test]
fn free_pages_are_given_back_while_others_have_the_database_open() {
    if !able() {
        return;
    }
    for mode in ["WAL", "DELETE"] {
        let bed = Bed::new(200);
        let file = bed.live().join("openmemory.db");
        sqlite3(&file, &format!("PRAGMA journal_mode = {mode}; {BLOAT}"));
        let (before, size) = (content(&file), fs::metadata(&file).unwrap().len());
        let mut other = Other::open(&file);
        other.does("SELECT count(*) FROM memories;");
        let report = optimized(&bed);
        assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
        assert!(report.tasks[0].corruption.is_empty());
        assert_eq!(database(&report).0, Verdict::Passed);
        let after = fs::metadata(&file).unwrap().len();
        assert!(after * 4 < size, "{mode}: {size} bytes became {after}");
        let log = fs::metadata(bed.live().join("openmemory.db-wal")).map_or(0, |log| log.len());
        assert_eq!(log, 0, "{mode}: the log is written back");
        // Whoever had it open goes on, and nothing of it is another than before.
        assert_eq!(other.does("SELECT count(*) FROM memories;"), "200");
        assert_eq!(other.does("PRAGMA integrity_check;"), "ok");
        drop(other);
        assert_eq!(content(&file), before, "{mode}");
        // Nothing is left to be done: the file is not written anew for nothing.
        let again = optimized(&bed);
        assert_eq!(again.tasks[0].outcome, Outcome::Succeeded);
        assert_eq!(fs::metadata(&file).unwrap().len(), after);
    }
}

#[test]
fn a_damaged_database_is_left_as_it_is() {
    let bed = Bed::new(200);
    let file = bed.live().join("openmemory.db");
    let mut bytes = fs::read(&file).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 4096].fill(0xA5);
    fs::write(&file, &bytes).unwrap();
    let report = optimized(&bed);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    let (verdict, detail) = database(&report);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(detail.contains("recover it first"), "{detail}");
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn who_writes_is_not_waited_for_without_end() {
    if !able() {
        return;
    }
    let bed = Bed::new(50);
    let file = bed.live().join("openmemory.db");
    sqlite3(&file, &format!("PRAGMA journal_mode = WAL; {BLOAT}"));
    let before = content(&file);
    let mut other = Other::open(&file);
    other.does("BEGIN IMMEDIATE; UPDATE users SET name = name;");
    let report = optimized(&bed);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(database(&report).1.contains("locked"), "{}", database(&report).1);
    other.does("ROLLBACK;");
    drop(other);
    assert_eq!(content(&file), before);
    assert_eq!(optimized(&bed).tasks[0].outcome, Outcome::Succeeded, "the next run finds it free");
}

#[test]
fn an_index_that_searches_want_is_made_and_other_hints_are_told() {
    let (mut bed, server) = (Bed::new(50), Qdrant::start());
    server.create("openmemory", Config::cosine(4));
    server.create("other", Config::cosine(4));
    server.with("openmemory", |collection| collection.indexes.insert("agent_id".to_owned(), "integer".to_owned()));
    let hints = [("openmemory", "user_id"), ("openmemory", "agent_id"), ("other", "user_id")];
    for (collection, field) in hints {
        server.misses_index(collection, field, &json!("keyword"));
    }
    server.misses_index("openmemory", "place", &json!({"type": "unheard"}));
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: "openmemory".to_owned(),
        tls: Trust::default(),
    }));
    let indexes = |collection: &str| {
        let fields = server.with(collection, |collection| collection.indexes.clone());
        fields.into_iter().map(|(field, kind)| format!("{field} {kind}")).collect::<Vec<_>>()
    };
    let report = optimized(&bed);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    // An index that is there keeps its kind, and no other collection is touched.
    assert_eq!(indexes("openmemory"), ["agent_id integer", "user_id keyword"]);
    assert_eq!(indexes("other"), Vec::<String>::new());
    let told = "indexed for searches: user_id (keyword); 2 hints of the server are left to people, such as: \
                Unindexed field 'agent_id' is slowing queries down in collection 'openmemory'";
    assert_eq!(of(&report, "vectors"), (Verdict::Passed, told));
    // The server does not forget its hints: what is there is not made again.
    server.forget_requests();
    assert!(of(&optimized(&bed), "vectors").1.starts_with("no index is missed"));
    assert!(!server.requests().iter().any(|request| request.starts_with("PUT")));
    server.trouble("/issues", None, Answer::Status(403, "Forbidden"));
    let report = optimized(&bed);
    assert_eq!((report.tasks[0].outcome, of(&report, "vectors").0), (Outcome::Unknown, Verdict::Unknown));
}
