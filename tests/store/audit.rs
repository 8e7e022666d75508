//! The audit log and the commands that read it.

use jiff::SignedDuration;
use memorybank::store::{AuditEntry, Limits, Location, Store};
use serde_json::json;

use crate::reports::{at, raw};
use crate::{entry, on_both};

on_both!(an_edit_of_the_audit_log_is_seen, a_trimmed_audit_log_verifies_from_its_anchor);

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
async fn the_audit_commands_tell_by_exit_code_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let audit = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_memorybank"))
            .arg("audit")
            .args(args)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, told) = audit(&["verify"]);
    assert!(code == 2 && told.contains("memorybank.db") && !data.exists(), "{told}");

    let location = Location::Sqlite(data.clone());
    let store = Store::open(&location).await.unwrap();
    for n in 1..=3 {
        store.append_audit(&AuditEntry { actor: "al\u{1b}ice".to_owned(), ..entry(n) }).await.unwrap();
    }
    let (code, told, _) = audit(&["verify"]);
    assert!(code == 0 && told.starts_with("intact: 3 rows"), "{told}");
    let by_environment = std::process::Command::new(env!("CARGO_BIN_EXE_memorybank"))
        .args(["audit", "verify"])
        .env("MEMORYBANK_DATA", &data)
        .output()
        .unwrap();
    assert!(by_environment.status.success(), "the data folder is found as by every other command");
    let (code, told, _) = audit(&["list", "--limit", "2", "--bank", "assistant"]);
    assert!(code == 0 && told.lines().count() == 3 && told.contains("policy-changed"), "{told}");
    assert!(!told.contains('\u{1b}'));
    let (_, told, _) = audit(&["list", "-o", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&told).unwrap()[0]["detail"]["n"], 3);

    raw(&location, "UPDATE enhanced_audit_log SET actor = 'nobody' WHERE seq = 2").await;
    let (code, told, _) = audit(&["verify"]);
    assert!(code == 1 && told.starts_with("TAMPERED: the content of row 2"), "{told}");
    let (code, told, _) = audit(&["verify", "-o", "yaml"]);
    assert!(code == 1 && told.contains("firstBad: 2"), "{told}");

    store.close().await;
    let database = data.join("memorybank.db");
    let half = std::fs::metadata(&database).unwrap().len() / 2;
    std::fs::File::options().write(true).open(&database).unwrap().set_len(half).unwrap();
    let (code, _, told) = audit(&["verify"]);
    assert!(code == 4 && told.contains("damaged"), "{told}");
}
