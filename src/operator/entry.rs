//! What the mirrors keep of each kind: the validated form, or why there is none, beside the status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::DeserializeGuard;

use super::key::Key;
use super::labels;
use super::mirror::{Kept, version};
use crate::resources::{
    IntegrityCheck, IntegrityCheckStatus, MaintenancePolicy, MaintenancePolicyStatus, MaintenanceRun,
    MaintenanceRunStatus, MemoryBank, MemoryBankStatus, Origin, RecoveryStatus, SecurityAudit, SecurityAuditStatus,
    ValidAudit, ValidBank, ValidCheck, ValidPolicy, ValidRecovery, ValidRun, Violation,
};

/// What identifies an object, and one version of it.
#[derive(Clone, Debug)]
pub struct Identity {
    pub key: Key,
    pub uid: String,
    pub resource_version: String,
    pub generation: Option<i64>,
    pub created: Timestamp,
    /// Being deleted.
    pub deleting: bool,
    /// Its controller.
    pub owner: Option<OwnerReference>,
}

impl Identity {
    fn of(meta: &ObjectMeta) -> Self {
        let key = Key::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        Self {
            key,
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            owner: meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)).cloned(),
        }
    }
}

/// A custom resource: `V` is its validated form, `S` its status.
#[derive(Debug)]
pub struct Entry<V, S> {
    pub id: Identity,
    /// Its spec, or for people why it cannot be used.
    pub valid: Result<V, String>,
    pub status: Option<S>,
    pub annotations: BTreeMap<String, String>,
    bank: Option<String>,
}

pub type Bank = Entry<ValidBank, MemoryBankStatus>;
pub type Policy = Entry<ValidPolicy, MaintenancePolicyStatus>;
pub type Run = Entry<ValidRun, MaintenanceRunStatus>;
pub type Check = Entry<ValidCheck, IntegrityCheckStatus>;
pub type Audit = Entry<ValidAudit, SecurityAuditStatus>;
pub type Recovery = Entry<ValidRecovery, RecoveryStatus>;

impl<V: Send + Sync + 'static, S: Send + Sync + 'static> Kept for Entry<V, S> {
    fn key(&self) -> Key {
        self.id.key.clone()
    }

    fn version(&self) -> u64 {
        version(Some(&self.id.resource_version))
    }

    fn bank(&self) -> Option<&str> {
        self.bank.as_deref()
    }
}

/// How an object that was read becomes an entry.
pub trait Read: Kept {
    type Object: Resource;

    /// What is kept of it; of one that no longer fits its type, why.
    fn read(object: DeserializeGuard<Self::Object>) -> Self;
}

/// Reads a custom resource whose validation is `parse`, whose bank is `bank`.
fn entry<K: Resource, V, S>(
    guard: DeserializeGuard<K>,
    take: impl FnOnce(&mut K) -> (Option<S>, Option<String>),
    parse: impl FnOnce(&K, Origin<'_>) -> Result<V, Vec<Violation>>,
) -> Entry<V, S> {
    match guard.0 {
        Ok(mut object) => {
            let (status, bank) = take(&mut object);
            let id = Identity::of(object.meta());
            let valid =
                parse(&object, Origin { namespace: &id.key.namespace, file: None }).map_err(|wrong| told(&wrong));
            Entry { valid, status, bank, annotations: object.meta().annotations.clone().unwrap_or_default(), id }
        }
        Err(broken) => Entry {
            id: Identity::of(&broken.metadata),
            valid: Err(format!("it cannot be read: {}", broken.error)),
            status: None,
            annotations: BTreeMap::new(),
            // Nobody's: such objects are looked at together, to be told so.
            bank: Some(String::new()),
        },
    }
}

fn told(wrong: &[Violation]) -> String {
    let all: Vec<_> = wrong.iter().take(5).map(|one| format!("{}: {}", one.field, one.message)).collect();
    let more = if wrong.len() > 5 { format!(" (and {} more)", wrong.len() - 5) } else { String::new() };
    format!("{}{more}", all.join("; "))
}

impl Read for Bank {
    type Object = MemoryBank;

    fn read(object: DeserializeGuard<MemoryBank>) -> Self {
        entry(object, |bank| (bank.status.take(), None), ValidBank::parse)
    }
}

impl Read for Policy {
    type Object = MaintenancePolicy;

    fn read(object: DeserializeGuard<MaintenancePolicy>) -> Self {
        entry(object, |policy| (policy.status.take(), None), ValidPolicy::parse)
    }
}

impl Read for Run {
    type Object = MaintenanceRun;

    fn read(object: DeserializeGuard<MaintenanceRun>) -> Self {
        entry(object, |run| (run.status.take(), Some(run.spec.bank_name.clone())), ValidRun::parse)
    }
}

impl Read for Check {
    type Object = IntegrityCheck;

    fn read(object: DeserializeGuard<IntegrityCheck>) -> Self {
        entry(object, |check| (check.status.take(), Some(check.spec.bank_name.clone())), ValidCheck::parse)
    }
}

impl Read for Audit {
    type Object = SecurityAudit;

    fn read(object: DeserializeGuard<SecurityAudit>) -> Self {
        entry(object, |audit| (audit.status.take(), Some(audit.spec.bank_name.clone())), ValidAudit::parse)
    }
}

impl Read for Recovery {
    type Object = crate::resources::Recovery;

    fn read(object: DeserializeGuard<Self::Object>) -> Self {
        let take = |recovery: &mut Self::Object| (recovery.status.take(), Some(recovery.spec.bank_name.clone()));
        entry(object, take, ValidRecovery::parse)
    }
}

/// An object of Kubernetes' own, of which only some is looked at.
#[derive(Debug)]
pub struct Native<K> {
    pub id: Identity,
    pub object: K,
    bank: Option<String>,
}

pub type JobEntry = Native<Job>;
pub type PodEntry = Native<Pod>;

impl<K: Send + Sync + 'static> Kept for Native<K> {
    fn key(&self) -> Key {
        self.id.key.clone()
    }

    fn version(&self) -> u64 {
        version(Some(&self.id.resource_version))
    }

    fn bank(&self) -> Option<&str> {
        self.bank.as_deref()
    }
}

