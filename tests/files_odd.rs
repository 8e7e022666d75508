//! Odd trees: names, holes, special files, links, rights, depth, and files that change while they are read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)] // Helpers of tests are tests too.

mod files_bed;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use files_bed::{Bed, bytes, next, row, told, verdicts};
use memorybank::domain::{Digest, Level, Mutable, Verdict};
use memorybank::engine::integrity::files::{LEAF, Manifest, ManifestError, Node, SpecialKind, root};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Uid, mkfifo, setfsuid};
use proptest::prelude::*;

const NAMES: [&[u8]; 14] = [
    b"plain",
    b"with space",
    b" lead",
    b"new\nline",
    b"back\\slash",
    b"\\n",
    b"cr\r",
    b"-",
    b"--check",
    b"*star",
    b"\xff\xfe.bin",
    b"\xe4\xb8\xad%41",
    b"#x",
    b"\x1b[31mred",
];

fn odd_names() -> Bed {
    let bed = Bed::new();
    for (n, name) in NAMES.iter().enumerate() {
        bed.silent(OsStr::from_bytes(name), format!("{n}"));
        bed.silent(
            bed.root().join(OsStr::from_bytes(b"dir\n\xc3")).join(OsStr::from_bytes(name)),
            format!("{n} again"),
        );
    }
    bed.silent("large", bytes(LEAF + 1));
    bed
}

#[test]
fn sha256sum_accepts_the_text_whatever_the_names() {
    let bed = odd_names();
    let manifest = bed.manifest();
    let list = bed.volume.path().join("SHA256SUMS");
    fs::write(&list, manifest.to_sha256sums()).unwrap();
    let run = || {
        Command::new("sha256sum").args(["--check", "--strict", "--quiet"]).arg(&list).current_dir(bed.root()).output()
    };
    let output = run().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&list).unwrap().split(|b| *b == b'\n').count() - 1, 2 * NAMES.len() + 1);
    bed.silent(OsStr::from_bytes(NAMES[10]), "other");
    assert!(!run().unwrap().status.success());
}

#[test]
fn any_name_round_trips_and_is_found_again() {
    let bed = odd_names();
    let manifest = bed.manifest();
    let text = manifest.to_json().unwrap();
    assert!(std::str::from_utf8(&text).is_ok_and(|t| serde_json::from_str::<serde_json::Value>(t).is_ok()));
    assert_eq!(Manifest::from_json(&text), Ok(manifest.clone()));
    assert_eq!(told(&bed.check(Some(&manifest), Level::Full, Mutable::Never)), []);
    fs::remove_file(bed.at(OsStr::from_bytes(NAMES[10]))).unwrap();
    let report = bed.check(Some(&manifest), Level::Quick, Mutable::Never);
    assert_eq!(report.corruption[0].object, "%FF%FE.bin");
}

proptest! {
    #[test]
    fn a_damaged_manifest_is_an_error(at in any::<prop::sample::Index>(), flip in 1_u8..=255, cut in any::<prop::sample::Index>()) {
        static TEXT: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| odd_names().manifest().to_json().unwrap());
        let mut text = TEXT.clone();
        let at = at.index(text.len());
        text[at] ^= flip;
        prop_assert!(Manifest::from_json(&text).is_err(), "byte {at}");
        prop_assert!(Manifest::from_json(&TEXT[..cut.index(TEXT.len())]).is_err());
    }
}

