use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Bucket, Unfinished, is_missing};
use crate::bank::backup::error::BackupError;
use crate::bank::backup::lock::{LIFE, NAME, RENEW};
use crate::engine::backup::SetName;

/// A lock that is larger is none.
const MAX_LOCK: u64 = 1 << 20;
/// How soon it is tried again where it could not be renewed.
const AGAIN: Duration = Duration::from_secs(15);
/// How long giving it up may take: it ends by itself.
const GIVING_UP: Duration = Duration::from_mins(1);
/// A version that no object has.
const NO_VERSION: &str = "\"00000000000000000000000000000000\"";

#[derive(Serialize, Deserialize)]
struct Held {
    run: String,
    /// Which process of that run.
    holder: Uuid,
    until: Timestamp,
    /// What its holder has begun to write in parts: nobody else could know of it.
    #[serde(default)]
    uploads: Vec<Noted>,
}

/// An object that is written in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub key: String,
    /// What the server calls the upload.
    pub id: String,
}

/// The right to write sets of one bank in a bucket: an object that says whose it is and until when, changed only by who
/// knows its newest version. It is renewed beside the work, for as long as this is there.
#[derive(Debug)]
pub(in crate::bank::backup) struct BucketLock {
    shared: Arc<Shared>,
    beat: JoinHandle<()>,
    given_up: bool,
}

/// What the lock, its renewal and those who write share.
#[derive(Debug)]
pub(super) struct Shared {
    bucket: Bucket,
    run: String,
    holder: Uuid,
    lost: AtomicBool,
    /// The set that is begun and not kept.
    unfinished: Plain<Option<SetName>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: UpdateVersion,
    renewed: Instant,
    uploads: Vec<Noted>,
}

impl BucketLock {
    /// Takes the lock of a bank's place. One that is left is taken up by the same run, which is executed again after a crash,
    /// and by any once its time is over; what its holder had begun to write in parts is ended.
    pub async fn take(bucket: &Bucket, run: &str) -> Result<Self, BackupError> {
        let read = bucket.read(NAME, MAX_LOCK).await?;
        let now = Timestamp::now();
        let (known, mode) = match read {
            None => (None, PutMode::Create),
            Some((text, version)) => (serde_json::from_slice::<Held>(&text).ok(), PutMode::Update(version)),
        };
        if let Some(held) = known.as_ref().filter(|held| held.run != run && held.until > now) {
            return Err(locked(bucket, held));
        }
        let holder = Uuid::new_v4();
        let uploads = known.map(|held| held.uploads).unwrap_or_default();
        let text = text(run, holder, good(), &uploads);
        let Some(version) = bucket.put_if(NAME, text.clone(), mode).await? else {
            let read = bucket.read(NAME, MAX_LOCK).await?;
            let held = read.and_then(|(text, _)| serde_json::from_slice(&text).ok());
            let unknown = || Held { run: "of an unknown uid".to_owned(), holder, until: good(), uploads: Vec::new() };
            return Err(locked(bucket, &held.unwrap_or_else(unknown)));
        };
        let state = Mutex::new(State { version, renewed: Instant::now(), uploads });
        let unfinished = Plain::new(None);
        let lost = AtomicBool::new(false);
        let shared = Arc::new(Shared { bucket: bucket.clone(), run: run.to_owned(), holder, lost, unfinished, state });
        let beat = bucket.runtime.spawn(beat(Arc::clone(&shared)));
        let lock = Self { shared, beat, given_up: false };
        // A server that does not heed conditions gives the lock to two, and says nothing.
        let old = UpdateVersion { e_tag: Some(NO_VERSION.to_owned()), version: None };
        for (mode, header) in [(PutMode::Create, "If-None-Match"), (PutMode::Update(old), "If-Match")] {
            if bucket.put_if(NAME, text.clone(), mode).await?.is_some() {
                let told =
                    format!("the server does not heed {header}, so two runs could write at once: use one that does");
                return Err(bucket.wrong(&bucket.key(NAME), told));
            }
        }
        lock.shared.end_uploads().await?;
        Ok(lock)
    }

    /// Begins a set, of which nothing stays where it is not kept.
    pub fn begin(&self, bucket: &Bucket, name: &SetName) -> Unfinished {
        self.shared.set(Some(name.clone()));
        Unfinished::new(bucket.within(&name.to_string()), Arc::clone(&self.shared))
    }

    /// An error once it is known to be somebody else's.
    pub fn check(&self) -> Result<(), BackupError> {
        self.shared.check()
    }

    /// Renews it now. Blocks.
    pub fn prove(&self) -> Result<(), BackupError> {
        self.shared.bucket.wait(self.shared.renew())
    }

    /// Gives it back, with nothing left of what was not kept. Blocks.
    pub fn release(mut self) {
        self.given_up = true;
        self.beat.abort();
        self.shared.bucket.wait(self.shared.give_up());
    }
}

impl Drop for BucketLock {
    fn drop(&mut self) {
        self.beat.abort();
        if !self.given_up {
            let shared = Arc::clone(&self.shared);
            self.shared.bucket.runtime.spawn(async move { shared.give_up().await });
        }
    }
}

