use std::sync::Arc;

use crate::domain::Digest;
use crate::runner::{Exchange, ExchangeError};
use crate::store::Store;

/// Inputs and outputs of one bank's runs, in the data folder.
#[derive(Debug)]
pub(super) struct StoreExchange {
    pub store: Arc<Store>,
    pub namespace: String,
    pub bank: String,
}

fn failed(what: &str, error: &impl std::fmt::Display) -> ExchangeError {
    ExchangeError { what: what.to_owned(), why: error.to_string() }
}

impl Exchange for StoreExchange {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        let outputs = self.store.outputs(&self.namespace, &self.bank).await.map_err(|error| failed(name, &error))?;
        let Some(digest) = outputs.get(name) else { return Ok(None) };
        match self.store.get_blob(digest).await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            // To go on without it would begin anew, and trust whatever is there now.
            Ok(None) => Err(failed(name, &format!("blob {digest} is missing from the data folder"))),
            Err(error) => Err(failed(name, &error)),
        }
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        self.store.put_blob(bytes).await.map_err(|error| failed(name, &error))
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        let key = self.store.fingerprint_key(&self.namespace, &self.bank).await;
        key.map_err(|error| failed("the bank's fingerprint key", &error))
    }
}
