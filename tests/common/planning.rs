//! A front end in small: it carries plans out on a list of runs, as a cluster or a folder would.
#![allow(dead_code)] // Each test binary uses its part.

use std::collections::BTreeMap;

use jiff::Timestamp;
use memorybank::domain::{BankFacts, CorruptionEvent, Level, Measurement, Outcome, Phase, TaskKind, TaskReport};
use memorybank::plan::{
    Asks, AuditAsk, BankPlan, CheckAsk, MADE_FOR, Measured, Observed, PolicyAsk, RecoveryAsk, RunView, SelectedBank,
    exclusive, needs_network, plan_audit, plan_bank, plan_check, plan_policy, plan_recovery,
};
use memorybank::resources::{
    Config, IntegrityCheckStatus, MemoryBankStatus, Origin, Recovery, RecoveryStatus, SecurityAuditStatus,
    ValidRecovery,
};

/// A time.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Status and reason of a condition.
pub fn condition<'a>(status: &'a MemoryBankStatus, name: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().find(|c| c.type_ == name).unwrap();
    (&found.status, &found.reason)
}

/// Where a front end dies in the middle of carrying a plan out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Never,
    /// After so many runs were made.
    Made(usize),
    /// Before the status is written.
    BeforeStatus,
    /// After it.
    AfterStatus,
}

/// One bank, with all that asks for work on it.
#[derive(Clone)]
pub struct World {
    pub config: Config,
    pub status: Option<MemoryBankStatus>,
    pub checks: BTreeMap<String, IntegrityCheckStatus>,
    pub audits: BTreeMap<String, SecurityAuditStatus>,
    pub recoveries: BTreeMap<String, RecoveryStatus>,
    /// The newest report of any recovery, and its run.
    pub recovered: Option<(String, TaskReport)>,
    pub echoed: Option<String>,
    pub runs: Vec<RunView>,
    pub facts: BankFacts,
    pub next: Option<Timestamp>,
    /// Whether it is a cluster, where workloads can be scaled.
    pub scales: bool,
    /// When policies made recoveries.
    pub made: BTreeMap<String, Timestamp>,
}

impl World {
    pub fn new(text: &str) -> Self {
        Self {
            config: load(text),
            status: None,
            checks: BTreeMap::new(),
            audits: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            recovered: None,
            echoed: None,
            runs: Vec::new(),
            facts: BankFacts::default(),
            next: None,
            scales: true,
            made: BTreeMap::new(),
        }
    }

    pub fn reload(&mut self, text: &str) {
        self.config = load(text);
    }

    pub fn status(&self) -> &MemoryBankStatus {
        self.status.as_ref().unwrap()
    }

    pub fn plan(&self, now: Timestamp) -> BankPlan {
        let config = &self.config;
        let asks = Asks {
            policies: config
                .policies
                .iter()
                .map(|policy| PolicyAsk { policy, echoed: self.echoed.as_deref() })
                .collect(),
            checks: config
                .checks
                .iter()
                .map(|check| CheckAsk { check, status: self.checks.get(&check.meta.name) })
                .collect(),
            audits: config
                .audits
                .iter()
                .map(|audit| AuditAsk { audit, status: self.audits.get(&audit.meta.name) })
                .collect(),
            recoveries: config.recoveries.iter().map(|recovery| self.recovery(recovery)).collect(),
            hand: config.runs.iter().collect(),
        };
        let observed =
            Observed { status: self.status.clone(), runs: self.runs.clone(), facts: self.facts.clone(), missing: None };
        plan_bank(&config.banks[0], &asks, &observed, now)
    }

    /// Plans, carries out, and writes the statuses of checks and audits.
    pub fn step(&mut self, now: &str) -> BankPlan {
        self.step_at(at(now), Crash::Never)
    }

    pub fn step_at(&mut self, now: Timestamp, crash: Crash) -> BankPlan {
        let plan = self.plan(now);
        if self.apply(&plan, now, crash) {
            self.write_asked(now);
            self.next = plan.next;
        }
        plan
    }

