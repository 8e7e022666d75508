//! The real program on real files: a sample bank in a folder of its own, and a running `local`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that is waited for, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until there is something; what it is waited for stands in the failure.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(POLL);
    }
}

/// A test that this system does not allow is told, and is a failure where every tier is required.
pub fn skipped(why: &str) {
    let why = format!("skipped: {why}");
    assert!(std::env::var_os("MEMORYBANK_REQUIRE_ALL_TIERS").is_none_or(|v| v != "1"), "{why}");
    eprintln!("{why}");
}

pub fn memorybank() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memorybank"));
    command.env_remove("RUST_LOG").env_remove("MEMORYBANK_DATA").env_remove("MEMORYBANK_CONFIG");
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a sample bank: `bank`, `config`, and `data` for the guardian.
pub struct Bed {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Bed {
    /// A healthy bank of so many memories.
    pub fn new(memories: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let bed = Self { folder, data };
        bed.sample(&["--memories", &memories.to_string()]);
        bed
    }

    /// The same, with the guardian's data elsewhere.
    pub fn with_data(memories: u32, data: &Path) -> Self {
        Self { data: data.to_owned(), ..Self::new(memories) }
    }

    /// Writes the sample again.
    pub fn sample(&self, arguments: &[&str]) {
        let output = memorybank().arg("sample").arg("--out").arg(self.path("")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Writes a file of resources, whole.
    pub fn config(&self, name: &str, content: &str) {
        let new = self.path("config").join(format!(".{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path("config").join(name)).unwrap();
    }

    /// Changes the sample's own resources.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("config/memorybank.yaml");
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{from:?} is not in {before}");
        self.config("memorybank.yaml", &before.replace(from, to));
    }

    fn local(&self) -> Command {
        let mut command = memorybank();
        command.arg("local").arg("--config").arg(self.path("config")).arg("--data").arg(&self.data);
        command
    }

    /// `local --once` with more arguments.
    pub fn once(&self, arguments: &[&str]) -> Output {
        self.local().arg("--once").args(arguments).output().unwrap()
    }

    /// `local --once`, which must end so; gives what it printed.
    pub fn once_ends(&self, arguments: &[&str], code: i32) -> String {
        let output = self.once(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
        out
    }

    /// A process of `local`, as it is: it may not be ready.
    pub fn spawn(&self, arguments: &[&str]) -> Guardian {
        let log = self.path(&format!("log-{}", uuid::Uuid::new_v4()));
        let err = File::create(&log).unwrap();
        let child = self.local().args(arguments).stdout(Stdio::null()).stderr(err).spawn().unwrap();
        Guardian { child, log }
    }

    /// A `local` that watches, and is ready.
    pub fn watch(&self, arguments: &[&str]) -> Served {
        let guardian = self.spawn(&[&["--listen", "127.0.0.1:0"], arguments].concat());
        let address = wait_for("the address that is served", || guardian.address());
        let served = Served { guardian, address };
        wait_for("readiness", || served.ready().is_ok().then_some(()));
        served
    }

    /// A command that reads the data folder, as JSON.
    pub fn get(&self, arguments: &[&str]) -> Value {
        let output = memorybank().args(arguments).args(["-o", "json", "--data"]).arg(&self.data).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every object of a kind.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.get(&["get", kind])["items"].as_array().unwrap().clone()
    }

    /// The file of an object's status, if there is one now.
    pub fn status(&self, kind: &str, name: &str) -> Option<Value> {
        let text = fs::read_to_string(self.data.join(format!("status/{kind}/{name}.yaml"))).ok()?;
        Some(serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{kind} {name}: {error}\n{text}")))
    }

    /// What an SQL query says of the guardian's own records, a row per line.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        query(&self.data.join("memorybank.db"), sql)
    }

    /// The files of scratch, wherever in it.
    pub fn scratch(&self) -> Vec<PathBuf> {
        files(&self.data.join("scratch"))
    }
}

/// Rows of text columns.
pub fn query(database: &Path, sql: &str) -> Vec<Vec<String>> {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, sqlite::SqliteConnectOptions};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(10));
        let mut connection = options.connect().await.unwrap();
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| (0..row.len()).map(|i| row.get_unchecked::<String, _>(i)).collect()).collect()
    })
}

/// All files beneath a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A process of `local`; killed when it is dropped.
pub struct Guardian {
    child: Child,
    log: PathBuf,
}

impl Guardian {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn address(&self) -> Option<SocketAddr> {
        let lines = self.log();
        let line = lines.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line.pointer("/fields/bound")?.as_str()?.parse().ok()
        });
        assert!(line.is_some() || self.alive(), "it ended: {lines}");
        line
    }

    pub fn alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The state stands after the name, which is in brackets.
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        wait_for("the end of the process", || self.child.try_wait().unwrap())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `local` that serves.
pub struct Served {
    pub guardian: Guardian,
    address: SocketAddr,
}

impl Served {
    /// Status and body of a page.
    pub fn page(&self, path: &str) -> Option<(u16, String)> {
        page(self.address, path)
    }

    /// What `/readyz` says: good, or not yet.
    pub fn ready(&self) -> Result<String, String> {
        match self.page("/readyz") {
            Some((200, body)) => Ok(body),
            Some((_, body)) => Err(body),
            None => Err(String::new()),
        }
    }

    pub fn metrics(&self) -> String {
        let (status, body) = self.page("/metrics").expect("/metrics answers");
        assert_eq!(status, 200);
        body
    }

    /// SIGTERM, and its end.
    pub fn stop(self) -> ExitStatus {
        self.guardian.signal(Signal::SIGTERM);
        self.guardian.wait()
    }
}

pub fn page(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// A field of an object, as text; empty where it is not there.
pub fn field(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Status and reason of a condition.
pub fn condition(object: &Value, name: &str) -> (String, String) {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == name);
    found.map_or_else(Default::default, |found| (field(found, "/status"), field(found, "/reason")))
}
