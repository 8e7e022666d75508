//! A sample bank, its repository, and a runner on both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memorybank::domain::{
    BackupVerdict, Bank, Digest, FileTree, Flavor, IntegrityScope, LatestSet, Level, Mutable, PathInVolume, Repository,
    RunReport, RunSpec, SqlDatabase, Task, VerifiedSets, Work,
};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use tokio_util::sync::CancellationToken;

use crate::guardian;

/// What runs leave for each other, at once and not when a report is stored.
#[derive(Default)]
pub struct Outputs {
    left: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What is done once at the next of them.
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Exchange for &Outputs {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        Ok(self.left.lock().unwrap().get(name).cloned())
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        let digest = Digest::of(&bytes);
        self.left.lock().unwrap().insert(name.to_owned(), bytes);
        if let Some(then) = self.then.lock().unwrap().take() {
            then();
        }
        Ok(digest)
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        Ok([7; 32])
    }
}

/// A bank `assistant` with database, history, the tree `uploads` and the repository `sets`.
pub struct Bed {
    files: guardian::Bed,
    outputs: Outputs,
    pub bank: Bank,
}

fn place(volume: &str, path: &str) -> PathInVolume {
    PathInVolume { volume: volume.to_owned(), path: path.to_owned() }
}

pub fn tree(name: &str, volume: &str, path: &str, mutable: Mutable) -> FileTree {
    FileTree { name: name.to_owned(), root: place(volume, path), mutable }
}

impl Bed {
    pub fn new(memories: u32) -> Self {
        let files = guardian::Bed::new(memories);
        fs::create_dir(files.path("sets")).unwrap();
        let bank = Bank {
            name: "assistant".to_owned(),
            flavor: Flavor::OpenMemory,
            database: Some(SqlDatabase::Sqlite(place("data", "openmemory.db"))),
            history: Some(place("data", ".mem0/history.db")),
            vector_store: None,
            embedding: None,
            api: None,
            volumes: vec!["data".to_owned(), "sets".to_owned()],
            files: vec![tree("uploads", "data", "uploads", Mutable::Append)],
            backups: Vec::new(),
            repository: Some(Repository { folder: Some(place("sets", "memorybank")), s3: None, encryption: None }),
            compose: None,
        };
        Self { files, outputs: Outputs::default(), bank }
    }

    /// The folder of the living bank.
    pub fn live(&self) -> PathBuf {
        self.files.path("bank")
    }

    /// The volume of the repository.
    pub fn volume(&self) -> PathBuf {
        self.files.path("sets")
    }

    /// The folder of the bank's sets.
    pub fn repository(&self) -> PathBuf {
        self.volume().join("memorybank/stores/assistant")
    }

    /// What stands in it, by name.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.repository()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The folder of the newest set that was made.
    pub fn set(&self) -> PathBuf {
        let bytes = self.outputs.left.lock().unwrap()[LatestSet::OUTPUT].clone();
        let latest: LatestSet = serde_json::from_slice(&bytes).unwrap();
        self.repository().join(latest.set)
    }

    /// Leaves a secret of one key for the bank.
    pub fn secret(&self, name: &str, key: &str, value: &str) {
        let folder = self.files.path("secrets").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(key), value).unwrap();
    }

    /// Loses all that runs left, as a new data folder does.
    pub fn forget(&self) {
        self.outputs.left.lock().unwrap().clear();
    }

    /// Does something as soon as a task leaves its next output, before the task after it begins.
    pub fn at_next_output(&self, then: impl FnOnce() + Send + 'static) {
        *self.outputs.then.lock().unwrap() = Some(Box::new(then));
    }

    /// What verification said last.
    pub fn verdict(&self) -> Option<BackupVerdict> {
        let outputs = self.outputs.left.lock().unwrap();
        outputs.get(BackupVerdict::OUTPUT).map(|bytes| serde_json::from_slice(bytes).unwrap())
    }

    /// The sets that are known to be good.
    pub fn verified(&self) -> VerifiedSets {
        serde_json::from_slice(&self.outputs.left.lock().unwrap()[VerifiedSets::OUTPUT]).unwrap()
    }

    /// Runs tasks, as the run of this uid.
    pub fn run(&self, uid: &str, works: &[Work]) -> RunReport {
        self.run_within(uid, works, None)
    }

    /// The same, until that is cancelled.
    #[allow(dead_code)] // For those who stop it.
    pub fn run_until(&self, uid: &str, works: &[Work], cancel: &CancellationToken) -> RunReport {
        self.run_so(uid, works, None, cancel)
    }

    /// What the newest run left under a name.
    pub fn output(&self, name: &str) -> Option<Vec<u8>> {
        self.outputs.left.lock().unwrap().get(name).cloned()
    }

    /// All that runs left, by name.
    #[allow(dead_code)] // For those who hand it to another process.
    pub fn outputs(&self) -> BTreeMap<String, Vec<u8>> {
        self.outputs.left.lock().unwrap().clone()
    }

    /// The same, each task within so many seconds.
    pub fn run_within(&self, uid: &str, works: &[Work], seconds: Option<u32>) -> RunReport {
        self.run_so(uid, works, seconds, &CancellationToken::new())
    }

    fn run_so(&self, uid: &str, works: &[Work], seconds: Option<u32>, cancel: &CancellationToken) -> RunReport {
        let tasks = works.iter().map(|work| Task {
            name: work.kind().name().to_lowercase(),
            work: work.clone(),
            active_deadline_seconds: seconds,
        });
        let spec = RunSpec {
            namespace: "stores".to_owned(),
            run: "by-hand".to_owned(),
            bank: self.bank.clone(),
            tasks: tasks.collect(),
            active_deadline_seconds: 600,
        };
        let mut volumes = BTreeMap::from([("data".to_owned(), self.live()), ("sets".to_owned(), self.volume())]);
        volumes.insert("old".to_owned(), self.files.path("old"));
        let places = Places { volumes, scratch: self.files.path("scratch"), secrets: self.files.path("secrets") };
        let runner = Runner { exchange: &self.outputs, places, threads: 2 };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (progress, _receiver) = Progress::new();
        runtime.block_on(runner.execute(&spec, uid, cancel, &progress))
    }

    pub fn back_up(&self, uid: &str) -> RunReport {
        self.run(uid, &[Work::Backup])
    }

    /// Verifies, and gives why the set was refused.
    pub fn refused(&self) -> Option<String> {
        let report = self.run("verifier", &[Work::VerifyBackup]);
        let verdict = self.verdict().unwrap();
        let events = &report.tasks[0].corruption;
        assert_eq!(verdict.refused.is_some(), !events.is_empty(), "{report:#?}");
        assert!(events.iter().all(|event| event.component == "repository"), "{events:?}");
        verdict.refused
    }

    /// Checks the trees of other tools' sets.
    pub fn judge(&mut self) -> RunReport {
        self.bank.backups = vec![tree("old", "old", ".", Mutable::Always)];
        let scopes = vec![IntegrityScope::Backups];
        self.run("judge", &[Work::IntegrityCheck { level: Level::Full, scopes, share_percent: 100 }])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }
}

/// All files of a set, by path within it.
pub fn files(set: &Path) -> Vec<String> {
    let mut files: Vec<_> = guardian::files(set)
        .into_iter()
        .map(|path| path.strip_prefix(set).unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    files
}

/// Bytes that do not compress.
pub fn noise(length: usize) -> Vec<u8> {
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; length];
    rand_chacha::ChaCha8Rng::seed_from_u64(3).fill_bytes(&mut bytes);
    bytes
}
