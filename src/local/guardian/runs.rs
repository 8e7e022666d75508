use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::{Id, JoinError};

use super::super::execute::{Ended, Execution, Unreported};
use super::super::manifests;
use super::super::places::places;
use super::super::watched::{Run, owner_record};
use super::Guardian;
use crate::domain::{Outcome, Phase, Reason, RunReport};
use crate::plan::PlannedRun;
use crate::resources::ValidBank;
use crate::store::{Begin, RunRecord, StoreError};

/// How long a look that ends by itself waits for a store that does not take a report.
const ONCE_PATIENCE: Duration = Duration::from_secs(30);

impl Guardian {
    /// Makes a run, once by its name.
    pub(super) async fn make(&mut self, bank: &str, planned: PlannedRun, now: Timestamp) -> Result<(), StoreError> {
        let namespace = planned.spec.namespace.clone();
        let record = RunRecord {
            uid: uuid::Uuid::new_v4().to_string(),
            namespace,
            bank: bank.to_owned(),
            name: planned.name.clone(),
            owner: owner_record(&planned.owner, planned.slot),
            spec: serde_json::to_value(&planned.spec).unwrap_or(Value::Null),
            phase: Phase::Pending,
            reason: String::new(),
            message: String::new(),
            created: now,
            started: None,
            finished: None,
            report: None,
        };
        match self.store.begin_run(&record).await? {
            Begin::New => {
                let run = Run::planned(planned, record.uid, now);
                self.show_run(&run, None, now);
                if let Some(watched) = self.banks.get_mut(bank) {
                    watched.runs.push(run);
                }
            }
            // A process that ended before it had shown anything made it.
            Begin::Exists(known) if known.bank == bank => {
                if let Some(watched) = self.banks.get_mut(bank) {
                    let running = |name: &str| self.running.contains_key(name);
                    watched.refresh(&self.store, &known.namespace, bank, &running).await?;
                }
                self.mend_runs(bank, now).await?;
            }
            Begin::Exists(_) => {
                tracing::warn!(bank, run = record.name, "NameCollision: a run of this name is another bank's");
            }
        }
        Ok(())
    }

    /// Notes where a run that is not being executed stands.
    pub(super) async fn end(
        &mut self,
        bank: &str,
        run: &str,
        phase: Phase,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(known) = self.banks.get_mut(bank).and_then(|watched| watched.run(run)) else { return Ok(()) };
        if known.view.phase == phase && known.view.reason == reason && known.view.message == message {
            return Ok(());
        }
        self.store.set_phase(&known.uid, phase, reason, message, now).await?;
        known.view.phase = phase;
        known.view.finished = phase.finished().then_some(now);
        reason.clone_into(&mut known.view.reason);
        message.clone_into(&mut known.view.message);
        let known = known.clone();
        self.show_run(&known, None, now);
        Ok(())
    }

