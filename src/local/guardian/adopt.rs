use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use super::super::folder::{Folder, glance};
use super::super::objects::Objects;
use super::super::watched::{Run, Watched};
use super::super::{LocalError, secrets};
use super::Guardian;
use crate::domain::{Phase, Reason, RunReport};
use crate::plan::RunOwner;
use crate::resources::{Config, MaintenanceRunStatus, Warning};
use crate::store::{AuditEntry, StoreError};

impl Guardian {
    /// Takes a configuration in place of the one before.
    pub(super) async fn adopt(&mut self, mut config: Config, now: Timestamp) -> Result<(), LocalError> {
        for bank in &mut config.banks {
            for missing in secrets::missing(bank, &self.settings.secrets) {
                tracing::warn!("SecretNotFound: {missing}");
            }
            bank.meta.generation = Some(self.objects.adopt("MemoryBank", &bank.meta, now));
        }
        for policy in &mut config.policies {
            policy.meta.generation = Some(self.objects.adopt("MaintenancePolicy", &policy.meta, now));
            self.annotated.insert(("MaintenancePolicy", policy.meta.name.clone()), policy.run_now.clone());
            policy.run_now = self.now_token.clone().or(policy.run_now.take());
        }
        for check in &mut config.checks {
            check.meta.generation = Some(self.objects.adopt("IntegrityCheck", &check.meta, now));
            self.annotated.insert(("IntegrityCheck", check.meta.name.clone()), check.run_now.clone());
            check.run_now = self.now_token.clone().or(check.run_now.take());
        }
        for audit in &mut config.audits {
            audit.meta.generation = Some(self.objects.adopt("SecurityAudit", &audit.meta, now));
            self.annotated.insert(("SecurityAudit", audit.meta.name.clone()), audit.run_now.clone());
            audit.run_now = self.now_token.clone().or(audit.run_now.take());
        }
        for recovery in &mut config.recoveries {
            recovery.meta.generation = Some(self.objects.adopt("Recovery", &recovery.meta, now));
        }
        self.add_made(&mut config);
        for run in &mut config.runs {
            run.meta.generation = Some(self.objects.adopt("MaintenanceRun", &run.meta, now));
        }
        self.forget_gone(&config);
        self.end_orphans(&config, now).await?;
        // The sampler first: it must not keep another sample of a bank that is gone.
        self.sampling.feed(&config);
        self.forget_samples(&config).await?;
        let known = self.store.known_banks(&config.namespace).await?;
        for bank in &config.banks {
            let name = &bank.meta.name;
            if self.banks.contains_key(name) {
                continue;
            }
            let mut watched = Watched { status: self.objects.status("MemoryBank", name), ..Watched::default() };
            // Banks that the store does not know have nothing to read: a thousand of them start at once.
            let mut mend = false;
            if known.contains(name) {
                let running = |name: &str| self.running.contains_key(name);
                match watched.refresh(&self.store, &config.namespace, name, &running).await {
                    Ok(()) => mend = true,
                    Err(error) => {
                        tracing::error!(bank = name, %error, "the bank's records cannot be read yet");
                        watched.unread = true;
                    }
                }
            }
            self.banks.insert(name.clone(), watched);
            if mend {
                self.mend_runs(name, now).await?;
            }
        }
        self.config = config;
        self.forget_runs().await?;
        for watched in self.banks.values_mut() {
            watched.dirty = true;
        }
        Ok(())
    }

    /// Reads the folder anew when it looks different. A broken edit keeps the last good configuration.
    pub(super) async fn glance(&mut self) {
        let read = match glance(&self.settings.config) {
            Ok(seen) if self.seen == Some(seen) => return,
            Ok(seen) => {
                self.seen = Some(seen);
                Folder::read(&self.settings.config).map_err(LocalError::from)
            }
            Err(error) => Err(error.into()),
        };
        let loaded = read.and_then(|folder| Config::load(&folder.files).map_err(LocalError::Config));
        let now = Timestamp::now();
        let adopted = match loaded {
            Ok((config, warnings)) => {
                tell(&warnings);
                self.adopt(config, now).await
            }
            Err(error) => Err(error),
        };
        match adopted {
            Ok(()) => {
                tracing::info!("configuration taken");
                self.board.readiness.ready("config", "");
                self.log_deed("configuration-taken").await;
            }
            Err(error) => {
                // A refused document is refused until it changes; a folder that could not be read, and a store
                // that could not take it, may answer next time without any change.
                if !matches!(error, LocalError::Config(_)) {
                    self.seen = None;
                }
                tracing::error!(%error, "the last good configuration stays in force");
                self.board.readiness.ready("config", format!("the last good one is in force: {error}"));
            }
        }
    }

