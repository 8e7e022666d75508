//! A comparison that tells nothing new: the database is the one of which the baseline was made, and nothing is open.

use serde::{Deserialize, Serialize};

use super::consistency::Outputs;
use super::copies::{Copied, blocking};
use super::{Exchange, Runner};
use crate::bank::FolderSecrets;
use crate::bank::consistency::{Links, Shelf as _, StoredPoints};
use crate::bank::sqlite::Stand;
use crate::domain::{Check, Digest, Output, RunSpec, SqlDatabase};
use crate::engine::consistency::Fault;
use crate::engine::consistency::baseline::{INDEX, Index};

/// The output that says of which files the baseline was made.
const FILES: &str = "baseline/database";
const STILL: &str =
    "the files of the database are those of the baseline, and nothing was open: no row and no point read";

/// What a baseline was made of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// The marks of the database's files: identities, sizes, times.
    files: Digest,
    /// The index of the baseline.
    index: Digest,
}

impl<E: Exchange> Runner<E> {
    /// The checks of a comparison that would read no point, where it would not find another row either. None: it has to
    /// be made. A store that does not answer, or has entities whose links are to be looked at, is for the comparison.
    pub(super) async fn still(&self, spec: &RunSpec) -> Option<Vec<Check>> {
        let (Some(SqlDatabase::Sqlite(place)), Some(store)) = (&spec.bank.database, &spec.bank.vector_store) else {
            return None;
        };
        let outputs = Outputs(&self.exchange);
        let origin: Origin = serde_json::from_slice(&outputs.load(FILES).await.ok()??).ok()?;
        let (root, path) = (self.places.volume(&place.volume).ok()?.to_owned(), place.path.clone());
        let files = blocking(move || Stand::look(&root, &path).digest()).await.ok()??;
        let index = outputs.load(INDEX).await.ok()??;
        if origin != (Origin { files, index: Digest::of(&index) }) {
            return None;
        }
        let index = Index::from_bytes(&index).ok()?;
        if index.records.iter().any(|record| record.open) {
            return None;
        }
        let secrets = FolderSecrets::new(&self.places.secrets);
        StoredPoints::memories(&spec.namespace, store, &secrets).await.ok()?;
        if StoredPoints::entities(&spec.namespace, store, &secrets).await.ok()?.is_some() {
            return None;
        }
        let both = Fault::CHECKS.map(|(id, component)| Check::passed(id, component, STILL));
        Some(both.into_iter().chain([Links::none().check]).collect())
    }

    /// Leaves for later runs of which files the baseline was made that this run leaves, where all of it was measured.
    pub(super) async fn made_of(&self, copied: &Copied, outputs: &[Output]) -> Result<Option<Output>, String> {
        let index = outputs.iter().find(|output| output.name == INDEX).map(|output| output.digest);
        let (Some(files), Some(index)) = (copied.files, index) else { return Ok(None) };
        let bytes = serde_json::to_vec(&Origin { files, index }).map_err(|error| error.to_string())?;
        Outputs(&self.exchange).keep(FILES.to_owned(), bytes).await.map(Some)
    }
}
