//! A bank whose rows and points agree, a verified set of it, and ways to damage it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use memorybank::domain::{
    Consent, Digest, Encryption, IntegrityScope, Level, Outcome, PointId, QdrantEndpoint, RecoveryReport,
    RecoveryState, SecretKey, TaskReport, Trust, VectorStore, Work,
};

use memorybank::engine::recovery::{Geometry, TablePage};

use crate::bed::Bed;
use crate::embedder::{self, Embedder};
use crate::fill::{fill, fill_with};
use crate::guardian::{files, query};
use crate::qdrant::{Qdrant, Stored};

pub const NAME: &str = "openmemory";
pub const SIZE: usize = 8;

/// All that people can read of a bank.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    memories: Vec<Vec<String>>,
    history: Vec<Vec<String>>,
    uploads: BTreeMap<PathBuf, Vec<u8>>,
    points: BTreeMap<PointId, Stored>,
}

impl Content {
    /// Whether all of these rows are its memories.
    pub fn has(&self, rows: &[Vec<String>]) -> bool {
        rows.iter().all(|row| self.memories.contains(row))
    }
}

/// The bytes of a bank, sound or not.
#[derive(Debug, PartialEq)]
pub struct Bytes {
    files: BTreeMap<PathBuf, Vec<u8>>,
    collections: Vec<String>,
    points: BTreeMap<PointId, Stored>,
}

pub struct Damaged {
    pub bed: Bed,
    pub server: Qdrant,
}

/// A file of the tree that is not empty.
pub fn upload(bed: &Bed) -> PathBuf {
    let uploads = files(&bed.live().join("uploads"));
    uploads.into_iter().find(|file| file.metadata().unwrap().len() > 0).unwrap()
}

