//! The leak scan on real databases and folders: nothing lost where chunks meet, nothing opened that is none of
//! its business, and what could not be read is told.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use memorybank::bank::Meter;
use memorybank::bank::leaks::{LeakScan, scan_database, scan_history, scan_volume};
use memorybank::domain::{Finding, RunReport, Severity, Verdict};
use memorybank::engine::audit::leak::Scanner;
use proptest::prelude::*;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use tokio_util::sync::CancellationToken;

/// Put together here, so that no scanner of a hosting site takes the file for a leak.
const TOKEN: &str = concat!("gh", "p_", "q7Zt2Lw9Xc4Vb8Nm3Kj6Hg5Fq7Zt2Lw9Xc4V");

fn scanner() -> Scanner {
    Scanner::new(&[7; 32])
}

async fn database(path: &Path, statements: &[String]) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

fn places(scan: &LeakScan) -> Vec<(&str, &str)> {
    let mut places: Vec<_> = scan.findings.iter().map(|f| (f.rule.as_str(), f.place.as_str())).collect();
    places.sort_unstable();
    places
}

/// No finding nor check may carry a value.
fn assert_tells_no_value(scan: &LeakScan, value: &str) {
    assert!(!format!("{scan:?}").contains(value), "{scan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_of_a_bank_is_read_and_an_address_of_a_user_is_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openmemory.db");
    database(
        &path,
        &[
            "CREATE TABLE users (id TEXT, email TEXT, metadata JSON)".to_owned(),
            "CREATE TABLE memories (id TEXT, content TEXT, metadata JSON)".to_owned(),
            "CREATE TABLE configs (id TEXT, key TEXT, value JSON)".to_owned(),
            "CREATE TABLE memory_access_logs (id TEXT, metadata JSON)".to_owned(),
            "INSERT INTO users VALUES ('u1', 'ada@mailbox.org', NULL)".to_owned(),
            format!("INSERT INTO memories VALUES ('0a1b', 'my token is {TOKEN}', '{{\"mail\": \"bob@mailbox.org\"}}')"),
            "INSERT INTO memories VALUES ('write to eve@mailbox.org', 'my password is h4rb0rTig3r', NULL)".to_owned(),
            "INSERT INTO memories VALUES (NULL, NULL, NULL)".to_owned(),
            format!("INSERT INTO configs VALUES ('c', 'main', '{{\"api_key\": \"{TOKEN}\"}}')"),
            format!("INSERT INTO memory_access_logs VALUES ('l1', '{{\"query\": \"{TOKEN}\"}}')"),
        ],
    )
    .await;
    let scan = scan_database(&path, "database", &scanner(), &Meter::default()).await.unwrap();
    assert_eq!(
        places(&scan),
        [
            ("email-address", "memories/0a1b/metadata"),
            ("github-token", "configs/main/value"),
            ("github-token", "memories/0a1b/content"),
            ("github-token", "memory_access_logs/l1/metadata"),
            ("password", "memories/rowid:2/content"),
        ]
    );
    assert_eq!(scan.checks[0].verdict, Verdict::Failed);
    assert_eq!(scan.checks[0].component, "database");
    for value in [TOKEN, "mailbox.org", "h4rb0rTig3r"] {
        assert_tells_no_value(&scan, value);
    }
    let again = scan_database(&path, "database", &scanner(), &Meter::default()).await.unwrap();
    assert_eq!(again, scan, "the same bank has the same fingerprints");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_not_valid_in_their_encoding_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        let path = folder.path().join(encoding);
        database(
            &path,
            &[
                format!("PRAGMA encoding = '{encoding}'"),
                "CREATE TABLE history (id TEXT, old_memory TEXT, new_memory TEXT)".to_owned(),
                format!("INSERT INTO history VALUES ('h1', 'naïve {TOKEN}', NULL)"),
                format!("INSERT INTO history VALUES ('h2', NULL, CAST(CAST('x {TOKEN} ' AS BLOB) || x'00d8' AS TEXT))"),
                "INSERT INTO history VALUES ('h3', 42, 4.5)".to_owned(),
            ],
        )
        .await;
        let scan = scan_history(&path, "history", &scanner(), &Meter::default()).await.unwrap();
        let expected = [("github-token", "history/h1/old_memory"), ("github-token", "history/h2/new_memory")];
        assert_eq!(places(&scan), expected, "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_bank_is_unknown_and_never_clean() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, [0x5a; 9000]).unwrap();
    let foreign = folder.path().join("foreign.db");
    database(&foreign, &["CREATE TABLE other (id TEXT)".to_owned()]).await;
    for path in [garbage, foreign, folder.path().join("absent.db")] {
        let scan = scan_database(&path, "database", &scanner(), &Meter::default()).await.unwrap();
        assert_eq!(scan.checks[0].verdict, Verdict::Unknown, "{}: {:?}", path.display(), scan.checks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_does_not_hide_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.db");
    let mut statements = vec![
        "CREATE TABLE configs (key TEXT, value TEXT)".to_owned(),
        "CREATE TABLE memories (id TEXT, content TEXT)".to_owned(),
        format!("INSERT INTO configs VALUES ('main', '{TOKEN}')"),
    ];
    statements.push(format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
         INSERT INTO memories SELECT 'm' || i, CASE i WHEN 1 THEN '{TOKEN}' ELSE printf('%.*c', 200, 'x') END FROM n"
    ));
    database(&path, &statements).await;
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096;
    let last = bytes.len() / page - 1;
    bytes[last * page..].fill(0xee);
    fs::write(&path, bytes).unwrap();
    let scan = scan_database(&path, "database", &scanner(), &Meter::default()).await.unwrap();
    assert_eq!(scan.checks[0].verdict, Verdict::Unknown, "{:?}", scan.checks);
    assert!(places(&scan).contains(&("github-token", "configs/main/value")), "{:?}", places(&scan));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mild_findings_do_not_hide_a_grave_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.db");
    let last = RunReport::MAX_EVENTS + 50;
    database(
        &path,
        &[
            "CREATE TABLE memories (id TEXT, content TEXT)".to_owned(),
            format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
                 INSERT INTO memories SELECT 'm' || i, 'write to user' || i || '@mailbox.org' FROM n"
            ),
            format!("INSERT INTO memories VALUES ('z', '{TOKEN}')"),
        ],
    )
    .await;
    let scan = scan_database(&path, "database", &scanner(), &Meter::default()).await.unwrap();
    assert_eq!((scan.findings.len(), scan.omitted), (RunReport::MAX_EVENTS, 51));
    assert!(scan.findings.iter().any(|f| f.severity == Severity::Critical));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_stops_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    database(
        &path,
        &[
            "CREATE TABLE memories (id TEXT, content TEXT)".to_owned(),
            "INSERT INTO memories VALUES ('a', 'b')".to_owned(),
        ],
    )
    .await;
    fs::write(folder.path().join("a.log"), "text").unwrap();
    let cancel = CancellationToken::new();
    let meter = Meter::new(cancel.clone());
    cancel.cancel();
    assert!(scan_database(&path, "database", &scanner(), &meter).await.is_err());
    assert!(scan_volume(folder.path(), "data", &scanner(), &meter).is_err());
}

fn volume(root: &Path) -> LeakScan {
    scan_volume(root, "data", &scanner(), &Meter::default()).unwrap()
}

#[test]
fn settings_logs_and_exports_are_read_and_the_rest_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let secret = format!("first\nTOKEN={TOKEN}\nAGAIN={TOKEN}\n");
    fs::create_dir_all(root.join("api/node_modules/x")).unwrap();
    fs::create_dir_all(root.join("qdrant/collections/c")).unwrap();
    for path in [
        "api/.env",
        "private.env",
        "api/app.log",
        "notes.bin",
        "api/node_modules/x/a.json",
        "qdrant/collections/c/config.json",
    ] {
        fs::write(root.join(path), &secret).unwrap();
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(root.join("private.env"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("qdrant/raft_state.json"), "{}").unwrap();
    fs::write(root.join("core.log"), [b"\0\x01\x02", secret.as_bytes()].concat()).unwrap();
    fs::write(root.join("data.txt"), [b"SQLite format 3\0", secret.as_bytes()].concat()).unwrap();
    symlink(root.join("api/app.log"), root.join("link.log")).unwrap();
    symlink("/", root.join("all")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let scan = volume(root);
    let mut found: Vec<(&str, Severity)> =
        scan.findings.iter().map(|f: &Finding| (f.place.as_str(), f.severity)).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [("api/.env:2", Severity::High), ("api/app.log:2", Severity::Critical), ("private.env:2", Severity::Medium)]
    );
    let check = &scan.checks[0];
    assert_eq!((check.verdict, check.component.as_str()), (Verdict::Failed, "volume/data"));
    assert!(check.detail.contains("passed over 1 binary files, 1 databases, 1 storage folders"), "{}", check.detail);
    assert_tells_no_value(&scan, TOKEN);
}

#[test]
fn a_clean_volume_passes_and_an_absent_one_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "OPENAI_API_KEY=${OPENAI_API_KEY}\n").unwrap();
    let scan = volume(folder.path());
    assert_eq!((scan.checks[0].verdict, scan.findings.len()), (Verdict::Passed, 0), "{scan:?}");
    assert_eq!(volume(&folder.path().join("absent")).checks[0].verdict, Verdict::Unknown);
}

