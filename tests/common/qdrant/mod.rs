//! A stand-in for Qdrant on a loopback port: its wire format, its order of points, its snapshots as tar files with
//! SHA-256, and a switch for each way in which it fails. State is in memory, snapshots are in a folder of its own.
//!
//! Large sets are generated from a seed as they are asked for, and take no memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code, unused_imports)] // Each test binary uses its part.

mod fault;
mod points;
mod routes;
mod snapshot;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use memorybank::domain::PointId;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub use fault::{Answer, Damage};
pub use points::{Collection, Config, Generated, Stored, hash, id_text, memory, unit};

use fault::Troubles;

/// A server that is there until it is dropped.
pub struct Qdrant {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    folder: tempfile::TempDir,
}

/// What requests are answered from.
struct Shared {
    state: Mutex<State>,
    folder: PathBuf,
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    collections: BTreeMap<String, Collection>,
    key: Option<String>,
    troubles: Troubles,
    requests: Vec<String>,
    snapshots: u32,
    issues: Vec<Value>,
    /// What is given as a snapshot in place of one of this server's.
    given: Option<PathBuf>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Qdrant {
    /// An empty server on a port of its own.
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// An empty server where an earlier one was.
    pub fn at(address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), folder: folder.path().to_owned(), address });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let router = routes::router(Arc::clone(&shared));
        runtime.spawn(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
        Self { address, shared, runtime: Some(runtime), folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder of its snapshots: `COLLECTION/NAME`, and beside it `NAME.checksum`.
    pub fn snapshots(&self) -> &Path {
        self.folder.path()
    }

    /// Makes an empty collection.
    pub fn create(&self, name: &str, config: Config) {
        self.state().collections.insert(name.to_owned(), Collection::new(config));
    }

    /// Makes a collection of points that are generated as they are asked for.
    pub fn generate(&self, name: &str, config: Config, seed: u64, count: u64) {
        let generated = Generated { seed, count, size: config.size };
        let mut collection = Collection::new(config);
        collection.generated = Some(generated);
        self.state().collections.insert(name.to_owned(), collection);
    }

    /// Forgets a collection, as a server does whose storage was on no volume.
    pub fn forget(&self, name: &str) {
        self.state().collections.remove(name);
    }

    /// Writes a point as it is given, whatever it is.
    pub fn put(&self, name: &str, id: PointId, payload: Value, vector: Option<Vec<f32>>) {
        self.with(name, |collection| collection.put(id, Stored { payload, vector }));
    }

    /// Removes a point.
    pub fn remove(&self, name: &str, id: PointId) {
        self.with(name, |collection| collection.remove(id));
    }

    /// A point as it is stored.
    pub fn point(&self, name: &str, id: PointId) -> Option<Stored> {
        self.with(name, |collection| collection.get(id))
    }

    pub fn count(&self, name: &str) -> u64 {
        self.with(name, |collection| collection.count())
    }

    /// The ids of all points, in their order.
    pub fn ids(&self, name: &str) -> Vec<PointId> {
        self.with(name, |collection| collection.from(None).map(|(id, _)| id).collect())
    }

    /// The names of all collections.
    pub fn collections(&self) -> Vec<String> {
        self.state().collections.keys().cloned().collect()
    }

    /// Changes a collection in any other way: its colour, its counts, its shards.
    pub fn with<T>(&self, name: &str, change: impl FnOnce(&mut Collection) -> T) -> T {
        change(self.state().collections.get_mut(name).expect("a collection of that name"))
    }

    /// What is returned of a point is not what was written.
    pub fn damage(&self, name: &str, id: PointId, damage: Damage) {
        self.with(name, |collection| {
            collection.damaged.insert(id, damage);
        });
    }

    /// Requests that have `on` in `METHOD PATH` are answered so, the next `times` of them or all.
    pub fn trouble(&self, on: &str, times: Option<u32>, answer: Answer) {
        self.state().troubles.add(on, times, answer);
    }

    /// Every request is answered as it should be again; damaged points stay.
    pub fn heal(&self) {
        self.state().troubles = Troubles::default();
    }

    /// Has the server find that searches by a field of a collection are slow, as it does until the field has an index.
    pub fn misses_index(&self, name: &str, field: &str, schema: &Value) {
        let action = json!({
            "method": "PUT",
            "uri": format!("/collections/{name}/index"),
            "headers": {"content-type": "application/json"},
            "body": {"field_name": field, "field_schema": schema},
        });
        self.state().issues.push(json!({
            "id": format!("UNINDEXED_FIELD/{name}/{field}"),
            "description": format!("Unindexed field '{field}' is slowing queries down in collection '{name}'"),
            "solution": {"immediate": {"message": format!("Create an index on field '{field}'"), "action": action}},
            "timestamp": "2026-01-01T00:00:00Z",
            "related_collection": name,
        }));
    }

    /// Snapshots are cut after their digest was taken.
    pub fn tear_snapshots(&self) {
        self.state().troubles.torn = true;
    }

    /// Gives a file as each snapshot from now on.
    pub fn give(&self, snapshot: &Path) {
        self.state().given = Some(snapshot.to_owned());
    }

    /// Refuses whoever has not this key.
    pub fn require_key(&self, key: &str) {
        self.state().key = Some(key.to_owned());
    }

    /// Method and path of each request that came.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Forgets which requests came.
    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Qdrant {
    fn drop(&mut self) {
        // Tests are async: nothing may be waited for here.
        self.runtime.take().unwrap().shutdown_background();
    }
}
