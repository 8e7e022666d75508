//! Sets that are encrypted: nothing of a bank is plain in them, and they are verified by who has the key.

use std::fs;
use std::io::Read as _;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use memorybank::domain::{Encryption, Outcome, PostgresEndpoint, QdrantEndpoint, SecretKey, SqlDatabase, Trust};
use memorybank::domain::{Reason, VectorStore, Verdict, Work};
use memorybank::engine::backup::SetManifest;

use crate::bed::{Bed, files};
use crate::guardian;
use crate::postgres::Postgres;
use crate::qdrant::{Config, Qdrant};
use crate::whole::CONFIG;

const BOTH: [Work; 2] = [Work::Backup, Work::VerifyBackup];
/// What stands in each memory of the database on PostgreSQL.
const SECRET: &str = "the cat is called Schnurrli";

fn key(name: &str) -> SecretKey {
    SecretKey { name: name.to_owned(), key: "key".to_owned() }
}

fn private(identity: &Identity) -> String {
    format!("# a comment, as age-keygen writes it\n{}\n", identity.to_string().expose_secret())
}

/// Encrypts the sets of a bank from now on.
fn seal(bed: &mut Bed, identity: &Identity) {
    bed.secret("age", "key", &private(identity));
    let recipients = vec![identity.to_public().to_string()];
    let encryption = Encryption { recipients, identity: Some(key("age")) };
    bed.bank.repository.as_mut().unwrap().encryption = Some(encryption);
}

fn encryption(bed: &mut Bed) -> &mut Encryption {
    bed.bank.repository.as_mut().unwrap().encryption.as_mut().unwrap()
}

/// What a file of a set holds, for who has the key.
fn opened(bed: &Bed, identity: &Identity, file: &str) -> Vec<u8> {
    let sealed = fs::File::open(bed.set().join(file)).unwrap();
    let decryptor = age::Decryptor::new(sealed).unwrap();
    let mut bytes = Vec::new();
    decryptor.decrypt(std::iter::once(identity as _)).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn every_file_but_the_manifest_is_encrypted_and_opens_to_what_it_was() {
    let server = Qdrant::start();
    server.generate("openmemory", Config::cosine(8), 1, 40);
    let mut bed = Bed::new(60);
    bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
        url: server.url(),
        api_key: None,
        collection: "openmemory".to_owned(),
        tls: Trust::default(),
    }));
    let identity = Identity::generate();
    seal(&mut bed, &identity);
    let report = bed.run("one", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let report = bed.run("tester", &[Work::RestoreTest]);
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
    let restored = &report.tasks[0].checks[0];
    assert_eq!(restored.verdict, Verdict::Passed, "{report:#?}");
    for part in ["database of", "history of", "files/uploads:", "vectors"] {
        assert!(restored.detail.contains(part), "{part}: {}", restored.detail);
    }
    let set = bed.set();
    let expected = [
        "SHA256SUMS",
        "config/bank.json.age",
        "files/uploads.tar.zst.age",
        "manifest.json",
        "qdrant/openmemory.snapshot.age",
        "sqlite/database.db.zst.age",
        "sqlite/history.db.zst.age",
    ];
    assert_eq!(files(&set), expected);
    let (manifest, _) = SetManifest::from_json(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.recipients, [identity.to_public().to_string()]);
    let database = zstd::decode_all(opened(&bed, &identity, "sqlite/database.db.zst.age").as_slice()).unwrap();
    assert!(database.starts_with(b"SQLite format 3"));
    assert!(contains(&opened(&bed, &identity, "config/bank.json.age"), b"openmemory.db"));
    let mut snapshot = Vec::new();
    for file in &expected[1..] {
        let bytes = fs::read(set.join(file)).unwrap();
        assert!(!contains(&bytes, b"openmemory.db") && !contains(&bytes, b"config.json"), "{file}");
        if file.starts_with("qdrant/") {
            snapshot = opened(&bed, &identity, file);
        }
    }
    assert!(contains(&snapshot, b"config.json"));
    assert!(guardian::files(server.snapshots()).is_empty());

    // No byte of any file, whoever looks: with the key, and without.
    for with_key in [true, false] {
        if !with_key {
            encryption(&mut bed).identity = None;
        }
        for file in files(&set) {
            let path = set.join(&file);
            let good = fs::read(&path).unwrap();
            for at in [0, 25, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                fs::write(&path, bad).unwrap();
                let refused = bed.refused().unwrap();
                assert!(refused.starts_with(&file), "{file}: {refused}");
            }
            fs::write(&path, good).unwrap();
        }
    }
}

