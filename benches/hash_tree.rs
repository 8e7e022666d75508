//! Hashing a warm tree: one file of three quarters of the size and 20,000 small ones, beside a bare
//! read-and-hash loop and `openssl dgst -sha256`, all in one run.
//!
//! `cargo bench --bench hash_tree -- [--size-gib N] [--rounds N]`; the tree is kept in `target/bench-tree`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.
#![allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use memorybank::bank::Meter;
use memorybank::bank::files::{Depth, check_tree, sha_backend};
use memorybank::domain::{FileTree, Level, Mutable, PathInVolume};
use memorybank::engine::integrity::files::Manifest;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

const SMALL: u64 = 20_000;
const BUFFER: usize = 128 << 10;

fn main() {
    let number = |flag: &str, default: u64| {
        let mut args = std::env::args().skip_while(|arg| arg != flag);
        args.nth(1).map_or(default, |n| n.parse().expect("a number"))
    };
    let gib = number("--size-gib", 4);
    let root = tree(gib);
    if std::env::args().any(|arg| arg == "--peak") {
        let first = check(&root, "all", None, 2);
        assert!(check(&root, "all", Some(&first.0), 2).1 > 0);
        print!("{}", peak());
        return;
    }
    let rounds = number("--rounds", 3);
    println!("tree of {gib} GiB in {}, best of {rounds} rounds, SHA-256 by {}\n", root.display(), sha_backend());
    warm(&root);
    let (all, _) = check(&root, "all", None, 2);
    let (large, _) = check(&root, "all/large", None, 2);
    let paths = files(&root.join("all"));

    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..rounds {
        measure(&mut rows, "bare loop, tree", || bare(&root.join("all"), 1));
        measure(&mut rows, "openssl, tree", || openssl(&root, &paths));
        measure(&mut rows, "leaves, tree, 1 thread", || check(&root, "all", Some(&all), 1).1);
        measure(&mut rows, "leaves, tree, 2 threads", || check(&root, "all", Some(&all), 2).1);
        measure(&mut rows, "leaves, large file, 1 thread", || check(&root, "all/large", Some(&large), 1).1);
        measure(&mut rows, "leaves, large file, 2 threads", || check(&root, "all/large", Some(&large), 2).1);
        measure(&mut rows, "plain hash, tree, 2 threads", || bare(&root.join("all"), 2));
        measure(&mut rows, "first manifest, tree, 2 threads", || check(&root, "all", None, 2).1);
        measure(&mut rows, "plain hash, large file", || bare(&root.join("all/large"), 1));
        measure(&mut rows, "first manifest, large file, 1 thread", || check(&root, "all/large", None, 1).1);
        measure(&mut rows, "first manifest, large file, 2 threads", || check(&root, "all/large", None, 2).1);
    }
    println!("{:<38} {:>8} {:>8} {:>12} {:>8}", "what", "wall s", "CPU s", "GB per CPU-s", "GB/s");
    for Row { what, bytes, wall, cpu } in &rows {
        let gb = *bytes as f64 / 1e9;
        println!("{what:<38} {wall:>8.2} {cpu:>8.2} {:>12.2} {:>8.2}", gb / cpu, gb / wall);
    }
    let row = |what: &str| rows.iter().find(|row| row.what == what && row.bytes > 0);
    let ratio = |what: &str, target: &str, value: Option<f64>| match value {
        Some(value) => println!("{what:<64} {value:>6.2}  ({target})"),
        None => println!("{what:<64}      -  (not measured)"),
    };
    let of = |a: &str, b: &str, f: fn(&Row) -> f64| Some(f(row(a)?) / f(row(b)?));
    println!();
    ratio(
        "per CPU-second, leaves to bare loop, 1 thread",
        "at least 0.95",
        of("bare loop, tree", "leaves, tree, 1 thread", |r| r.cpu),
    );
    ratio(
        "per CPU-second, leaves to openssl, 1 thread",
        "at least 1",
        of("openssl, tree", "leaves, tree, 1 thread", |r| r.cpu),
    );
    ratio("2 threads to 1, tree", "at least 1.8", of("leaves, tree, 1 thread", "leaves, tree, 2 threads", |r| r.wall));
    ratio(
        "2 threads to 1, large file alone",
        "at least 1.8",
        of("leaves, large file, 1 thread", "leaves, large file, 2 threads", |r| r.wall),
    );
    ratio(
        "first manifest to plain hash, wall, 2 threads",
        "at most 1.15",
        of("first manifest, tree, 2 threads", "plain hash, tree, 2 threads", |r| r.wall),
    );
    ratio(
        "first manifest to plain hash, large file alone, wall, 2 threads",
        "at most 1.15",
        of("first manifest, large file, 2 threads", "plain hash, large file", |r| r.wall),
    );
    let child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--peak", "--size-gib", &gib.to_string()])
        .output();
    let peak: f64 = String::from_utf8(child.expect("child").stdout).expect("text").trim().parse().expect("kB");
    ratio("peak memory, first manifest and a check, 2 threads, MB", "under 64", Some(peak * 1.024e-3));
}

