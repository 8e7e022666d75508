use std::env;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::Url;
use tokio::runtime::Handle;

use super::Bucket;
use crate::bank::Secrets;
use crate::bank::net::http::{builder, names_forbidden, place};
use crate::bank::net::secret::Held;
use crate::domain::{BucketEndpoint, SecretKey};

/// How long one request may take, with all that it carries: a part of 16 MiB needs 140 KB/s.
pub(super) const WHOLE: Duration = Duration::from_mins(2);
/// How often a request is tried again, and until when: a server that starts anew is waited for.
const RETRIES: usize = 8;
const PATIENCE: Duration = Duration::from_mins(2);
/// The wait before the second attempt, and the longest; between, each is up to three times the one before, by chance.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
const BASE: f64 = 3.0;

/// Where a workload identity stands in the environment, all of one of these.
const IDENTITIES: [&[(&str, AmazonS3ConfigKey)]; 3] = [
    &[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ],
    &[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ],
    &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri)],
];

/// Gives the library our client.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Bucket {
    /// The sets of a bank in a bucket, under `PREFIX/NAMESPACE/BANK`; for people, why there can be none. Nothing is asked of
    /// the server yet. To be called within the runtime that will do the work.
    pub async fn open(
        endpoint: &BucketEndpoint,
        (namespace, bank): (&str, &str),
        secrets: &impl Secrets,
    ) -> Result<Self, String> {
        let held = Held { namespace, secrets };
        let client = held.client(&endpoint.tls, |extra| builder(extra).timeout(WHOLE).build()).await;
        let client = client.map_err(|no| format!("spec.repository.s3: {}", no.message))?;
        let mut region = endpoint.region.clone();
        let mut options = AmazonS3Builder::new()
            .with_bucket_name(&endpoint.bucket)
            .with_http_connector(Connector(client))
            // Each server has it, and sets are few.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: BASE },
                max_retries: RETRIES,
                retry_timeout: PATIENCE,
            });
        if let Some(name) = &endpoint.credentials {
            let [id, key] = BucketEndpoint::KEYS.map(|key| SecretKey { name: name.clone(), key: key.to_owned() });
            let id = held.text(&id).await.map_err(|no| no.message)?;
            let key = held.text(&key).await.map_err(|no| no.message)?;
            options = options.with_access_key_id(id).with_secret_access_key(key);
        } else {
            options = identity(options, |name| env::var(name).ok())?;
            region = region.or_else(|| env::var("AWS_REGION").ok());
        }
        let server = if let Some(address) = &endpoint.endpoint {
            let url = Url::parse(address).map_err(|error| format!("spec.repository.s3.endpoint: {error}"))?;
            if names_forbidden(&url) {
                return Err(format!(
                    "spec.repository.s3.endpoint: {} is a link-local or metadata address: it is never called",
                    place(&url)
                ));
            }
            options = options.with_endpoint(address.trim_end_matches('/'));
            place(&url)
        } else {
            // The certificate of the server names one step before its own name.
            options = options.with_virtual_hosted_style_request(!endpoint.bucket.contains('.'));
            "AWS".to_owned()
        };
        if let Some(region) = region {
            options = options.with_region(region);
        }
        // The library's words would be of settings that nobody has set.
        let store = options.build().map_err(|_| "spec.repository.s3: the settings contradict each other".to_owned())?;
        let base = [endpoint.prefix.trim_matches('/'), namespace, bank];
        let base = base.into_iter().filter(|step| !step.is_empty()).collect::<Vec<_>>().join("/");
        let base = Path::parse(&base).map_err(|error| format!("spec.repository.s3.prefix: {error}"))?;
        Ok(Self {
            store: Arc::new(store),
            runtime: Handle::current(),
            place: format!("bucket {} at {server}", endpoint.bucket).into(),
            base,
        })
    }
}

/// Who the process is where no secret says so. The identity of the machine is never used: whoever may declare a bank would
/// have it.
fn identity(mut options: AmazonS3Builder, env: impl Fn(&str) -> Option<String>) -> Result<AmazonS3Builder, String> {
    let whole = |names: &&&[(&str, AmazonS3ConfigKey)]| names.iter().all(|(name, _)| env(name).is_some());
    let Some(names) = IDENTITIES.iter().find(whole) else {
        return Err("spec.repository.s3 names no credentialsSecretRef, and this process has no workload identity \
             (AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_CONTAINER_CREDENTIALS_FULL_URI with \
             AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)"
            .to_owned());
    };
    for (name, key) in *names {
        options = options.with_config(*key, env(name).unwrap_or_default());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_an_identity_does_not_take_that_of_its_machine() {
        let nothing = identity(AmazonS3Builder::new(), |_| None).unwrap_err();
        assert!(nothing.contains("credentialsSecretRef"), "{nothing}");
        let half = identity(AmazonS3Builder::new(), |name| (name == "AWS_ROLE_ARN").then(|| "arn".to_owned()));
        assert!(half.is_err());
        let whole = identity(AmazonS3Builder::new(), |name| Some(name.to_lowercase())).unwrap();
        let value = |key| whole.get_config_value(&key);
        assert_eq!(value(AmazonS3ConfigKey::RoleArn).as_deref(), Some("aws_role_arn"));
        assert_eq!(value(AmazonS3ConfigKey::ContainerCredentialsFullUri), None);
    }
}