/// Keeps an object of ours by the bank that its label names. One that cannot be read keeps its metadata alone,
/// and reads as one of which nothing is known yet.
fn native<K: Resource + Default>(guard: DeserializeGuard<K>, trim: impl FnOnce(&mut K)) -> Native<K> {
    let (meta, object) = match guard.0 {
        Ok(mut object) => {
            let meta = object.meta().clone();
            trim(&mut object);
            (meta, object)
        }
        Err(broken) => {
            tracing::warn!(name = broken.metadata.name, error = broken.error, "an object of ours cannot be read");
            (broken.metadata, K::default())
        }
    };
    let bank = meta.labels.as_ref().and_then(|known| known.get(labels::BANK).cloned());
    Native { id: Identity::of(&meta), object, bank }
}

impl Read for JobEntry {
    type Object = Job;

    fn read(object: DeserializeGuard<Job>) -> Self {
        // The RunSpec in its annotations is of no use here.
        native(object, |job| {
            job.metadata.managed_fields = None;
            if let Some(spec) = &mut job.spec {
                spec.template = PodTemplateSpec::default();
            }
        })
    }
}

impl Read for PodEntry {
    type Object = Pod;

    fn read(object: DeserializeGuard<Pod>) -> Self {
        native(object, |pod| {
            pod.metadata.managed_fields = None;
            pod.metadata.annotations = None;
            pod.spec = None;
        })
    }
}

/// A claim, as far as a Job needs to know it.
#[derive(Debug)]
pub struct Claim {
    pub id: Identity,
    /// As Kubernetes names them; `ReadWriteOncePod` among them.
    pub access_modes: Vec<String>,
}

impl Kept for Claim {
    fn key(&self) -> Key {
        self.id.key.clone()
    }

    fn version(&self) -> u64 {
        version(Some(&self.id.resource_version))
    }

    fn bank(&self) -> Option<&str> {
        None
    }
}

impl Read for Claim {
    type Object = PersistentVolumeClaim;

    fn read(guard: DeserializeGuard<PersistentVolumeClaim>) -> Self {
        match guard.0 {
            Ok(claim) => Self {
                id: Identity::of(&claim.metadata),
                access_modes: claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default(),
            },
            Err(broken) => Self { id: Identity::of(&broken.metadata), access_modes: Vec::new() },
        }
    }
}

/// A namespace, as far as a policy may select it.
#[derive(Debug)]
pub struct Labelled {
    pub id: Identity,
    pub labels: BTreeMap<String, String>,
}

impl Kept for Labelled {
    fn key(&self) -> Key {
        self.id.key.clone()
    }

    fn version(&self) -> u64 {
        version(Some(&self.id.resource_version))
    }

    fn bank(&self) -> Option<&str> {
        None
    }
}

impl Read for Labelled {
    type Object = Namespace;

    fn read(guard: DeserializeGuard<Namespace>) -> Self {
        let meta = match guard.0 {
            Ok(namespace) => namespace.metadata,
            Err(broken) => broken.metadata,
        };
        Self { id: Identity::of(&meta), labels: meta.labels.unwrap_or_default() }
    }
}