/// The best of some rounds.
struct Row {
    what: &'static str,
    bytes: u64,
    wall: f64,
    cpu: f64,
}

fn measure(rows: &mut Vec<Row>, what: &'static str, work: impl FnOnce() -> u64) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let bytes = work();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    match rows.iter_mut().find(|row| row.what == what) {
        Some(row) => (row.wall, row.cpu) = (row.wall.min(wall), row.cpu.min(cpu)),
        None => rows.push(Row { what, bytes, wall, cpu }),
    }
}

/// User and system time of this process and of its children that ended.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace();
    fields.skip(11).take(4).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("kB")
}

fn check(root: &Path, path: &str, previous: Option<&Manifest>, threads: usize) -> (Manifest, u64) {
    let place = PathInVolume { volume: "bench".into(), path: path.into() };
    let tree = FileTree { name: "tree".into(), root: place, mutable: Mutable::Never };
    let depth = Depth { level: Level::Full, share_percent: 100, threads };
    let report = check_tree(root, &tree, previous, depth, &Meter::default(), Timestamp::now()).expect("a report");
    assert!(report.corruption.is_empty() && report.unreadable == 0, "{:?}", report.checks);
    (report.next.or_else(|| previous.cloned()).expect("a manifest"), report.hashed_bytes)
}

/// What anybody would write: list, open, read and hash each file, with the same buffer.
fn bare(folder: &Path, threads: usize) -> u64 {
    let paths = files(folder);
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut bytes) = (vec![0; BUFFER], 0);
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut file = File::open(path).expect("a file");
            let mut hash = Sha256::new();
            loop {
                let n = file.read(&mut buffer).expect("bytes");
                if n == 0 {
                    break;
                }
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
            black_box(hash.finalize());
        }
        bytes
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work() + others.into_iter().map(|other| other.join().expect("a thread")).sum::<u64>()
    })
}

/// All paths, the large file first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// 0 bytes where there is no openssl.
fn openssl(root: &Path, paths: &[PathBuf]) -> u64 {
    let relative = paths.iter().map(|path| path.strip_prefix(root).expect("beneath"));
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-r"]).args(relative).current_dir(root).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => paths.iter().map(|path| fs::metadata(path).expect("a file").len()).sum(),
        _ => 0,
    }
}

fn warm(root: &Path) {
    for path in files(root) {
        std::io::copy(&mut File::open(path).expect("a file"), &mut std::io::sink()).expect("bytes");
    }
    bare(root, 2);
}

/// The tree, made once.
fn tree(gib: u64) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-tree").join(format!("{gib}gib"));
    if root.join("complete").exists() {
        return root;
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (large, small) = ((gib << 30) / 4 * 3, (gib << 30) / 4 / SMALL);
    fs::create_dir_all(root.join("all/large")).expect("a folder");
    fill(&root.join("all/large/large.bin"), large, &mut random);
    for n in 0..SMALL {
        let folder = root.join(format!("all/small/{:02}", n % 64));
        fs::create_dir_all(&folder).expect("a folder");
        let size = random.random_range(small / 10..=small * 19 / 10);
        fill(&folder.join(format!("{n:05}.txt")), size, &mut random);
    }
    File::create(root.join("complete")).expect("a mark").sync_all().expect("a disk");
    root
}

fn fill(path: &Path, size: u64, random: &mut ChaCha8Rng) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut chunk = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let take = usize::try_from(left.min(1 << 20)).expect("a small number");
        random.fill_bytes(&mut chunk[..take]);
        file.write_all(&chunk[..take]).expect("room");
        left -= take as u64;
    }
}
