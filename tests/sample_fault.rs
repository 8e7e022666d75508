//! The damage engine: every kind of damage can be made, what it calls harmless is harmless, and what it
//! calls healthy is healthy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use memorybank::sample::fault::{Answer, Cases, Fault, Healthy, Layer, Report, Set};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, query_scalar};

/// Opens a private copy, as recovery changes it, and asks SQLite.
async fn sound(set: &Set, scratch: &std::path::Path) -> bool {
    let _ = std::fs::remove_dir_all(scratch);
    std::fs::create_dir_all(scratch).unwrap();
    for entry in std::fs::read_dir(set.folder()).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), scratch.join(entry.file_name())).unwrap();
        }
    }
    let options = SqliteConnectOptions::new().filename(scratch.join("openmemory.db"));
    let Ok(mut connection) = options.connect().await else { return false };
    let answer: Result<String, _> = query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await;
    let tables: Result<i64, _> = query_scalar("SELECT count(*) FROM memories").fetch_one(&mut connection).await;
    let broken: Result<i64, _> =
        query_scalar("SELECT count(*) FROM pragma_foreign_key_check").fetch_one(&mut connection).await;
    answer.is_ok_and(|answer| answer == "ok") && tables.is_ok() && broken.is_ok_and(|rows| rows == 0)
}

#[tokio::test]
async fn every_kind_of_damage_is_made_and_most_of_it_matters() {
    let scratch = tempfile::tempdir().unwrap();
    let mut cases = Cases::new(&scratch.path().join("cases"), 1, 3);
    let (mut kinds, mut report) = (BTreeMap::new(), Report::default());
    while let Some(case) = cases.next().await.unwrap() {
        let sound = sound(&case.set, &scratch.path().join("look")).await;
        let told = if sound { Vec::new() } else { vec!["sqlite-integrity-check".to_owned()] };
        report.case(&case, &Answer { told, unknown: Vec::new() });
        kinds.insert(case.fault.name, case.differs);
        // The next case takes its folder.
        case.close().await;
    }
    let all: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name).collect();
    assert_eq!(kinds.keys().copied().collect::<BTreeSet<_>>(), all);
    for kind in ["row-vanished", "number-changed", "emptied", "page-zeroed", "wal-deleted", "header-overwritten"] {
        assert!(kinds[kind], "{kind} makes a difference");
    }
    // SQLite alone sees some of it and not all: else there would be nothing to measure.
    let (recall, pragmas) = (report.recall(), report.layer(Layer::Pragmas));
    assert_eq!(recall, pragmas);
    assert!(recall.of * 4 > recall.total && recall.of < recall.total, "{recall:?}");
}

#[tokio::test]
async fn healthy_variants_are_sound() {
    let scratch = tempfile::tempdir().unwrap();
    let mut healthy = Healthy::new(&scratch.path().join("variants"), 45, 5);
    let mut count = 0;
    while let Some(variant) = healthy.next().await.unwrap() {
        assert!(sound(&variant.set, &scratch.path().join("look")).await, "{}", variant.name);
        variant.close().await.unwrap();
        count += 1;
    }
    assert_eq!(count, 45);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_cases() {
    let scratch = tempfile::tempdir().unwrap();
    let mut made = Vec::new();
    for run in ["one", "two"] {
        let mut cases = Cases::new(&scratch.path().join(run), 1, 11);
        let mut list = Vec::new();
        for _ in 0..12 {
            let case = cases.next().await.unwrap().unwrap();
            list.push((case.fault.name, case.differs, std::fs::read(case.set.database()).unwrap()));
            case.close().await;
        }
        made.push(list);
    }
    assert!(made[0] == made[1]);
}
