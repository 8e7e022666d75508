//! A set of one tree of prose and one of vectors: Backup against `tar | zstd -3 -T2` of the same trees, and `VerifyBackup`
//! against `zstd -dc | openssl dgst -sha256` of the same set, turn by turn in one run.
//! `cargo bench --bench backup_set`; `MEMORYBANK_BENCH_MEGABYTES` says how large each tree is otherwise. Needs tar, zstd
//! and openssl.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // Sizes are far below 2^52.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use memorybank::domain::{
    Bank, Digest, FileTree, Flavor, Mutable, Outcome, PathInVolume, Repository, RunSpec, Task, Work,
};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

const MEGABYTES: usize = 400;
const ROUNDS: usize = 3;
/// The size of a file, in bytes.
const FILE: usize = 1 << 20;
const THREADS: usize = 2;
const TREES: [&str; 2] = ["prose", "vectors"];

#[derive(Default)]
struct Outputs(Mutex<BTreeMap<String, Vec<u8>>>);

impl Exchange for &Outputs {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        let digest = Digest::of(&bytes);
        self.0.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(digest)
    }
    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        Ok([7; 32])
    }
}

fn main() {
    let megabytes = std::env::var("MEMORYBANK_BENCH_MEGABYTES").map_or(MEGABYTES, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for tree in TREES {
        fill(&folder.path().join(tree), tree, megabytes);
    }
    for tree in TREES {
        runtime.block_on(measure(folder.path(), tree, megabytes));
    }
}

/// Files of sentences, or of unit vectors as they stand in a vector store.
fn fill(folder: &Path, kind: &str, megabytes: usize) {
    fs::create_dir(folder).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let syllables: Vec<String> = (0..4_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761) >> 12)).collect();
    for file in 0..megabytes {
        let mut bytes = Vec::with_capacity(FILE + 64);
        while bytes.len() < FILE {
            if kind == "prose" {
                // Words of which some come often, as in any language.
                let rank = (random.next_u32() % 63 + 1) * (random.next_u32() % 63 + 1);
                bytes.extend_from_slice(syllables[rank as usize].as_bytes());
                bytes.push(if random.next_u32().is_multiple_of(9) { b'\n' } else { b' ' });
            } else {
                let number = (f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5) * 0.1;
                bytes.extend_from_slice(&(number as f32).to_le_bytes());
            }
        }
        fs::write(folder.join(format!("{file:05}")), bytes).unwrap();
    }
}

async fn measure(folder: &Path, tree: &str, megabytes: usize) {
    let repository = folder.join("repository");
    fs::create_dir_all(&repository).unwrap();
    let outputs = Outputs::default();
    let best = |best: &mut Duration, took: Duration| *best = (*best).min(took);
    let mut times = [Duration::MAX; 4];
    for round in 0..ROUNDS {
        let began = Instant::now();
        piped(
            Command::new("tar").arg("-C").arg(folder).args(["-cf", "-", tree]),
            Command::new("zstd").args(["-q", "-f", "-3", "-T2", "-o"]).arg(folder.join("peer.tar.zst")),
        );
        // Both are on the disk when the time is taken.
        fs::File::open(folder.join("peer.tar.zst")).unwrap().sync_all().unwrap();
        best(&mut times[0], began.elapsed());
        let began = Instant::now();
        run(folder, tree, &outputs, &format!("round-{round}"), Work::Backup).await;
        best(&mut times[1], began.elapsed());
        let stored = stored(&repository);
        let began = Instant::now();
        for file in &stored {
            piped(
                Command::new("zstd").arg("-dcq").arg(file),
                Command::new("openssl").args(["dgst", "-sha256"]).stdout(Stdio::null()),
            );
        }
        best(&mut times[2], began.elapsed());
        let began = Instant::now();
        run(folder, tree, &outputs, "verifier", Work::VerifyBackup).await;
        best(&mut times[3], began.elapsed());
        fs::remove_dir_all(&repository).unwrap();
        fs::create_dir(&repository).unwrap();
    }
    let rate = |time: Duration| megabytes as f64 * 1.048_576 / time.as_secs_f64();
    let [tar, backup, openssl, verify] = times.map(rate);
    println!("{tree}, {megabytes} MiB, the best of {ROUNDS}:");
    println!("  tar | zstd -3 -T2        {tar:7.0} MB/s");
    println!("  Backup, 2 threads        {backup:7.0} MB/s   ratio {:.2} (at least 0.80)", backup / tar);
    println!("  zstd -dc | openssl dgst  {openssl:7.0} MB/s");
    println!("  VerifyBackup             {verify:7.0} MB/s   ratio {:.2} (at least 0.80)", verify / openssl);
}

/// Runs two commands, the one into the other.
fn piped(from: &mut Command, to: &mut Command) {
    let mut from = from.stdout(Stdio::piped()).spawn().unwrap();
    let mut to = to.stdin(from.stdout.take().unwrap()).spawn().unwrap();
    assert!(from.wait().unwrap().success() && to.wait().unwrap().success());
}

/// The compressed files of the one set.
fn stored(repository: &Path) -> Vec<PathBuf> {
    let beneath = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut folders = vec![repository.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in beneath(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "zst") {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1);
    found
}

async fn run(folder: &Path, tree: &str, outputs: &Outputs, uid: &str, work: Work) {
    let place = |volume: &str, path: &str| PathInVolume { volume: volume.to_owned(), path: path.to_owned() };
    let bank = Bank {
        name: "bench".to_owned(),
        flavor: Flavor::OpenMemory,
        database: None,
        history: None,
        vector_store: None,
        embedding: None,
        api: None,
        volumes: vec!["data".to_owned(), "sets".to_owned()],
        files: vec![FileTree { name: tree.to_owned(), root: place("data", tree), mutable: Mutable::Append }],
        backups: Vec::new(),
        repository: Some(Repository { folder: Some(place("sets", ".")), s3: None, encryption: None }),
        compose: None,
    };
    let spec = RunSpec {
        namespace: "default".to_owned(),
        run: "run".to_owned(),
        bank,
        tasks: vec![Task { name: "task".to_owned(), work, active_deadline_seconds: None }],
        active_deadline_seconds: 3_600,
    };
    let volumes =
        BTreeMap::from([("data".to_owned(), folder.to_owned()), ("sets".to_owned(), folder.join("repository"))]);
    let places = Places { volumes, scratch: folder.join("scratch"), ..Places::default() };
    let runner = Runner { exchange: outputs, places, threads: THREADS };
    let report = runner.execute(&spec, uid, &CancellationToken::new(), &Progress::new().0).await;
    assert_eq!(report.tasks[0].outcome, Outcome::Succeeded, "{report:#?}");
}
