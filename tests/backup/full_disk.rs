//! A repository whose disk is full.

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use memorybank::domain::{Outcome, PostgresEndpoint, SecretKey, SqlDatabase, Work};

use crate::bed::{Bed, noise};
use crate::guardian::wait_for;
use crate::postgres::Postgres;
use crate::small_disk::SmallDisk;

#[test]
fn a_full_disk_is_told_leaves_no_half_set_and_all_older_ones() {
    let bed = Bed::new(30);
    let volume = bed.volume();
    let Some(_disk) = SmallDisk::over(&volume, "128m") else { return };
    bed.run("one", &[Work::Backup, Work::VerifyBackup]);
    let old = bed.names();
    assert_eq!(old.len(), 1);

    // What will not fit is not begun.
    let large = bed.live().join("uploads/large.bin");
    fs::write(&large, noise(160 << 20)).unwrap();
    let report = bed.back_up("two");
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(report.tasks[0].message.contains("bytes free"), "{}", report.tasks[0].message);
    assert_eq!(bed.names(), old);

    // The room goes while it is written.
    fs::write(&large, noise(80 << 20)).unwrap();
    fills_up(&bed, "three", "sqlite");
    assert_eq!(bed.names(), old);
    assert_eq!(bed.refused(), None, "the old set is as it was");
    fs::remove_file(large).unwrap();
    let report = bed.run("four", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
}

#[test]
fn a_disk_that_fills_up_with_tables_leaves_none_of_them() {
    let Some(server) = Postgres::shared() else { return };
    let mut bed = Bed::new(30);
    let volume = bed.volume();
    let Some(_disk) = SmallDisk::over(&volume, "256m") else { return };
    let url = server.database();
    // 48 MB that do not compress, twice as long in text.
    server.psql(
        url.rsplit('/').next().unwrap(),
        "CREATE TABLE memories (id int, raw bytea); ALTER TABLE memories ALTER raw SET STORAGE EXTERNAL;
         INSERT INTO memories SELECT n, decode(string_agg(md5(n || '.' || i), ''), 'hex')
           FROM generate_series(1, 3000) n, generate_series(1, 1000) i GROUP BY n",
    );
    bed.secret("database", "url", &url);
    let key = SecretKey { name: "database".to_owned(), key: "url".to_owned() };
    bed.bank.database = Some(SqlDatabase::Postgres(PostgresEndpoint { url: key, schema: "public".to_owned() }));
    fills_up(&bed, "one", "postgres");
    assert_eq!(bed.names(), Vec::<String>::new());
    let report = bed.run("two", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
}

/// Takes the room away as soon as a folder of a set is begun: room was looked at by then.
fn fills_up(bed: &Bed, uid: &str, first: &str) {
    let ballast = bed.volume().join("ballast");
    let stop = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = |name: &String| name.ends_with(".partial") && bed.repository().join(name).join(first).exists();
            wait_for("the first file of a set", || {
                (stop.load(Ordering::Relaxed) || bed.names().iter().any(begun)).then_some(())
            });
            let mut ballast = File::create(&ballast).unwrap();
            let block = vec![1; 1 << 16];
            while !stop.load(Ordering::Relaxed) {
                if ballast.write_all(&block).is_err() {
                    thread::yield_now();
                }
            }
        });
        let report = bed.back_up(uid);
        stop.store(true, Ordering::Relaxed);
        report
    });
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(report.tasks[0].message.contains("is full"), "{}", report.tasks[0].message);
    fs::remove_file(ballast).unwrap();
}
