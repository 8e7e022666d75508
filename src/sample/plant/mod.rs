//! Plants damage in a healthy sample bank: small, exact changes, each with what must be told of it.

mod database;
mod index;
mod leaks;
mod uploads;

use std::path::{Path, PathBuf};

use super::damage::Damage;
use super::error::SampleError;
use super::planted::Planted;
use super::random::Random;

/// The healthy bank in which damage is planted.
#[derive(Debug)]
pub struct Site {
    bank: PathBuf,
    memories: usize,
    seed: u64,
}

impl Site {
    /// The bank in this folder.
    pub fn new(bank: &Path, memories: usize, seed: u64) -> Self {
        Self { bank: bank.to_owned(), memories, seed }
    }

    /// Plants every damage of the list. The databases come first: damage to a file's bytes must not be
    /// mended by a later write of SQLite.
    pub async fn plant(&self, damages: &[Damage]) -> Result<Vec<Planted>, SampleError> {
        let mut planted = database::plant(self, damages).await?;
        for damage in damages {
            let one = match damage {
                Damage::IndexDamage => index::plant(self).await?,
                Damage::HistoryTail | Damage::HistoryTruncated => uploads::history(self, *damage)?,
                Damage::PrivateKeyInUpload | Damage::JwtInLog | Damage::GithubTokenInEnv => {
                    leaks::plant(self, *damage)?
                }
                Damage::FileMissing | Damage::FileChangedSilently | Damage::FileTruncated | Damage::FileRenamed => {
                    uploads::plant(self, *damage)?
                }
                _ => continue,
            };
            planted.push(one);
        }
        planted.sort_by_key(|one| one.damage.parse::<Damage>().ok());
        Ok(planted)
    }

    fn database(&self) -> PathBuf {
        self.bank.join("openmemory.db")
    }

    fn history(&self) -> PathBuf {
        self.bank.join(".mem0/history.db")
    }

    /// The chance of one damage, the same whatever else is planted.
    fn random(&self, damage: Damage) -> Random {
        Random::new(self.seed, 1_000 + damage as u64)
    }

    const fn too_small(&self, damage: Damage) -> SampleError {
        SampleError::TooSmall { damage: damage.name(), memories: self.memories }
    }
}

impl Planted {
    fn of(damage: Damage, expected: Vec<super::planted::Expected>) -> Self {
        Self { damage: damage.name().to_owned(), what: damage.what().to_owned(), expected, also: Vec::new() }
    }

    fn also(mut self, also: Vec<super::planted::Expected>) -> Self {
        self.also = also;
        self
    }
}
