//! A Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager, the real ones, on
//! loopback, with a folder of their own. No node: pods are made and stay Pending until the test says otherwise.
//!
//! The binaries are taken from `KUBEBUILDER_ASSETS` (as users of envtest have it), then from where
//! `make cluster` puts them. `setup-envtest` has no kube-controller-manager; it may lie beside its binaries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

#[path = "control_plane/pki.rs"]
mod pki;
#[path = "control_plane/players.rs"]
mod players;
#[path = "control_plane/users.rs"]
mod users;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt as _;

/// How long a part may take to start, on a machine that does other work too.
const START: Duration = Duration::from_mins(3);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Below the ports that outgoing connections get: a port stays ours while its server is down.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// Ends the processes and takes the folder away when the test process is gone, however it went: the other end
/// of its input closes with that process. A signal of the parent's death would come with the end of a thread.
const REAPER: &str =
    r#"trap '' INT TERM HUP; read -r _; for f in "$1"/*.pid; do kill -KILL "$(cat "$f")"; done; rm -rf "$1""#;

static SHARED: OnceLock<Option<ControlPlane>> = OnceLock::new();

/// A running control plane.
pub struct ControlPlane {
    binaries: Binaries,
    folder: PathBuf,
    port: u16,
    etcd_port: u16,
    etcd: Mutex<Option<Child>>,
    api_server: Mutex<Option<Child>>,
    manager: Mutex<Option<Child>>,
    players: Mutex<Vec<Child>>,
    reaper: Child,
    lifeline: Option<ChildStdin>,
}

struct Binaries {
    etcd: PathBuf,
    api_server: PathBuf,
    manager: PathBuf,
    kubectl: PathBuf,
}

impl ControlPlane {
    /// The control plane of this test binary, for tests that leave it running and keep to a namespace of their
    /// own; or none where its binaries are not there: then the reason is printed, and
    /// `MEMORYBANK_REQUIRE_ALL_TIERS=1` makes it a failure.
    pub fn shared() -> Option<&'static Self> {
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A control plane of its own, for tests that stop it; ended when it is dropped.
    pub fn start() -> Option<Self> {
        let binaries = or_skip(Binaries::find())?;
        // Kept here, removed by the reaper: nothing is dropped when a test binary ends.
        let folder = tempfile::Builder::new().prefix("control-plane-").tempdir().unwrap().keep();
        let mut reaper = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let lifeline = reaper.stdin.take();
        let [port, etcd_port] = [free_port(), free_port()];
        pki::write(&folder, port);
        let this = Self {
            binaries,
            folder,
            port,
            etcd_port,
            etcd: Mutex::default(),
            api_server: Mutex::default(),
            manager: Mutex::default(),
            players: Mutex::default(),
            reaper,
            lifeline,
        };
        *lock(&this.etcd) = Some(this.spawn_etcd());
        *lock(&this.api_server) = Some(this.spawn_api_server());
        this.wait_until_ready();
        *lock(&this.manager) = Some(this.spawn_manager());
        Some(this)
    }

