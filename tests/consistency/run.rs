//! The scope Consistency and the task `ConsistencyCheck` within runs, against a vector store that answers over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use memorybank::domain::{
    Bank, Digest, Flavor, IntegrityScope, Level, Outcome, PathInVolume, PointId, QdrantEndpoint, Reason, RunSpec,
    SqlDatabase, Task, TaskReport, Trust, VectorStore, Verdict, Work,
};
use memorybank::engine::consistency::{Action, RepairPlan};
use memorybank::runner::{Exchange, ExchangeError, Places, Progress, Runner};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bed::Bed;
use crate::qdrant::{Answer, Config, Damage, Qdrant};

const NAME: &str = "openmemory";

/// What runs leave for later ones, as soon as they leave it.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Exchange for Kept {
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

/// A database, and a server with the points that it should have.
struct Pair {
    bed: Bed,
    server: Qdrant,
    kept: Kept,
}

impl Pair {
    async fn new(memories: u64) -> Self {
        let bed = Bed::new(memories).await;
        let server = Qdrant::start();
        server.create(NAME, Config::cosine(16));
        for point in &bed.points.points {
            let known = &point.payload;
            let payload = json!({
                "data": known.data, "hash": known.hash, "user_id": known.user_id, "created_at": known.created_at,
            });
            let length = point.vector.iter().flatten().map(|number| number * number).sum::<f32>().sqrt();
            let vector = point.vector.iter().flatten().map(|number| number / length).collect();
            server.put(NAME, point.id, payload, Some(vector));
        }
        Self { bed, server, kept: Kept::default() }
    }

    fn first(&self) -> PointId {
        self.bed.points.points[0].id
    }

    /// Changes the payload of the first point, and no time of it.
    fn change(&self, key: &str, value: &str) {
        let stored = self.server.point(NAME, self.first()).unwrap();
        let mut payload = stored.payload;
        payload[key] = json!(value);
        self.server.put(NAME, self.first(), payload, stored.vector);
    }

    async fn run(&self, work: Work) -> TaskReport {
        let endpoint = QdrantEndpoint {
            url: self.server.url(),
            api_key: None,
            collection: NAME.to_owned(),
            tls: Trust::default(),
        };
        let bank = Bank {
            name: "assistant".to_owned(),
            flavor: Flavor::OpenMemory,
            database: Some(SqlDatabase::Sqlite(PathInVolume {
                volume: "data".to_owned(),
                path: "openmemory.db".to_owned(),
            })),
            history: None,
            vector_store: Some(VectorStore::Qdrant(endpoint)),
            embedding: None,
            api: None,
            volumes: vec!["data".to_owned()],
            files: Vec::new(),
            backups: Vec::new(),
            repository: None,
            compose: None,
        };
        let folder = self.bed.bank.database.parent().unwrap();
        let places = Places {
            volumes: BTreeMap::from([("data".to_owned(), folder.to_owned())]),
            scratch: folder.join("runner"),
            ..Places::default()
        };
        execute(bank, places, &self.kept, work).await
    }

    async fn check(&self, level: Level) -> TaskReport {
        self.run(Work::IntegrityCheck { level, scopes: vec![IntegrityScope::Consistency], share_percent: 10 }).await
    }
}

/// Runs one task.
pub async fn execute(bank: Bank, places: Places, kept: &Kept, work: Work) -> TaskReport {
    let runner = Runner { exchange: kept.clone(), places, threads: 1 };
    let spec = RunSpec {
        namespace: "default".to_owned(),
        run: "run".to_owned(),
        bank,
        tasks: vec![Task { name: "check".to_owned(), work, active_deadline_seconds: None }],
        active_deadline_seconds: 300,
    };
    let report = runner.execute(&spec, "uid", &CancellationToken::new(), &Progress::new().0).await;
    report.tasks.into_iter().next().unwrap()
}

pub fn told(task: &TaskReport) -> Vec<(&str, Option<&str>, u64)> {
    let told = task.corruption.iter();
    told.map(|event| (event.check.as_str(), event.invariant.as_deref(), event.count)).collect()
}

