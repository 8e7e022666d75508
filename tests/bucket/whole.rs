//! What becomes of a set in a bucket.

use std::fs;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use memorybank::domain::{
    Consent, Encryption, Outcome, PostgresEndpoint, Pruning, QdrantEndpoint, RecoveryState, Retention, SecretKey,
    SqlDatabase, Trust, VectorStore, Work,
};

use crate::bed::{Bed, noise};
use crate::damaged::Damaged;
use crate::guardian;
use crate::postgres::Postgres;
use crate::qdrant::{Config, Qdrant};
use crate::s3::S3;

const ALL: [Work; 3] = [Work::Backup, Work::VerifyBackup, Work::RestoreTest];
const PLACE: &str = "deep/down/stores/assistant";

/// The names of the sets in a bucket, and what is beside them.
fn names(s3: &S3) -> Vec<String> {
    let within = |key: String| key.strip_prefix(PLACE).and_then(|key| key[1..].split('/').next().map(str::to_owned));
    let mut names: Vec<_> = s3.keys().into_iter().map(|key| within(key).unwrap()).collect();
    names.dedup();
    names
}

/// The lock is nobody's.
fn is_free(s3: &S3) -> bool {
    let lock = fs::read_to_string(s3.bucket().join(PLACE).join("lock.json")).unwrap();
    lock.contains("1970-01-01") && lock.contains(r#""uploads":[]"#)
}

fn with_vectors(bed: &mut Bed, server: &Qdrant) {
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: "openmemory".to_owned(),
        tls: Trust::default(),
    }));
}

#[test]
fn a_set_is_made_read_back_restored_and_pruned() {
    let Some(s3) = S3::start() else { return };
    let server = Qdrant::start();
    server.generate("openmemory", Config::cosine(8), 1, 40);
    let mut bed = Bed::new(60);
    with_vectors(&mut bed, &server);
    s3.keep_sets_of(&mut bed);
    // Larger than a few parts: it does not compress.
    let large = noise(56 << 20);
    fs::write(bed.live().join("uploads/large.bin"), &large).unwrap();
    let report = bed.run("a-first", &ALL);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let set = bed.set().file_name().unwrap().to_str().unwrap().to_owned();
    let expected = [
        "SHA256SUMS",
        "config/bank.json",
        "files/uploads.tar.zst",
        "manifest.json",
        "qdrant/openmemory.snapshot",
        "sqlite/database.db.zst",
        "sqlite/history.db.zst",
    ];
    let mut keys: Vec<_> = expected.iter().map(|path| format!("{PLACE}/{set}/{path}")).collect();
    keys.push(format!("{PLACE}/lock.json"));
    assert_eq!(s3.keys(), keys);
    assert!(is_free(&s3));
    assert_eq!(s3.parts(), 0);
    assert!(guardian::files(server.snapshots()).is_empty(), "no snapshot is left on the server");
    assert!(fs::read_dir(bed.path("scratch")).map_or(0, Iterator::count) == 0, "nothing is left in scratch");
    assert_eq!(fs::read_dir(bed.volume()).unwrap().count(), 0, "nothing is in a folder");
    let stored = fs::read(s3.bucket().join(PLACE).join(&set).join("files/uploads.tar.zst")).unwrap();
    let archive = zstd::decode_all(stored.as_slice()).unwrap();
    assert!(archive.windows(4_096).step_by(512).any(|window| window == &large[..4_096]));
    let later = bed.run("later", &[Work::VerifyBackup, Work::RestoreTest]);
    assert_eq!(later.outcome().0, Outcome::Succeeded, "{later:#?}");

    fs::remove_file(bed.live().join("uploads/large.bin")).unwrap();
    // In this order also where two are made within a second.
    for uid in ["b-second", "c-third"] {
        let report = bed.run(uid, &[Work::Backup, Work::VerifyBackup]);
        assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    }
    let odd = s3.bucket().join(PLACE).join("notes.txt");
    fs::write(&odd, "somebody's own").unwrap();
    assert_eq!(names(&s3).len(), 5);
    let retention = Retention { last: 1, daily: 0, weekly: 0, monthly: 0 };
    let prune = [Work::Prune(Pruning { retention: vec![retention], purge: None })];
    // While a part of the newest is gone the one before it does not go either.
    let newest = bed.set().file_name().unwrap().to_str().unwrap().to_owned();
    let part = s3.bucket().join(PLACE).join(&newest).join("sqlite/history.db.zst");
    let aside = bed.path("aside.zst");
    fs::rename(&part, &aside).unwrap();
    let report = bed.run("pruner", &prune);
    assert_eq!(report.outcome().0, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains(&format!("set {newest}, which was verified, has sqlite/history")));
    assert_eq!(names(&s3).len(), 5);
    fs::rename(&aside, &part).unwrap();
    let report = bed.run("pruner", &prune);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    // The newest, and the newest that was restored.
    let left = names(&s3);
    let uids: Vec<_> = left.iter().filter_map(|name| name.split_once("Z-").map(|(_, uid)| uid)).collect();
    assert_eq!((uids, left.len()), (vec!["a-first", "c-third"], 4), "{left:?}");
    assert!(odd.exists() && is_free(&s3));
    assert_eq!(bed.refused(), None);
}

