use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::execute::{Ended, Execution, Unreported};
use super::folder::{Folder, glance};
use super::manifests;
use super::objects::Objects;
use super::places::places;
use super::secrets;
use super::summary::{BankSummary, Summary};
use super::watched::{Newest, Run, Watched, owner_record};
use super::{LocalError, Settings};
use crate::board::{BankState, Board};
use crate::domain::{Digest, Outcome, Phase, Reason, RunReport};
use crate::plan::{
    Asks, AuditAsk, BankPlan, CheckAsk, EventDraft, PlannedRun, PolicyAsk, RunOwner, SelectedBank, plan_audit,
    plan_bank, plan_check, plan_policy,
};
use crate::resources::{
    Config, IntegrityCheckStatus, MaintenancePolicyStatus, MaintenanceRunStatus, MemoryBankStatus, RunNow,
    SecurityAuditStatus, ValidAudit, ValidBank, ValidCheck, ValidPolicy, Warning,
};
use crate::store::{AuditEntry, BankMetrics, Begin, Limits, RunRecord, Store, StoreError};

/// How often the folder is glanced at and the clock compared with what is due.
const TICK: Duration = Duration::from_secs(2);
/// How often old records are removed.
const RETENTION: Duration = Duration::from_hours(6);
/// How long a look that ends by itself waits for a store that does not take a report.
const ONCE_PATIENCE: Duration = Duration::from_secs(30);
/// How long runs get to end after a signal: Docker kills what it stops after 10 seconds.
const GRACE: Duration = Duration::from_secs(7);

