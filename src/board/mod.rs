//! What is known now, for whoever asks: the front ends write it, the server reads it.
//!
//! Metrics are rendered from here at each scrape, so a series cannot outlive its object.

mod ingest;
mod operator;
mod readiness;
mod runs;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::{CorruptionType, FindingState, Severity};
use crate::resources::MemoryBankStatus;

pub use ingest::{IngestNumbers, ReportResult};
pub use operator::OperatorNumbers;
pub use readiness::Readiness;
pub use runs::RunNumbers;
pub use store::StoreNumbers;

/// A bank's namespace and name.
pub type BankName = (String, String);

/// What is known of one bank.
#[derive(Clone, Debug, Default)]
pub struct BankState {
    /// Its status, as last written.
    pub status: MemoryBankStatus,
    /// Whether its spec suspends it.
    pub suspended: bool,
    /// The newest number of each sample: `memories`, `database_size_bytes`.
    pub samples: BTreeMap<String, f64>,
    /// Open findings by severity and state.
    pub findings: BTreeMap<(Severity, FindingState), u64>,
    /// Corruption events ever recorded, by type.
    pub corruption: BTreeMap<CorruptionType, u64>,
}

/// The board itself.
#[derive(Debug)]
pub struct Board {
    banks: RwLock<BTreeMap<BankName, Arc<BankState>>>,
    /// Which parts are ready, and what the others wait for.
    pub readiness: Readiness,
    /// Numbers of runs.
    pub runs: RunNumbers,
    /// Numbers of the store.
    pub store: StoreNumbers,
    /// Numbers of the operator.
    pub operator: OperatorNumbers,
    /// Numbers of the reports that Jobs send.
    pub ingest: IngestNumbers,
}

impl Board {
    /// An empty board.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            banks: RwLock::default(),
            readiness: Readiness::default(),
            runs: RunNumbers::new()?,
            store: StoreNumbers::new()?,
            operator: OperatorNumbers::new()?,
            ingest: IngestNumbers::new()?,
        })
    }

    /// Puts what is known of a bank.
    pub fn put(&self, name: BankName, state: BankState) {
        self.banks.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(state));
    }

    /// Takes a bank off.
    pub fn remove(&self, name: &BankName) {
        self.banks.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Keeps only the banks of which `keep` says so.
    pub fn retain(&self, keep: impl Fn(&BankName) -> bool) {
        self.banks.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| keep(name));
    }

    /// Everything that is known, in order of names.
    pub fn banks(&self) -> Vec<(BankName, Arc<BankState>)> {
        let banks = self.banks.read().unwrap_or_else(PoisonError::into_inner);
        banks.iter().map(|(name, state)| (name.clone(), Arc::clone(state))).collect()
    }
}