/// Changes a file as no writer does.
pub fn rot(file: &Path) {
    let time = file.metadata().unwrap().modified().unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[0] ^= 1;
    fs::write(file, bytes).unwrap();
    File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

impl Damaged {
    /// Healthy as yet, with baselines and a set that was verified.
    pub fn new(memories: u32) -> Self {
        let (bed, server) = (Bed::new(memories), Qdrant::start());
        fill(&bed, &server, NAME, SIZE);
        Self::of(bed, server)
    }

    /// The same, of which a model that answers made the vectors.
    pub fn embedded(memories: u32) -> (Self, Embedder) {
        let (mut bed, server, model) = (Bed::new(memories), Qdrant::start(), Embedder::start(SIZE));
        fill_with(&bed, &server, NAME, SIZE, |text| embedder::vector(embedder::MODEL, text, SIZE));
        bed.bank.embedding = Some(model.endpoint());
        bed.secret("model", "key", Embedder::key());
        (Self::of(bed, server), model)
    }

    /// The same, whose sets are encrypted.
    pub fn sealed(memories: u32) -> Self {
        let (mut bed, server) = (Bed::new(memories), Qdrant::start());
        fill(&bed, &server, NAME, SIZE);
        let identity = age::x25519::Identity::generate();
        bed.secret("age", "key", identity.to_string().expose_secret());
        let key = SecretKey { name: "age".to_owned(), key: "key".to_owned() };
        let encryption = Encryption { recipients: vec![identity.to_public().to_string()], identity: Some(key) };
        bed.bank.repository.as_mut().unwrap().encryption = Some(encryption);
        Self::of(bed, server)
    }

    fn of(mut bed: Bed, server: Qdrant) -> Self {
        bed.bank.vector_store = Some(VectorStore::Qdrant(QdrantEndpoint {
            url: server.url(),
            api_key: None,
            collection: NAME.to_owned(),
            tls: Trust::default(),
        }));
        let scopes = vec![IntegrityScope::Database, IntegrityScope::Files, IntegrityScope::Consistency];
        let check = Work::IntegrityCheck { level: Level::Full, scopes, share_percent: 100 };
        let report = bed.run("baseline", &[check, Work::Backup, Work::VerifyBackup]);
        assert_eq!(report.outcome().0, Outcome::Succeeded, "{report:#?}");
        assert_eq!(report.tasks[0].corruption, []);
        Self { bed, server }
    }

    pub fn database(&self) -> PathBuf {
        self.bed.live().join("openmemory.db")
    }

    pub fn content(&self) -> Content {
        let rows =
            |path: &str, table: &str| query(&self.bed.live().join(path), &format!("SELECT * FROM {table} ORDER BY 1"));
        let uploads = self.bed.live().join("uploads");
        Content {
            memories: rows("openmemory.db", "memories"),
            history: rows(".mem0/history.db", "history"),
            uploads: files(&uploads).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect(),
            points: self.points(),
        }
    }

    pub fn bytes(&self) -> Bytes {
        let live = files(&self.bed.live());
        Bytes {
            files: live.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect(),
            collections: self.server.collections(),
            points: self.points(),
        }
    }

    fn points(&self) -> BTreeMap<PointId, Stored> {
        if !self.server.collections().contains(&NAME.to_owned()) {
            return BTreeMap::new();
        }
        let ids = self.server.ids(NAME);
        ids.into_iter().map(|id| (id, self.server.point(NAME, id).unwrap())).collect()
    }

    /// Recovers; the report of the task, and what it says of the recovery.
    pub fn recover(&self, uid: &str, consent: Consent) -> (TaskReport, RecoveryReport) {
        let report = self.bed.run(uid, &[Work::Recover { events: Vec::new(), set: None, consent }]);
        let task = report.tasks.into_iter().next().unwrap();
        let recovery = task.recovery.clone().unwrap_or_else(|| panic!("{task:#?}"));
        (task, recovery)
    }

    /// Makes a plan, and gives its digest.
    pub fn plan(&self) -> (RecoveryReport, Digest) {
        let before = self.bytes();
        let (task, recovery) = self.recover("planner", Consent::None);
        assert_eq!((task.outcome, recovery.state), (Outcome::Succeeded, RecoveryState::Planned), "{task:#?}");
        assert_eq!(self.bytes(), before, "a plan changes nothing");
        assert!(!task.corruption.is_empty());
        let digest = recovery.plan_digest;
        (recovery, digest)
    }

    /// The damage is gone, by the checks of the next run too, and nothing of the work is left.
    pub fn is_sound(&self) {
        let (task, recovery) = self.recover("again", Consent::Lossless);
        assert_eq!((task.outcome, recovery.state), (Outcome::Succeeded, RecoveryState::Nothing), "{task:#?}");
        assert_eq!(task.corruption, [], "{task:#?}");
        assert_eq!(self.server.collections(), [NAME]);
        let left = |path: &PathBuf| path.to_string_lossy().contains("memorybank-new");
        assert!(!files(&self.bed.live()).iter().any(left));
    }

    /// Overwrites a part of the database.
    pub fn tear(&self, at: u64, bytes: &[u8]) {
        File::options().write(true).open(self.database()).unwrap().write_all_at(bytes, at).unwrap();
    }

    /// The page at which a table or an index begins.
    pub fn root(&self, name: &str) -> u64 {
        let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'");
        query(&self.database(), &sql)[0][0].parse().unwrap()
    }

    /// A page with rows of a table.
    pub fn leaf(&self, table: &str) -> u64 {
        let bytes = fs::read(self.database()).unwrap();
        let geometry = Geometry::read(&bytes).unwrap();
        let mut page = self.root(table);
        loop {
            let at = usize::try_from(page - 1).unwrap() * geometry.page;
            match geometry.table_page(&bytes[at..at + geometry.page], false).unwrap() {
                TablePage::Leaf(..) => return page,
                TablePage::Interior(below, _) => page = u64::from(below[0]),
            }
        }
    }

    /// How many memories are in a state.
    pub fn rows(&self, state: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM memories WHERE state = '{state}'");
        query(&self.database(), &sql)[0][0].parse().unwrap()
    }

    pub fn upload(&self) -> PathBuf {
        upload(&self.bed)
    }

    /// Changes a file as no writer does.
    pub fn rot(&self) {
        rot(&self.upload());
    }

    pub fn zero(&self) {
        let id = self.server.ids(NAME)[1];
        let stored = self.server.point(NAME, id).unwrap();
        self.server.put(NAME, id, stored.payload, Some(vec![0.0; SIZE]));
    }
}