#[test]
fn a_bank_is_brought_back_from_a_bucket() {
    let Some(s3) = S3::start() else { return };
    let mut bank = Damaged::new(40);
    s3.keep_sets_of(&mut bank.bed);
    let report = bank.bed.run("in-bucket", &ALL);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let good = bank.content();
    bank.tear(0, &[0; 200]);
    bank.rot();
    bank.zero();
    let (_, digest) = bank.plan();
    let (task, done) = bank.recover("mender", Consent::Plan(digest));
    assert_eq!((task.outcome, done.state), (Outcome::Succeeded, RecoveryState::Succeeded), "{task:#?}");
    assert_eq!(bank.content(), good);
    bank.is_sound();
    let kept = done.quarantine.unwrap();
    assert!(kept.contains("/.memorybank/") && fs::metadata(&kept).is_ok(), "{kept}");

    // Nothing is taken from a set that is not the one that was verified.
    let set = bank.bed.set().file_name().unwrap().to_str().unwrap().to_owned();
    let part = s3.bucket().join(PLACE).join(&set).join("sqlite/database.db.zst");
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    bank.tear(0, &[0; 200]);
    let torn = bank.bytes();
    let report = bank.bed.run("careful", &[Work::Recover { events: vec![], set: None, consent: Consent::Lossless }]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("is refused"), "{}", report.tasks[0].message);
    assert_eq!(bank.bytes(), torn);
}

#[test]
fn an_encrypted_set_has_nothing_in_plain() {
    let Some(s3) = S3::start() else { return };
    let server = Qdrant::start();
    server.generate("openmemory", Config::cosine(8), 1, 40);
    let mut bed = Bed::new(60);
    with_vectors(&mut bed, &server);
    s3.keep_sets_of(&mut bed);
    let identity = Identity::generate();
    bed.secret("age", "key", identity.to_string().expose_secret());
    let key = SecretKey { name: "age".to_owned(), key: "key".to_owned() };
    let encryption = Encryption { recipients: vec![identity.to_public().to_string()], identity: Some(key) };
    bed.bank.repository.as_mut().unwrap().encryption = Some(encryption);
    let report = bed.run("one", &ALL);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    for key in s3.keys() {
        let bytes = fs::read(s3.bucket().join(&key)).unwrap();
        let plain = ["lock.json", "SHA256SUMS", "manifest.json"].iter().any(|name| key.ends_with(name));
        assert_eq!(bytes.starts_with(b"age-encryption.org/v1"), !plain, "{key}");
    }
    bed.bank.repository.as_mut().unwrap().encryption.as_mut().unwrap().identity = None;
    let report = bed.run("blind", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(report.tasks[0].message.contains("is encrypted"), "{report:#?}");
}

#[test]
fn tables_of_postgresql_go_into_a_bucket_and_half_of_them_does_not() {
    let Some(s3) = S3::start() else { return };
    let Some(server) = Postgres::shared() else { return };
    let mut bed = Bed::new(30);
    let url = server.database();
    let database = url.rsplit('/').next().unwrap().to_owned();
    server.psql(
        &database,
        "CREATE TABLE memories (id int, content text); CREATE TABLE notes (id int, content text);
         INSERT INTO memories SELECT n, md5(n::text) || md5(n::text || 'x') FROM generate_series(1, 500000) n;
         INSERT INTO notes SELECT * FROM memories",
    );
    bed.secret("database", "key", &url);
    let url = SecretKey { name: "database".to_owned(), key: "key".to_owned() };
    bed.bank.database = Some(SqlDatabase::Postgres(PostgresEndpoint { url, schema: "public".to_owned() }));
    s3.keep_sets_of(&mut bed);
    let report = bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let tables = |s3: &S3, uid: &str| {
        s3.keys().into_iter().filter(|key| key.contains(uid) && key.contains("/postgres/")).count()
    };
    assert_eq!(tables(&s3, "Z-one"), 3);

    // A table that cannot be read takes along those that were stored before it.
    server.psql(
        &database,
        "CREATE ROLE half LOGIN; GRANT USAGE ON SCHEMA public TO half; GRANT SELECT ON memories TO half",
    );
    let half = server.url(&database).replace("memorybank@", "half@");
    bed.secret("database", "key", &half);
    let report = bed.back_up("two");
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert_eq!(tables(&s3, "Z-two"), 0, "{:?}", s3.keys());
    assert!(s3.keys().iter().any(|key| key.contains("Z-two/manifest.json")), "{:?}", s3.keys());
    assert_eq!((s3.parts(), is_free(&s3)), (0, true));
}
