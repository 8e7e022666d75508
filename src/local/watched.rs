use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::{BankFacts, Digest, Phase, RunReport, RunSpec};
use crate::plan::{
    Measured, Observed, PlannedRun, RunOwner, RunTold, RunView, exclusive, needs_network, run_status, task_rows,
};
use crate::resources::{MemoryBankStatus, RunReportRef, TaskSpec};
use crate::store::{RunRecord, Store, StoreError};

/// What is known of one bank between looks.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// When to look again, at the latest.
    pub next: Option<Timestamp>,
    /// Something happened: look at once.
    pub dirty: bool,
    /// What the store knows of it is not known here yet: nothing is planned before it is.
    pub unread: bool,
    pub status: Option<MemoryBankStatus>,
    pub runs: Vec<Run>,
    pub facts: BankFacts,
    /// The newest reports of its checks, audits and recoveries.
    pub newest: BTreeMap<RunOwner, Newest>,
}

/// The newest report of a check, an audit or a recovery.
#[derive(Debug)]
pub(super) struct Newest {
    report: RunReport,
    digest: Digest,
}

impl Newest {
    /// As planning takes it. The runs of these have one task.
    pub fn measured(&self) -> Option<Measured<'_>> {
        Some(Measured {
            run: &self.report.run,
            finished: self.report.finished,
            report: Some(self.digest),
            task: self.report.tasks.first()?,
        })
    }
}

/// A run of the bank.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub view: RunView,
    pub uid: String,
    pub spec: RunSpec,
}

/// Who asked for a run and for which slot, as the store keeps it.
pub(super) fn owner_record(owner: &RunOwner, slot: Option<Timestamp>) -> Value {
    json!({"owner": owner, "slot": slot})
}

impl Run {
    /// A run as the store has it; none where a newer version wrote what this one cannot read.
    pub fn from_record(record: &RunRecord) -> Option<Self> {
        let spec: RunSpec = serde_json::from_value(record.spec.clone()).ok()?;
        let view = RunView {
            name: record.name.clone(),
            owner: serde_json::from_value(record.owner.get("owner")?.clone()).ok()?,
            // Nothing runs before this process starts it: what was running when an earlier one ended has left
            // no report, and is executed again.
            phase: if record.phase == Phase::Running { Phase::Pending } else { record.phase },
            slot: record.owner.get("slot").and_then(Value::as_str).and_then(|slot| slot.parse().ok()),
            created: record.created,
            started: record.started,
            finished: record.finished,
            reason: record.reason.clone(),
            message: record.message.clone(),
            exclusive: exclusive(&spec.tasks),
            needs: needs_network(&spec.tasks, &spec.bank),
            // Runs made by hand stand in files: deleting one would run it again.
            ttl_seconds_after_finished: None,
        };
        Some(Self { view, uid: record.uid.clone(), spec })
    }

    /// A run that was just planned.
    pub fn planned(planned: PlannedRun, uid: String, now: Timestamp) -> Self {
        let view = RunView {
            name: planned.name,
            owner: planned.owner,
            phase: Phase::Pending,
            slot: planned.slot,
            created: now,
            started: None,
            finished: None,
            reason: String::new(),
            message: String::new(),
            exclusive: exclusive(&planned.spec.tasks),
            needs: needs_network(&planned.spec.tasks, &planned.spec.bank),
            ttl_seconds_after_finished: None,
        };
        Self { view, uid, spec: planned.spec }
    }

    /// Spec and status of its MaintenanceRun; `report` is that of the run, once it ended.
    pub fn object(&self, report: Option<&RunReport>, now: Timestamp) -> (Value, Value) {
        let mut spec = json!({
            "bankName": self.spec.bank.name,
            "tasks": self.spec.tasks.iter().map(TaskSpec::from).collect::<Vec<_>>(),
            "activeDeadlineSeconds": self.spec.active_deadline_seconds,
        });
        if let RunOwner::Policy { policy, schedule } = &self.view.owner {
            spec["policyName"] = json!(policy);
            spec["scheduleName"] = json!(schedule);
            if let Some(slot) = self.view.slot {
                spec["slotTime"] = json!(slot);
            }
        }
        let mut told = RunTold { generation: Some(1), ..RunTold::default() };
        if let Some(report) = report {
            told.tasks = task_rows(report);
            let bytes = serde_json::to_vec(report).unwrap_or_default();
            told.report = Some(RunReportRef {
                sha256: Some(Digest::of(&bytes).to_string()),
                bytes: Some(bytes.len() as u64),
                source: Some("Ingest".to_owned()),
            });
        }
        let status = run_status(&self.view, told, None, now);
        (spec, serde_json::to_value(status).unwrap_or(Value::Null))
    }
}

impl Watched {
    /// Whether it is time to look.
    pub fn due(&self, now: Timestamp) -> bool {
        self.dirty || self.next.is_some_and(|next| next <= now)
    }

    /// Reads anew what the store knows: after a start, and after each report. `running` knows the runs that
    /// this process executes.
    pub async fn refresh(
        &mut self,
        store: &Store,
        namespace: &str,
        bank: &str,
        running: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), StoreError> {
        let records = store.runs(namespace, bank).await?;
        self.runs = records.iter().filter_map(Run::from_record).collect();
        for run in self.runs.iter_mut().filter(|run| !run.view.phase.finished() && running(&run.view.name)) {
            run.view.phase = Phase::Running;
        }
        self.facts = store.facts(namespace, bank).await?;
        self.newest.clear();
        for record in &records {
            self.keep_newest(store, record).await?;
        }
        self.unread = false;
        self.dirty = true;
        Ok(())
    }

    /// Keeps the report of the newest ended run of each check, audit and recovery.
    async fn keep_newest(&mut self, store: &Store, record: &RunRecord) -> Result<(), StoreError> {
        let (Some(digest), Some(run)) = (&record.report, Run::from_record(record)) else { return Ok(()) };
        if !matches!(run.view.owner, RunOwner::Check(_) | RunOwner::Audit(_) | RunOwner::Recovery(_)) {
            return Ok(());
        }
        let known = self.newest.get(&run.view.owner).map(|newest| newest.report.finished);
        if known.is_some_and(|known| Some(known) >= run.view.finished) {
            return Ok(());
        }
        let bytes = store.get_blob(digest).await?;
        if let Some(report) = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            self.newest.insert(run.view.owner, Newest { report, digest: *digest });
        }
        Ok(())
    }

    /// What planning goes by.
    pub fn observed(&self) -> Observed {
        Observed {
            status: self.status.clone(),
            runs: self.runs.iter().map(|run| run.view.clone()).collect(),
            facts: self.facts.clone(),
            missing: None,
        }
    }

    pub fn run(&mut self, name: &str) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.view.name == name)
    }
}
