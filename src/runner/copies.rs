use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::places::Places;
use crate::bank::Meter;
use crate::bank::sqlite::{self, SqliteCopy, Stand};
use crate::domain::{Bank, Check, CorruptionEvent, Digest, LatestSet, PathInVolume, SqlDatabase, VerifiedSets};
use crate::engine::integrity::sqlite::Judgement;

/// A SQLite file of the bank as one run sees it.
#[derive(Debug)]
pub(super) struct Copied {
    /// When it was begun: what changed after it is not in the copy.
    pub at: Timestamp,
    /// What the files of the bank were before it was begun; none where a later write could look the same.
    pub files: Option<Digest>,
    /// The private copy, wiped with the last use of it; none where no copy could be made.
    pub copy: Option<SqliteCopy>,
    /// What the raw files say, or why there is no copy.
    pub checks: Vec<Check>,
    /// Damage of the raw files.
    pub corruption: Vec<CorruptionEvent>,
}

/// What the tasks of one run share: copies, each file copied at most once, the set that it made, and what is known of
/// others.
#[derive(Debug)]
pub(super) struct Copies<'a> {
    places: &'a Places,
    copied: BTreeMap<&'static str, Arc<Copied>>,
    /// The uid of the run.
    pub uid: String,
    /// The backup set that this run made: an output is no input before the report is stored.
    pub made: Option<LatestSet>,
    /// The sets that are known to be good, once a task of this run changed them.
    pub verified: Option<VerifiedSets>,
}

/// The component names of the two SQLite files of a bank.
pub(super) const DATABASE: &str = "database";
pub(super) const HISTORY: &str = "history";

impl<'a> Copies<'a> {
    pub fn new(places: &'a Places, uid: &str) -> Self {
        Self { places, copied: BTreeMap::new(), uid: uid.to_owned(), made: None, verified: None }
    }

    /// Forgets the copies that were made: the next are of later than now.
    pub fn renew(&mut self) {
        self.copied.clear();
    }

    /// The bank's SQLite database; none where it has none.
    pub async fn database(&mut self, bank: &Bank, meter: &Arc<Meter>) -> Result<Option<Arc<Copied>>, String> {
        match &bank.database {
            Some(SqlDatabase::Sqlite(place)) => self.get(DATABASE, place, meter).await.map(Some),
            Some(SqlDatabase::Postgres(_)) | None => Ok(None),
        }
    }

    /// mem0's history; none where it is not declared.
    pub async fn history(&mut self, bank: &Bank, meter: &Arc<Meter>) -> Result<Option<Arc<Copied>>, String> {
        match &bank.history {
            Some(place) => self.get(HISTORY, place, meter).await.map(Some),
            None => Ok(None),
        }
    }

    async fn get(
        &mut self,
        component: &'static str,
        place: &PathInVolume,
        meter: &Arc<Meter>,
    ) -> Result<Arc<Copied>, String> {
        if let Some(made) = self.copied.get(component) {
            return Ok(Arc::clone(made));
        }
        let at = Timestamp::now();
        let copied = match self.places.volume(&place.volume) {
            Err(why) => Copied {
                at,
                files: None,
                copy: None,
                checks: vec![Check::unknown("sqlite-copy", component, why)],
                corruption: Vec::new(),
            },
            Ok(root) => {
                let (root, path) = (root.to_owned(), place.path.clone());
                let (scratch, meter) = (self.places.scratch.clone(), Arc::clone(meter));
                blocking(move || copy(at, &root, &path, &scratch, component, &meter)).await?
            }
        };
        let copied = Arc::new(copied);
        self.copied.insert(component, Arc::clone(&copied));
        Ok(copied)
    }
}

/// Copies a file and judges what its bytes tell, before SQLite opens the copy.
fn copy(at: Timestamp, root: &Path, path: &str, scratch: &Path, component: &str, meter: &Meter) -> Copied {
    let files = Stand::look(root, path).digest();
    let mut copy = match sqlite::copy(root, path, scratch, meter) {
        Ok(copy) => copy,
        Err(error) => {
            let Judgement { checks, events } = error.judge(component, path);
            return Copied { at, files, copy: None, checks, corruption: events };
        }
    };
    let Judgement { checks: judged, events: corruption } = copy.raw.judge(component);
    let mut checks = vec![copy.check(component)];
    checks.extend(judged);
    match copy.prepare() {
        Ok(()) => Copied { at, files, copy: Some(copy), checks, corruption },
        Err(error) => {
            checks.push(Check::unknown("sqlite-copy", component, format!("the copy cannot be prepared: {error}")));
            Copied { at, files, copy: None, checks, corruption }
        }
    }
}

/// Runs blocking work beside the async runtime. An error is the panic of a bug, told and not spread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("internal failure: {error}"))
}