#[test]
fn foreign_newer_and_nonsensical_manifests_are_told_apart() {
    let sealed =
        |body: &str| format!("{{\"sha256\":\"{}\",\"manifest\":{body}}}\n", Digest::of(body.as_bytes())).into_bytes();
    assert_eq!(Manifest::from_json(b"{}"), Err(ManifestError::Foreign));
    assert_eq!(Manifest::from_json(&sealed(r#"{"version":2,"new":1}"#)), Err(ManifestError::Newer { found: 2 }));
    let bed = Bed::new();
    bed.silent("a", bytes(2 * LEAF));
    bed.silent("b", "x");
    let good = String::from_utf8(bed.manifest().to_json().unwrap()).unwrap();
    let body = good.split_once("\"manifest\":").unwrap().1.strip_suffix("}\n").unwrap();
    assert!(Manifest::from_json(&sealed(body)).is_ok());
    for (from, to) in [
        (r#""path":"a""#, r#""path":"../a""#),
        (r#""path":"a""#, r#""path":"b""#),
        (r#""size":8388608"#, r#""size":8388609999"#),
        (r#""kind":"file""#, r#""kind":"symlink""#),
        (r#""root":"#, r#""root2":"#),
        (r#""leaves":""#, r#""leaves":"00"#),
    ] {
        let text = sealed(&body.replacen(from, to, 1));
        assert!(matches!(Manifest::from_json(&text), Err(ManifestError::Invalid(_))), "{to}");
    }
}

#[test]
fn holes_cost_nothing_and_hash_as_zeros() {
    let bed = Bed::new();
    let file = File::create(bed.at("sparse")).unwrap();
    file.set_len(40 * LEAF + 3).unwrap();
    file.write_all_at(b"data", 7 * LEAF).unwrap();
    let manifest = bed.manifest();
    let sums = manifest.entries[0].sums.clone().unwrap();
    let content = fs::read(bed.at("sparse")).unwrap();
    assert_eq!(sums.sha256(), Digest::of(&content));
    assert_eq!(sums.root(), root(&content.chunks(LEAF as usize).map(Digest::of).collect::<Vec<_>>()));
    assert_eq!(told(&bed.check(Some(&manifest), Level::Full, Mutable::Never)), []);
    // The same bytes without holes are the same content.
    let before = fs::metadata(bed.at("sparse")).unwrap().modified().unwrap();
    fs::write(bed.at("sparse"), &content).unwrap();
    File::options().write(true).open(bed.at("sparse")).unwrap().set_modified(before).unwrap();
    assert_eq!(told(&bed.check(Some(&manifest), Level::Full, Mutable::Never)), []);
}

#[test]
fn special_files_are_never_opened_and_links_never_followed() {
    let bed = Bed::new();
    bed.silent("a", "x");
    mkfifo(&bed.at("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(bed.at("socket")).unwrap();
    symlink("/dev/zero", bed.at("zero")).unwrap();
    symlink("/etc", bed.at("out")).unwrap();
    symlink(".", bed.at("loop")).unwrap();
    symlink("nowhere", bed.at("dangling")).unwrap();
    let report = bed.check(None, Level::Full, Mutable::Never);
    assert_eq!((report.files, report.hashed_bytes), (7, 1));
    let manifest = report.next.unwrap();
    let node = |path: &str| &manifest.entry(&path.parse().unwrap()).unwrap().node;
    assert_eq!(*node("fifo"), Node::Special(SpecialKind::Fifo));
    assert_eq!(*node("socket"), Node::Special(SpecialKind::Socket));
    assert_eq!(*node("out"), Node::Symlink { target: b"/etc".to_vec() });
    assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()), Ok(manifest.clone()));
    // A file that becomes a pipe is told, and nobody waits for a writer.
    fs::remove_file(bed.at("a")).unwrap();
    mkfifo(&bed.at("a"), Mode::S_IRWXU).unwrap();
    assert_eq!(bed.check(Some(&manifest), Level::Full, Mutable::Never).corruption[0].object, "a");
}

#[test]
fn a_root_behind_a_link_is_not_entered() {
    let bed = Bed::new();
    fs::remove_dir(bed.root()).unwrap();
    symlink("/etc", bed.root()).unwrap();
    let report = bed.check(None, Level::Quick, Mutable::Never);
    assert_eq!((verdicts(&report), report.next), (vec![Verdict::Unknown], None));
}

#[test]
fn devices_and_mounts_are_seen_as_they_are() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let below = mounts.lines().filter_map(|l| l.split(' ').nth(1)?.strip_prefix("/dev/"));
    let folder = |name: &&str| fs::metadata(format!("/dev/{name}")).is_ok_and(|m| m.is_dir());
    let expected = below.filter(folder).collect::<std::collections::BTreeSet<_>>().len();
    let mut tree = Bed::tree(Mutable::Always);
    tree.root.path = "dev".into();
    let depth = memorybank::bank::files::Depth { level: Level::Quick, share_percent: 1, threads: 1 };
    let (meter, now) = (memorybank::bank::Meter::default(), jiff::Timestamp::UNIX_EPOCH);
    let report = memorybank::bank::files::check_tree("/".as_ref(), &tree, None, depth, &meter, now).unwrap();
    let detail = &row(&report, "files-names").detail;
    assert_eq!(detail.contains(&format!("{expected} mount points within")), expected > 0, "{detail}");
    let manifest = report.next.unwrap();
    assert_eq!(manifest.entry(&"null".parse().unwrap()).unwrap().node, Node::Special(SpecialKind::CharDevice));
}

#[test]
fn hard_links_are_read_once_and_told_each() {
    let bed = Bed::new();
    bed.silent("a", bytes(LEAF + 1));
    fs::hard_link(bed.at("a"), bed.at("b")).unwrap();
    let report = bed.check(None, Level::Full, Mutable::Never);
    assert_eq!((report.files, report.hashed_bytes), (2, LEAF + 1));
    let manifest = report.next.unwrap();
    assert_eq!(manifest.entries[0].sums, manifest.entries[1].sums);
    bed.silent("a", bytes(LEAF + 1).into_iter().rev().collect::<Vec<_>>());
    let objects =
        |r: &memorybank::bank::files::TreeReport| r.corruption.iter().map(|e| e.object.clone()).collect::<Vec<_>>();
    assert_eq!(objects(&bed.check(Some(&manifest), Level::Full, Mutable::Always)), ["a", "b"]);
}

/// Runs as a user who may not read everything, whoever runs the tests.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let run = || {
            if Uid::effective().is_root() {
                setfsuid(Uid::from_raw(65_534)); // Of this thread and those it starts; drops the right to read all.
            }
            work()
        };
        scope.spawn(run).join().unwrap()
    })
}

#[test]
fn what_may_not_be_read_is_told_and_unknown_and_the_rest_goes_on() {
    let bed = Bed::new();
    bed.silent("open", "x");
    bed.silent("closed", "y");
    bed.silent("folder/inside", "z");
    fs::set_permissions(bed.volume.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let first = bed.manifest();
    let rights = |path: &str, mode| fs::set_permissions(bed.at(path), fs::Permissions::from_mode(mode)).unwrap();
    rights("closed", 0);
    rights("folder", 0);
    let report = unprivileged(|| bed.check(Some(&first), Level::Full, Mutable::Never));
    assert_eq!((told(&report).len(), verdicts(&report)), (0, vec![Verdict::Unknown, Verdict::Unknown]), "{report:?}");
    assert_eq!(report.unreadable, 2);
    let detail = &row(&report, "files-content").detail;
    assert!(detail.contains("closed (Permission denied as uid ") && detail.contains("folder (Permission"), "{detail}");
    // What is hidden is not missing, and stays in the manifest.
    assert_eq!(next(&report, &first).entries.len(), 3);

    // Damage that was told and cannot be looked at again stays told, and other damage is still found.
    rights("closed", 0o644);
    rights("folder", 0o755);
    bed.silent("closed", "n");
    fs::remove_file(bed.at("folder/inside")).unwrap();
    let damaged = bed.check(Some(&first), Level::Full, Mutable::Never);
    assert_eq!(damaged.corruption.len(), 2);
    let second = next(&damaged, &first);
    rights("closed", 0);
    rights("folder", 0);
    bed.silent("open", "o");
    let report = unprivileged(|| bed.check(Some(&second), Level::Full, Mutable::Never));
    let mut objects: Vec<&str> = report.corruption.iter().map(|e| e.object.as_str()).collect();
    objects.sort_unstable();
    assert_eq!(objects, ["closed", "folder/inside", "open"], "{report:?}");
    assert_eq!(verdicts(&report), [Verdict::Failed, Verdict::Failed]);

    rights("folder", 0o755);
    fs::set_permissions(bed.root(), fs::Permissions::from_mode(0o0)).unwrap();
    let report = unprivileged(|| bed.check(Some(&first), Level::Full, Mutable::Never));
    fs::set_permissions(bed.root(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!((told(&report).len(), verdicts(&report)), (0, vec![Verdict::Unknown, Verdict::Unknown]));
}

#[test]
fn a_tree_deeper_than_a_path_can_say_is_walked() {
    let bed = Bed::new();
    let mut folder: std::os::fd::OwnedFd = File::open(bed.root()).unwrap().into();
    for _ in 0..1_200 {
        mkdirat(&folder, "deep", Mode::S_IRWXU).unwrap();
        folder = openat(&folder, "deep", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let bottom = openat(&folder, "bottom", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
    File::from(bottom).write_all(b"x").unwrap();
    let report = bed.check(None, Level::Full, Mutable::Never);
    assert!(Command::new("rm").arg("-rf").arg(bed.root()).status().unwrap().success());
    assert_eq!((report.files, report.hashed_bytes, report.unreadable), (1, 1, 0));
}

/// Checks again and again while `write` goes on.
fn beside_a_writer(bed: &Bed, mutable: Mutable, write: impl FnMut() + Send) -> Manifest {
    let stop = AtomicBool::new(false);
    let mut write = write;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                write();
            }
        });
        let mut manifest = bed.check(None, Level::Full, mutable).next.unwrap();
        let mut false_alarms = Vec::new();
        for run in 0..25 {
            let level = [Level::Full, Level::Quick, Level::Checksum][run % 3];
            let report = bed.check(Some(&manifest), level, mutable);
            false_alarms.extend(report.corruption.clone());
            assert!(report.checks.iter().all(|c| c.verdict != Verdict::Unknown), "{report:?}");
            manifest = next(&report, &manifest);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(false_alarms, []);
        manifest
    })
}

#[test]
fn files_that_are_written_while_they_are_read_are_no_corruption() {
    let bed = Bed::new();
    bed.silent("steady", bytes(100));
    let (path, mut n) = (bed.at("busy"), 0_u8);
    fs::write(&path, bytes(2 * LEAF)).unwrap();
    let churn = bed.at("churn");
    beside_a_writer(&bed, Mutable::Always, || {
        n = n.wrapping_add(1);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[n; 512], u64::from(n) * 30_000).unwrap();
        fs::write(&churn, [n; 64]).unwrap();
        fs::remove_file(&churn).unwrap();
    });
}

#[test]
fn a_log_that_grows_while_it_is_read_is_proven_as_far_as_it_was() {
    let bed = Bed::new();
    let mut log = File::create(bed.at("log")).unwrap();
    log.write_all(&bytes(LEAF - 1_000)).unwrap();
    let manifest = beside_a_writer(&bed, Mutable::Append, || log.write_all(b"one more line\n").unwrap());
    assert!(manifest.entries[0].size() > LEAF - 1_000, "growth enters the manifest");
    // Nothing of it was lost meanwhile.
    let report = bed.check(Some(&manifest), Level::Full, Mutable::Append);
    assert_eq!(told(&report), []);
}