#[test]
fn without_the_key_nothing_is_said_of_the_content() {
    let mut bed = Bed::new(30);
    let identity = Identity::generate();
    seal(&mut bed, &identity);
    bed.back_up("one");
    let other = SecretKey { name: "other".to_owned(), key: "key".to_owned() };
    bed.secret("other", "key", &private(&Identity::generate()));
    bed.secret("none", "key", "no key at all");
    for (key, why) in [
        (None, "names no spec.repository.encryption.identitySecretRef"),
        (Some(key("gone")), "gone"),
        (Some(key("none")), "expected a private key"),
        (Some(other), "not one that it is encrypted for"),
    ] {
        encryption(&mut bed).identity = key;
        let report = bed.run("verifier", &[Work::VerifyBackup]);
        assert_eq!((report.tasks[0].outcome, report.tasks[0].reason), (Outcome::Unknown, Reason::NotMeasured));
        let message = &report.tasks[0].message;
        assert!(message.contains("is encrypted") && message.contains(why), "{why}: {message}");
        assert!(!format!("{report:?}").contains(identity.to_string().expose_secret()));
        assert_eq!(bed.verdict(), None);
    }
    encryption(&mut bed).identity = Some(key("age"));
    assert_eq!(bed.refused(), None);

    // Where nobody could open it, there is none, and none in plain either.
    for recipients in [vec![], vec!["age1nobody".to_owned()]] {
        encryption(&mut bed).recipients = recipients;
        let report = bed.back_up("two");
        assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
        assert!(report.tasks[0].message.contains("recipients"), "{report:#?}");
    }
    assert_eq!(bed.names().len(), 1);
}

#[test]
fn tables_of_postgresql_are_encrypted_too() {
    let Some(server) = Postgres::shared() else { return };
    let mut bed = Bed::new(30);
    let url = server.database();
    let table = format!("CREATE TABLE memories (id int, content text); INSERT INTO memories VALUES (1, '{SECRET}')");
    server.psql(url.rsplit('/').next().unwrap(), &table);
    bed.secret("database", "key", &url);
    let endpoint = PostgresEndpoint { url: key("database"), schema: "public".to_owned() };
    bed.bank.database = Some(SqlDatabase::Postgres(endpoint));
    let identity = Identity::generate();
    seal(&mut bed, &identity);
    let report = bed.run("one", &BOTH);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    let ddl = opened(&bed, &identity, "postgres/database/ddl.sql.age");
    assert!(contains(&ddl, b"from program 'zstd -dc memories.copy.zst'"));
    let rows = opened(&bed, &identity, "postgres/database/memories.copy.zst.age");
    let rows = String::from_utf8(zstd::decode_all(rows.as_slice()).unwrap()).unwrap();
    assert_eq!(rows, format!("1\t{SECRET}\n"));
    for file in files(&bed.set()) {
        assert!(!contains(&fs::read(bed.set().join(&file)).unwrap(), SECRET.as_bytes()), "{file}");
    }
}

#[test]
fn a_bank_that_declares_recipients_is_backed_up_encrypted_and_told_so() {
    let bed = guardian::Bed::new(30);
    fs::create_dir(bed.path("sets")).unwrap();
    let identity = Identity::generate();
    let folder = bed.path("config/secrets/age");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key"), private(&identity)).unwrap();
    let recipient = identity.to_public();
    let encryption = format!(
        "  repository:\n    encryption: {{recipients: [{recipient}], identitySecretRef: {{name: age, key: key}}}}\n"
    );
    bed.config("memorybank.yaml", &CONFIG.replacen("  repository:\n", &encryption, 1));
    bed.once_ends(&["--now"], 0);
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(guardian::condition(&bank, "BackedUp").0, "True", "{bank:#}");
    let set = guardian::field(&bank, "/status/backup/lastVerifiedName");
    let set = bed.path("sets/memorybank/default/sample").join(set);
    assert!(files(&set).contains(&"sqlite/database.db.zst.age".to_owned()));
}
