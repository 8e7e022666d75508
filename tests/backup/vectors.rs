//! The vectors of a bank in its sets: snapshots that a server makes, gives and forgets, and what it does in their place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use memorybank::domain::{Digest, Outcome, Pruning, QdrantEndpoint, Reason, Trust, VectorStore, Work};
use memorybank::engine::backup::{Part, PartKind, SetManifest};

use crate::bed::{Bed, files};
use crate::guardian;
use crate::qdrant::{Answer, Config, Qdrant};
use crate::whole::CONFIG;

const NAME: &str = "openmemory";
const ENTITIES: &str = "openmemory_entities";
const SNAPSHOT: &str = "qdrant/openmemory.snapshot";
const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];

/// A server with memories and entities.
fn server(memories: u64) -> Qdrant {
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(8), 1, memories);
    server.generate(ENTITIES, Config::cosine(8), 2, 3);
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

/// No snapshot is left on a server.
fn is_clean(server: &Qdrant) -> bool {
    guardian::files(server.snapshots()).is_empty()
}

fn manifest(set: &Path) -> SetManifest {
    SetManifest::from_json(&fs::read(set.join("manifest.json")).unwrap()).unwrap().0
}

fn part(set: &Path, component: &str) -> Part {
    manifest(set).parts.into_iter().find(|part| part.component == component).unwrap()
}

#[test]
fn a_bank_with_vectors_is_backed_up_verified_and_told_so() {
    let server = server(40);
    let bed = guardian::Bed::new(30);
    fs::create_dir(bed.path("sets")).unwrap();
    let store = format!("  vectorStore:\n    qdrant: {{url: '{}', collection: {NAME}}}\n  history:", server.url());
    bed.config("memorybank.yaml", &CONFIG.replacen("  history:", &store, 1));
    bed.once_ends(&["--now"], 0);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(guardian::condition(&bank, "BackedUp"), ("True".to_owned(), "AsExpected".to_owned()), "{bank:#}");
    let name = guardian::field(&bank, "/status/backup/lastVerifiedName");
    let set = bed.path("sets/memorybank/default/sample").join(name);
    assert_eq!(part(&set, "vectors").points, Some(40));
    assert!(is_clean(&server));
}