    /// Whether it was carried out to its end.
    fn apply(&mut self, plan: &BankPlan, now: Timestamp, crash: Crash) -> bool {
        for (made, run) in plan.create.iter().enumerate() {
            if crash == Crash::Made(made) {
                return false;
            }
            assert!(self.runs.iter().all(|other| other.name != run.name), "{} made twice", run.name);
            self.runs.push(RunView {
                name: run.name.clone(),
                owner: run.owner.clone(),
                phase: Phase::Pending,
                slot: run.slot,
                created: now,
                started: None,
                finished: None,
                reason: String::new(),
                message: String::new(),
                exclusive: exclusive(&run.spec.tasks),
                needs: needs_network(&run.spec.tasks, &run.spec.bank),
                ttl_seconds_after_finished: run.ttl_seconds_after_finished,
            });
        }
        if crash == Crash::BeforeStatus {
            return false;
        }
        self.status = Some(plan.status.clone());
        if crash == Crash::AfterStatus {
            return false;
        }
        for name in &plan.cancel {
            self.end(name, Phase::Unknown, now);
        }
        for (name, reason, message) in &plan.skip {
            self.end(name, Phase::Skipped, now);
            let run = self.run(name);
            (run.reason, run.message) = (reason.name().to_owned(), message.clone());
        }
        for (name, reason, message) in &plan.held {
            let run = self.run(name);
            run.phase = Phase::Held;
            (run.reason, run.message) = (reason.name().to_owned(), message.clone());
        }
        for name in &plan.start {
            let run = self.run(name);
            (run.phase, run.started) = (Phase::Running, Some(now));
        }
        self.runs.retain(|run| !plan.delete.contains(&run.name));
        if let Some((planned, _)) = &plan.recover {
            let mut recovery = Recovery::new(&planned.name, planned.spec.clone());
            recovery.metadata.annotations = Some([(MADE_FOR.to_owned(), planned.made_for.clone())].into());
            let origin = Origin { namespace: "default", file: None };
            self.config.recoveries.push(ValidRecovery::parse(&recovery, origin).unwrap());
            self.made.insert(planned.name.clone(), now);
        }
        self.config.recoveries.retain(|recovery| !plan.forget.contains(&recovery.meta.name));
        true
    }

    fn write_asked(&mut self, now: Timestamp) {
        let bank = Some(&self.config.banks[0]);
        for check in &self.config.checks {
            let ask = CheckAsk { check, status: self.checks.get(&check.meta.name) };
            let plan = plan_check(&ask, bank, &self.runs, None, &self.facts.corruption, now);
            self.checks.insert(check.meta.name.clone(), plan.status);
        }
        for audit in &self.config.audits {
            let ask = AuditAsk { audit, status: self.audits.get(&audit.meta.name) };
            let plan = plan_audit(&ask, bank, &self.runs, None, |_| None, now);
            self.audits.insert(audit.meta.name.clone(), plan.status);
        }
        for recovery in &self.config.recoveries {
            let ask = self.recovery(recovery);
            let newest = self.recovered.as_ref().map(|(run, task)| Measured { run, finished: now, report: None, task });
            let open = &self.facts.corruption.top;
            let status = plan_recovery(&ask, bank, &self.runs, newest.as_ref(), open, now);
            self.recoveries.insert(recovery.meta.name.clone(), status);
        }
    }

    fn recovery<'a>(&'a self, recovery: &'a ValidRecovery) -> RecoveryAsk<'a> {
        RecoveryAsk {
            recovery,
            status: self.recoveries.get(&recovery.meta.name),
            scales: self.scales,
            made: self.made.get(&recovery.meta.name).copied(),
        }
    }

    /// Writes the first policy's echo.
    pub fn echo(&mut self) {
        let banks = [SelectedBank { name: &self.config.banks[0].meta.name, status: self.status.as_ref() }];
        let (status, _) = plan_policy(&self.config.policies[0], None, &banks, at("2026-11-22T00:00:00Z"));
        self.echoed = status.last_run_now_token;
    }

    fn run(&mut self, name: &str) -> &mut RunView {
        self.runs.iter_mut().find(|run| run.name == name).unwrap()
    }

    fn end(&mut self, name: &str, phase: Phase, now: Timestamp) {
        let run = self.run(name);
        (run.phase, run.finished) = (phase, Some(now));
    }

    /// Ends every running run, at the moment of its start.
    pub fn finish(&mut self, phase: Phase) {
        for run in self.runs.iter_mut().filter(|run| run.phase == Phase::Running) {
            (run.phase, run.finished) = (phase, run.started);
        }
    }

    pub fn measure(&mut self, task: TaskKind, level: Option<Level>, scope: &str, outcome: Outcome, finished: &str) {
        self.facts.measurements.retain(|m| (m.task, m.level, m.scope.as_str()) != (task, level, scope));
        self.facts.measurements.push(Measurement {
            task,
            level,
            scope: scope.to_owned(),
            outcome,
            message: "it was locked".to_owned(),
            finished: at(finished),
            run: "run-1".to_owned(),
        });
    }

    pub fn damage(&mut self, event: CorruptionEvent) {
        self.facts.corruption.open += 1;
        self.facts.corruption.top.push(("id".to_owned(), event));
    }
}

fn load(text: &str) -> Config {
    Config::load(&[("bank.yaml".to_owned(), text.to_owned())]).unwrap_or_else(|problems| panic!("{problems:?}")).0
}
