use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, BucketLock};
use super::error::{BackupError, at};

/// How long a lock is good for after it was last renewed: a run that died on another machine keeps others off for no
/// longer.
pub(super) const LIFE: Duration = Duration::from_mins(10);
/// How often it is renewed.
pub(super) const RENEW: Duration = Duration::from_mins(2);
/// What it is called, beside the sets.
pub(super) const NAME: &str = "lock.json";
/// What tells kernels apart, and one kernel before a restart from the same after it.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The right to write sets of one bank.
#[derive(Debug)]
pub(super) enum Lock {
    Folder(FolderLock),
    Bucket(BucketLock),
}

impl Lock {
    /// Takes that of a bank's folder. Blocks.
    pub fn in_folder(folder: &Path, run: &str) -> Result<Self, BackupError> {
        FolderLock::take(folder, run).map(Self::Folder)
    }

    /// Takes that of a bank's place in a bucket, and ends what its last holder left in the middle. Blocks.
    pub fn in_bucket(bucket: &Bucket, run: &str) -> Result<Self, BackupError> {
        bucket.wait(BucketLock::take(bucket, run)).map(Self::Bucket)
    }

    /// An error once it is known to be somebody else's.
    pub fn check(&self) -> Result<(), BackupError> {
        match self {
            Self::Folder(lock) => lock.check(),
            Self::Bucket(lock) => lock.check(),
        }
    }

    /// Renews it where that is due; to be called while work goes on. That of a bucket is renewed beside the work.
    pub fn renew(&mut self) -> Result<(), BackupError> {
        match self {
            Self::Folder(lock) => lock.renew(),
            Self::Bucket(lock) => lock.check(),
        }
    }

    /// Proves that it is ours at this moment, and for a while. Blocks.
    pub fn prove(&self) -> Result<(), BackupError> {
        match self {
            Self::Folder(lock) => lock.check(),
            Self::Bucket(lock) => lock.prove(),
        }
    }

    /// Gives it back. Blocks.
    pub fn release(self) {
        if let Self::Bucket(lock) = self {
            lock.release();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Held {
    run: String,
    until: Timestamp,
    boot: String,
}

/// That of a folder: a file that says whose it is and until when, and the folder's own lock, which a
/// kernel takes from whoever dies. The file is for those on other machines.
#[derive(Debug)]
pub(super) struct FolderLock {
    path: PathBuf,
    run: String,
    renewed: Instant,
    /// None where the file system has no such locks.
    _folder: Option<Flock<File>>,
}

impl FolderLock {
    /// Takes the lock in a bank's folder. One that is left is taken up by the same run, which is executed again after a
    /// crash; by any once its time is over; and by one on the same kernel, where its holder must be dead.
    pub fn take(folder: &Path, run: &str) -> Result<Self, BackupError> {
        let path = folder.join(NAME);
        let known = read(&path);
        let opened = File::open(folder).map_err(at(folder))?;
        let (own, busy) = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(own) => (Some(own), false),
            Err((_, errno)) => (None, errno == Errno::EWOULDBLOCK),
        };
        let boot = boot();
        let now = Timestamp::now();
        let over = |held: &Held| {
            let dead = own.is_some() && !boot.is_empty() && held.boot == boot;
            held.run == run || held.until <= now || dead
        };
        // One that cannot be read was torn by a crash, or is another's to come: where that is on this kernel, it has the
        // folder's lock first.
        let torn = known.is_none() && own.is_none() && age(&path).is_some_and(|age| age < LIFE);
        if busy || torn || known.as_ref().is_some_and(|held| !over(held)) {
            let until = known.as_ref().map(|held| held.until).or_else(|| now.checked_add(LIFE).ok());
            let run = known.map_or_else(|| "of an unknown uid".to_owned(), |held| held.run);
            return Err(BackupError::Locked { path, run, until: until.unwrap_or(Timestamp::MAX) });
        }
        let lock = Self { path, run: run.to_owned(), renewed: Instant::now(), _folder: own };
        if known.is_some() || lock.path.exists() {
            lock.put()?;
        } else {
            lock.create()?;
        }
        lock.check()?;
        Ok(lock)
    }

    /// The text of the lock as it is from now on.
    fn text(&self) -> Vec<u8> {
        let until = Timestamp::now().checked_add(LIFE).unwrap_or(Timestamp::MAX);
        serde_json::to_vec(&Held { run: self.run.clone(), until, boot: boot() }).unwrap_or_default()
    }

    /// Makes the file, where nobody else has meanwhile.
    fn create(&self) -> Result<(), BackupError> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&self.path).map_err(at(&self.path))?;
        let written = file.write_all(&self.text()).and_then(|()| file.sync_all());
        if written.is_err() {
            // On a full disk an empty lock would keep everybody off.
            let _ = fs::remove_file(&self.path);
        }
        written.map_err(at(&self.path))
    }

