//! A private PostgreSQL server on a loopback port for tests; shared by the tests of one binary that run
//! at the same time, stopped when the last of them ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// How long a server may take to start.
const START: Duration = Duration::from_mins(1);

pub struct Postgres {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    server: Mutex<Child>,
}

impl Postgres {
    /// The server of this test binary, or none where PostgreSQL is not installed: then the reason is
    /// printed, and `MEMORYBANK_REQUIRE_ALL_TIERS=1` makes it a failure.
    pub fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A server of its own, for tests that stop it.
    pub fn start() -> Option<Self> {
        Self::made_with(&[])
    }

    /// The same, made with these arguments of initdb.
    pub fn made_with(arguments: &[&str]) -> Option<Self> {
        let Some(bin) = binaries() else {
            return skipped("no PostgreSQL server (postgres, initdb) on PATH or in /usr/lib/postgresql/*/bin");
        };
        Some(Self::start_with(bin, folder(), arguments))
    }

    /// A server of its own that has pgvector: the distribution's, or the one that `make pgvector` fetched.
    pub fn with_pgvector() -> Option<Self> {
        let folder = folder();
        let bin = installed_pgvector().or_else(|| packaged_pgvector(folder.path()));
        let Some(bin) = bin else {
            return skipped("no PostgreSQL server with pgvector: `make pgvector` fetches one");
        };
        Some(Self::start_with(bin, folder, &[]))
    }

    fn start_with(bin: PathBuf, folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let data = folder.path().join("data");
        let made = command(&bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=memorybank", "--encoding=UTF8", "--locale=C"])
            .args(arguments)
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = serve(&bin, folder.path(), port);
        let this = Self { bin, folder, port, server: Mutex::new(server) };
        this.wait_until_ready();
        this
    }

    /// Makes an empty database; its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://memorybank@127.0.0.1:{}/{database}", self.port)
    }

    /// Ends the server at once, as a crash does: nothing is checkpointed, no client is told.
    pub fn crash(&self) {
        let mut server = self.server.lock().unwrap();
        signal(&server, Signal::SIGQUIT);
        server.wait().unwrap();
    }

    /// Ends the server in order, with all of its data in its files.
    pub fn stop(&self) {
        let mut server = self.server.lock().unwrap();
        signal(&server, Signal::SIGINT);
        server.wait().unwrap();
    }

    /// A file of its data folder.
    pub fn file(&self, relative: &str) -> PathBuf {
        self.folder.path().join("data").join(relative)
    }

    /// Starts a server that was ended, on the same port and data.
    pub fn restart(&self) {
        *self.server.lock().unwrap() = serve(&self.bin, self.folder.path(), self.port);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let begun = Instant::now();
        while !self.try_psql("postgres", "SELECT 1").status.success() {
            let ended = self.server.lock().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < START, "PostgreSQL did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Moves all tables of a database, with their indexes, to a folder that is empty and the server's; its log of writes stays.
    pub fn move_to(&self, database: &str, folder: &Path) {
        give(folder);
        self.psql(database, &format!("CREATE TABLESPACE elsewhere LOCATION '{}'", folder.display()));
        for what in ["TABLE", "INDEX"] {
            self.psql(database, &format!("ALTER {what} ALL IN TABLESPACE pg_default SET TABLESPACE elsewhere"));
        }
    }

    /// All that it wrote to its log since it was started last.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Lets a role in with its password only.
    pub fn require_password(&self, role: &str) {
        let rules = self.folder.path().join("data/pg_hba.conf");
        let before = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{before}")).unwrap();
        self.crash();
        self.restart();
    }

    pub fn psql(&self, database: &str, sql: &str) {
        let output = self.try_psql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether the server answers a statement with an error.
    pub fn refuses(&self, database: &str, sql: &str) -> bool {
        !self.try_psql(database, sql).status.success()
    }

    /// What one query gives, as text.
    pub fn value(&self, database: &str, sql: &str) -> String {
        let psql = self.bin.join("psql");
        let output = command(&psql).args(["-XqAt", "-d", &self.url(database), "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn try_psql(&self, database: &str, sql: &str) -> std::process::Output {
        let psql = self.bin.join("psql");
        command(&psql).args(["-X", "-q", "-d", &self.url(database), "-c", sql]).output().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut server = self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        signal(&server, Signal::SIGINT);
        let _ended = server.wait();
    }
}

fn signal(server: &Child, signal: Signal) {
    let _gone = kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), signal);
}

fn serve(bin: &Path, folder: &Path, port: u16) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command(&bin.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-p")
        .arg(port.to_string())
        .arg("-k")
        .arg(folder)
        // The tests end processes, not the power: what is in the page cache survives.
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// What is not there to be tested with is told, and a failure where every tier is required.
fn skipped<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("MEMORYBANK_REQUIRE_ALL_TIERS").is_none_or(|v| v != "1"), "skipped: {why}");
    eprintln!("skipped: {why}");
    None
}

/// A folder that belongs to whom the server runs as.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path());
    folder
}

/// Gives a folder to whom the server runs as.
pub fn give(folder: &Path) {
    if let Some(user) = unprivileged() {
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// The programs of the newest installed server that has pgvector.
fn installed_pgvector() -> Option<PathBuf> {
    let bin = binaries()?;
    let version = bin.parent()?.file_name()?.to_owned();
    let control = Path::new("/usr/share/postgresql").join(version).join("extension/vector.control");
    control.is_file().then_some(bin)
}

/// Where `make pgvector` puts the Python package.
const PACKAGE: &str = "memorybank-tools/pgserver-0.1.4/pgserver";

/// The programs that the Python package `pgserver` brings, copied to where the server's user may run them.
fn packaged_pgvector(folder: &Path) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let package = cache.join(PACKAGE);
    if !package.join("pginstall/bin/postgres").is_file() {
        return None;
    }
    // The libraries beside the package are found by where they are from its programs.
    let libraries = package.with_file_name("pgserver.libs");
    let copied = Command::new("cp").arg("-r").arg(&package).arg(&libraries).arg(folder).status().unwrap();
    assert!(copied.success(), "cannot copy {}", package.display());
    let bin = folder.join("pgserver/pginstall/bin");
    let opened = Command::new("chmod").args(["-R", "a+rx"]).arg(&bin).status().unwrap();
    assert!(opened.success(), "cannot open {}", bin.display());
    Some(bin)
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).unwrap());
    Some(user.expect("a user to run PostgreSQL as"))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some(user) = unprivileged() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The folder with `postgres`, `initdb` and `psql`: the newest installed one, or one on PATH.
fn binaries() -> Option<PathBuf> {
    let version = |folder: &PathBuf| -> u32 {
        folder.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or_default()
    };
    let mut installed: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    installed.sort_by_key(version);
    let installed = installed.into_iter().rev().map(|folder| folder.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    installed
        .chain(on_path)
        .find(|folder| ["postgres", "initdb", "psql"].iter().all(|program| folder.join(program).is_file()))
}
