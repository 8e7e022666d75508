//! Keeps the certificate of the ingest endpoint in one Secret: made and renewed by the leader, read by all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;

use super::error::ReconcileError;
use crate::board::Board;
use crate::delivery::{Authority, AuthorityError, Change, Parts};

/// How often the Secret is looked at while the certificate is good, and while it is not there.
const LOOKS: (Duration, Duration) = (Duration::from_mins(5), Duration::from_secs(2));
/// The part of `/readyz` that gets ready last.
pub const PART: &str = "ingest-certificate";

/// Keeps one Secret.
pub struct Certificates {
    /// Writes only while this replica leads.
    pub client: Client,
    pub namespace: String,
    pub secret: String,
    pub names: Vec<String>,
    pub board: Arc<Board>,
    /// What is in force.
    pub authority: watch::Sender<Option<Arc<Authority>>>,
}

impl Certificates {
    /// Keeps the certificate for ever.
    pub async fn run(self) {
        loop {
            let kept = self.look(Timestamp::now()).await;
            let pause = match &kept {
                Ok(true) => {
                    self.board.readiness.ready(PART, "");
                    LOOKS.0
                }
                Ok(false) => {
                    self.board.readiness.pending(PART, "the leader has not made it yet");
                    LOOKS.1
                }
                Err(error) => {
                    tracing::warn!(%error, "the certificate of the ingest endpoint");
                    // What is in force stays so.
                    if self.authority.borrow().is_none() {
                        self.board.readiness.pending(PART, error.to_string());
                    }
                    LOOKS.1
                }
            };
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.9..1.1))).await;
        }
    }

    /// Reads the Secret, and renews what is due; whether a good certificate is in force.
    async fn look(&self, now: Timestamp) -> Result<bool, CertificatesError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("the Secret {}/{}", self.namespace, self.secret);
        let mut secret = secrets.get(&self.secret).await.map_err(ReconcileError::api(what.as_str()))?;
        let empty = ByteString(Vec::new());
        let data = secret.data.clone().unwrap_or_default();
        let part = |name: &str| data.get(name).unwrap_or(&empty).0.as_slice();
        let parts = Parts {
            ca_crt: part("ca.crt"),
            ca_key: part("ca.key"),
            tls_crt: part("tls.crt"),
            tls_key: part("tls.key"),
        };
        let (authority, change) = Authority::settle(parts, &self.names, now)?;
        if change != Change::Kept {
            let fresh = authority.parts().map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())));
            secret.data.get_or_insert_with(BTreeMap::new).extend(fresh);
            match secrets.replace(&self.secret, &PostParams::default(), &secret).await {
                Ok(_) => tracing::info!(?change, "the certificate of the ingest endpoint"),
                // The leader does it, or did.
                Err(error) if super::error::not_leading(&error) => return Ok(self.authority.borrow().is_some()),
                Err(kube::Error::Api(status)) if status.is_conflict() => return Ok(self.authority.borrow().is_some()),
                Err(error) => return Err(ReconcileError::api(format!("{what} is not written"))(error).into()),
            }
        }
        let authority = Arc::new(authority);
        self.authority.send_if_modified(|known| {
            let new = known.as_ref() != Some(&authority);
            if new {
                *known = Some(authority);
            }
            new
        });
        Ok(true)
    }
}

/// Why the certificate could not be kept.
#[derive(Debug, thiserror::Error)]
enum CertificatesError {
    #[error(transparent)]
    Api(#[from] ReconcileError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}
