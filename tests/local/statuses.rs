//! What `local` leaves in `DATA/status`, and what it runs once and only once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use memorybank::resources::{IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, SecurityAudit};
use serde::de::DeserializeOwned;

use crate::guardian::{Bed, condition, field, files, wait_for};

const BY_HAND: &str = "\
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: by-hand}
spec:
  bankName: sample
  tasks:
  - {name: check, task: IntegrityCheck, level: Quick}
";

fn parse<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()))
}

#[test]
fn status_files_are_the_resource_types() {
    let bed = Bed::new(60);
    bed.sample(&["--damage", "all"]);
    bed.config("hand.yaml", BY_HAND);
    bed.once_ends(&["--now"], 1);
    let folder = bed.data().join("status");
    let bank: MemoryBank = parse(&folder.join("MemoryBank/sample.yaml"));
    let status = bank.status.unwrap();
    assert!(status.health.unwrap().score.unwrap() < 50);
    assert!(status.conditions.iter().any(|c| c.type_ == "Intact" && c.status == "False"));
    let policy: MaintenancePolicy = parse(&folder.join("MaintenancePolicy/standard.yaml"));
    assert_eq!(policy.status.unwrap().banks, Some(1));
    let check: IntegrityCheck = parse(&folder.join("IntegrityCheck/sample-full.yaml"));
    assert_eq!(check.status.unwrap().verdict.as_deref(), Some("Damaged"));
    let audit: SecurityAudit = parse(&folder.join("SecurityAudit/sample-audit.yaml"));
    assert!(audit.status.unwrap().findings.unwrap().critical.unwrap() > 0);
    let runs = files(&folder.join("MaintenanceRun"));
    assert_eq!(runs.len(), 4, "{runs:?}");
    for path in runs {
        let run: MaintenanceRun = parse(&path);
        // It did its work: what it found is told by the bank.
        assert_eq!(run.status.unwrap().phase.as_deref(), Some("Succeeded"), "{}", path.display());
    }
}

/// What tells a file that was written from one that was not.
fn marks(folder: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let mut marks: Vec<_> = files(folder)
        .into_iter()
        .map(|path| {
            let metadata = fs::metadata(&path).unwrap();
            (path, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
        })
        .collect();
    marks.sort();
    marks
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let bed = Bed::new(60);
    bed.once_ends(&["--now"], 0);
    let before = marks(&bed.data().join("status"));
    let database = bed.data().join("memorybank.db-wal");
    // A new process, several looks at the folder later.
    let served = bed.watch(&[]);
    let begun = std::time::Instant::now();
    wait_for("three ticks", || (begun.elapsed().as_secs() >= 7).then_some(()));
    let written = fs::metadata(&database).map_or(0, |metadata| metadata.len());
    assert_eq!(marks(&bed.data().join("status")), before);
    assert_eq!(written, 0, "no transaction was written");
    assert!(served.stop().success());
}

#[test]
fn a_run_by_hand_runs_once() {
    let bed = Bed::new(60);
    bed.once_ends(&["--now"], 0);
    let reports = || bed.query("SELECT run FROM reports ORDER BY run");
    let served = bed.watch(&[]);
    bed.config("hand.yaml", BY_HAND);
    wait_for("its end", || {
        (field(&bed.status("MaintenanceRun", "by-hand")?, "/status/phase") == "Succeeded").then_some(())
    });
    assert!(served.stop().success());
    // Neither a restart nor --now runs it again.
    bed.once_ends(&["--now"], 0);
    let of_hand = reports().into_iter().filter(|row| row[0] == "by-hand").count();
    assert_eq!(of_hand, 1, "{:?}", reports());
    let run = bed.status("MaintenanceRun", "by-hand").unwrap();
    assert_eq!(condition(&run, "Succeeded").0, "True");
    assert_eq!(field(&run, "/status/tasks/0/name"), "check");
    // A run that is deleted is gone, and what it reported stays.
    fs::remove_file(bed.path("config/hand.yaml")).unwrap();
    bed.once_ends(&[], 0);
    assert_eq!(bed.status("MaintenanceRun", "by-hand"), None);
    assert_eq!(reports().into_iter().filter(|row| row[0] == "by-hand").count(), 1);
}

#[test]
fn a_token_runs_a_check_once() {
    let bed = Bed::new(60);
    bed.once_ends(&["--now"], 0);
    let served = bed.watch(&[]);
    let runs = || bed.query("SELECT run FROM reports WHERE run LIKE 'sample-sample-full-%'").len();
    let token = || field(&bed.status("IntegrityCheck", "sample-full").unwrap(), "/status/lastRunNowToken");
    let annotated = |token: &str| format!("name: sample-full\n  annotations: {{memorybank.dev/run-now: {token}}}");
    let before = runs();
    bed.edit("name: sample-full", &annotated("first"));
    wait_for("a run of the token", || (runs() == before + 1 && token() == "first").then_some(()));
    assert!(served.stop().success());
    bed.once_ends(&[], 0);
    assert_eq!(runs(), before + 1, "the same token runs nothing more");
    bed.edit("run-now: first", "run-now: second");
    bed.once_ends(&[], 0);
    assert_eq!((runs(), token().as_str()), (before + 2, "second"));
}

#[test]
fn the_same_documents_give_the_same_work_order() {
    let orders = || {
        let bed = Bed::new(30);
        bed.config("hand.yaml", BY_HAND);
        bed.once_ends(&[], 0);
        let rows = bed.query("SELECT name, spec FROM runs ORDER BY name");
        // What is not planned for a moment of the clock.
        rows.into_iter().filter(|row| !row[0].contains("-daily-")).collect::<Vec<_>>()
    };
    let first = orders();
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(first, orders());
}

#[test]
fn banks_wait_in_line_for_a_free_place() {
    const BANKS: usize = 12;
    let bed = Bed::new(30);
    fs::remove_file(bed.path("config/memorybank.yaml")).unwrap();
    for number in 0..BANKS {
        bed.config(
            &format!("{number}.yaml"),
            &crate::SECOND.replace("second", &format!("bank-{number}")).replace("quick", &format!("quick-{number}")),
        );
    }
    bed.once_ends(&["--parallel", "1"], 0);
    let runs = bed.query("SELECT bank FROM runs WHERE phase = 'Succeeded' ORDER BY bank");
    assert_eq!(runs.len(), BANKS, "{runs:?}");
    // One at a time: each began after the one before had ended.
    let overlapping = bed.query(
        "SELECT a.name FROM runs a JOIN runs b ON a.name < b.name AND a.started < b.finished AND b.started < a.finished",
    );
    assert_eq!(overlapping, Vec::<Vec<String>>::new());
    for bank in bed.objects("mbank") {
        assert_eq!(condition(&bank, "Intact").0, "True", "{bank:#}");
    }
}
