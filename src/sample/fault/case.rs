use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::base::{Base, State, open, to_wal};
use super::kind::{Change, Fault, Group};
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
    /// Holds the files open as a live writer does.
    writer: Option<SqliteConnection>,
}

impl Case {
    /// Ends the live writer, if there is one. It may fail over the damage, which is no matter.
    pub async fn close(self) {
        if let Some(writer) = self.writer {
            let _ = writer.close().await;
        }
    }
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
    pub fn total(&self) -> usize {
        self.bases * per_base()
    }

    /// The next case; close it before the next, when its files go.
    pub async fn next(&mut self) -> Result<Option<Case>, SampleError> {
        while self.index < self.total() {
            let (number, draw) = (self.index / per_base(), self.index % per_base());
            let base = match self.base.take() {
                Some(base) if draw > 0 => base,
                _ => {
                    clear(&self.scratch)?;
                    Base::make(&self.scratch, number, self.seed).await?
                }
            };
            let base = self.base.insert(base);
            let random = &mut Random::new(self.seed, 10_000 + self.index as u64);
            self.index += 1;
            let mut draws = Fault::ALL.iter().flat_map(|fault| std::iter::repeat_n(fault, fault.draws));
            let Some(fault) = draws.nth(draw) else { continue };
            let Some(change) = (fault.make)(base, random) else { continue };
            // Of the two draws of a -wal one is beside a live writer, one after its crash.
            let live = fault.group == Group::Wal && draw % 2 == 0;
            return strike(&self.scratch, base, fault, change, live).await.map(Some);
        }
        Ok(None)
    }
}

/// How many cases a base gives at most.
fn per_base() -> usize {
    Fault::ALL.iter().map(|fault| fault.draws).sum()
}

async fn strike(
    scratch: &Path,
    base: &Base,
    fault: &'static Fault,
    change: Change,
    live: bool,
) -> Result<Case, SampleError> {
    let state = match &change {
        Change::File(state, ..) => *state,
        Change::Sql(_) => State::Closed,
    };
    let (healthy, digest) = base.state(state);
    let set = healthy.copy_to(&scratch.join("case"))?;
    let path = set.database();
    let writer = if live { Some(writer(&path).await.map_err(SampleError::sqlite(&path))?) } else { None };
    match change {
        Change::File(_, part, bytes) => set.put(part, bytes.as_deref())?,
        Change::Sql(sql) => {
            let mut writer = open(&path, 2_000).await.map_err(SampleError::sqlite(&path))?;
            writer.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(SampleError::sqlite(&path))?;
            writer.close().await.map_err(SampleError::sqlite(&path))?;
        }
    }
    let content = truth::content(&set.copy_to(&scratch.join("truth"))?).await;
    let differs = fault.bookkeeping || content != Some(*digest);
    let alive = if live { ", writer alive" } else { "" };
    Ok(Case { fault, base: format!("{}{alive}", base.name), set, differs, writer })
}

/// A connection that has read, and so has made the -shm and locks it.
async fn writer(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut writer = open(path, 2_000).await?;
    to_wal(&mut writer).await?;
    writer.execute("SELECT count(*) FROM memories").await?;
    Ok(writer)
}

fn clear(folder: &Path) -> Result<(), SampleError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SampleError::io(folder)(error)),
        _ => std::fs::create_dir_all(folder).map_err(SampleError::io(folder)),
    }
}