    pub(super) async fn delete(&mut self, bank: &str, names: &[String]) -> Result<(), StoreError> {
        let Some(watched) = self.banks.get_mut(bank) else { return Ok(()) };
        let gone: Vec<_> = watched.runs.iter().filter(|run| names.contains(&run.view.name)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let uids: Vec<String> = gone.iter().map(|run| run.uid.clone()).collect();
        self.store.delete_runs(&uids).await?;
        watched.runs.retain(|run| !names.contains(&run.view.name));
        for name in names {
            self.objects.remove("MaintenanceRun", name);
        }
        Ok(())
    }

    pub(super) async fn start_run(&mut self, bank: &ValidBank, name: &str, now: Timestamp) -> Result<(), StoreError> {
        if self.running.contains_key(name) {
            return Ok(());
        }
        let Some(watched) = self.banks.get_mut(&bank.meta.name) else { return Ok(()) };
        let Some(run) = watched.run(name) else { return Ok(()) };
        if !self.store.mark_started(&run.uid, now).await? {
            // The store knows that it ended: what is known here is old.
            watched.unread = true;
            return Ok(());
        }
        run.view.phase = Phase::Running;
        run.view.started = Some(now);
        run.view.reason.clear();
        run.view.message.clear();
        let run = run.clone();
        self.show_run(&run, None, now);
        let cancel = self.stop.child_token();
        let scratch = self.scratch().join(name);
        let execution = Execution {
            store: Arc::clone(&self.store),
            board: Arc::clone(&self.board),
            spec: run.spec,
            uid: run.uid,
            places: places(bank, &self.settings, scratch),
            threads: self.settings.threads,
            cancel: cancel.clone(),
            stop: self.stop.clone(),
            follow: self.settings.follow.clone(),
            patience: self.settings.once.then_some(ONCE_PATIENCE),
        };
        self.running.insert(name.to_owned(), cancel);
        let task = self.executions.spawn(execution.run()).id();
        self.spawned.insert(task, (bank.meta.name.clone(), name.to_owned()));
        self.board.runs.set_active(self.running.len());
        Ok(())
    }

    /// Takes note of an execution that ended, be it by a bug of ours.
    pub(super) async fn joined(&mut self, joined: Result<(Id, Ended), JoinError>) -> Result<(), StoreError> {
        match joined {
            Ok((id, ended)) => {
                self.spawned.remove(&id);
                self.ended(ended).await
            }
            Err(error) => {
                let Some((bank, run)) = self.spawned.remove(&error.id()) else { return Ok(()) };
                tracing::error!(run, %error, "internal failure of a run");
                self.running.remove(&run);
                self.board.runs.set_active(self.running.len());
                let message = "internal failure: see the log";
                self.unmeasured.push((run.clone(), message.to_owned()));
                self.end(&bank, &run, Phase::Failed, Reason::TaskFailed.name(), message, Timestamp::now()).await?;
                if let Some(watched) = self.banks.get_mut(&bank) {
                    watched.dirty = true;
                }
                Ok(())
            }
        }
    }

    /// Takes note of a run that ended. An error ends the process.
    async fn ended(&mut self, ended: Ended) -> Result<(), StoreError> {
        self.running.remove(&ended.run);
        self.board.runs.set_active(self.running.len());
        let report = match ended.report {
            Ok(report) => report,
            Err(Unreported::Stopping) => return Ok(()),
            Err(Unreported::Refused(error)) => return Err(error),
        };
        self.board.runs.observe(&report);
        manifests::write(&self.store, &self.settings.data, &report).await;
        let (outcome, _) = report.outcome();
        if self.settings.once && outcome != Outcome::Succeeded {
            let message = report.decisive().map_or_else(String::new, |task| task.message.clone());
            self.unmeasured.push((report.run.clone(), message));
        }
        let namespace = self.config.namespace.clone();
        let Some(watched) = self.banks.get_mut(&ended.bank) else { return Ok(()) };
        if let Some(run) = watched.run(&ended.run) {
            // Should the store not answer now, the run is known to have ended all the same.
            run.view.phase = Phase::from(outcome);
            run.view.finished = Some(report.finished);
        }
        let running = |name: &str| self.running.contains_key(name);
        if let Err(error) = watched.refresh(&self.store, &namespace, &ended.bank, &running).await {
            self.board.store.count_error(error.reason());
            tracing::error!(bank = ended.bank, %error, "the bank's records could not be read anew");
            watched.unread = true;
            watched.dirty = true;
        }
        let now = Timestamp::now();
        if let Some(run) = watched.run(&ended.run).cloned() {
            self.show_run(&run, Some(&report), now);
        }
        Ok(())
    }

    pub(super) fn show_run(&mut self, run: &Run, report: Option<&RunReport>, now: Timestamp) {
        let (spec, status) = run.object(report, now);
        self.objects.set("MaintenanceRun", &run.view.name, spec, status, now);
    }
}
