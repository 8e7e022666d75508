use std::fs;
use std::path::PathBuf;

use crate::domain::Digest;
use crate::runner::{Exchange, ExchangeError};

/// Inputs and outputs as files of a folder, for a run without a store.
pub(super) struct FolderExchange(pub PathBuf);

impl FolderExchange {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join("outputs").join(format!("{}.json", name.replace('/', "_")))
    }
}

fn failed(what: &str, error: &std::io::Error) -> ExchangeError {
    ExchangeError { what: what.to_owned(), why: error.to_string() }
}

impl Exchange for FolderExchange {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        let path = self.path(name);
        let digest = Digest::of(&bytes);
        let new = path.with_extension("new");
        fs::create_dir_all(self.0.join("outputs"))
            .and_then(|()| fs::write(&new, &bytes))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| failed(name, &error))?;
        Ok(digest)
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let what = "the bank's fingerprint key";
        let path = self.0.join("fingerprint.key");
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| ExchangeError {
                what: what.to_owned(),
                why: format!("{} does not hold 32 bytes", path.display()),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                fs::create_dir_all(&self.0)
                    .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path))
                    .and_then(|mut file| file.write_all(&key))
                    .map_err(|error| failed(what, &error))?;
                Ok(key)
            }
            Err(error) => Err(failed(what, &error)),
        }
    }
}
