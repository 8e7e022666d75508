use std::fs;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::SecretKey;

/// A secret larger than this is none.
const MAX_BYTES: u64 = 64 << 10;

/// Why a secret could not be had; the words say what to do, and are the same as long as the trouble is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// There is no such secret, or no such key in it.
    #[error("{0}")]
    NotFound(String),
    /// It may not be read.
    #[error("{0}")]
    Forbidden(String),
    /// It could not be read now, or is none.
    #[error("{0}")]
    Failed(String),
}

/// Where the secrets that a bank refers to are looked up, each time they are used.
pub trait Secrets: Send + Sync {
    /// What one key of a Secret of a namespace holds.
    fn get(&self, namespace: &str, key: &SecretKey) -> impl Future<Output = Result<Vec<u8>, SecretError>> + Send;
}

/// Secrets as files `NAME/KEY` of one folder, whatever the namespace: local mode, and the pods of Jobs, whose
/// projected volume has each name as a link to what holds at the moment.
#[derive(Clone, Debug)]
pub struct FolderSecrets(PathBuf);

impl FolderSecrets {
    /// The secrets of a folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }
}

impl Secrets for FolderSecrets {
    async fn get(&self, _namespace: &str, key: &SecretKey) -> Result<Vec<u8>, SecretError> {
        let (folder, key) = (self.0.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || read(&folder, &key)).await;
        read.unwrap_or_else(|error| Err(SecretError::Failed(format!("internal failure: {error}"))))
    }
}

fn read(folder: &Path, key: &SecretKey) -> Result<Vec<u8>, SecretError> {
    let path = folder.join(&key.name).join(&key.key);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            SecretError::NotFound(format!("there is no file {}", path.display()))
        }
        io::ErrorKind::PermissionDenied => SecretError::Forbidden(format!("this user may not read {}", path.display())),
        kind => SecretError::Failed(format!("cannot read {}: {kind}", path.display())),
    };
    if [&key.name, &key.key].into_iter().any(|name| !is_step(name)) {
        return Err(SecretError::NotFound(format!("{} is no name of a secret", path.display())));
    }
    // Links are followed, and must not lead out of the folder.
    let real = fs::canonicalize(&path).map_err(failed)?;
    if !real.starts_with(fs::canonicalize(folder).map_err(failed)?) {
        return Err(SecretError::Forbidden(format!("{} leads out of the folder of secrets", path.display())));
    }
    let file = fs::File::open(&real).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(SecretError::NotFound(format!("{} is no file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SecretError::Failed(format!("{} has more than 64 KiB: it is no secret", path.display())));
    }
    Ok(bytes)
}

/// Whether a name is one step of a path, and neither back nor nowhere.
fn is_step(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn key(name: &str, key: &str) -> SecretKey {
        SecretKey { name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_secret_is_a_file_also_behind_the_links_of_a_projected_volume() {
        let folder = tempfile::tempdir().unwrap();
        let generation = folder.path().join("..2026_11_25");
        fs::create_dir_all(generation.join("api")).unwrap();
        fs::write(generation.join("api/token"), "t0ken").unwrap();
        symlink("..2026_11_25", folder.path().join("..data")).unwrap();
        symlink("..data/api", folder.path().join("api")).unwrap();
        assert_eq!(read(folder.path(), &key("api", "token")).unwrap(), b"t0ken");
        assert!(matches!(read(folder.path(), &key("api", "other")), Err(SecretError::NotFound(_))));
        assert!(matches!(read(folder.path(), &key("other", "token")), Err(SecretError::NotFound(_))));
        assert!(matches!(read(&folder.path().join("none"), &key("api", "token")), Err(SecretError::NotFound(_))));
    }

    #[test]
    fn nothing_outside_of_the_folder_and_nothing_large_is_a_secret() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("secrets");
        fs::create_dir_all(folder.join("api")).unwrap();
        fs::write(outer.path().join("private"), "no").unwrap();
        symlink(outer.path().join("private"), folder.join("api/out")).unwrap();
        assert!(matches!(read(&folder, &key("api", "out")), Err(SecretError::Forbidden(_))));
        assert!(matches!(read(&folder, &key("..", "private")), Err(SecretError::NotFound(_))));
        assert!(matches!(read(&folder, &key("api", "../../private")), Err(SecretError::NotFound(_))));
        fs::write(folder.join("api/large"), vec![b'x'; (64 << 10) + 1]).unwrap();
        assert!(matches!(read(&folder, &key("api", "large")), Err(SecretError::Failed(_))));
        fs::create_dir(folder.join("api/folder")).unwrap();
        assert!(matches!(read(&folder, &key("api", "folder")), Err(SecretError::NotFound(_))));
    }
}
