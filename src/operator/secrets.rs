use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::bank::{SecretError, Secrets};
use crate::domain::SecretKey;

/// How long the API server may take for one Secret.
const READ: Duration = Duration::from_secs(5);

/// Secrets of the cluster, read one at a time where the operator may: for samples alone. Runs get theirs mounted.
pub struct ClusterSecrets {
    client: Client,
    /// The namespaces whose Secrets it may read; `*` for all.
    namespaces: Vec<String>,
}

impl ClusterSecrets {
    /// Secrets of these namespaces.
    pub fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }
}

impl Secrets for ClusterSecrets {
    async fn get(&self, namespace: &str, key: &SecretKey) -> Result<Vec<u8>, SecretError> {
        let shown = format!("the Secret {namespace}/{}", key.name);
        if !self.namespaces.iter().any(|allowed| allowed == "*" || allowed == namespace) {
            return Err(SecretError::Forbidden(format!(
                "the operator may not read {shown}: name the namespace in secrets.namespaces of the chart"
            )));
        }
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = match tokio::time::timeout(READ, secrets.get_opt(&key.name)).await {
            Ok(Ok(Some(secret))) => secret,
            Ok(Ok(None)) => return Err(SecretError::NotFound(format!("there is no {shown}"))),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                return Err(SecretError::Forbidden(format!(
                    "the API server does not let the operator read {shown}: grant it get on secrets there"
                )));
            }
            Ok(Err(_)) | Err(_) => {
                return Err(SecretError::Failed(format!("{shown} could not be read: the API server did not answer")));
            }
        };
        let value = secret.data.and_then(|mut data| data.remove(&key.key));
        value.map(|value| value.0).ok_or_else(|| SecretError::NotFound(format!("{shown} has no key {}", key.key)))
    }
}
