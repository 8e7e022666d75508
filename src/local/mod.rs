//! The front end without a cluster: watches a folder of resources, runs what is due, and keeps status in
//! the store and in files. It holds one data folder.

mod error;
mod exchange;
mod execute;
mod folder;
mod guardian;
mod manifests;
mod objects;
mod places;
mod secrets;
mod status_file;
mod summary;
mod watched;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::runner::Step;

pub use error::LocalError;
pub use guardian::Guardian;
pub use summary::{BankSummary, Summary};

/// Takes the name of a run that begins, and the end at which its steps can be followed.
type Follower = dyn Fn(&str, watch::Receiver<Option<Step>>) + Send + Sync;

/// Follows the progress of runs.
#[derive(Clone)]
pub struct Follow(pub Arc<Follower>);

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}

/// What a local guardian is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of resources.
    pub config: PathBuf,
    /// The folder of secrets: files `NAME/KEY`.
    pub secrets: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// The folders that stand for PersistentVolumeClaims, by name.
    pub claims: BTreeMap<String, PathBuf>,
    /// Ends when nothing more is due.
    pub once: bool,
    /// Runs everything now, as a run-now token of its own would.
    pub now: bool,
    /// How many runs are executed at once.
    pub parallel: usize,
    /// How many threads one run may hash with.
    pub threads: usize,
    /// Who follows runs.
    pub follow: Follow,
}
