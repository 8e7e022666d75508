//! A process that is killed while it writes a set: the set is finished by the next one, or cleaned away, never half.

use std::fs;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use memorybank::engine::backup::SetName;

use crate::bed::noise;
use crate::guardian::{Bed, condition, files, wait_for};
use crate::postgres::Postgres;

const CONFIG: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: sample}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - {name: data, folder: {path: ../bank}}
  - {name: sets, folder: {path: ../sets}}
  files:
  - {name: uploads, volume: data, path: uploads, mutable: Append}
  repository:
    folder: {volume: sets, path: .}
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  schedules:
  - {name: daily, cron: '0 6 * * *', tasks: [{task: Backup}, {task: VerifyBackup}]}
";

/// What stands in the bank's folder: sets, beginnings of sets, and whatever else.
fn names(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return (Vec::new(), Vec::new()) };
    entries.map(|entry| entry.unwrap().path()).partition(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.parse::<SetName>().is_ok()
    })
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_set() {
    let bed = Bed::new(2_000);
    bed.config("memorybank.yaml", CONFIG);
    killed(&bed, &["lock", "sqlite/database.db.zst", "files/uploads.tar.zst", "SHA256SUMS", "manifest.json"]);
}

#[test]
fn nor_does_one_that_is_killed_among_tables_that_it_encrypts() {
    let Some(server) = Postgres::shared() else { return };
    let bed = Bed::new(30);
    let url = server.database();
    server.psql(
        url.rsplit('/').next().unwrap(),
        "CREATE TABLE memories (id int, content text); CREATE TABLE notes (id int, content text);
         INSERT INTO memories SELECT n, md5(n::text) || md5(n::text || 'x') FROM generate_series(1, 400000) n;
         INSERT INTO notes SELECT * FROM memories",
    );
    let identity = Identity::generate();
    for (secret, value) in [("database", url), ("age", identity.to_string().expose_secret().to_owned())] {
        let folder = bed.path("config/secrets").join(secret);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("key"), value).unwrap();
    }
    let encryption = format!(
        "  repository:\n    encryption: {{recipients: [{}], identitySecretRef: {{name: age, key: key}}}}\n",
        identity.to_public()
    );
    let config = CONFIG
        .replace(
            "    sqlite: {volume: data, path: openmemory.db}\n",
            "    postgres: {urlSecretRef: {name: database, key: key}}\n",
        )
        .replace("  repository:\n", &encryption);
    bed.config("memorybank.yaml", &config);
    let files = ["memories.copy.zst.age", "notes.copy.zst.age", "ddl.sql.age", "files/uploads.tar.zst.age"];
    killed(&bed, &files);
}

/// Kills a guardian as soon as each of these files of a set is begun, and lets the last one finish.
fn killed(bed: &Bed, moments: &[&str]) {
    fs::create_dir(bed.path("sets")).unwrap();
    fs::write(bed.path("bank/uploads/large.bin"), noise(96 << 20)).unwrap();
    let folder = bed.path("sets/default/sample");
    let in_partial = |wanted: &str| {
        let (_, other) = names(&folder);
        other.iter().flat_map(|path| files(path)).any(|file| file.to_str().is_some_and(|path| path.contains(wanted)))
    };
    let mut midway = 0;
    for &moment in moments {
        let before = names(&folder).0.len();
        let guardian = bed.spawn(&["--now", "--listen", "127.0.0.1:0"]);
        wait_for(moment, || {
            let seen = if moment == "lock" { folder.join("lock.json").exists() } else { in_partial(moment) };
            (seen || names(&folder).0.len() > before).then_some(())
        });
        guardian.kill();
        let (sets, other) = names(&folder);
        midway += usize::from(!other.is_empty());
        for set in sets {
            assert!(set.join("manifest.json").exists(), "{moment}: {} is half a set", set.display());
        }
    }
    assert!(midway >= 2, "{midway} were killed in the middle");
    bed.once_ends(&[], 0);
    let (sets, other) = names(&folder);
    assert_eq!(other, Vec::<PathBuf>::new(), "nothing is left over");
    assert!(!sets.is_empty());
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(condition(&bank, "BackedUp").0, "True", "{bank:#}");
    for run in bed.objects("mrun") {
        assert_eq!(crate::guardian::field(&run, "/status/phase"), "Succeeded", "{run:#}");
    }
}
