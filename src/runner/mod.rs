//! Executes a RunSpec: collect, judge, report. The same code in a Job's pod and in local mode.
//!
//! It decides nothing about when to run, and writes to the bank in a recovery, an optimization and a purge alone; Backup and Prune
//! write to its repository.

mod audit;
mod backup;
mod body;
mod consistency;
mod copies;
mod exchange;
mod integrity;
mod optimize;
mod places;
mod probe;
mod progress;
mod prune;
mod purge;
mod recover;
mod remote;
mod restore;
mod scratch;
mod still;
mod vectors;
mod verified;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::bank::Meter;
use crate::domain::{Level, Outcome, Reason, RunReport, RunSpec, ScopeReport, Task, TaskKind, TaskReport, Work};
use body::Body;
use copies::Copies;
use scratch::Scratch;

/// How long a task that passed its deadline gets to end by itself.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The same of a recovery, which puts back what it began.
const ROLL_BACK: Duration = Duration::from_mins(30);

pub use exchange::{Exchange, ExchangeError};
pub use places::Places;
pub use progress::{Progress, Step};
pub use remote::{Delivered, DeliveryError, Remote, RemoteError, RemoteExchange};

/// Executes runs at given places.
#[derive(Debug)]
pub struct Runner<E> {
    /// Inputs and outputs.
    pub exchange: E,
    /// Where volumes are mounted.
    pub places: Places,
    /// How many threads may hash.
    pub threads: usize,
}

impl<E: Exchange> Runner<E> {
    /// Runs every task in order. It always returns a report: a task that fails, cannot measure or passes
    /// its deadline is a row of it. After `cancel` the rest is `Skipped`/`Cancelled`.
    pub async fn execute(
        &self,
        spec: &RunSpec,
        uid: &str,
        cancel: &CancellationToken,
        progress: &Progress,
    ) -> RunReport {
        let started = Timestamp::now();
        let scratch = Scratch::make(&self.places.scratch);
        let deadline = Instant::now() + Duration::from_secs(u64::from(spec.active_deadline_seconds));
        let mut copies = Copies::new(&self.places, uid);
        let mut tasks: Vec<TaskReport> = Vec::with_capacity(spec.tasks.len());
        for (index, task) in spec.tasks.iter().enumerate() {
            let report = if let Err(why) = &scratch {
                skipped(task, Reason::TaskFailed, why)
            } else if cancel.is_cancelled() {
                skipped(task, Reason::Cancelled, "the run was cancelled before this task")
            } else if let Some(needed) = unmet_need(task, &tasks) {
                skipped(task, Reason::TaskFailed, &format!("needs {needed}, which did not succeed"))
            } else {
                let meter = Arc::new(Meter::new(cancel.child_token()));
                progress.enter(Step {
                    task: task.name.clone(),
                    number: (index + 1, spec.tasks.len()),
                    meter: Arc::clone(&meter),
                });
                self.run_task(spec, task, &mut copies, &meter, deadline).await
            };
            tracing::info!(run = spec.run, task = task.name, outcome = report.outcome.name(), "{}", report.message);
            tasks.push(report);
        }
        RunReport {
            uid: uid.to_owned(),
            namespace: spec.namespace.clone(),
            run: spec.run.clone(),
            bank: spec.bank.name.clone(),
            runner_version: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            // A clock set back during the run must not make it end before it began.
            finished: Timestamp::now().max(started),
            tasks,
        }
    }

