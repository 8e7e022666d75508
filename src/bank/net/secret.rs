//! Secrets of one bank, in the forms in which they are used.

use std::time::Duration;

use reqwest::Certificate;
use reqwest::header::{HeaderName, HeaderValue};

use super::http::Extra;
use crate::bank::{SecretError, Secrets};
use crate::domain::{SecretKey, Trust};

/// How long a secret may take to be looked up.
const SECRET: Duration = Duration::from_secs(5);

/// What keeps a secret from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bank) enum Lack {
    NotFound,
    Forbidden,
    Unreadable,
}

/// Why a secret could not be used, and the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) struct NoSecret {
    pub lack: Lack,
    pub message: String,
}

impl NoSecret {
    fn unreadable(key: &SecretKey, told: &str) -> Self {
        Self { lack: Lack::Unreadable, message: format!("secret {}, key {}: {told}", key.name, key.key) }
    }
}

/// The secrets of one bank.
pub(in crate::bank) struct Held<'a, S> {
    pub namespace: &'a str,
    pub secrets: &'a S,
}

impl<S: Secrets> Held<'_, S> {
    async fn bytes(&self, key: &SecretKey) -> Result<Vec<u8>, NoSecret> {
        let found = tokio::time::timeout(SECRET, self.secrets.get(self.namespace, key)).await;
        let found = found.unwrap_or_else(|_| Err(SecretError::Failed("not had within 5 s".to_owned())));
        found.map_err(|error| {
            let lack = match &error {
                SecretError::NotFound(_) => Lack::NotFound,
                SecretError::Forbidden(_) => Lack::Forbidden,
                SecretError::Failed(_) => Lack::Unreadable,
            };
            NoSecret { lack, message: format!("secret {}, key {}: {error}", key.name, key.key) }
        })
    }

    /// A secret that is a line of text; the newline that editors leave at its end is none of it.
    pub async fn text(&self, key: &SecretKey) -> Result<String, NoSecret> {
        let text = String::from_utf8(self.bytes(key).await?).map_err(|_| NoSecret::unreadable(key, "is no text"))?;
        Ok(text.trim().to_owned())
    }

    /// A secret as a header.
    pub async fn header(
        &self,
        key: Option<&SecretKey>,
        name: HeaderName,
        before: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, NoSecret> {
        let Some(key) = key else { return Ok(None) };
        let text = self.text(key).await?;
        let mut value = HeaderValue::from_str(&format!("{before}{text}"))
            .map_err(|_| NoSecret::unreadable(key, "cannot be sent as a header"))?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    /// The client for servers whose certificates are verified so.
    pub async fn client<C>(
        &self,
        trust: &Trust,
        build: impl Fn(Extra) -> Result<C, reqwest::Error>,
    ) -> Result<C, NoSecret> {
        let mut extra = Extra { roots: Vec::new(), unverified: trust.insecure_skip_verify };
        let Some(key) = &trust.ca else {
            let no_client = |_| NoSecret { lack: Lack::Unreadable, message: "no HTTP client".to_owned() };
            return build(extra).map_err(no_client);
        };
        let no_pem = || NoSecret::unreadable(key, "holds no certificate in PEM");
        extra.roots = Certificate::from_pem_bundle(&self.bytes(key).await?).map_err(|_| no_pem())?;
        if extra.roots.is_empty() {
            return Err(no_pem());
        }
        build(extra).map_err(|_| no_pem())
    }
}