    /// Ends the runs that wait for a bank that is no longer declared.
    async fn end_orphans(&self, config: &Config, now: Timestamp) -> Result<(), StoreError> {
        for run in self.store.unfinished_runs().await? {
            let declared = config.banks.iter().any(|bank| bank.meta.name == run.bank);
            if run.namespace == config.namespace && !declared && !self.running.contains_key(&run.name) {
                let reason = Reason::BankNotFound.name();
                let message = "its bank is no longer declared";
                self.store.set_phase(&run.uid, Phase::Skipped, reason, message, now).await?;
            }
        }
        Ok(())
    }

    /// Forgets the objects, alerts and series of what is no longer declared. Records and blobs stay.
    fn forget_gone(&mut self, config: &Config) {
        let gone = |objects: &Objects, kind: &'static str, declared: &dyn Fn(&str) -> bool| -> Vec<String> {
            objects.names(kind).into_iter().filter(|name| !declared(name)).collect()
        };
        for name in gone(&self.objects, "MemoryBank", &|name| config.banks.iter().any(|b| b.meta.name == name)) {
            self.objects.remove("MemoryBank", &name);
            if let Some(watched) = self.banks.remove(&name) {
                for run in watched.runs {
                    if let Some(cancel) = self.running.get(&run.view.name) {
                        cancel.cancel();
                    }
                    self.objects.remove("MaintenanceRun", &run.view.name);
                }
            }
        }
        for name in gone(&self.objects, "MaintenancePolicy", &|n| config.policies.iter().any(|p| p.meta.name == n)) {
            self.objects.remove("MaintenancePolicy", &name);
        }
        for name in gone(&self.objects, "IntegrityCheck", &|n| config.checks.iter().any(|c| c.meta.name == n)) {
            self.objects.remove("IntegrityCheck", &name);
        }
        for name in gone(&self.objects, "SecurityAudit", &|n| config.audits.iter().any(|a| a.meta.name == n)) {
            self.objects.remove("SecurityAudit", &name);
        }
        for name in gone(&self.objects, "Recovery", &|n| config.recoveries.iter().any(|r| r.meta.name == n)) {
            self.objects.remove("Recovery", &name);
        }
        self.board.retain(|(_, name)| config.banks.iter().any(|bank| bank.meta.name == *name));
    }

    /// Shows the runs of a bank as the records have them: an earlier process may have ended between the two.
    pub(super) async fn mend_runs(&mut self, bank: &str, now: Timestamp) -> Result<(), StoreError> {
        let runs = self.banks.get(bank).map(|watched| watched.runs.clone()).unwrap_or_default();
        for run in runs {
            let name = &run.view.name;
            let shown: Option<MaintenanceRunStatus> = self.objects.status("MaintenanceRun", name);
            if shown.is_some_and(|shown| shown.phase.as_deref() == Some(run.view.phase.name())) {
                continue;
            }
            let report = match self.store.run(&run.spec.namespace, name).await?.and_then(|record| record.report) {
                Some(digest) => self.store.get_blob(&digest).await?,
                None => None,
            };
            let report: Option<RunReport> = report.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            self.show_run(&run, report.as_ref(), now);
        }
        Ok(())
    }

    /// Forgets the runs that were made by hand and whose document is gone, and what is shown of runs that
    /// nobody knows, or of a bank that is gone. What they reported stays.
    async fn forget_runs(&mut self) -> Result<(), StoreError> {
        let declared: BTreeSet<&str> = self.config.runs.iter().map(|run| run.meta.name.as_str()).collect();
        let gone = |run: &Run| run.view.owner == RunOwner::Hand && !declared.contains(run.view.name.as_str());
        let mut uids = Vec::new();
        for run in self.banks.values().flat_map(|watched| &watched.runs).filter(|run| gone(run)) {
            if let Some(cancel) = self.running.get(&run.view.name) {
                cancel.cancel();
            }
            uids.push(run.uid.clone());
        }
        if !uids.is_empty() {
            self.store.delete_runs(&uids).await?;
            for watched in self.banks.values_mut() {
                watched.runs.retain(|run| !gone(run));
            }
        }
        let known: BTreeSet<&str> =
            self.banks.values().flat_map(|w| &w.runs).map(|run| run.view.name.as_str()).collect();
        for name in self.objects.names("MaintenanceRun") {
            if !known.contains(name.as_str()) && !declared.contains(name.as_str()) {
                self.objects.remove("MaintenanceRun", &name);
            }
        }
        Ok(())
    }

    async fn log_deed(&self, action: &str) {
        let entry = AuditEntry {
            time: Timestamp::now(),
            actor: "local".to_owned(),
            action: action.to_owned(),
            namespace: self.config.namespace.clone(),
            bank: String::new(),
            detail: json!({"banks": self.config.banks.len(), "policies": self.config.policies.len()}),
        };
        if let Err(error) = self.store.append_audit(&entry).await {
            tracing::error!(%error, action, "not in the audit log");
        }
    }
}

pub(super) fn tell(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}