    async fn run_task(
        &self,
        spec: &RunSpec,
        task: &Task,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        run_deadline: Instant,
    ) -> TaskReport {
        let begun = Instant::now();
        let own = task.active_deadline_seconds.map(|s| begun + Duration::from_secs(u64::from(s)));
        let deadline = own.map_or(run_deadline, |own| own.min(run_deadline));
        let mut body = Body::default();
        let worked = {
            let mut work = Box::pin(self.perform(spec, task, copies, meter, &mut body));
            let worked = tokio::time::timeout_at(deadline.into(), &mut work).await.ok();
            if worked.is_none() {
                // What blocks sees the meter and ends; until then the next task must not begin beside it.
                meter.cancel();
                let recovers = matches!(task.work, Work::Recover { .. });
                let _ = tokio::time::timeout(if recovers { ROLL_BACK } else { LAST_WORDS }, work).await;
            }
            worked
        };
        let (outcome, reason, message) = match worked {
            Some(Ok(())) => body.outcome(),
            Some(Err(error)) if meter.check().is_err() => (Outcome::Unknown, Reason::Cancelled, error),
            Some(Err(error)) => (Outcome::Failed, Reason::TaskFailed, error),
            None => {
                let seconds = begun.elapsed().as_secs();
                (Outcome::Failed, Reason::DeadlineExceeded, format!("stopped by its deadline after {seconds} s"))
            }
        };
        // A scope without a word would leave the last good one standing.
        for scope in asked_scopes(&task.work) {
            body.open_scope(scope, &message);
        }
        body.bound();
        TaskReport {
            name: task.name.clone(),
            task: task.work.kind(),
            level: level(&task.work),
            outcome,
            reason,
            message,
            duration_milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            scopes: body.scopes,
            coverage_percent: body.coverage_percent,
            checks: body.checks,
            corruption: body.corruption,
            findings: body.findings,
            omitted: body.omitted,
            samples: body.samples,
            outputs: body.outputs,
            recovery: body.recovery,
        }
    }

    /// Does the work of one task into `body`. An error is a failure of ours, in words for people; what
    /// could not be measured is a check in `body`.
    async fn perform(
        &self,
        spec: &RunSpec,
        task: &Task,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        match &task.work {
            Work::IntegrityCheck { level, scopes, share_percent } => {
                let depth = integrity::Depth { level: *level, share_percent: *share_percent };
                self.check_integrity(spec, depth, scopes, copies, meter, body).await
            }
            Work::SecurityAudit { scopes } => self.audit(&spec.bank, scopes, copies, meter, body).await,
            Work::ConsistencyCheck => self.consistency_task(spec, copies, meter, body).await,
            Work::Backup => self.back_up(spec, copies, meter, body).await,
            Work::VerifyBackup => self.verify_backup(spec, copies, meter, body).await,
            Work::Optimize => self.optimize(spec, copies, meter, body).await,
            Work::RestoreTest => self.restore_test(spec, copies, meter, body).await,
            Work::Prune(pruning) => self.prune(spec, pruning, copies, meter, body).await,
            Work::Recover { events, set, consent } => {
                let asked = recover::Asked { events, set: set.as_deref(), consent: *consent };
                self.recover(spec, &asked, copies, meter, body).await
            }
            Work::Probe => self.probe(&spec.namespace, &spec.bank, body).await,
            Work::Learn => {
                body.not_built(TaskKind::Learn.name());
                Ok(())
            }
        }
    }
}

/// The names of the scopes that a task is asked to measure.
fn asked_scopes(work: &Work) -> Vec<&'static str> {
    match work {
        Work::IntegrityCheck { scopes, .. } => scopes.iter().map(|scope| scope.name()).collect(),
        Work::SecurityAudit { scopes } => scopes.iter().map(|scope| scope.name()).collect(),
        _ => Vec::new(),
    }
}

fn level(work: &Work) -> Option<Level> {
    match work {
        Work::IntegrityCheck { level, .. } => Some(*level),
        _ => None,
    }
}

/// The kind that this task needs and that the run has, but without success.
fn unmet_need(task: &Task, done: &[TaskReport]) -> Option<&'static str> {
    let needed: TaskKind = task.work.kind().needs()?;
    let newest = done.iter().rev().find(|report| report.task == needed)?;
    (newest.outcome != Outcome::Succeeded).then_some(needed.name())
}

fn skipped(task: &Task, reason: Reason, message: &str) -> TaskReport {
    TaskReport {
        name: task.name.clone(),
        task: task.work.kind(),
        level: level(&task.work),
        outcome: Outcome::Skipped,
        reason,
        message: message.to_owned(),
        duration_milliseconds: 0,
        scopes: asked_scopes(&task.work)
            .into_iter()
            .map(|scope| ScopeReport {
                scope: scope.to_owned(),
                outcome: Outcome::Unknown,
                message: message.to_owned(),
            })
            .collect(),
        coverage_percent: None,
        checks: Vec::new(),
        corruption: Vec::new(),
        findings: Vec::new(),
        omitted: 0,
        samples: Vec::new(),
        outputs: Vec::new(),
        recovery: None,
    }
}