#[test]
fn a_set_holds_the_snapshots_as_the_server_made_them() {
    let server = server(40);
    let bed = bed(&server);
    let report = bed.run("one", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let set = bed.set();
    assert!(files(&set).contains(&SNAPSHOT.to_owned()));
    for (component, points) in [("vectors", 40), ("vectors/entities", 3)] {
        let part = part(&set, component);
        let path = set.join(&part.path);
        let bytes = fs::read(&path).unwrap();
        assert_eq!((part.kind, part.points, part.raw_sha256), (PartKind::Vectors, Some(points), None));
        assert_eq!((part.sha256, part.bytes), (Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(is_clean(&server));
    // The first of the files: what is written meanwhile is in the SQL that follows.
    assert_eq!(manifest(&set).parts[0].component, "vectors");

    let path = set.join(SNAPSHOT);
    let good = fs::read(&path).unwrap();
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let refused = bed.refused().unwrap();
        assert!(refused.starts_with(SNAPSHOT) && refused.contains("digest"), "{refused}");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(bed.refused(), None);
}

#[test]
fn the_rows_of_a_set_are_never_older_than_its_vectors() {
    let server = server(4);
    let bed = bed(&server);
    bed.back_up("one");
    let rows = || part(&bed.set(), "database").rows["categories"];
    let before = rows();
    let live = bed.live().join("openmemory.db");
    // Between the two tasks of one run, of which the first has copied the database.
    bed.at_next_output(move || {
        let insert = "INSERT INTO categories (id, name) VALUES ('0123456789abcdef0123456789abcdef', 'new')";
        thread::spawn(move || guardian::query(&live, insert)).join().unwrap();
    });
    let report = bed.run("two", &[Work::VerifyBackup, Work::Backup]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    assert_eq!(rows(), before + 1);
}

/// Backs up beside a server with which something is wrong: the set lacks vectors, says why, and proves nothing.
fn lacks(server: &Qdrant, bed: &Bed, uid: &str, why: &str) {
    let report = bed.run(uid, &BOTH);
    let [made, verified] = &report.tasks[..] else { panic!("{report:#?}") };
    assert_eq!((made.outcome, made.reason), (Outcome::Unknown, Reason::NotMeasured), "{why}: {made:#?}");
    assert!(made.message.contains("vectors") && made.message.contains(why), "{why}: {}", made.message);
    assert_eq!(verified.outcome, Outcome::Skipped);
    let report = bed.run("verifier", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{why}: {report:#?}");
    assert!(report.tasks[0].message.contains("lacks vectors"), "{why}: {report:#?}");
    let verdict = bed.verdict().unwrap();
    assert!(verdict.lacks.unwrap().contains("lacks vectors"));
    assert_eq!((verdict.refused, verdict.verified), (None, None));
    assert!(files(&bed.set()).contains(&"sqlite/database.db.zst".to_owned()), "the rest is kept");
    assert!(is_clean(server), "{why}");
}

/// What is wrong with a server.
type Wrong = Box<dyn Fn(&Qdrant)>;

#[test]
fn a_server_that_gives_no_whole_snapshot_leaves_it_unknown() {
    let troubled = |on: &'static str, answer: Answer| move |server: &Qdrant| server.trouble(on, None, answer.clone());
    let cases: [(&str, Wrong); 7] = [
        ("has SHA-256", Box::new(Qdrant::tear_snapshots)),
        ("HTTP 401", Box::new(|server| server.require_key("other"))),
        ("no space", Box::new(troubled("POST /collections/openmemory/snapshots", Answer::Status(500, "no space")))),
        ("HTTP 404", Box::new(|server| server.forget(NAME))),
        ("", Box::new(troubled("GET /collections/openmemory/snapshots/", Answer::Half))),
        // The collection is there, its snapshot is gone: not the same as no collection.
        (
            "HTTP 404",
            Box::new(troubled("GET /collections/openmemory_entities/snapshots/", Answer::Status(404, "gone"))),
        ),
        ("2 servers", Box::new(troubled("GET /collections/openmemory/cluster", Answer::Body(SEVERAL.to_owned())))),
    ];
    let bed_of = |server: &Qdrant| bed(server);
    for (number, (why, wrong)) in cases.iter().enumerate() {
        let server = server(4);
        let bed = bed_of(&server);
        wrong(&server);
        lacks(&server, &bed, &format!("run-{number}"), why);
    }
}

const SEVERAL: &str = r#"{"result": {"peer_id": 1, "shard_count": 2, "local_shards": [{"shard_id": 0, "state": "Active"}],
    "remote_shards": [{"shard_id": 1, "peer_id": 2, "state": "Active"}], "shard_transfers": []}, "status": "ok"}"#;

#[test]
fn a_server_that_is_away_says_nothing_against_a_set_and_is_in_none() {
    let there = server(4);
    let bed = bed(&there);
    bed.run("one", &BOTH);
    let verified = bed.verdict().unwrap().verified.unwrap();
    let address = there.address();
    drop(there);
    assert_eq!(bed.refused(), None);
    let report = bed.back_up("two");
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains(&address.to_string()), "{report:#?}");
    bed.run("three", &[Work::VerifyBackup]);
    assert_eq!(bed.verdict().unwrap().verified.unwrap().set, verified.set, "the good one stays");
}

#[test]
fn a_snapshot_that_cannot_be_removed_is_tried_again_and_then_told() {
    let server = server(4);
    let bed = bed(&server);
    server.trouble("DELETE ", Some(2), Answer::Status(500, "busy"));
    assert_eq!(bed.run("one", &BOTH).outcome().0, Outcome::Succeeded);
    assert!(is_clean(&server));
    server.trouble("DELETE ", None, Answer::Status(500, "busy"));
    let report = bed.run("two", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let detail = &report.tasks[0].checks[0].detail;
    assert!(detail.contains("could not be removed from the server") && detail.contains("busy"), "{detail}");

    // The run has noted them: Prune removes those, and no other.
    let prune = Work::Prune(Pruning::default());
    let stranger = server.snapshots().join(NAME).join("openmemory-1-2026-01-01-00-00-00.snapshot");
    fs::write(&stranger, "of somebody else").unwrap();
    assert_eq!(guardian::files(server.snapshots()).len(), 5, "two, their digests, and the other");
    let report = bed.run("three", std::slice::from_ref(&prune));
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("2 stay") && report.tasks[0].message.contains("busy"), "{report:#?}");
    server.heal();
    let report = bed.run("four", std::slice::from_ref(&prune));
    assert!(report.tasks[0].message.contains("2 snapshots that backups left"), "{report:#?}");
    assert_eq!(guardian::files(server.snapshots()), [stranger]);
    let report = bed.run("five", &[prune]);
    assert!(report.tasks[0].checks[1].detail.contains("no backup left"), "{report:#?}");
    assert!(bed.names().iter().all(|name| name.contains("Z-")), "no note stays");
}

#[test]
fn a_set_is_held_against_the_living_collection() {
    let server = server(40);
    let bed = bed(&server);
    bed.back_up("one");
    server.create(NAME, Config::cosine(8));
    assert_eq!(bed.refused(), None, "more than the bank has may be why it is needed");
    bed.back_up("two");
    assert_eq!(bed.refused(), None, "an empty collection is backed up as it is");
    server.generate(NAME, Config::cosine(8), 1, 5);
    let refused = bed.refused().unwrap();
    assert_eq!(refused, format!("{SNAPSHOT}: it holds no point, and the live bank has 5"));
}
