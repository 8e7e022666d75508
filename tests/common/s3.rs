//! A private server of the S3 protocol on a loopback port for tests: the Versity gateway over a folder, in which each object
//! is a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use memorybank::domain::{BucketEndpoint, Repository, Trust};

use crate::bed::Bed;
use crate::guardian::{files, skipped, wait_for};

/// As the Makefile has it.
const VERSION: &str = "1.8.0";
pub const BUCKET: &str = "sets";
pub const ID: &str = "AKIATESTTESTTEST";
pub const KEY: &str = "a-key-that-nobody-may-see-0123456789";
/// Where the gateway keeps what is written in parts.
const PARTS: &str = ".sgwtmp";

pub struct S3 {
    folder: tempfile::TempDir,
    port: u16,
    server: Mutex<Child>,
}

impl S3 {
    /// A server with an empty bucket, or none where the gateway is not installed: then the reason is printed, and
    /// `MEMORYBANK_REQUIRE_ALL_TIERS=1` makes it a failure.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with what these files hold that are named to it: `cert` and `key` for TLS.
    pub fn start_with(named: &[(&str, &str)]) -> Option<Self> {
        let Some(binary) = binary().filter(|binary| binary.exists()) else {
            skipped("no S3 server (versitygw): `make s3` builds one");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        fs::create_dir(folder.path().join("about")).unwrap();
        for (name, content) in named {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Mutex::new(serve(&binary, folder.path(), port));
        let this = Self { folder, port, server };
        this.wait_until_ready();
        Some(this)
    }

    fn wait_until_ready(&self) {
        wait_for("the S3 server", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the server at once.
    pub fn stop(&self) {
        let mut server = self.server.lock().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts it again, on the same port and objects.
    pub fn restart(&self) {
        *self.server.lock().unwrap() = serve(&binary().unwrap(), self.folder.path(), self.port);
        self.wait_until_ready();
    }

    /// The folder of the bucket.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        let bucket = self.bucket();
        let key = |path: PathBuf| path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned();
        let mut keys: Vec<_> = files(&bucket).into_iter().map(key).filter(|key| !key.starts_with(PARTS)).collect();
        keys.sort();
        keys
    }

    /// The parts of uploads that are not ended.
    pub fn parts(&self) -> usize {
        let folder = self.bucket().join(PARTS);
        if folder.exists() { files(&folder).len() } else { 0 }
    }

    /// Has a bank keep its sets here.
    pub fn keep_sets_of(&self, bed: &mut Bed) {
        for (key, value) in BucketEndpoint::KEYS.into_iter().zip([ID, KEY]) {
            bed.secret("s3", key, value);
        }
        let encryption = bed.bank.repository.take().and_then(|repository| repository.encryption);
        let endpoint = BucketEndpoint {
            bucket: BUCKET.to_owned(),
            prefix: "deep/down".to_owned(),
            endpoint: Some(self.url()),
            region: None,
            credentials: Some("s3".to_owned()),
            tls: Trust::default(),
        };
        bed.bank.repository = Some(Repository { folder: None, s3: Some(endpoint), encryption });
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let mut server = self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ended = server.kill().and_then(|()| server.wait());
    }
}

fn binary() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join(format!("memorybank-tools/versitygw-{VERSION}/versitygw")))
}

fn serve(binary: &Path, folder: &Path, port: u16) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(binary);
    for name in ["cert", "key"] {
        let path = folder.join(name);
        if path.exists() {
            command.arg(format!("--{name}")).arg(path);
        }
    }
    command
        .args(["--quiet", "--port", &format!("127.0.0.1:{port}"), "posix", "--sidecar"])
        .arg(folder.join("about"))
        .arg(folder.join("data"))
        .env("ROOT_ACCESS_KEY", ID)
        .env("ROOT_SECRET_KEY", KEY)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
