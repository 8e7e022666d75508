//! One process of `memorybank operator`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::wait_for;
use crate::control_plane::free_port;
use crate::guardian::page;

/// A replica; killed when it is dropped.
pub struct Replica {
    child: Child,
    log: PathBuf,
    pub http: SocketAddr,
    pub ingest: SocketAddr,
    pub name: String,
}

impl Replica {
    /// Starts a process with what all have in common, and more. One that is started anew under its name is like a
    /// container that the kubelet restarts.
    pub fn start(name: &str, kubeconfig: &Path, folder: &Path, namespace: &str, arguments: &[String]) -> Self {
        let [http, ingest] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let log = folder.join(format!("{name}-{}.log", uuid::Uuid::new_v4()));
        let err = fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_memorybank"));
        command
            .arg("operator")
            .args(["--namespace", namespace, "--identity", name, "--image", "localhost/memorybank:test"])
            .args(["--listen", &http.to_string(), "--ingest-listen", &ingest.to_string()])
            .args(["--ingest-url", &format!("https://{ingest}"), "--ingest-secret", "memorybank-operator-ingest"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "warn,memorybank=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(err);
        Self { child: command.spawn().unwrap(), log, http, ingest, name: name.to_owned() }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its end so far, if it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What `/readyz` says: good, or not yet.
    pub fn ready(&self) -> Result<String, String> {
        match page(self.http, "/readyz") {
            Some((200, body)) => Ok(body),
            Some((_, body)) => Err(body),
            None => Err(String::new()),
        }
    }

    /// Waits until it is ready and leads.
    pub async fn leads(&mut self) {
        wait_for("a leader that is ready", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {}", self.name, self.log());
            (self.ready().is_ok() && self.number("memorybank_operator_leader") > 0).then_some(())
        })
        .await;
    }

    pub fn metrics(&self) -> String {
        let (status, body) = page(self.http, "/metrics").expect("/metrics answers");
        assert_eq!(status, 200);
        body
    }

    /// The sum of the series whose text begins so; whole numbers.
    pub fn number(&self, series: &str) -> u64 {
        let (_, text) = page(self.http, "/metrics").unwrap_or_default();
        let of = text.lines().filter(|line| line.starts_with(series));
        of.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    /// How many requests that make, change or delete something were answered; PUT is of the lease and of the
    /// certificate alone.
    pub fn others_writes(&self) -> u64 {
        let verbs = ["post", "patch", "delete"].map(|verb| format!("verb=\"{verb}\""));
        let text = self.metrics();
        let requests = text.lines().filter(|line| line.starts_with("memorybank_operator_api_requests_total"));
        let writes = requests.filter(|line| verbs.iter().any(|verb| line.contains(verb)));
        writes.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        wait_for("the end of the process", async || self.child.try_wait().unwrap()).await
    }

    /// SIGTERM, and its end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end().await
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("{}:\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