pub fn assert_sound(task: &TaskReport) {
    assert_eq!((task.outcome, task.reason), (Outcome::Succeeded, Reason::Completed), "{task:#?}");
    assert_eq!(task.corruption, []);
    assert_eq!(task.checks.len(), 9);
    assert!(task.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:#?}", task.checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_bank_passes_at_every_level_and_leaves_what_the_next_run_needs() {
    let pair = Pair::new(300).await;
    pair.bed.settle();
    for level in [Level::Checksum, Level::Quick, Level::Checksum, Level::Full] {
        let task = pair.check(level).await;
        assert_sound(&task);
        assert_eq!(task.coverage_percent, if level == Level::Quick { None } else { Some(100) }, "{level:?}");
        let names: Vec<_> = task.outputs.iter().map(|output| output.name.as_str()).collect();
        let all = ["baseline/points-0", "baseline/vectors", "repair/plan", "baseline/database"];
        assert_eq!(names, if level == Level::Quick { &[][..] } else { &all[..] }, "{level:?}");
    }
    assert_sound(&pair.run(Work::ConsistencyCheck).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_and_how_to_mend_it() {
    let pair = Pair::new(200).await;
    pair.change("user_id", "eve");
    let task = pair.check(Level::Full).await;
    assert_eq!(told(&task), [("consistency-owner", Some("I6"), 1)]);
    assert_eq!(task.outcome, Outcome::Succeeded, "it did its work: {}", task.message);
    assert!(task.corruption[0].evidence.ends_with(&pair.first().to_string()), "{}", task.corruption[0].evidence);
    let plan: RepairPlan = serde_json::from_slice(&pair.kept.0.lock().unwrap()["repair/plan"]).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::DecideOwner]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_in_the_store_is_told_once_it_is_read() {
    let pair = Pair::new(200).await;
    assert_sound(&pair.check(Level::Full).await);
    pair.server.damage(NAME, pair.first(), Damage::Flip(0));
    assert_sound(&pair.check(Level::Quick).await);
    let task = pair.check(Level::Full).await;
    assert_eq!(told(&task), [("vectors-unchanged", None, 1)]);
    assert!(task.corruption[0].evidence.ends_with(&pair.first().to_string()), "{}", task.corruption[0].evidence);
    assert_eq!(told(&pair.check(Level::Quick).await), told(&task), "it is read again until it is mended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_unchanged_is_not_even_copied() {
    let pair = Pair::new(200).await;
    pair.bed.settle();
    let still = |task: &TaskReport| task.checks[0].detail.starts_with("the files of the database are those");
    // Before there is a baseline, everything is read.
    assert!(!still(&pair.check(Level::Quick).await));
    let (file, bytes) = (&pair.bed.bank.database, std::fs::read(&pair.bed.bank.database).unwrap());
    let times = std::fs::metadata(file).unwrap().modified().unwrap();
    let task = pair.check(Level::Quick).await;
    assert_sound(&task);
    assert!(still(&task), "{task:#?}");
    // Whatever was written is looked at, though size and time of the file are as they were.
    let mut damaged = bytes.clone();
    damaged[..16].fill(b'x');
    std::fs::write(file, &damaged).unwrap();
    std::fs::File::options().write(true).open(file).unwrap().set_modified(times).unwrap();
    assert!(pair.check(Level::Quick).await.checks.iter().any(|check| check.verdict == Verdict::Unknown));
    std::fs::write(file, &bytes).unwrap();
    // What is open is read again each time.
    pair.change("user_id", "eve");
    pair.bed.settle();
    assert_eq!(told(&pair.check(Level::Full).await).len(), 2);
    assert_eq!(told(&pair.check(Level::Quick).await).len(), 2);
    pair.server.forget(NAME);
    pair.server.trouble("collections", None, Answer::Status(500, "Service internal error: broken"));
    assert!(pair.check(Level::Quick).await.checks.iter().any(|check| check.verdict == Verdict::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_looked_at_and_are_no_memories() {
    let pair = Pair::new(50).await;
    let entities = format!("{NAME}_entities");
    pair.server.create(&entities, Config::cosine(4));
    let payload = json!({
        "data": "tea", "entity_type": "drink", "linked_memory_ids": [pair.first().to_string(), PointId::Uuid(7).to_string()],
        "user_id": "ada", "created_at": "2025-10-01T00:00:00+00:00",
    });
    pair.server.put(&entities, PointId::Uuid(1), payload, Some(vec![0.5; 4]));
    assert_eq!(told(&pair.run(Work::ConsistencyCheck).await), [("consistency-entities", Some("I13"), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_proves_nothing() {
    let pair = Pair::new(50).await;
    assert_sound(&pair.check(Level::Full).await);
    let kept = pair.kept.0.lock().unwrap().clone();
    pair.server.trouble("points/scroll", None, Answer::Status(500, "Service internal error: broken"));
    for work in [
        Work::ConsistencyCheck,
        Work::IntegrityCheck { level: Level::Full, scopes: vec![IntegrityScope::Consistency], share_percent: 10 },
    ] {
        let task = pair.run(work).await;
        assert_eq!((task.outcome, task.reason), (Outcome::Unknown, Reason::NotMeasured), "{}", task.message);
        assert_eq!((task.corruption.as_slice(), task.outputs.as_slice()), (&[][..], &[][..]));
    }
    assert_eq!(*pair.kept.0.lock().unwrap(), kept, "the baseline stays");
    pair.server.heal();
    assert_sound(&pair.check(Level::Full).await);
}
