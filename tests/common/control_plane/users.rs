//! Who speaks to a control plane, and where: clients, service accounts, namespaces, and the definitions of our kinds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use memorybank::resources::{CustomResourceDefinition, GROUP, VERSION, crds};
use serde_json::json;

use super::{ControlPlane, POLL, START, pki};

/// How long a token of a service account is good.
const TOKEN_SECONDS: i64 = 7_200;

impl ControlPlane {
    /// A client of the administrator. It belongs to the runtime that it is made in.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig()).await
    }

    /// A fresh namespace, with its default service account.
    pub async fn namespace(&self) -> String {
        let client = self.client().await;
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some("t-".to_owned()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let made = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let name = made.metadata.name.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        let begun = Instant::now();
        while accounts.get_opt("default").await.unwrap().is_none() {
            assert!(begun.elapsed() < START, "namespace {name} got no service account: {}", self.log("manager"));
            tokio::time::sleep(POLL).await;
        }
        name
    }

    /// Applies the definitions of our kinds, as the operator's chart does, and waits until objects of each can
    /// be made. Once is enough; more do no harm.
    pub async fn definitions(&self) {
        let client = self.client().await;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let params = PatchParams::apply("tests").force();
        let crds = Vec::from(crds());
        for crd in &crds {
            let name = crd.metadata.name.clone().unwrap();
            definitions.patch(&name, &params, &Patch::Apply(crd)).await.unwrap();
        }
        for crd in &crds {
            let names = &crd.spec.names;
            let kind = GroupVersionKind::gvk(GROUP, VERSION, &names.kind);
            let objects: Api<DynamicObject> =
                Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, &names.plural));
            let begun = Instant::now();
            while let Err(error) = objects.list(&ListParams::default().limit(1)).await {
                assert!(begun.elapsed() < START, "{} is not served: {error}", names.plural);
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// A kubeconfig of a service account, which is made if it is not there: what is done with it is allowed by
    /// RBAC alone.
    pub async fn kubeconfig_for(&self, namespace: &str, account: &str) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        if accounts.get_opt(account).await.unwrap().is_none() {
            let metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
            let made = ServiceAccount { metadata, ..ServiceAccount::default() };
            accounts.create(&PostParams::default(), &made).await.unwrap();
        }
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        let path = self.folder.join(format!("{namespace}-{account}.kubeconfig"));
        let user = json!({"token": issued.status.unwrap().token});
        pki::write_kubeconfig(&path, &self.folder, self.port, namespace, &user);
        path
    }

    /// A client of a service account, as [`Self::kubeconfig_for`].
    pub async fn client_for(&self, namespace: &str, account: &str) -> Client {
        client(&self.kubeconfig_for(namespace, account).await).await
    }
}

async fn client(kubeconfig: &Path) -> Client {
    // The first of the tests of this binary installs it for all.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}
