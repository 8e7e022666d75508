use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::bank::sqlite::wipe;

/// The folder of a run's private copies: nobody else may look into it, and it is empty when a run begins
/// and when it ends. It may be a mount of its own, so it is emptied and only then, if possible, removed.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, or empties it; what an earlier run left there is a copy of a bank. The error says
    /// what to do.
    pub fn make(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!("no scratch folder {}: {error}; give one that this user may write to", path.display())
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        wipe(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = wipe(&self.0) {
            tracing::warn!(scratch = %self.0.display(), %error, "scratch not emptied");
        }
        // A mount stays; whatever else stays is empty.
        let _ = fs::remove_dir(&self.0);
    }
}
