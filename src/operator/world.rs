use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::entry::{Audit, Bank, Check, Claim, JobEntry, Labelled, PodEntry, Policy, Recovery, Run};
use super::key::Key;
use super::mirror::Mirror;
use crate::resources::{ValidPolicy, VolumeSource};

/// Everything that is watched.
#[derive(Debug, Default)]
pub struct World {
    /// The operator's own namespace, whose policies may select banks of others.
    pub own: String,
    pub banks: Arc<Mirror<Bank>>,
    pub policies: Arc<Mirror<Policy>>,
    pub runs: Arc<Mirror<Run>>,
    pub checks: Arc<Mirror<Check>>,
    pub audits: Arc<Mirror<Audit>>,
    pub recoveries: Arc<Mirror<Recovery>>,
    pub jobs: Arc<Mirror<JobEntry>>,
    pub pods: Arc<Mirror<PodEntry>>,
    pub claims: Arc<Mirror<Claim>>,
    pub namespaces: Arc<Mirror<Labelled>>,
}

impl World {
    /// The valid policies that select a bank. One of its own namespace comes before one of the same name of the
    /// operator's: a schedule's row has one policy.
    pub fn policies_of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<Arc<Policy>> {
        let selects = |policy: &Policy| policy.valid.as_ref().is_ok_and(|valid| self.selects(valid, namespace, labels));
        let mut selecting = self.policies.matching(namespace, selects);
        if namespace != self.own {
            let far = self.policies.matching(&self.own, selects);
            let near: Vec<String> = selecting.iter().map(|policy| policy.id.key.name.clone()).collect();
            selecting.extend(far.into_iter().filter(|policy| !near.contains(&policy.id.key.name)));
        }
        selecting
    }

    /// The banks that a policy selects, but those that one of its name in their own namespace selects.
    pub fn banks_of(&self, policy: &ValidPolicy) -> Vec<Arc<Bank>> {
        let (name, own) = (policy.meta.name.as_str(), policy.meta.namespace.as_str());
        let everywhere = policy.namespace_selector.is_some() && own == self.own;
        let mut banks = if everywhere { self.banks.all() } else { self.banks.of_namespace(own) };
        banks.retain(|bank| {
            let Ok(valid) = &bank.valid else { return false };
            let (namespace, labels) = (bank.id.key.namespace.as_str(), &valid.meta.labels);
            let hidden = || {
                let nearer = self.policies.get(&Key::new(namespace, name));
                let nearer = nearer.filter(|_| namespace != own);
                nearer.is_some_and(|near| near.valid.as_ref().is_ok_and(|near| self.selects(near, namespace, labels)))
            };
            self.selects(policy, namespace, labels) && !hidden()
        });
        banks
    }

    fn selects(&self, policy: &ValidPolicy, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let own = policy.meta.namespace == self.own;
        let there = match &policy.namespace_selector {
            // One that reaches further than its namespace may is refused, and selects nothing.
            Some(_) if !own => false,
            _ if policy.meta.namespace == namespace => true,
            Some(selector) => {
                let known = self.namespaces.get(&Key::new("", namespace));
                known.is_some_and(|known| selector.matches(&known.labels))
            }
            None => false,
        };
        there && policy.bank_selector.matches(labels)
    }

    /// The pods of a Job.
    pub fn pods_of(&self, bank: &Key, job: &str) -> Vec<Arc<PodEntry>> {
        let mut pods = self.pods.of_bank(bank);
        pods.retain(|pod| owned_by(&pod.object, job));
        pods
    }

    /// The banks of a namespace that keep files in a claim.
    pub fn banks_with_claim(&self, claim: &Key) -> Vec<Key> {
        let uses = |bank: &Arc<Bank>| {
            let volumes = bank.valid.as_ref().map(|valid| &valid.volumes);
            volumes.is_ok_and(|volumes| {
                volumes.iter().any(|volume| matches!(&volume.source, VolumeSource::Claim(name) if *name == claim.name))
            })
        };
        let banks = self.banks.of_namespace(&claim.namespace);
        banks.iter().filter(|bank| uses(bank)).map(|bank| bank.id.key.clone()).collect()
    }
}

fn owned_by(pod: &Pod, job: &str) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.kind == "Job" && owner.name == job && owner.controller == Some(true))
}
