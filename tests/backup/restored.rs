//! A set that is restored in a scratch place: a bank again, or none; and nothing of it stays.

use std::fs;
use std::time::Duration;

use memorybank::domain::{
    Digest, IntegrityScope, Level, Outcome, QdrantEndpoint, Reason, RestoreVerdict, TaskReport, Trust, VectorStore,
    Work,
};

use crate::bed::Bed;
use crate::fill::fill;
use crate::guardian::{query, wait_for};
use crate::qdrant::{Answer, Config, Qdrant, memory, unit};

const NAME: &str = "openmemory";
const TEMPORARY: &str = "openmemory-memorybank-restore-";
const BOTH: [Work; 2] = [Work::Backup, Work::RestoreTest];

fn server(points: u64) -> Qdrant {
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(8), 1, points);
    server.generate("openmemory_entities", Config::cosine(8), 2, 3);
    server
}

fn bed(server: &Qdrant) -> Bed {
    let mut bed = Bed::new(30);
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: NAME.to_owned(),
        tls: Trust::default(),
    }));
    bed
}

fn verdict(bed: &Bed) -> Option<RestoreVerdict> {
    bed.output(RestoreVerdict::OUTPUT).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Nothing of a test is left on the server.
fn is_clean(server: &Qdrant) -> bool {
    server.collections() == [NAME, "openmemory_entities"]
}

/// The newest set is refused, and says so.
fn refused(bed: &Bed, report: &TaskReport) -> String {
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:#?}");
    let why = verdict(bed).unwrap().refused.unwrap_or_else(|| panic!("{report:#?}"));
    assert!(report.corruption.iter().any(|event| event.component == "repository"), "{report:#?}");
    why
}

#[test]
fn a_set_is_restored_and_nothing_of_it_stays() {
    let server = server(40);
    // Of a run that was killed.
    server.create("openmemory-memorybank-restore-deadbeef", Config::cosine(8));
    let bed = bed(&server);
    let report = bed.run("0a1b2c3d-4e5f", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let made = verdict(&bed).unwrap();
    assert_eq!((made.refused, made.restored.unwrap().set), (None, made.set));
    assert!(is_clean(&server), "{:?}", server.collections());
    let uploads = server.requests().into_iter().filter(|request| request.ends_with("/snapshots/upload")).count();
    assert_eq!(uploads, 2);
    let detail = &report.tasks[1].checks[0].detail;
    for part in ["database of", "history of", "files/uploads", "vectors: 40 points", "vectors/entities: 3 points"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(bed.run("later", &[Work::RestoreTest]).outcome().0, Outcome::Succeeded, "a set of an earlier run");
}

#[test]
fn what_is_whole_and_no_bank_is_refused() {
    let server = server(4);
    let bed = bed(&server);
    server.put(NAME, memorybank::domain::PointId::Uuid(7), memory("nothing", "me"), Some(vec![0.0; 8]));
    let report = bed.run("zero", &BOTH);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded);
    let why = refused(&bed, &report.tasks[1]);
    assert!(why.starts_with("qdrant/openmemory.snapshot: restored"), "{why}");
    assert!(is_clean(&server));

    // A good one heals it.
    server.put(NAME, memorybank::domain::PointId::Uuid(7), memory("nothing", "me"), Some(unit(3, 8)));
    bed.run("good", &BOTH);
    assert_eq!(verdict(&bed).unwrap().refused, None);

    // The bank itself, damaged before it was copied: a set that is no bank.
    let live = bed.live().join("openmemory.db");
    query(&live, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'configs'");
    let report = bed.run("damaged", &BOTH);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    assert!(refused(&bed, &report.tasks[1]).contains("damaged when it was copied"));
    assert!(verdict(&bed).unwrap().restored.is_some(), "the good one is still known");
}

#[test]
fn what_changed_silently_before_it_was_copied_is_refused() {
    let server = server(40);
    let bed = bed(&server);
    fill(&bed, &server, NAME, 8);
    let scopes = vec![IntegrityScope::Files, IntegrityScope::Consistency];
    let check = Work::IntegrityCheck { level: Level::Checksum, scopes, share_percent: 100 };
    bed.run("baseline", &[check]);
    let uploads = bed.live().join("uploads");
    let file = crate::guardian::files(&uploads).into_iter().find(|file| file.metadata().unwrap().len() > 0).unwrap();
    let times = file.metadata().unwrap().modified().unwrap();
    let good = fs::read(&file).unwrap();
    let write = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
    };
    let mut bad = good.clone();
    bad[0] ^= 1;
    write(&bad);
    let report = bed.run("file", &BOTH);
    let why = refused(&bed, &report.tasks[1]);
    assert!(why.starts_with("files/uploads.tar.zst") && why.contains("1 files"), "{why}");
    write(&good);

    let id = server.ids(NAME)[3];
    let mut point = server.point(NAME, id).unwrap();
    let right = point.clone();
    point.vector = Some(unit(99, 8));
    server.put(NAME, id, point.payload, point.vector);
    let report = bed.run("vector", &BOTH);
    let why = refused(&bed, &report.tasks[1]);
    assert!(why.contains("qdrant/openmemory.snapshot") && why.contains("changed since the baseline"), "{why}");
    server.put(NAME, id, right.payload, right.vector);

    let report = bed.run("good", &BOTH);
    assert_eq!((verdict(&bed).unwrap().refused, report.outcome().0), (None, Outcome::Succeeded), "{report:#?}");
}

#[test]
fn a_server_without_room_or_right_says_nothing_against_a_set() {
    let server = server(4);
    let bed = bed(&server);
    bed.back_up("one");
    for (status, words, outcome) in [
        (507, "Insufficient storage", Outcome::Unknown),
        (500, "Service internal error: No space left on device", Outcome::Unknown),
        (403, "forbidden", Outcome::Unknown),
        (400, "Bad request: Snapshot is of another version", Outcome::Succeeded),
    ] {
        server.trouble("/snapshots/upload", Some(1), Answer::Status(status, words));
        let report = bed.run("trouble", &[Work::RestoreTest]);
        assert_eq!(report.tasks[0].outcome, outcome, "{status}: {report:#?}");
        assert_eq!(verdict(&bed).is_some_and(|verdict| verdict.refused.is_some()), status == 400, "{status}");
        assert!(is_clean(&server), "{status}: {:?}", server.collections());
    }
}

#[test]
fn a_test_that_is_stopped_takes_its_collection_along() {
    let server = server(4);
    let bed = bed(&server);
    bed.back_up("one");
    let run = Digest::of(b"slow").to_string();
    let scroll = format!("POST /collections/{TEMPORARY}{}/points/scroll", &run[..8]);
    server.trouble(&scroll, None, Answer::Delay(Duration::from_mins(5)));
    let report = bed.run_within("slow", &[Work::RestoreTest], Some(3));
    assert_eq!((report.tasks[0].outcome, report.tasks[0].reason), (Outcome::Failed, Reason::DeadlineExceeded));
    assert!(server.requests().iter().any(|request| request.contains(TEMPORARY)));
    wait_for("the end of the collection", || is_clean(&server).then_some(()));
    assert_eq!(verdict(&bed), None);
}
