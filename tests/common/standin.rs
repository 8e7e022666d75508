//! A stand-in for OpenMemory's API and for Qdrant, on a loopback port: it answers in their words, byte for byte as
//! they do, and can be made to fail in every way in which they fail. It shows which requests came.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How it answers.
#[derive(Clone, Debug)]
pub enum Mode {
    /// As it should.
    Good,
    /// With this status, and the error body of `FastAPI`.
    Status(u16),
    /// With status 200 and this body.
    Body(String),
    /// Closes the connection when the request is there.
    Drop,
    /// Half of the body that it promised, then closes.
    Half,
    /// Takes the request and never answers.
    Silent,
    /// Elsewhere.
    Redirect(String),
}

/// The user whom the API knows, and the collection that the vector store has.
pub const USER: &str = "default_user";
pub const COLLECTION: &str = "openmemory";

struct Shared {
    mode: Mutex<Mode>,
    /// The status of the collection.
    colour: Mutex<&'static str>,
    /// `Header: value` without which every request is refused.
    key: Mutex<Option<String>>,
    requests: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// On a port where an earlier one was.
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Good),
            colour: Mutex::new("green"),
            key: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub fn colour(&self, colour: &'static str) {
        *self.shared.colour.lock().unwrap() = colour;
    }

    /// Refuses whoever does not send this header.
    pub fn require(&self, header: &str) {
        *self.shared.key.lock().unwrap() = Some(header.to_owned());
    }

    /// Method and target of each request that came.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let Some(head) = head(&mut stream) else { return };
    let target = head.lines().next().unwrap().rsplit_once(' ').unwrap().0.to_owned();
    shared.requests.lock().unwrap().push(target.clone());
    let mode = shared.mode.lock().unwrap().clone();
    let allowed = shared.key.lock().unwrap().as_ref().is_none_or(|key| {
        let (name, value) = key.split_once(": ").unwrap();
        head.lines().filter_map(|line| line.split_once(": ")).any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value)
    });
    let (status, body) = match mode {
        Mode::Drop => return,
        Mode::Silent => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Mode::Redirect(to) => {
            let _ = write!(stream, "HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            return;
        }
        Mode::Half => {
            let (_, body) = answer(&target, shared);
            let half = &body[..body.len() / 2];
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", body.len());
            return;
        }
        Mode::Status(status) => (status, r#"{"detail":"secret detail of the server"}"#.to_owned()),
        Mode::Body(body) => (200, body),
        Mode::Good if !allowed => (401, r#"{"detail":"Unauthorized"}"#.to_owned()),
        Mode::Good => answer(&target, shared),
    };
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Answer\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

/// What the real services answer.
fn answer(target: &str, shared: &Shared) -> (u16, String) {
    let app = r#"{"id":"0b4f3f3e-6a3c-4f4e-9a53-5a1e5c7f2d11","name":"openmemory","is_active":true,"total_memories_created":48,"total_memories_accessed":7}"#;
    if target == format!("GET /api/v1/stats/?user_id={USER}") {
        let row = r#"{"description":null,"is_active":true,"id":"0b4f3f3e-6a3c-4f4e-9a53-5a1e5c7f2d11","owner_id":"6c0e6a5c-1f65-4b1c-8f3c-d2a6f2ce52b1","name":"openmemory","metadata_":{},"created_at":"2026-11-20T08:00:00","updated_at":"2026-11-20T08:00:00"}"#;
        (200, format!(r#"{{"total_memories":48,"total_apps":1,"apps":[{row}]}}"#))
    } else if target.starts_with("GET /api/v1/stats/?user_id=") {
        (404, r#"{"detail":"User not found"}"#.to_owned())
    } else if target == "GET /api/v1/apps/?page_size=1" {
        (200, format!(r#"{{"total":1,"page":1,"page_size":1,"apps":[{app}]}}"#))
    } else if target == format!("GET /memories?user_id={USER}&top_k=1") {
        (200, r#"{"results":[]}"#.to_owned())
    } else if target == format!("GET /collections/{COLLECTION}") {
        let colour = shared.colour.lock().unwrap();
        let config = r#"{"params":{"vectors":{"size":1536,"distance":"Cosine"},"shard_number":1,"replication_factor":1,"on_disk_payload":true},"hnsw_config":{"m":16,"ef_construct":100,"full_scan_threshold":10000,"max_indexing_threads":0,"on_disk":false},"optimizer_config":{"deleted_threshold":0.2},"wal_config":{"wal_capacity_mb":32,"wal_segments_ahead":0},"quantization_config":null}"#;
        let result = format!(
            r#"{{"status":"{colour}","optimizer_status":"ok","indexed_vectors_count":0,"points_count":48,"segments_count":2,"config":{config},"payload_schema":{{}}}}"#
        );
        (200, format!(r#"{{"result":{result},"status":"ok","time":0.000125}}"#))
    } else if target.starts_with("GET /collections/") {
        let error = r#"{"error":"Not found: Collection doesn't exist!"}"#;
        (404, format!(r#"{{"status":{error},"time":0.0000195}}"#))
    } else {
        (404, r#"{"detail":"Not Found"}"#.to_owned())
    }
}
