//! A set from its making to the condition that it proves.

use std::fs;
use std::io::Read as _;
use std::process::Command;

use memorybank::domain::{Mutable, Outcome, Reason, Repository, VectorStore, Work};
use memorybank::engine::backup::SetManifest;

use crate::bed::{Bed, files, tree};
use crate::guardian;

pub const CONFIG: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: sample}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  history: {volume: data, path: .mem0/history.db}
  volumes:
  - {name: data, folder: {path: ../bank}}
  - {name: sets, folder: {path: ../sets}}
  files:
  - {name: uploads, volume: data, path: uploads, mutable: Append}
  repository:
    folder: {volume: sets, path: memorybank}
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  schedules:
  - name: daily
    cron: '0 6 * * *'
    tasks: [{task: Backup}, {task: VerifyBackup}]
";

#[test]
fn a_bank_is_backed_up_verified_and_told_so() {
    let bed = guardian::Bed::new(300);
    fs::create_dir(bed.path("sets")).unwrap();
    bed.config("memorybank.yaml", CONFIG);
    bed.once_ends(&["--now"], 0);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(guardian::condition(&bank, "BackedUp"), ("True".to_owned(), "AsExpected".to_owned()), "{bank:#}");
    let name = guardian::field(&bank, "/status/backup/lastVerifiedName");
    let set = bed.path("sets/memorybank/default/sample").join(&name);
    let (manifest, _) = SetManifest::from_json(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(guardian::field(&bank, "/status/backup/sizeBytes"), manifest.stored_bytes().to_string());

    // From the next process on the store's word counts, not the set's own.
    bed.edit("{task: Backup}, ", "");
    bed.once_ends(&["--now"], 0);
    let path = set.join("sqlite/database.db.zst");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    bed.once_ends(&["--now"], 1);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(
        guardian::condition(&bank, "BackedUp"),
        ("False".to_owned(), "VerificationFailed".to_owned()),
        "{bank:#}"
    );
    assert_eq!(guardian::field(&bank, "/status/backup"), "", "the set is good no more");

    // A new set mends the promise.
    bed.edit("tasks: [", "tasks: [{task: Backup}, ");
    bed.once_ends(&["--now"], 0);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(guardian::condition(&bank, "BackedUp").0, "True", "{bank:#}");
    assert_ne!(guardian::field(&bank, "/status/backup/lastVerifiedName"), name);
}

#[test]
fn a_set_holds_what_it_says_and_other_tools_can_read_it() {
    let bed = Bed::new(200);
    let report = bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    assert!(report.tasks.iter().all(|task| task.outcome == Outcome::Succeeded), "{report:#?}");
    assert_eq!(bed.verdict().unwrap().verified.unwrap().set, bed.names()[0]);
    let set = bed.set();
    let expected = [
        "SHA256SUMS",
        "config/bank.json",
        "files/uploads.tar.zst",
        "manifest.json",
        "sqlite/database.db.zst",
        "sqlite/history.db.zst",
    ];
    assert_eq!(files(&set), expected);
    let sums =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&set).output().unwrap();
    assert!(sums.status.success(), "{sums:?}");

    let (manifest, _) = SetManifest::from_json(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    let database = manifest.parts.iter().find(|part| part.component == "database").unwrap();
    let unpacked = bed.path("unpacked.db");
    fs::write(&unpacked, zstd::decode_all(fs::File::open(set.join(&database.path)).unwrap()).unwrap()).unwrap();
    for table in ["memories", "users", "memory_status_history"] {
        let count = |path| guardian::query(path, &format!("SELECT CAST(count(*) AS TEXT) FROM {table}"))[0][0].clone();
        assert_eq!(count(&unpacked), database.rows[table].to_string());
        assert_eq!(count(&unpacked), count(&bed.live().join("openmemory.db")));
    }

    let archive = fs::File::open(set.join("files/uploads.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let mut seen = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let live = bed.live().join("uploads").join(entry.path().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content, fs::read(&live).unwrap(), "{}", live.display());
        seen += 1;
    }
    assert_eq!(seen, files(&bed.live().join("uploads")).len());
    let text = fs::read_to_string(set.join("config/bank.json")).unwrap();
    assert!(text.contains("openmemory.db"), "{text}");
}

#[test]
fn what_this_version_cannot_back_up_is_told_and_proves_nothing() {
    let mut bed = Bed::new(30);
    let vectors = r#"{"pgvector": {"url": {"name": "vectors", "key": "url"}, "table": "openmemory"}}"#;
    bed.bank.vector_store = Some(serde_json::from_str::<VectorStore>(vectors).unwrap());
    let report = bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    let [made, verified] = &report.tasks[..] else { panic!("{report:#?}") };
    assert_eq!((made.outcome, made.reason), (Outcome::Unknown, Reason::NotMeasured), "{made:#?}");
    assert!(made.message.contains("vectors"), "{}", made.message);
    assert_eq!(verified.outcome, Outcome::Skipped);
    let report = bed.run("two", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("lacks vectors"), "{report:#?}");
    assert_eq!(bed.verdict().unwrap().verified, None);

    bed.bank.vector_store = None;
    for repository in [None, Some(Repository { folder: None, s3: None, encryption: None })] {
        bed.bank.repository = repository;
        let report = bed.back_up("three");
        assert_eq!(report.tasks[0].outcome, Outcome::Unknown);
        assert!(report.tasks[0].message.contains("declares no repository"), "{}", report.tasks[0].message);
    }
}

#[test]
fn sets_that_this_store_does_not_know_prove_nothing() {
    let bed = Bed::new(30);
    bed.back_up("one");
    bed.forget();
    let report = bed.run("two", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("1 sets are there"), "{report:#?}");
    assert_eq!(bed.verdict(), None);
}

#[test]
fn a_damaged_bank_is_kept_and_never_verified() {
    let bed = Bed::new(400);
    let path = bed.live().join("openmemory.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8_192..8_292].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let report = bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    let verdict = bed.verdict().unwrap();
    assert!(verdict.refused.clone().unwrap().contains("was damaged when it was copied"), "{verdict:?}");
    assert_eq!(verdict.verified, None);
}

#[test]
fn a_repository_within_a_tree_is_no_part_of_it() {
    let mut bed = Bed::new(30);
    fs::write(bed.volume().join("note.txt"), "kept").unwrap();
    bed.bank.files.push(tree("all", "sets", ".", Mutable::Always));
    for uid in ["one", "two"] {
        let report = bed.run(uid, &[Work::Backup, Work::VerifyBackup]);
        assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
        assert_eq!(bed.verdict().unwrap().refused, None);
        let archive = fs::File::open(bed.set().join("files/all.tar.zst")).unwrap();
        let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
        let paths = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
        assert_eq!(paths.collect::<Vec<_>>(), [std::path::PathBuf::from("note.txt")]);
    }
    assert_eq!(bed.names().len(), 2);
}
