use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use tokio::sync::{Notify, watch};

use super::job::JobSettings;
use super::key::Key;
use super::ledger::Ledger;
use super::places::Places;
use super::queue::Queue;
use super::told::Teller;
use super::world::World;
use crate::board::{BankName, Board};
use crate::delivery::Authority;
use crate::domain::{BankFacts, Digest, RunReport};
use crate::plan::RunOwner;
use crate::store::{BankMetrics, Store, StoreError};

/// All that reconcilers share.
pub struct Context {
    pub world: World,
    pub store: Arc<Store>,
    pub board: Arc<Board>,
    /// Writes only while this replica leads.
    pub client: Client,
    pub banks: Queue<Key>,
    pub policies: Queue<Key>,
    pub places: Places,
    pub teller: Teller,
    pub jobs: JobSettings,
    /// What is scaled down.
    pub ledger: Ledger,
    /// The name of this replica, which is its pod's.
    pub identity: String,
    /// Below which paths of nodes a bank may have its files.
    pub host_paths: Vec<String>,
    /// What Jobs trust the ingest endpoint by, once it is there.
    pub authority: watch::Receiver<Option<Arc<Authority>>>,
    pub known: Mutex<HashMap<Key, Known>>,
    /// Told when the banks to sample are others than before.
    pub sampled: Notify,
    /// What the store counts of each bank, as of the last look.
    pub metrics: Mutex<BTreeMap<BankName, BankMetrics>>,
}

/// What was read of a bank's records, kept until something new is stored.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub facts: Option<Arc<BankFacts>>,
    /// The newest reports of its checks and audits.
    pub newest: BTreeMap<RunOwner, Arc<Newest>>,
}

/// The newest report of a check or an audit.
#[derive(Debug)]
pub struct Newest {
    pub report: RunReport,
    pub digest: Digest,
}

impl Context {
    /// What the store knows of a bank.
    pub async fn facts(&self, bank: &Key) -> Result<Arc<BankFacts>, StoreError> {
        let known = self.known(bank, |known| known.facts.clone());
        if let Some(facts) = known {
            return Ok(facts);
        }
        let facts = Arc::new(self.store.facts(&bank.namespace, &bank.name).await?);
        self.known(bank, |known| known.facts = Some(Arc::clone(&facts)));
        Ok(facts)
    }

    /// The report of a run by its digest, kept as the newest of its owner.
    pub async fn report(
        &self,
        bank: &Key,
        owner: &RunOwner,
        digest: Digest,
    ) -> Result<Option<Arc<Newest>>, StoreError> {
        let known = self.known(bank, |known| known.newest.get(owner).cloned());
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(Some(known));
        }
        let bytes = self.store.get_blob(&digest).await?;
        let Some(report) = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else { return Ok(None) };
        let newest = Arc::new(Newest { report, digest });
        self.known(bank, |known| known.newest.insert(owner.clone(), Arc::clone(&newest)));
        Ok(Some(newest))
    }

    /// Something of a bank was stored: its records are read anew, and it is looked at.
    pub fn stored(&self, bank: &Key) {
        self.forget_facts(bank);
        self.banks.add(bank.clone());
    }

    /// A bank's records are read anew when they are needed next.
    pub fn forget_facts(&self, bank: &Key) {
        self.known(bank, |known| known.facts = None);
    }

    /// Forgets a bank that went.
    pub fn forget(&self, bank: &Key) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(bank);
    }

    fn known<T>(&self, bank: &Key, with: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        with(all.entry(bank.clone()).or_default())
    }
}
