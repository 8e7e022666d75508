//! Servers that refuse, are away, or go away in the middle: what is told, and what stays.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use memorybank::domain::{BucketEndpoint, Outcome, Pruning, RunReport, SecretKey, Trust, Work};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::bed::{Bed, noise};
use crate::guardian::wait_for;
use crate::proxy::Proxy;
use crate::s3::{ID, KEY, S3};
use crate::small_disk::SmallDisk;

fn endpoint(bed: &mut Bed) -> &mut BucketEndpoint {
    bed.bank.repository.as_mut().unwrap().s3.as_mut().unwrap()
}

/// What a report says, which never has what opens the bucket.
fn told(report: &RunReport) -> String {
    let all = format!("{report:?}");
    assert!(!all.contains(ID) && !all.contains(KEY), "{all}");
    report.tasks[0].message.clone()
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_and_nothing_of_it_says_more_than_it_may() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(30);
    s3.keep_sets_of(&mut bed);
    assert_eq!(bed.back_up("one").outcome().0, Outcome::Succeeded);
    let before = s3.keys();
    let right = endpoint(&mut bed).clone();
    let place = right.endpoint.clone().unwrap().replace("http://", "");

    bed.secret("wrong", BucketEndpoint::KEYS[0], ID);
    bed.secret("wrong", BucketEndpoint::KEYS[1], "another key");
    bed.secret("stranger", BucketEndpoint::KEYS[0], "AKIASTRANGER");
    bed.secret("stranger", BucketEndpoint::KEYS[1], KEY);
    let change = |change: &dyn Fn(&mut BucketEndpoint)| {
        let mut changed = right.clone();
        change(&mut changed);
        changed
    };
    let wrong = [
        (change(&|it| it.credentials = Some("wrong".to_owned())), "correct AWS_SECRET_ACCESS_KEY"),
        (change(&|it| it.credentials = Some("stranger".to_owned())), "correct AWS_ACCESS_KEY_ID"),
        (change(&|it| it.credentials = Some("gone".to_owned())), "secret gone, key AWS_ACCESS_KEY_ID"),
        (change(&|it| it.credentials = None), "no workload identity"),
        (change(&|it| it.bucket = "another".to_owned()), "there is no such bucket"),
        (change(&|it| it.endpoint = Some("http://169.254.169.254".to_owned())), "never called"),
        (change(&|it| it.prefix = "../elsewhere".to_owned()), "spec.repository.s3.prefix"),
    ];
    for (wrong, expected) in wrong {
        *endpoint(&mut bed) = wrong;
        for work in [Work::Backup, Work::VerifyBackup, Work::RestoreTest, Work::Prune(Pruning::default())] {
            let report = bed.run("two", std::slice::from_ref(&work));
            let message = told(&report);
            assert_ne!(report.tasks[0].outcome, Outcome::Succeeded, "{work:?}: {report:#?}");
            assert!(message.contains(expected), "{work:?}, {expected}: {message}");
            if expected.starts_with("there is") {
                assert!(message.contains(&format!("bucket another at {place}")), "{message}");
            }
            assert!(report.tasks[0].corruption.is_empty(), "{report:#?}");
        }
    }
    *endpoint(&mut bed) = right;
    assert_eq!(s3.keys(), before);
    assert_eq!(bed.refused(), None);
}

#[test]
fn a_server_that_is_away_says_nothing_against_a_set() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(30);
    s3.keep_sets_of(&mut bed);
    assert_eq!(bed.run("one", &[Work::Backup, Work::VerifyBackup]).outcome().0, Outcome::Succeeded);
    s3.stop();
    let report = bed.run("two", &[Work::VerifyBackup]);
    assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{report:#?}");
    assert!(told(&report).contains("the server refuses connections"), "{report:#?}");
    s3.restart();
    assert_eq!(bed.refused(), None);
}

#[test]
fn a_scratch_folder_without_room_says_nothing_against_a_set() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(60);
    s3.keep_sets_of(&mut bed);
    assert_eq!(bed.run("one", &[Work::Backup, Work::VerifyBackup, Work::RestoreTest]).outcome().0, Outcome::Succeeded);
    let (before, verified) = (s3.keys(), bed.verified());
    fs::create_dir_all(bed.path("scratch")).unwrap();
    let Some(disk) = SmallDisk::over(&bed.path("scratch"), "1m") else { return };
    disk.fill();
    // The set that is made lacks the database, and takes no other one's place.
    for work in [Work::VerifyBackup, Work::RestoreTest, Work::Backup, Work::VerifyBackup] {
        let report = bed.run("two", std::slice::from_ref(&work));
        assert_eq!(report.tasks[0].outcome, Outcome::Unknown, "{work:?}: {report:#?}");
        assert!(report.tasks[0].corruption.is_empty(), "{report:#?}");
        assert!(told(&report).contains("free"), "{work:?}: {}", told(&report));
        assert!(before.iter().all(|key| s3.keys().contains(key)) && s3.parts() == 0, "{work:?}");
        assert_eq!(bed.verified(), verified, "{work:?}");
    }
    drop(disk);
    let report = bed.run("five", &[Work::Backup, Work::VerifyBackup, Work::RestoreTest]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
}

