//! A process that is killed while it writes a set to a bucket.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use memorybank::domain::BucketEndpoint;
use memorybank::engine::backup::SetName;

use crate::bed::noise;
use crate::guardian::{Bed, condition, field, wait_for};
use crate::s3::{BUCKET, ID, KEY, S3};

const CONFIG: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: sample}
spec:
  database:
    sqlite: {volume: data, path: openmemory.db}
  volumes:
  - {name: data, folder: {path: BANK}}
  files:
  - {name: uploads, volume: data, path: uploads, mutable: Append}
  repository:
    s3: {bucket: BUCKET, endpoint: ENDPOINT, credentialsSecretRef: {name: s3}}
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  schedules:
  - {name: daily, cron: '0 6 * * *', tasks: [{task: Backup}, {task: VerifyBackup}]}
";

fn configure(bed: &Bed, s3: &S3, bank: &Path) {
    let config =
        CONFIG.replace("BANK", bank.to_str().unwrap()).replace("BUCKET", BUCKET).replace("ENDPOINT", &s3.url());
    bed.config("memorybank.yaml", &config);
    let folder = bed.path("config/secrets/s3");
    fs::create_dir_all(&folder).unwrap();
    for (key, value) in BucketEndpoint::KEYS.into_iter().zip([ID, KEY]) {
        fs::write(folder.join(key), value).unwrap();
    }
}

/// Sets, and beginnings of sets.
fn sets(s3: &S3) -> (Vec<SetName>, Vec<SetName>) {
    let named = |key: &String| {
        let (set, _) = key.strip_prefix("default/sample/")?.split_once('/')?;
        set.parse::<SetName>().ok()
    };
    let keys = s3.keys();
    let mut all: Vec<_> = keys.iter().filter_map(named).collect();
    all.dedup();
    all.into_iter().partition(|set| keys.contains(&format!("default/sample/{set}/manifest.json")))
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_set_in_a_bucket() {
    let Some(s3) = S3::start() else { return };
    let bed = Bed::new(2_000);
    configure(&bed, &s3, &bed.path("bank"));
    fs::write(bed.path("bank/uploads/large.bin"), noise(96 << 20)).unwrap();
    let lock = s3.bucket().join("default/sample/lock.json");
    let is_held = || fs::read_to_string(&lock).is_ok_and(|lock| !lock.contains("1970-"));
    let mut midway = 0;
    for moment in ["lock", "sqlite/database.db.zst", "files/uploads.tar.zst", "SHA256SUMS", "manifest.json", "parts"] {
        let before = sets(&s3).0.len();
        // What was killed is executed again, and takes its lock up at once; another run would be kept off.
        let asked: &[&str] = if is_held() { &[] } else { &["--now"] };
        let guardian = bed.spawn(&[asked, &["--listen", "127.0.0.1:0"]].concat());
        wait_for(moment, || {
            let (whole, begun) = sets(&s3);
            let newest = begun.last().map(|set| s3.bucket().join(format!("default/sample/{set}/{moment}")));
            let seen = match moment {
                "lock" => is_held(),
                "parts" => s3.parts() > 0,
                _ => newest.is_some_and(|path| path.exists()),
            };
            let whole = moment != "parts" && whole.len() > before;
            (seen || whole).then_some(())
        });
        guardian.kill();
        midway += usize::from(s3.parts() > 0 || !sets(&s3).1.is_empty());
    }
    assert!(midway >= 2, "{midway} were killed in the middle");

    // Another guardian of the same bank is kept off while the lock is good, then takes it over with all that was left.
    let other = Bed::new(10);
    configure(&other, &s3, &bed.path("bank"));
    let report = other.once(&["--now"]);
    assert_ne!(report.status.code(), Some(0));
    let run = other.objects("mrun").remove(0);
    assert!(run.to_string().contains("writes a set of this bank until"), "{run:#}");
    let held = fs::read_to_string(&lock).unwrap();
    let until = serde_json::from_str::<serde_json::Value>(&held).unwrap()["until"].as_str().unwrap().to_owned();
    assert!(until.parse::<Timestamp>().unwrap() > Timestamp::now());
    fs::write(&lock, held.replace(&until, "2020-01-01T00:00:00Z")).unwrap();
    other.once_ends(&["--now"], 0);
    let (whole, begun) = sets(&s3);
    assert_eq!((begun, s3.parts()), (vec![], 0), "nothing is left over");
    assert!(!whole.is_empty());
    // The run that was killed is executed again.
    bed.once_ends(&[], 0);
    assert_eq!((sets(&s3).1, s3.parts()), (vec![], 0));
    let bank = bed.objects("mbank").remove(0);
    assert_eq!(condition(&bank, "BackedUp").0, "True", "{bank:#}");
    for run in bed.objects("mrun") {
        assert_eq!(field(&run, "/status/phase"), "Succeeded", "{run:#}");
    }
}