#[test]
fn what_may_not_be_read_is_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), TOKEN).unwrap();
    let mut deep = folder.path().to_owned();
    for _ in 0..20 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(folder.path().join("a.log"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::write(folder.path().join("b.log"), TOKEN).unwrap();
    let scan = volume(folder.path());
    assert_eq!(scan.checks[0].verdict, Verdict::Unknown);
    assert!(scan.checks[0].detail.contains("folders deeper than 16"), "{}", scan.checks[0].detail);
    assert!(scan.findings.iter().any(|f| f.place == "b.log:1"));
}

#[test]
fn a_line_moved_is_the_same_finding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let first = volume(folder.path()).findings.remove(0);
    fs::write(&path, format!("one more\n{TOKEN}\n")).unwrap();
    let second = volume(folder.path()).findings.remove(0);
    assert_eq!((first.place.as_str(), second.place.as_str()), ("a.log:1", "a.log:2"));
    assert_eq!(first.fingerprint, second.fingerprint);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_hit_is_lost_where_chunks_meet(
        lines in any::<bool>(),
        gaps in proptest::collection::vec(prop_oneof![0_usize..400_000, 1_040_000_usize..1_060_000, 1_048_500_usize..1_048_600], 3..6),
    ) {
        let filler: &[u8] = if lines { b"some words of no account\n" } else { b"some words of no account; " };
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for (number, gap) in gaps.iter().enumerate() {
            text.extend(filler.iter().cycle().take(*gap));
            let value = format!("{}{number:04}", &TOKEN[..36]);
            text.extend(format!(" {value} ").into_bytes());
            let line = String::from_utf8_lossy(&text).lines().count();
            expected.push(format!("a.log:{line}"));
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), &text).unwrap();
        let found: Vec<String> = volume(folder.path()).findings.into_iter().map(|f| f.place).collect();
        prop_assert_eq!(found, expected);
    }
}