#[test]
fn a_server_that_goes_in_the_middle_leaves_no_set_and_the_next_run_clears_up() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(30);
    s3.keep_sets_of(&mut bed);
    assert_eq!(bed.run("one", &[Work::Backup, Work::VerifyBackup]).outcome().0, Outcome::Succeeded);
    let before = s3.keys();
    let large = bed.live().join("uploads/large.bin");
    fs::write(&large, noise(160 << 20)).unwrap();
    let report = thread::scope(|scope| {
        let backup = scope.spawn(|| bed.back_up("two"));
        wait_for("parts of an upload", || (s3.parts() > 0).then_some(()));
        s3.stop();
        backup.join().unwrap()
    });
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(told(&report).contains("refuses connections"), "{report:#?}");
    s3.restart();
    assert!(s3.parts() > 0 && s3.keys() != before, "the server had no time to forget");
    assert!(!s3.keys().iter().any(|key| key.contains("Z-two/manifest.json")), "{:?}", s3.keys());
    assert_eq!(bed.refused(), None, "the set before is as it was");

    // Who comes while the lock of the one that went is good is told so; the same run takes it up.
    let report = bed.back_up("three");
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(told(&report).contains("run two writes a set of this bank until"), "{report:#?}");
    fs::remove_file(&large).unwrap();
    assert_eq!(bed.back_up("two").outcome().0, Outcome::Succeeded);
    assert_eq!(s3.parts(), 0, "unfinished uploads are ended");
    let sets = s3.keys().iter().filter(|key| key.ends_with("Z-two/SHA256SUMS")).count();
    assert_eq!((sets, bed.refused()), (1, None));
}

#[test]
fn two_runs_do_not_write_at_once() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(30);
    s3.keep_sets_of(&mut bed);
    fs::write(bed.live().join("uploads/large.bin"), noise(200 << 20)).unwrap();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| bed.back_up("one"));
        wait_for("parts of an upload", || (s3.parts() > 0).then_some(()));
        let mut other = Bed::new(10);
        s3.keep_sets_of(&mut other);
        let second = other.run("two", &[Work::Prune(Pruning::default())]);
        (first.join().unwrap(), second)
    });
    assert_eq!(first.outcome().0, Outcome::Succeeded, "{first:#?}");
    assert_eq!(second.tasks[0].outcome, Outcome::Failed, "{second:#?}");
    assert!(told(&second).contains("run one writes a set of this bank"), "{second:#?}");
    assert_eq!(bed.back_up("three").outcome().0, Outcome::Succeeded, "the lock is given back");
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_not_waited_for_when_the_run_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bed = Bed::new(10);
    let Some(s3) = S3::start() else { return };
    s3.keep_sets_of(&mut bed);
    endpoint(&mut bed).endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let report = bed.run_within("one", &[Work::Backup], Some(1));
    assert_ne!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
}

#[test]
fn a_connection_that_is_cut_in_the_middle_is_made_anew() {
    let Some(s3) = S3::start() else { return };
    let mut bed = Bed::new(30);
    s3.keep_sets_of(&mut bed);
    let proxy = Proxy::before(&s3.url());
    endpoint(&mut bed).endpoint = Some(proxy.url.clone());
    fs::write(bed.live().join("uploads/large.bin"), noise(40 << 20)).unwrap();
    proxy.cut_up(20 << 20);
    let report = bed.back_up("one");
    assert_eq!((report.outcome().0, proxy.cuts()), (Outcome::Succeeded, (1, 0)), "{report:#?}");
    for work in [Work::VerifyBackup, Work::RestoreTest] {
        proxy.cut_down(20 << 20);
        let report = bed.run("two", &[work]);
        assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
    }
    assert_eq!(proxy.cuts(), (1, 2));
    assert_eq!(s3.parts(), 0);
}

#[test]
fn a_server_that_asks_to_slow_down_to_the_end_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut bed = Bed::new(10);
    let Some(s3) = S3::start() else { return };
    s3.keep_sets_of(&mut bed);
    endpoint(&mut bed).endpoint = Some(format!("http://{address}"));
    let server = thread::spawn(move || {
        let body = format!("<Error><Code>SlowDown</Code><Message>{ID} is too fast</Message></Error>");
        let mut asked = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            if head.next().is_none_or(|line| line.unwrap() == "end") {
                return asked;
            }
            let _rest = head.find(|line| line.as_ref().is_ok_and(String::is_empty));
            asked += 1;
            let head = "HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
        }
        asked
    });
    let report = bed.back_up("one");
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(told(&report).contains("asked to slow down, and still did"), "{report:#?}");
    writeln!(std::net::TcpStream::connect(address).unwrap(), "end").unwrap();
    assert_eq!(server.join().unwrap(), 9, "attempts");
}

#[test]
fn a_server_is_trusted_by_the_authority_that_the_bank_names() {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let Some(s3) = S3::start_with(&[("cert", &server.pem()), ("key", &server_key.serialize_pem())]) else { return };
    let mut bed = Bed::new(10);
    s3.keep_sets_of(&mut bed);
    endpoint(&mut bed).endpoint = Some(s3.url().replace("http://127.0.0.1", "https://localhost"));
    let report = bed.back_up("one");
    assert_eq!(report.tasks[0].outcome, Outcome::Failed, "{report:#?}");
    assert!(told(&report).contains("certificate of an unknown authority"), "{report:#?}");
    bed.secret("s3", "ca", &authority.pem());
    let ca = SecretKey { name: "s3".to_owned(), key: "ca".to_owned() };
    endpoint(&mut bed).tls = Trust { ca: Some(ca), insecure_skip_verify: false };
    let report = bed.run("two", &[Work::Backup, Work::VerifyBackup]);
    assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
}