    fn put(&self) -> Result<(), BackupError> {
        let new = self.path.with_extension("new");
        let written = fs::write(&new, self.text()).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(at(&self.path))
    }

    /// An error once it is somebody else's.
    pub fn check(&self) -> Result<(), BackupError> {
        match read(&self.path) {
            Some(held) if held.run == self.run => Ok(()),
            _ => Err(BackupError::LockLost(self.path.clone())),
        }
    }

    /// Renews it where that is due; to be called while work goes on.
    pub fn renew(&mut self) -> Result<(), BackupError> {
        if self.renewed.elapsed() < RENEW {
            return Ok(());
        }
        self.check()?;
        self.put()?;
        self.renewed = Instant::now();
        Ok(())
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.check().is_ok()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a lock could not be removed; it ends by itself");
        }
    }
}

fn boot() -> String {
    fs::read_to_string(BOOT).map(|boot| boot.trim().to_owned()).unwrap_or_default()
}

fn read(path: &Path) -> Option<Held> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn age(path: &Path) -> Option<Duration> {
    match fs::metadata(path).ok()?.modified().ok()?.elapsed() {
        Ok(age) => Some(age),
        // Written in the future, as another clock has it.
        Err(_) => Some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(run: &str, hours: i64, boot: &str) -> Held {
        let until = Timestamp::now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
        Held { run: run.to_owned(), until, boot: boot.to_owned() }
    }

    #[test]
    fn one_run_writes_at_a_time_and_a_dead_one_does_not_keep_others_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let lock = FolderLock::take(folder.path(), "a").unwrap();
        for run in ["a", "b"] {
            let refused = FolderLock::take(folder.path(), run).unwrap_err();
            assert!(matches!(&refused, BackupError::Locked { run, .. } if run == "a"), "{refused}");
        }
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // Left by those that were killed: elsewhere, here, long ago; and of this very run.
        for (left, free) in [
            (held("x", 1, "elsewhere"), false),
            (held("x", 1, ""), false),
            (held("x", 1, &boot()), true),
            (held("x", -1, "elsewhere"), true),
            (held("b", 1, "elsewhere"), true),
        ] {
            fs::write(&path, serde_json::to_vec(&left).unwrap()).unwrap();
            let taken = FolderLock::take(folder.path(), "b");
            assert_eq!(taken.is_ok(), free, "{} {} {}", left.run, left.until, left.boot);
        }
        fs::write(&path, "{").unwrap();
        drop(FolderLock::take(folder.path(), "b").unwrap());
    }

    #[test]
    fn who_was_overtaken_notices() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path(), "a").unwrap();
        let other = serde_json::to_vec(&held("b", 1, "elsewhere")).unwrap();
        fs::write(folder.path().join(NAME), &other).unwrap();
        assert!(matches!(lock.check(), Err(BackupError::LockLost(_))));
        drop(lock);
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), other, "the other's lock stays");
    }
}