/// Looks after the banks of one folder.
#[derive(Debug)]
pub struct Guardian {
    settings: Settings,
    store: Arc<Store>,
    board: Arc<Board>,
    config: Config,
    /// What the folder looked like when it was last taken or refused; none where that failed for another
    /// reason, and must be tried again.
    seen: Option<Digest>,
    objects: Objects,
    banks: BTreeMap<String, Watched>,
    /// What stops each run that is being executed.
    running: BTreeMap<String, CancellationToken>,
    executions: JoinSet<Ended>,
    /// The bank and the run of each execution.
    spawned: HashMap<Id, (String, String)>,
    /// Banks with runs that could start were there a free place, first come first served.
    starved: VecDeque<String>,
    stop: CancellationToken,
    unmeasured: Vec<(String, String)>,
    /// When the policies' counts change though no bank does.
    next_policy_look: Option<Timestamp>,
    /// The token by which everything runs now, until the first look has made the runs.
    now_token: Option<RunNow>,
    /// The requests that the documents themselves carry.
    annotated: BTreeMap<(&'static str, String), Option<RunNow>>,
}

impl Guardian {
    /// Reads the folder and what the store knows. Nothing runs yet; what is refused is the error.
    pub async fn start(
        settings: Settings,
        store: Arc<Store>,
        board: Arc<Board>,
        stop: &CancellationToken,
    ) -> Result<Self, LocalError> {
        let seen = glance(&settings.config)?;
        let folder = Folder::read(&settings.config)?;
        let (config, warnings) = Config::load(&folder.files).map_err(LocalError::Config)?;
        tell(&warnings);
        if config.banks.is_empty() {
            return Err(LocalError::NoBank(settings.config));
        }
        let objects = Objects::load(&store, &config.namespace, &settings.data).await?;
        let now = Timestamp::now();
        let now_token = settings.now.then(|| RunNow { token: format!("now-{}", now.as_millisecond()), schedule: None });
        let mut guardian = Self {
            settings,
            store,
            board,
            config: Config::default(),
            seen: Some(seen),
            objects,
            banks: BTreeMap::new(),
            running: BTreeMap::new(),
            executions: JoinSet::new(),
            spawned: HashMap::new(),
            starved: VecDeque::new(),
            stop: stop.child_token(),
            unmeasured: Vec::new(),
            next_policy_look: None,
            now_token,
            annotated: BTreeMap::new(),
        };
        // What an earlier process left when it was killed: copies of a bank.
        if let Err(error) = std::fs::remove_dir_all(guardian.scratch())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "old scratch not removed");
        }
        guardian.adopt(config, now).await?;
        guardian.board.readiness.ready("config", "");
        Ok(guardian)
    }

    fn scratch(&self) -> PathBuf {
        self.settings.data.join("scratch")
    }

    /// Takes a configuration in place of the one before.
    async fn adopt(&mut self, mut config: Config, now: Timestamp) -> Result<(), LocalError> {
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
        for run in &mut config.runs {
            run.meta.generation = Some(self.objects.adopt("MaintenanceRun", &run.meta, now));
        }
        self.forget_gone(&config);
        self.end_orphans(&config, now).await?;
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
        self.board.retain(|(_, name)| config.banks.iter().any(|bank| bank.meta.name == *name));
    }

    /// Shows the runs of a bank as the records have them: an earlier process may have ended between the two.
    async fn mend_runs(&mut self, bank: &str, now: Timestamp) -> Result<(), StoreError> {
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

    /// Looks after the banks until the process is to stop, or, with `once`, until nothing more is due.
    pub async fn watch(mut self) -> Result<Summary, LocalError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut retention = tokio::time::interval(RETENTION);
        let outcome = loop {
            if let Err(error) = self.look(Timestamp::now()).await {
                self.board.readiness.pending("store", error.to_string());
                tracing::error!(%error, "the store does not take what was planned; it is planned again");
                if self.settings.once {
                    break Err(error.into());
                }
            } else {
                self.board.readiness.ready("store", "");
            }
            if self.settings.once && self.executions.is_empty() {
                break Ok(());
            }
            tokio::select! {
                () = self.stop.cancelled() => break Ok(()),
                Some(joined) = self.executions.join_next_with_id(), if !self.executions.is_empty() => {
                    if let Err(error) = self.joined(joined).await {
                        break Err(error.into());
                    }
                }
                _ = tick.tick() => self.glance().await,
                _ = retention.tick() => self.retain().await,
            }
        };
        self.finish().await;
        outcome.map(|()| self.summary())
    }

    /// Looks at every bank at which something happened or something is due.
    async fn look(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let config = std::mem::take(&mut self.config);
        let mut config = config;
        let outcome = self.look_at_due(&config, now).await;
        if outcome.is_ok()
            && let Some(token) = self.now_token.take()
        {
            self.take_back(&token.token, &mut config, now);
        }
        self.config = config;
        if let Err(error) = &outcome {
            self.board.store.count_error(error.reason());
        }
        outcome
    }

    /// Puts the documents' own requests back in place of `--now`, in the configuration and in what was noted
    /// as handled: everything has just been asked to run, so they are handled too.
    fn take_back(&mut self, token: &str, config: &mut Config, now: Timestamp) {
        let own = |kind: &'static str, name: &str| self.annotated.get(&(kind, name.to_owned())).cloned().flatten();
        for policy in &mut config.policies {
            policy.run_now = own("MaintenancePolicy", &policy.meta.name);
        }
        for check in &mut config.checks {
            check.run_now = own("IntegrityCheck", &check.meta.name);
        }
        for audit in &mut config.audits {
            audit.run_now = own("SecurityAudit", &audit.meta.name);
        }
        let annotated = std::mem::take(&mut self.annotated);
        let known = |kind: &'static str, name: &str| {
            annotated.get(&(kind, name.to_owned())).and_then(|own| own.as_ref()).map(|own| own.token.clone())
        };
        for (name, watched) in &mut self.banks {
            let Some(status) = &mut watched.status else { continue };
            for row in &mut status.schedules {
                if row.last_run_now_token.as_deref() == Some(token) {
                    row.last_run_now_token = known("MaintenancePolicy", &row.policy);
                }
            }
            let value = serde_json::to_value(&*status).unwrap_or(Value::Null);
            self.objects.set_status("MemoryBank", name, value, now);
        }
        for kind in ["MaintenancePolicy", "IntegrityCheck", "SecurityAudit"] {
            for name in self.objects.names(kind) {
                self.objects.replace_token(kind, &name, token, known(kind, &name), now);
            }
        }
    }

    async fn look_at_due(&mut self, config: &Config, now: Timestamp) -> Result<(), StoreError> {
        let mut looked = self.next_policy_look.is_some_and(|next| next <= now) || self.objects.pending();
        let mut failed = None;
        for bank in &config.banks {
            if self.banks.get(&bank.meta.name).is_some_and(|watched| watched.due(now)) {
                looked = true;
                // One bank whose records cannot be read does not keep the others from being looked at.
                failed = failed.or(self.look_at(bank, config, now).await.err());
            }
        }
        while self.running.len() < self.settings.parallel
            && let Some(name) = self.starved.pop_front()
        {
            if let Some(bank) = config.banks.iter().find(|bank| bank.meta.name == name) {
                looked = true;
                failed = failed.or(self.look_at(bank, config, now).await.err());
            }
        }
        if looked {
            self.look_at_policies(config, now);
            self.objects.flush(&self.store).await?;
            self.show(config).await;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Plans one bank and carries the plan out, in the order that a crash in between does not hurt. What
    /// failed halfway is looked at again.
    async fn look_at(&mut self, bank: &ValidBank, config: &Config, now: Timestamp) -> Result<(), StoreError> {
        let outcome = self.plan_and_carry_out(bank, config, now).await;
        if let Some(watched) = self.banks.get_mut(&bank.meta.name) {
            watched.dirty = outcome.is_err();
        }
        outcome
    }

    async fn plan_and_carry_out(
        &mut self,
        bank: &ValidBank,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(watched) = self.banks.get_mut(&bank.meta.name)
            && watched.unread
        {
            let running = |name: &str| self.running.contains_key(name);
            watched.refresh(&self.store, &config.namespace, &bank.meta.name, &running).await?;
        }
        let statuses = Statuses::of(bank, config, &self.objects);
        let asks = statuses.asks(bank, config);
        let Some(watched) = self.banks.get(&bank.meta.name) else { return Ok(()) };
        let plan = plan_bank(bank, &asks, &watched.observed(), now);
        let next = plan.next;
        self.carry_out(bank, plan, now).await?;
        let Some(watched) = self.banks.get_mut(&bank.meta.name) else { return Ok(()) };
        let observed = watched.observed();
        let mut looks = vec![next];
        for ask in &asks.checks {
            let name = &ask.check.meta.name;
            let newest = watched.newest.get(&RunOwner::Check(name.clone())).and_then(Newest::measured);
            let open = &observed.facts.corruption;
            let plan = plan_check(ask, Some(bank), &observed.runs, newest.as_ref(), open, now);
            tell_events(name, &plan.events);
            looks.push(plan.next);
            self.objects.set_status("IntegrityCheck", name, json!(plan.status), now);
        }
        for ask in &asks.audits {
            let name = &ask.audit.meta.name;
            let newest = watched.newest.get(&RunOwner::Audit(name.clone())).and_then(Newest::measured);
            let top = &observed.facts.findings.top;
            let state = |fingerprint: &str| {
                top.iter().find(|(_, finding)| finding.fingerprint == fingerprint).map(|(state, _)| *state)
            };
            let plan = plan_audit(ask, Some(bank), &observed.runs, newest.as_ref(), state, now);
            tell_events(name, &plan.events);
            looks.push(plan.next);
            self.objects.set_status("SecurityAudit", name, json!(plan.status), now);
        }
        watched.next = looks.into_iter().flatten().min();
        Ok(())
    }

    async fn carry_out(&mut self, bank: &ValidBank, plan: BankPlan, now: Timestamp) -> Result<(), StoreError> {
        // Without `..`: a part of the plan that nobody carries out does not compile.
        let BankPlan { create, skip, cancel, start, held, delete, status, events, next: _ } = plan;
        let name = &bank.meta.name;
        for run in create {
            self.make(name, run, now).await?;
        }
        for (run, reason, message) in skip {
            self.end(name, &run, Phase::Skipped, reason.name(), &message, now).await?;
        }
        for run in cancel {
            if let Some(cancel) = self.running.get(&run) {
                cancel.cancel();
            }
        }
        for (run, reason, message) in &held {
            self.end(name, run, Phase::Held, reason.name(), message, now).await?;
        }
        self.delete(name, &delete).await?;
        tell_events(name, &events);
        let value = serde_json::to_value(&status).unwrap_or(Value::Null);
        if let Some(watched) = self.banks.get_mut(name) {
            watched.status = Some(status);
        }
        self.objects.set_status("MemoryBank", name, value, now);
        for run in start {
            if self.running.len() >= self.settings.parallel {
                if !self.starved.contains(name) {
                    self.starved.push_back(name.clone());
                }
                break;
            }
            self.start_run(bank, &run, now).await?;
        }
        Ok(())
    }

    /// Makes a run, once by its name.
    async fn make(&mut self, bank: &str, planned: PlannedRun, now: Timestamp) -> Result<(), StoreError> {
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
    async fn end(
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

    async fn delete(&mut self, bank: &str, names: &[String]) -> Result<(), StoreError> {
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

    async fn start_run(&mut self, bank: &ValidBank, name: &str, now: Timestamp) -> Result<(), StoreError> {
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
            places: places(bank, &self.settings.config, &self.settings.claims, scratch),
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
    async fn joined(&mut self, joined: Result<(Id, Ended), JoinError>) -> Result<(), StoreError> {
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

    fn show_run(&mut self, run: &Run, report: Option<&RunReport>, now: Timestamp) {
        let (spec, status) = run.object(report, now);
        self.objects.set("MaintenanceRun", &run.view.name, spec, status, now);
    }

    fn look_at_policies(&mut self, config: &Config, now: Timestamp) {
        let mut looks = Vec::new();
        for policy in &config.policies {
            let selected: Vec<SelectedBank<'_>> = config
                .banks
                .iter()
                .filter(|bank| policy.bank_selector.matches(&bank.meta.labels))
                .map(|bank| SelectedBank {
                    name: &bank.meta.name,
                    status: self.banks.get(&bank.meta.name).and_then(|watched| watched.status.as_ref()),
                })
                .collect();
            let before = self.objects.status("MaintenancePolicy", &policy.meta.name);
            let (status, next) = plan_policy(policy, before.as_ref(), &selected, now);
            looks.push(next);
            self.objects.set_status("MaintenancePolicy", &policy.meta.name, json!(status), now);
        }
        self.next_policy_look = looks.into_iter().flatten().min();
    }

    /// Puts everything on the board, for metrics.
    async fn show(&mut self, config: &Config) {
        match tokio::try_join!(self.store.size_bytes(), self.store.oldest_event()) {
            Ok((bytes, oldest)) => self.board.store.set(bytes, oldest),
            Err(error) => tracing::warn!(%error, "metrics of the store are those of before"),
        }
        let metrics = match self.store.bank_metrics().await {
            Ok(metrics) => metrics,
            Err(error) => {
                tracing::warn!(%error, "metrics are those of before");
                return;
            }
        };
        for bank in &config.banks {
            let Some(status) = self.banks.get(&bank.meta.name).and_then(|watched| watched.status.clone()) else {
                continue;
            };
            let name = (config.namespace.clone(), bank.meta.name.clone());
            let state = state(status, bank.suspend, metrics.get(&name));
            self.board.put(name, state);
        }
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        for run in self.banks.values().flat_map(|watched| &watched.runs) {
            if run.view.phase == Phase::Held {
                *held.entry(run.view.reason.clone()).or_default() += 1;
            }
        }
        self.board.runs.set_held(held);
    }

    /// Reads the folder anew when it looks different. A broken edit keeps the last good configuration.
    async fn glance(&mut self) {
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

    async fn retain(&self) {
        match self.store.apply_retention(Timestamp::now(), &Limits::default()).await {
            Ok(removed) => tracing::debug!(?removed, "retention"),
            Err(error) => tracing::warn!(%error, "retention is tried again later"),
        }
    }

    /// Stops what runs, within a bound, and writes what is left to write.
    async fn finish(&mut self) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + GRACE;
        while let Ok(Some(joined)) = tokio::time::timeout_at(deadline, self.executions.join_next_with_id()).await {
            if let Err(error) = self.joined(joined).await {
                tracing::error!(%error, "a report is lost with this process; the next one executes the run again");
            }
        }
        if let Err(error) = self.objects.flush(&self.store).await {
            tracing::error!(%error, "the last status could not be written; the next start writes it");
        }
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary { unmeasured: self.unmeasured.clone(), ..Summary::default() };
        for run in self.banks.values().flat_map(|watched| &watched.runs) {
            if !run.view.phase.finished() {
                let why = format!("{}: {}", run.view.phase.name(), run.view.message);
                summary.unmeasured.push((run.view.name.clone(), why));
            }
        }
        for (name, watched) in &self.banks {
            let status = watched.status.clone().unwrap_or_default();
            let bank = self.config.banks.iter().find(|bank| bank.meta.name == *name);
            let waived =
                |kind: &str| bank.is_some_and(|bank| bank.waived_conditions.iter().any(|waived| waived.name() == kind));
            let false_of =
                |kind: &str| !waived(kind) && status.conditions.iter().any(|c| c.type_ == kind && c.status == "False");
            summary.broken |= ["Intact", "Consistent", "Secure"].into_iter().any(false_of);
            let findings = &watched.facts.findings;
            summary.banks.push(BankSummary {
                name: name.clone(),
                status,
                corruption: (
                    watched.facts.corruption.open,
                    watched.facts.corruption.top.iter().map(|(_, event)| event.clone()).collect(),
                ),
                findings: (findings.critical + findings.high + findings.medium + findings.low, findings.top.clone()),
            });
        }
        summary
    }
}

/// The statuses of those who ask something of a bank, as last written.
struct Statuses {
    policies: Vec<Option<MaintenancePolicyStatus>>,
    checks: Vec<Option<IntegrityCheckStatus>>,
    audits: Vec<Option<SecurityAuditStatus>>,
}

impl Statuses {
    fn of(bank: &ValidBank, config: &Config, objects: &Objects) -> Self {
        Self {
            policies: policies(bank, config).map(|p| objects.status("MaintenancePolicy", &p.meta.name)).collect(),
            checks: checks(bank, config).map(|c| objects.status("IntegrityCheck", &c.meta.name)).collect(),
            audits: audits(bank, config).map(|a| objects.status("SecurityAudit", &a.meta.name)).collect(),
        }
    }

    fn asks<'a>(&'a self, bank: &'a ValidBank, config: &'a Config) -> Asks<'a> {
        let echoed = |status: &'a Option<MaintenancePolicyStatus>| status.as_ref()?.last_run_now_token.as_deref();
        Asks {
            policies: policies(bank, config)
                .zip(&self.policies)
                .map(|(policy, status)| PolicyAsk { policy, echoed: echoed(status) })
                .collect(),
            checks: checks(bank, config)
                .zip(&self.checks)
                .map(|(check, status)| CheckAsk { check, status: status.as_ref() })
                .collect(),
            audits: audits(bank, config)
                .zip(&self.audits)
                .map(|(audit, status)| AuditAsk { audit, status: status.as_ref() })
                .collect(),
            hand: config.runs.iter().filter(|run| run.bank_name == bank.meta.name).collect(),
        }
    }
}

fn policies<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidPolicy> {
    config.policies.iter().filter(|policy| policy.bank_selector.matches(&bank.meta.labels))
}

fn checks<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidCheck> {
    config.checks.iter().filter(|check| check.bank_name == bank.meta.name)
}

fn audits<'a>(bank: &'a ValidBank, config: &'a Config) -> impl Iterator<Item = &'a ValidAudit> {
    config.audits.iter().filter(|audit| audit.bank_name == bank.meta.name)
}

fn tell_events(about: &str, events: &[EventDraft]) {
    for event in events {
        tracing::info!(about, event = event.reason.name(), "{}", event.message);
    }
}

fn state(status: MemoryBankStatus, suspended: bool, metrics: Option<&BankMetrics>) -> BankState {
    let metrics = metrics.cloned().unwrap_or_default();
    BankState {
        status,
        suspended,
        samples: metrics.samples.into_iter().map(|sample| (sample.metric, sample.value)).collect(),
        findings: metrics.findings.into_iter().map(|(severity, state, count)| ((severity, state), count)).collect(),
        corruption: metrics.corruption_total.into_iter().collect(),
    }
}

fn tell(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}
