//! What a change of an object means: which banks and policies are looked at again, and what the board shows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::Context;
use super::entry::{Audit, Bank, Check, Claim, JobEntry, Labelled, PodEntry, Policy, Recovery, Run};
use super::key::Key;
use super::mirror::{Change, Kept};
use crate::board::BankState;

/// How often a policy counts anew, at most.
const COUNTING: Duration = Duration::from_secs(30);

impl Context {
    /// A bank came, changed or went.
    pub fn bank_changed(&self, change: &Change<Bank>) {
        let Some(bank) = change.both().last() else { return };
        self.banks.add(bank.id.key.clone());
        self.bank_shown(&bank.id.key);
        let labels = |bank: &Arc<Bank>| bank.valid.as_ref().ok().map(|valid| valid.meta.labels.clone());
        let (was, is) = (change.before.as_ref().and_then(labels), change.now.as_ref().and_then(labels));
        let version = |bank: &Arc<Bank>| (bank.id.uid.clone(), bank.id.generation);
        if change.before.as_ref().map(version) != change.now.as_ref().map(version) {
            self.sampled.notify_one();
        }
        if was != is {
            for labels in [was, is].into_iter().flatten() {
                for policy in self.world.policies_of(&bank.id.key.namespace, &labels) {
                    self.policies.add_at(policy.id.key.clone(), Instant::now() + Duration::from_secs(1));
                }
            }
        }
    }

    /// What a bank's status says is on the board, and counted by its policies soon.
    pub fn bank_shown(&self, key: &Key) {
        let name = (key.namespace.clone(), key.name.clone());
        let Some(bank) = self.world.banks.get(key) else {
            self.board.remove(&name);
            return;
        };
        let metrics = self.metrics_of(&name);
        let suspended = bank.valid.as_ref().is_ok_and(|valid| valid.suspend);
        let state = BankState {
            status: bank.status.clone().unwrap_or_default(),
            suspended,
            samples: metrics.samples.into_iter().map(|sample| (sample.metric, sample.value)).collect(),
            findings: metrics.findings.into_iter().map(|(severity, state, count)| ((severity, state), count)).collect(),
            corruption: metrics.corruption_total.into_iter().collect(),
        };
        self.board.put(name, state);
        if let Ok(valid) = &bank.valid {
            for policy in self.world.policies_of(&key.namespace, &valid.meta.labels) {
                self.policies.add_at(policy.id.key.clone(), Instant::now() + COUNTING);
            }
        }
    }

    /// A policy came, changed or went. Its status concerns nobody but for the request that it echoes.
    pub fn policy_changed(&self, change: &Change<Policy>) {
        let Some(policy) = change.both().last() else { return };
        self.policies.add(policy.id.key.clone());
        let asks = |policy: &Arc<Policy>| {
            let echoed = policy.status.as_ref().and_then(|status| status.last_run_now_token.clone());
            (policy.id.uid.clone(), policy.id.generation, policy.annotations.clone(), echoed)
        };
        if change.before.as_ref().map(asks) == change.now.as_ref().map(asks) {
            return;
        }
        for policy in change.both() {
            let Ok(valid) = &policy.valid else { continue };
            for bank in self.world.banks_of(valid) {
                self.banks.add(bank.id.key.clone());
            }
        }
    }

    /// A run, or something of one, came, changed or went.
    pub fn run_changed(&self, change: &Change<Run>) {
        self.part_changed(change);
        if let (Some(gone), None) = (&change.before, &change.now) {
            super::run::free(self, &gone.id.key);
        }
    }

    /// A check came, changed or went.
    pub fn check_changed(&self, change: &Change<Check>) {
        self.part_changed(change);
    }

    /// An audit came, changed or went.
    pub fn audit_changed(&self, change: &Change<Audit>) {
        self.part_changed(change);
    }

    /// A recovery came, changed or went.
    pub fn recovery_changed(&self, change: &Change<Recovery>) {
        self.part_changed(change);
    }

    /// A Job came, changed or went.
    pub fn job_changed(&self, change: &Change<JobEntry>) {
        self.part_changed(change);
    }

    /// A pod came, changed or went. Where it ended a place is free: that comes before what only waits.
    pub fn pod_changed(&self, change: &Change<PodEntry>) {
        self.part_changed(change);
        let ended = |pod: &Arc<PodEntry>| {
            let phase = pod.object.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        if let Some(pod) = change.now.as_ref().filter(|pod| ended(pod) && !change.before.as_ref().is_some_and(ended))
            && let Some(bank) = pod.bank()
        {
            self.banks.add_first(Key::new(pod.key().namespace, bank));
        }
    }

    /// A claim came or went; nothing else of it matters before a run starts.
    pub fn claim_changed(&self, change: &Change<Claim>) {
        if let (Some(claim), None) | (None, Some(claim)) = (&change.before, &change.now) {
            for bank in self.world.banks_with_claim(&claim.id.key) {
                self.banks.add(bank);
            }
        }
    }

    /// A namespace came, changed or went: policies of the operator's own may select its banks, or not any more.
    pub fn namespace_changed(&self, change: &Change<Labelled>) {
        let labels = |namespace: &Arc<Labelled>| namespace.labels.clone();
        if change.before.as_ref().map(labels) == change.now.as_ref().map(labels) {
            return;
        }
        let Some(namespace) = change.both().last() else { return };
        for bank in self.world.banks.of_namespace(&namespace.id.key.name) {
            self.banks.add(bank.id.key.clone());
        }
        for policy in self.world.policies.of_namespace(&self.world.own) {
            self.policies.add_at(policy.id.key.clone(), Instant::now() + Duration::from_secs(1));
        }
    }

    fn part_changed<T: Kept>(&self, change: &Change<T>) {
        for part in change.both() {
            if let Some(bank) = part.bank() {
                self.banks.add(Key::new(part.key().namespace, bank));
            }
        }
    }
}