    /// The kubeconfig of the administrator, for `memorybank` and kubectl.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// The address of the API server.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate authority of the API server, as PEM.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.folder.join("ca.crt")).unwrap()
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.binaries.kubectl);
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.folder.join("kubectl"));
        command
    }

    /// kubectl with something on its input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Output {
        let file = self.folder.join(format!("input-{}", uuid::Uuid::new_v4()));
        fs::write(&file, input).unwrap();
        let output = self.kubectl().args(arguments).stdin(File::open(&file).unwrap()).output().unwrap();
        fs::remove_file(file).unwrap();
        output
    }

    /// Kills the API server: connections break, nothing answers on its port.
    pub fn kill_api_server(&self) {
        self.end("apiserver", &self.api_server);
    }

    /// Starts the killed API server, on the same port and data, and waits until it is ready.
    pub fn restart_api_server(&self) {
        let mut api_server = lock(&self.api_server);
        assert!(api_server.is_none(), "the API server runs");
        *api_server = Some(self.spawn_api_server());
        drop(api_server);
        self.wait_until_ready();
    }

    /// Stops the API server: connections stay, nothing answers on them until [`Self::resume_api_server`].
    pub fn pause_api_server(&self) {
        signal(&self.api_server, Signal::SIGSTOP);
    }

    /// Lets a paused API server go on.
    pub fn resume_api_server(&self) {
        signal(&self.api_server, Signal::SIGCONT);
        self.wait_until_ready();
    }

    /// Kills the controller manager: Jobs get no pods, nothing is garbage-collected.
    pub fn kill_controller_manager(&self) {
        self.end("manager", &self.manager);
    }

    /// Starts the killed controller manager.
    pub fn restart_controller_manager(&self) {
        let mut manager = lock(&self.manager);
        assert!(manager.is_none(), "the controller manager runs");
        *manager = Some(self.spawn_manager());
    }

    /// The ids of its processes.
    pub fn processes(&self) -> Vec<u32> {
        let parts = [&self.etcd, &self.api_server, &self.manager];
        parts.into_iter().filter_map(|part| lock(part).as_ref().map(Child::id)).collect()
    }

    /// Its folder, with the logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The end of a part's log.
    pub fn log(&self, part: &str) -> String {
        let log = fs::read_to_string(self.folder.join(format!("{part}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn spawn(&self, part: &str, command: &mut Command) -> Child {
        let log = File::options().create(true).append(true).open(self.folder.join(format!("{part}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let child = command.spawn().unwrap();
        fs::write(self.pid_file(part), child.id().to_string()).unwrap();
        child
    }

    fn pid_file(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.pid"))
    }

    fn spawn_etcd(&self) -> Child {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        // The port of the clients is free too, until etcd listens at it.
        let mut ports = std::iter::repeat_with(free_port);
        let peer = ports.find(|port| ![self.port, self.etcd_port].contains(port)).unwrap();
        let peer = format!("http://127.0.0.1:{peer}");
        let mut command = Command::new(&self.binaries.etcd);
        command
            .arg("--data-dir")
            .arg(self.folder.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            // The tests end processes, not the power: what is in the page cache survives.
            .arg("--unsafe-no-fsync");
        self.spawn("etcd", &mut command)
    }

    fn spawn_api_server(&self) -> Child {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(&self.binaries.api_server);
        command.args([
            &format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            &format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            &format!("--tls-cert-file={}", file("server.crt")),
            &format!("--tls-private-key-file={}", file("server.key")),
            &format!("--client-ca-file={}", file("ca.crt")),
            &format!("--service-account-key-file={}", file("accounts.pub")),
            &format!("--service-account-signing-key-file={}", file("accounts.key")),
            &format!("--cert-dir={}", file("apiserver")),
        ]);
        self.spawn("apiserver", &mut command)
    }

    fn spawn_manager(&self) -> Child {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let kubeconfig = file("manager.kubeconfig");
        let mut command = Command::new(&self.binaries.manager);
        command.args([
            &format!("--kubeconfig={kubeconfig}"),
            &format!("--authentication-kubeconfig={kubeconfig}"),
            &format!("--authorization-kubeconfig={kubeconfig}"),
            &format!("--service-account-private-key-file={}", file("accounts.key")),
            &format!("--root-ca-file={}", file("ca.crt")),
            &format!("--cert-dir={}", file("manager")),
            "--use-service-account-credentials",
            "--bind-address=127.0.0.1",
            &format!("--secure-port={}", free_port()),
            "--leader-elect=false",
            // Tests with hundreds of Jobs would wait for its own politeness.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]);
        self.spawn("manager", &mut command)
    }

    fn wait_until_ready(&self) {
        let begun = Instant::now();
        loop {
            let answer = self.kubectl().args(["--request-timeout=5s", "get", "--raw", "/readyz"]).output().unwrap();
            if answer.status.success() {
                return;
            }
            for (part, process) in [("etcd", &self.etcd), ("apiserver", &self.api_server)] {
                let ended = lock(process).as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
                assert!(!ended, "{part} ended: {}", self.log(part));
            }
            let said = String::from_utf8_lossy(&answer.stderr);
            assert!(begun.elapsed() < START, "the API server is not ready: {said}{}", self.log("apiserver"));
            std::thread::sleep(POLL);
        }
    }

    fn end(&self, part: &str, process: &Mutex<Option<Child>>) {
        let Some(mut child) = lock(process).take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(self.pid_file(part)).unwrap();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for process in [&self.manager, &self.api_server, &self.etcd] {
            if let Some(child) = lock(process).as_mut() {
                let _gone = child.kill();
                let _ended = child.wait();
            }
        }
        for child in lock(&self.players).iter_mut() {
            let _gone = child.kill();
            let _ended = child.wait();
        }
        for part in ["kwok", "scheduler", "manager", "apiserver", "etcd"] {
            let _none = fs::remove_file(self.pid_file(part));
        }
        drop(self.lifeline.take());
        let _ended = self.reaper.wait();
    }
}

/// A binary of the control plane, or what is missing.
fn binary(name: &str) -> Result<PathBuf, String> {
    let given = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let folders: Vec<PathBuf> = given.into_iter().chain([cluster_home().join("bin")]).collect();
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("{name} is not in {}", looked.join(", nor in "))
    })
}

/// What was found, or none: then the reason is printed, and a failure where every tier is required.
fn or_skip<T>(found: Result<T, String>) -> Option<T> {
    let missing = match found {
        Ok(found) => return Some(found),
        Err(missing) => missing,
    };
    let why = format!("skipped: no control plane: {missing}; `make cluster` builds it");
    assert!(std::env::var_os("MEMORYBANK_REQUIRE_ALL_TIERS").is_none_or(|v| v != "1"), "{why}");
    eprintln!("{why}");
    None
}

impl Binaries {
    fn find() -> Result<Self, String> {
        Ok(Self {
            etcd: binary("etcd")?,
            api_server: binary("kube-apiserver")?,
            manager: binary("kube-controller-manager")?,
            kubectl: binary("kubectl")?,
        })
    }
}

/// Where `make cluster` puts what it builds, as `tests/cluster/env.sh` has it.
pub fn cluster_home() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_user = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    folder("CLUSTER_HOME").unwrap_or_else(|| {
        let cache = if nix::unistd::geteuid().is_root() { None } else { of_user() };
        cache.unwrap_or_else(|| "/var/cache".into()).join("one-node-kubernetes")
    })
}

fn lock<T>(process: &Mutex<T>) -> MutexGuard<'_, T> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(process: &Mutex<Option<Child>>, signal: Signal) {
    let id = lock(process).as_ref().expect("it runs").id();
    kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
}

/// A port of loopback that is free, and that no outgoing connection is given.
pub fn free_port() -> u16 {
    let mut random = rand::rng();
    let mut ports = std::iter::repeat_with(|| random.random_range(PORTS));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
