//! Snapshots with the files of Qdrant's own engine, which is no server: verification reads them as they are, and the engine
//! reads what comes out of a set.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use memorybank::domain::{Outcome, QdrantEndpoint, Trust, VectorStore, Work};

use crate::bed::Bed;
use crate::qdrant::{Config, Qdrant};

const NAME: &str = "openmemory";
const POINTS: u64 = 500;
const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];

/// The engine as `make edge` fetched it; none where it is not there, which is told, and a failure where every tier is
/// required.
fn engine() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let folder = cache.unwrap_or_default().join("memorybank-tools/qdrant-edge-0.9.0");
    if folder.join("qdrant_edge").exists() {
        return Some(folder);
    }
    let why = "no files of Qdrant's engine: `make edge` fetches it";
    assert!(std::env::var_os("MEMORYBANK_REQUIRE_ALL_TIERS").is_none_or(|v| v != "1"), "skipped: {why}");
    println!("skipped: {why}");
    None
}

fn ask(engine: &Path, arguments: &[&str]) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backup/edge.py");
    let output = Command::new("python3").arg(script).args(arguments).env("PYTHONPATH", engine).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A snapshot with its segments cut to a half, each archive around them whole.
fn with_half_a_segment(snapshot: &Path, to: &Path) {
    let mut archive = tar::Archive::new(File::open(snapshot).unwrap());
    let mut out = tar::Builder::new(File::create(to).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if path.extension().is_some_and(|extension| extension == "tar") {
            bytes.truncate(bytes.len() / 2);
        }
        let mut header = entry.header().clone();
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, path, io::Cursor::new(bytes)).unwrap();
    }
    out.finish().unwrap();
}

#[test]
fn what_the_engine_wrote_is_verified_and_read_back_by_the_engine() {
    let Some(engine) = engine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    ask(&engine, &["make", place, &POINTS.to_string()]).expect("the engine makes a collection");
    let snapshot = folder.path().join("collection.snapshot");
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(8), 1, POINTS);
    server.give(&snapshot);
    let mut bed = Bed::new(30);
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: NAME.to_owned(),
        tls: Trust::default(),
    }));
    let report = bed.run("whole", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    assert_eq!(bed.verdict().unwrap().refused, None);
    let stored = bed.set().join("qdrant/openmemory.snapshot");
    let told = ask(&engine, &["read", place, stored.to_str().unwrap()]);
    assert_eq!(told.as_deref(), Some("500 memory 499"));

    // The server's own digest is of what it gives: only the walk of the archive tells that a segment is cut.
    let half = folder.path().join("half.snapshot");
    with_half_a_segment(&snapshot, &half);
    server.give(&half);
    bed.run("half", &[Work::Backup]);
    let refused = bed.refused().expect("half a segment");
    assert!(refused.contains("qdrant/openmemory.snapshot") && refused.contains("segments"), "{refused}");
    fs::create_dir(folder.path().join("again")).unwrap();
    let again = folder.path().join("again");
    assert_eq!(ask(&engine, &["read", again.to_str().unwrap(), half.to_str().unwrap()]), None, "nor does the engine");
}
