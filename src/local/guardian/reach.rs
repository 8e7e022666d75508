use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Guardian;
use crate::bank::FolderSecrets;
use crate::local::LocalError;
use crate::resources::{Config, ValidBank};
use crate::sampler::{BankName, Banks, Sampled, Sampler};
use crate::store::StoreError;

/// How many banks may be told as changed before the sampler waits for the guardian.
const TOLD: usize = 256;

/// The sampler's ends that the guardian holds.
#[derive(Debug)]
pub(super) struct Sampling {
    /// What is to be sampled.
    banks: watch::Sender<Banks>,
    /// Banks whose samples change how they are judged.
    pub changed: mpsc::Receiver<BankName>,
    /// Held until the sampler starts, or for ever.
    teller: Option<mpsc::Sender<BankName>>,
}

impl Sampling {
    pub fn new() -> Self {
        let (teller, changed) = mpsc::channel(TOLD);
        Self { banks: watch::Sender::new(Arc::default()), changed, teller: Some(teller) }
    }

    /// Gives the sampler the banks of a configuration.
    pub fn feed(&self, config: &Config) {
        self.banks.send_replace(Arc::new(config.banks.iter().filter(|bank| !bank.suspend).map(sampled).collect()));
    }
}

fn sampled(bank: &ValidBank) -> Sampled {
    Sampled {
        namespace: bank.meta.namespace.clone(),
        bank: Arc::new(bank.bank.clone()),
        interval_seconds: bank.sampling_interval_seconds,
    }
}

impl Guardian {
    /// Starts sampling beside the guardian; with `once` each bank is sampled now, and then no more.
    pub(super) async fn begin_sampling(&mut self) -> Result<(), LocalError> {
        let secrets = Arc::new(FolderSecrets::new(&self.settings.secrets));
        let sampler = Sampler::new(Arc::clone(&self.store), secrets)?;
        let banks = self.sampling.banks.subscribe();
        if self.settings.once {
            let banks = banks.borrow().clone();
            tokio::select! {
                sampled = sampler.once(&banks) => sampled?,
                () = self.stop.cancelled() => {}
            }
        } else if let Some(teller) = self.sampling.teller.take() {
            tokio::spawn(sampler.run(banks, teller, self.stop.clone()));
        }
        Ok(())
    }

    /// Looks again at a bank whose samples changed, and at all others that were told meanwhile.
    pub(super) fn sampled_anew(&mut self, first: BankName) {
        let mut told = Some(first);
        while let Some((_, bank)) = told {
            if let Some(watched) = self.banks.get_mut(&bank) {
                watched.dirty = true;
            }
            told = self.sampling.changed.try_recv().ok();
        }
    }

    /// Forgets the samples of banks that are no longer declared.
    pub(super) async fn forget_samples(&self, config: &Config) -> Result<(), StoreError> {
        for bank in self.store.sampled_banks(&config.namespace).await? {
            if config.banks.iter().all(|declared| declared.meta.name != bank) {
                self.store.forget_reach(&config.namespace, &bank).await?;
            }
        }
        Ok(())
    }
}
