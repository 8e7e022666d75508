use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StoreError;

/// The right to be the only `local` on a data folder; given back when it is dropped, and by the kernel
/// when the process dies.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// The name of the lock file within the data folder; it holds the process id of its owner.
    pub const FILE: &str = "lock";

    /// Takes the lock, or says at once who has it ([`StoreError::Locked`]). Makes the folder if needed.
    pub fn acquire(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(Self::FILE);
        let failed = |error| StoreError::io(path.display(), &error);
        fs::create_dir_all(data_dir).map_err(|error| StoreError::folder(data_dir, &error))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _unreadable = (&file).take(20).read_to_string(&mut owner);
                let owner =
                    owner.trim().parse::<u32>().map_or("another process".to_owned(), |id| format!("process {id}"));
                let detail = format!("{owner} works on this data folder");
                return Err(StoreError::Locked { place: data_dir.display().to_string(), detail });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
