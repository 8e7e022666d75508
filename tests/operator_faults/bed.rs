//! Banks with their work in a namespace, and where all of it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use memorybank::resources::{Condition, IntegrityCheck, MaintenanceRun, MemoryBank, SecurityAudit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Makes an object.
pub async fn make<K>(client: &Client, namespace: &str, object: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// All objects of a kind.
pub async fn all<K>(client: &Client, namespace: &str) -> Vec<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

/// The claim that the banks have their files in.
pub async fn make_claim(client: &Client, namespace: &str) {
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    make::<PersistentVolumeClaim>(client, namespace, claim).await;
}

/// A bank in SQLite on a claim.
pub fn bank(name: &str, claim: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"tier": "gold"}},
        "spec": {
            "database": {"sqlite": {"volume": "data", "path": format!("{name}/openmemory.db")}},
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

/// A check that runs once.
pub fn check(name: &str, bank: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"bankName": bank, "level": "Quick"}})
}

/// Type, status and reason.
type Shown = Vec<(String, String, String)>;

/// Where everything of a namespace stands, without times and ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Phase and reason of each run.
    pub runs: BTreeMap<String, (String, String)>,
    /// Conditions of each bank, check and audit, by kind and name.
    pub conditions: BTreeMap<String, Shown>,
    pub jobs: BTreeSet<String>,
}

impl State {
    pub async fn of(client: &Client, namespace: &str) -> Self {
        let mut state = Self::default();
        for run in all::<MaintenanceRun>(client, namespace).await {
            let status = run.status.unwrap_or_default();
            let reason = status.conditions.first().map(|condition| condition.reason.clone()).unwrap_or_default();
            state.runs.insert(run.metadata.name.unwrap(), (status.phase.unwrap_or_default(), reason));
        }
        let mut show = |kind: &str, name: Option<String>, conditions: Option<Vec<Condition>>| {
            let shown = conditions.unwrap_or_default().into_iter().map(|one| (one.type_, one.status, one.reason));
            state.conditions.insert(format!("{kind} {}", name.unwrap()), shown.collect());
        };
        for bank in all::<MemoryBank>(client, namespace).await {
            show("bank", bank.metadata.name, bank.status.map(|status| status.conditions));
        }
        for check in all::<IntegrityCheck>(client, namespace).await {
            show("check", check.metadata.name, check.status.map(|status| status.conditions));
        }
        for audit in all::<SecurityAudit>(client, namespace).await {
            show("audit", audit.metadata.name, audit.status.map(|status| status.conditions));
        }
        state.jobs = all::<Job>(client, namespace).await.into_iter().filter_map(|job| job.metadata.name).collect();
        state
    }

    /// How many runs ended, whatever came of them.
    pub fn ended(&self) -> usize {
        self.runs
            .values()
            .filter(|(phase, _)| matches!(phase.as_str(), "Succeeded" | "Failed" | "Skipped" | "Unknown"))
            .count()
    }
}
