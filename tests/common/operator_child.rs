//! The operator as a process of its own, beside the control plane of the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use rand::RngExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::control_plane::ControlPlane;

/// How long it may take to be ready, on a machine that does other work too.
const START: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// How long one page may take.
const PAGE: Duration = Duration::from_secs(10);
/// Below the ports that outgoing connections get: they stay ours while the operator is down.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
/// Ticks of a second in /proc, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// The Secret of its certificate.
pub const SECRET: &str = "memorybank-ingest";

/// An operator that may be started again and again: its store, ports and name stay.
pub struct Operator {
    /// Its own namespace.
    pub namespace: String,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    http: u16,
    ingest: u16,
    child: Option<Child>,
}

impl Operator {
    /// One with a namespace of its own, which reaches the API server by this kubeconfig. Not started yet.
    pub async fn new(plane: &ControlPlane, kubeconfig: PathBuf, arguments: &[&str]) -> Self {
        let namespace = plane.namespace().await;
        let secrets: Api<Secret> = Api::namespaced(plane.client().await, &namespace);
        let metadata = ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() };
        secrets.create(&PostParams::default(), &Secret { metadata, ..Secret::default() }).await.unwrap();
        Self {
            namespace,
            kubeconfig,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            folder: tempfile::Builder::new().prefix("operator-").tempdir().unwrap(),
            http: free_port(),
            ingest: free_port(),
            child: None,
        }
    }

    /// Starts it.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the operator runs");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_memorybank"))
            .arg("operator")
            .args(["--namespace", &self.namespace, "--identity", "operator-0", "--image", "memorybank:test"])
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &format!("127.0.0.1:{}", self.http)])
            .args(["--ingest-listen", &format!("127.0.0.1:{}", self.ingest), "--ingest-url", &self.ingest_url()])
            .args(&self.arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Kills it, as the kernel does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the operator runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again where it ended by itself, as a kubelet does; whether it had.
    pub fn revive(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
            self.start();
        }
        ended
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) {
        let begun = Instant::now();
        loop {
            let answer = self.page("/readyz").await;
            if answer.as_deref().is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return;
            }
            let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            assert!(!ended && begun.elapsed() < START, "the operator is not ready: {answer:?}\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// What it serves at a path, with the head of the answer.
    pub async fn page(&self, path: &str) -> Option<String> {
        let read = async {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            Some(answer)
        };
        tokio::time::timeout(PAGE, read).await.ok().flatten()
    }

    /// The sum of a metric's samples whose labels have all of these texts.
    pub async fn metric(&self, name: &str, with: &[&str]) -> f64 {
        let page = self.page("/metrics").await.expect("the operator serves its metrics");
        let of = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && with.iter().all(|label| rest.contains(label)))
        };
        let values = page.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Where Jobs report.
    pub fn ingest_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ingest)
    }

    /// The folder of its store.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Seconds of CPU that the process has used.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / TICKS
    }

    /// A line of the process's memory, in MB.
    pub fn megabytes(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("operator.log")
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("the operator runs").id()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _ended = child.wait();
        }
    }
}

fn free_port() -> u16 {
    let mut random = rand::rng();
    let mut ports = std::iter::repeat_with(|| random.random_range(PORTS));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
