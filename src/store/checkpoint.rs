use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::StoreError;
use super::chain::Link;

/// The file's name within the data folder.
pub(super) const FILE: &str = "audit.head";

/// The head of the audit chain, noted outside the database: a chain whose tail was cut still agrees
/// with itself, but no longer with this. With PostgreSQL there is no such file.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: i64,
    /// Set where the file contradicts the log: it is evidence then, and stays as it is.
    frozen: bool,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// No file is kept here.
    Unused,
    /// The file is missing.
    Missing,
    /// The file holds something else.
    Unreadable,
    /// The head at some time.
    Head(Link),
}

impl Checkpoint {
    pub fn file(data_dir: &Path) -> Self {
        Self { path: Some(data_dir.join(FILE)), state: Mutex::default() }
    }

    pub fn none() -> Self {
        Self { path: None, state: Mutex::default() }
    }

    pub fn read(&self) -> Result<Noted, StoreError> {
        let Some(path) = &self.path else { return Ok(Noted::Unused) };
        match fs::read(path) {
            Ok(bytes) => Ok(parse(&bytes).map_or(Noted::Unreadable, Noted::Head)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Noted::Missing),
            Err(error) => Err(StoreError::io(path.display(), &error)),
        }
    }

    /// Leaves the file as it is from now on.
    pub fn freeze(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).frozen = true;
    }

    /// Notes a newer head, after it was committed: the file may lag behind the log, never lead it. What
    /// was committed stays acknowledged where the file cannot be written; the next head tries again.
    pub fn advance(&self, head: Link) {
        let Some(path) = &self.path else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.frozen || head.seq < state.written {
            return;
        }
        match write(path, head) {
            Ok(()) => state.written = head.seq,
            Err(error) => tracing::warn!(path = %path.display(), %error, "the audit checkpoint was not written"),
        }
    }
}

/// The folder is not synced: a loss of power may bring the older head back, which is true as well.
fn write(path: &Path, head: Link) -> io::Result<()> {
    let temporary = path.with_extension("head.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{} {}", head.seq, head.hash)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn parse(bytes: &[u8]) -> Option<Link> {
    let (seq, hash) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
    Some(Link { seq: seq.parse().ok().filter(|seq| *seq >= 0)?, hash: hash.parse().ok()? })
}
