//! What is scaled down now, and to how many replicas it goes back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::key::Key;
use crate::store::{Store, StoreError};

/// The kind of the records in the store.
const KIND: &str = "ScaledDown";

/// The workloads that were scaled down for one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The run's bank.
    pub bank: String,
    /// The run's name.
    pub run: String,
    /// The recovery that it is of.
    pub recovery: String,
    /// Since when.
    pub since: Timestamp,
    /// Those that had replicas.
    pub workloads: Vec<Scaled>,
}

/// One workload, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    pub kind: Kind,
    pub name: String,
    pub uid: String,
    /// What it had before it was scaled down.
    pub replicas: i32,
}

/// The kinds that are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Deployment,
    StatefulSet,
}

impl Kind {
    /// As Kubernetes writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// The records of the store, as whoever leads has read and written them: nobody else writes any. A record is in the
/// store before the first workload is scaled, and stays until all are put back, whatever becomes of its run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the namespace and the uid of the run.
    known: Mutex<BTreeMap<(String, String), Entry>>,
    /// Held while it is decided whose a workload is.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    /// Since when its run is over as far as this process knows.
    over: Option<Instant>,
}

impl Ledger {
    fn known(&self) -> MutexGuard<'_, BTreeMap<(String, String), Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what earlier leaders left. A record that cannot be read keeps no other from being put back.
    pub async fn load(&self, store: &Store) -> Result<(), StoreError> {
        for object in store.objects(KIND).await? {
            match serde_json::from_value(object.status) {
                Ok(record) => {
                    self.known().insert((object.namespace, object.name), Entry { record, over: None });
                }
                Err(error) => {
                    let (namespace, run) = (object.namespace, object.name);
                    tracing::error!(namespace, run, %error, "what was scaled down for a run cannot be read: look there");
                }
            }
        }
        Ok(())
    }

    /// The banks for whose runs something is scaled down.
    pub fn banks(&self) -> Vec<Key> {
        let known = self.known();
        known.iter().map(|((namespace, _), entry)| Key::new(namespace.as_str(), entry.record.bank.as_str())).collect()
    }

    /// The records of a bank, by the uids of their runs.
    pub fn of_bank(&self, bank: &Key) -> Vec<(String, Record)> {
        let known = self.known();
        let of = known.iter().filter(|((namespace, _), e)| *namespace == bank.namespace && e.record.bank == bank.name);
        of.map(|((_, uid), entry)| (uid.clone(), entry.record.clone())).collect()
    }

    /// The record of a run.
    pub fn get(&self, namespace: &str, run_uid: &str) -> Option<Record> {
        let known = self.known();
        known.get(&(namespace.to_owned(), run_uid.to_owned())).map(|entry| entry.record.clone())
    }

    /// Writes the record of a run, in the store before it is here. Not where another run has one of the workloads (by their
    /// uids) that are selected for it: then that one's name, and the workload's.
    pub async fn write(
        &self,
        store: &Store,
        namespace: &str,
        run_uid: &str,
        selected: &[&str],
        record: Record,
    ) -> Result<Option<(String, String)>, StoreError> {
        let _writing = self.writing.lock().await;
        if let Some(taken) = self.taken(namespace, run_uid, selected) {
            return Ok(Some(taken));
        }
        store.put_object(KIND, namespace, run_uid, serde_json::json!(record)).await?;
        self.known().insert((namespace.to_owned(), run_uid.to_owned()), Entry { record, over: None });
        Ok(None)
    }

    /// Another run for which one of these workloads is scaled down, and that workload's name.
    pub fn taken(&self, namespace: &str, run_uid: &str, selected: &[&str]) -> Option<(String, String)> {
        let known = self.known();
        let others = known.iter().filter(|((other, uid), _)| other == namespace && uid != run_uid);
        let mut all = others.flat_map(|(_, entry)| entry.record.workloads.iter().map(|one| (&entry.record.run, one)));
        let taken = all.find(|(_, theirs)| selected.contains(&theirs.uid.as_str()));
        taken.map(|(run, one)| (run.clone(), one.name.clone()))
    }

    /// How long its run has been over; from now on, where it was not before.
    pub fn over(&self, namespace: &str, run_uid: &str) -> std::time::Duration {
        let mut known = self.known();
        let entry = known.get_mut(&(namespace.to_owned(), run_uid.to_owned()));
        entry.map(|entry| entry.over.get_or_insert_with(Instant::now).elapsed()).unwrap_or_default()
    }

    /// Its run is at work, whatever was thought before.
    pub fn goes_on(&self, namespace: &str, run_uid: &str) {
        if let Some(entry) = self.known().get_mut(&(namespace.to_owned(), run_uid.to_owned())) {
            entry.over = None;
        }
    }

    /// All of a record is put back.
    pub async fn forget(&self, store: &Store, namespace: &str, run_uid: &str) -> Result<(), StoreError> {
        store.delete_object(KIND, namespace, run_uid).await?;
        self.known().remove(&(namespace.to_owned(), run_uid.to_owned()));
        Ok(())
    }
}