impl Shared {
    fn check(&self) -> Result<(), BackupError> {
        if self.lost.load(Ordering::Acquire) { Err(BackupError::LockLost(named(&self.bucket))) } else { Ok(()) }
    }

    fn set(&self, unfinished: Option<SetName>) {
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = unfinished;
    }

    /// The set that was begun is one.
    pub fn kept(&self) {
        self.set(None);
    }

    /// Renews it.
    pub async fn renew(&self) -> Result<(), BackupError> {
        self.change(good(), |_| ()).await
    }

    /// Names an upload, before anything is sent.
    pub async fn note(&self, noted: Noted) -> Result<(), BackupError> {
        self.change(good(), |uploads| uploads.push(noted)).await
    }

    /// An upload is ended.
    pub async fn forget(&self, noted: &Noted) -> Result<(), BackupError> {
        self.change(good(), |uploads| uploads.retain(|other| other != noted)).await
    }

    /// Ends all uploads that are named.
    pub async fn end_uploads(&self) -> Result<(), BackupError> {
        let uploads = self.state.lock().await.uploads.clone();
        if uploads.is_empty() {
            return Ok(());
        }
        for Noted { key, id } in &uploads {
            let Ok(key) = Path::parse(key) else { continue };
            // A note that says otherwise is not ours.
            if self.bucket.name(&key).is_none() {
                continue;
            }
            match self.bucket.store.abort_multipart(&key, id).await {
                Err(error) if !is_missing(&error) => return Err(self.bucket.told(&key)(error)),
                _ => tracing::info!(key = %key, "ended an upload that was never finished"),
            }
        }
        self.change(good(), |named| named.retain(|noted| !uploads.contains(noted))).await
    }

    /// Writes the lock anew, as its newest version allows.
    async fn change(&self, until: Timestamp, change: impl FnOnce(&mut Vec<Noted>)) -> Result<(), BackupError> {
        let mut state = self.state.lock().await;
        self.check()?;
        let mut uploads = state.uploads.clone();
        change(&mut uploads);
        let text = text(&self.run, self.holder, until, &uploads);
        // Where an answer was lost on its way, the newest version is one of ours that is not known here.
        for _ in 0..2 {
            let mode = PutMode::Update(state.version.clone());
            if let Some(version) = self.bucket.put_if(NAME, text.clone(), mode).await? {
                *state = State { version, renewed: Instant::now(), uploads };
                return Ok(());
            }
            match self.bucket.read(NAME, MAX_LOCK).await? {
                Some((there, version)) if self.is_ours(&there) => state.version = version,
                _ => break,
            }
        }
        self.lost.store(true, Ordering::Release);
        self.check()
    }

    fn is_ours(&self, text: &[u8]) -> bool {
        serde_json::from_slice::<Held>(text).is_ok_and(|held| held.holder == self.holder)
    }

    /// Removes what was begun and not kept, then gives the lock back. It stays, with its time over: only a change can be
    /// made to depend on whose it is, a removal cannot.
    async fn give_up(&self) {
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ending = async {
            self.check()?;
            self.end_uploads().await?;
            if let Some(set) = unfinished {
                self.bucket.remove(&set).await?;
            }
            self.change(Timestamp::UNIX_EPOCH, |_| ()).await
        };
        let why = match tokio::time::timeout(GIVING_UP, ending).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not within {} s", GIVING_UP.as_secs()),
        };
        tracing::warn!(
            "a lock could not be given up, it ends by itself, and the next backup clears up after it: {why}"
        );
    }
}

/// Renews a lock for as long as it is held.
async fn beat(shared: Arc<Shared>) {
    let mut pause = RENEW;
    loop {
        tokio::time::sleep(pause).await;
        pause = match shared.renew().await {
            Ok(()) => RENEW,
            Err(BackupError::LockLost(_)) => return,
            Err(error) => {
                tracing::warn!("a lock could not be renewed: {error}");
                if shared.state.lock().await.renewed.elapsed() > LIFE {
                    // Others may have taken it.
                    shared.lost.store(true, Ordering::Release);
                    return;
                }
                AGAIN
            }
        };
    }
}

/// Until when it is good from now on.
fn good() -> Timestamp {
    Timestamp::now().checked_add(LIFE).unwrap_or(Timestamp::MAX)
}

fn text(run: &str, holder: Uuid, until: Timestamp, uploads: &[Noted]) -> Vec<u8> {
    let held = Held { run: run.to_owned(), holder, until, uploads: uploads.to_vec() };
    serde_json::to_vec(&held).unwrap_or_default()
}

/// The lock, for people.
fn named(bucket: &Bucket) -> PathBuf {
    PathBuf::from(format!("{}, {}", bucket.place, bucket.key(NAME)))
}

fn locked(bucket: &Bucket, held: &Held) -> BackupError {
    BackupError::Locked { path: named(bucket), run: held.run.clone(), until: held.until }
}
