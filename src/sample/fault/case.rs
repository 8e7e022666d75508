use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::base::{Base, State, open};
use super::kind::{Change, Fault};
use super::set::Set;
use super::truth;
use crate::sample::SampleError;
use crate::sample::random::Random;

/// A damaged copy of a base.
#[derive(Debug)]
pub struct Case {
    /// What was done to it.
    pub fault: &'static Fault,
    /// The base, for people.
    pub base: String,
    /// The damaged files: to be checked, and not to be opened by SQLite.
    pub set: Set,
    /// Whether it matters: a row or an index entry differs, or SQLite's bookkeeping is wrong. Else the
    /// damage hit what nothing uses.
    pub differs: bool,
}

/// Makes the cases of an evaluation one after the other, in one scratch folder.
#[derive(Debug)]
pub struct Cases {
    scratch: PathBuf,
    seed: u64,
    bases: usize,
    index: usize,
    base: Option<Base>,
}

impl Cases {
    /// Every kind of damage on each of so many bases.
    pub fn new(scratch: &Path, bases: usize, seed: u64) -> Self {
        Self { scratch: scratch.to_owned(), seed, bases, index: 0, base: None }
    }

    /// How many cases there are at most: some kinds have no place in some bases.
    pub const fn total(&self) -> usize {
        self.bases * Fault::ALL.len()
    }

    /// The next case; the files of the one before are gone then.
    pub async fn next(&mut self) -> Result<Option<Case>, SampleError> {
        while self.index < self.total() {
            let (number, kind) = (self.index / Fault::ALL.len(), self.index % Fault::ALL.len());
            let base = match self.base.take() {
                Some(base) if kind > 0 => base,
                _ => {
                    clear(&self.scratch)?;
                    Base::make(&self.scratch, number, self.seed).await?
                }
            };
            let base = self.base.insert(base);
            let random = &mut Random::new(self.seed, 10_000 + self.index as u64);
            self.index += 1;
            let Some(fault) = Fault::ALL.get(kind) else { continue };
            let Some(change) = (fault.make)(base, random) else { continue };
            return strike(&self.scratch, base, fault, change).await.map(Some);
        }
        Ok(None)
    }
}

async fn strike(scratch: &Path, base: &Base, fault: &'static Fault, change: Change) -> Result<Case, SampleError> {
    let state = match &change {
        Change::File(state, ..) => *state,
        Change::Sql(_) => State::Closed,
    };
    let (healthy, digest) = base.state(state);
    let set = healthy.copy_to(&scratch.join("case"))?;
    match change {
        Change::File(_, part, bytes) => set.put(part, bytes.as_deref())?,
        Change::Sql(sql) => {
            let path = set.database();
            let mut writer = open(&path, 2_000).await.map_err(SampleError::sqlite(&path))?;
            writer.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(SampleError::sqlite(&path))?;
            writer.close().await.map_err(SampleError::sqlite(&path))?;
        }
    }
    let content = truth::content(&set.copy_to(&scratch.join("truth"))?).await;
    let differs = fault.bookkeeping || content != *digest;
    Ok(Case { fault, base: base.name.clone(), set, differs })
}

fn clear(folder: &Path) -> Result<(), SampleError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SampleError::io(folder)(error)),
        _ => std::fs::create_dir_all(folder).map_err(SampleError::io(folder)),
    }
}
