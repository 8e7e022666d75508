//! One run: who asked for it, where its Job stands, how it ended.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::context::Context;
use super::entry::{Bank, JobEntry, Run};
use super::error::ReconcileError;
use super::key::Key;
use super::labels;
use super::standing::{Ask, Note, Standing, ask, ended, look_again, newest, standing};
use super::told::Told;
use super::write;
use crate::delivery::{Summary, TaskSummary};
use crate::domain::{Outcome, Phase, Pruning, Reason, RunReport, Severity};
use crate::plan::{HeldReason, RunOwner, RunTold, RunView, exclusive, needs_network, run_spec, run_status, task_rows};
use crate::resources::{FindingCounts, RunReportRef, TaskStatus};

/// How many warnings are asked for.
const MAX_WARNINGS: u32 = 20;

/// A run, as it is planned with.
#[derive(Debug)]
pub struct Tracked {
    pub entry: Arc<Run>,
    pub view: RunView,
}

impl Tracked {
    /// A run of a bank; none where its spec cannot be used.
    pub fn of(entry: Arc<Run>, bank: Option<&Bank>) -> Option<Self> {
        let view = view(&entry, bank)?;
        Some(Self { entry, view })
    }

    /// How often its Job was refused, and when it is tried again.
    pub fn refused(&self) -> Option<(u32, Timestamp)> {
        let status = self.entry.status.as_ref()?;
        Some((status.attempts?, status.next_attempt_time.as_ref()?.0))
    }

    /// Since when it waits for its turn: its slot, which of a run made by hand is a claim of whoever made it.
    pub fn due(&self) -> Timestamp {
        let slot = self.view.slot.filter(|_| self.view.owner != RunOwner::Hand);
        slot.unwrap_or(self.view.created)
    }
}

/// Who asked for a run: its controller. A spec that names a policy is a claim of whoever made it.
fn owner(run: &Run, bank_uid: Option<&str>) -> RunOwner {
    let Ok(valid) = &run.valid else { return RunOwner::Hand };
    match (&run.id.owner, &valid.planned) {
        (Some(owner), Some(planned)) if owner.kind == "MemoryBank" && Some(owner.uid.as_str()) == bank_uid => {
            RunOwner::Policy { policy: planned.policy.clone(), schedule: planned.schedule.clone() }
        }
        (Some(owner), _) if owner.kind == "IntegrityCheck" => RunOwner::Check(owner.name.clone()),
        (Some(owner), _) if owner.kind == "SecurityAudit" => RunOwner::Audit(owner.name.clone()),
        (Some(owner), _) if owner.kind == "Recovery" => RunOwner::Recovery(owner.name.clone()),
        _ => RunOwner::Hand,
    }
}

fn view(run: &Run, bank: Option<&Bank>) -> Option<RunView> {
    let valid = run.valid.as_ref().ok()?;
    let needs = bank.and_then(|bank| bank.valid.as_ref().ok()).map(|bank| {
        // Scopes that its tasks leave open are all that the bank declares.
        let spec = run_spec("", "", &bank.bank, &valid.tasks, valid.active_deadline_seconds, &Pruning::default());
        needs_network(&spec.tasks, &spec.bank)
    });
    let status = run.status.clone().unwrap_or_default();
    let told = status.conditions.iter().find(|condition| condition.type_ == "Succeeded");
    let phase = match status.phase.as_deref() {
        Some("Held") => Phase::Held,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Skipped") => Phase::Skipped,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    };
    let slot = || run.annotations.get(labels::SLOT).and_then(|slot| slot.parse().ok());
    Some(RunView {
        name: run.id.key.name.clone(),
        owner: owner(run, bank.map(|bank| bank.id.uid.as_str())),
        phase,
        slot: valid.planned.as_ref().map(|planned| planned.slot).or_else(slot),
        created: run.id.created,
        started: status.start_time.map(|time| time.0),
        finished: status.completion_time.map(|time| time.0),
        reason: told.map(|told| told.reason.clone()).unwrap_or_default(),
        message: told.map(|told| told.message.clone()).unwrap_or_default(),
        exclusive: exclusive(&valid.tasks),
        needs: needs.unwrap_or_default(),
        ttl_seconds_after_finished: valid.ttl_seconds_after_finished,
    })
}

/// Writes a run's status, where that changes it.
pub async fn show(cx: &Context, tracked: &mut Tracked, told: RunTold, now: Timestamp) -> Result<(), ReconcileError> {
    let run = &tracked.entry;
    let told = RunTold { generation: run.id.generation, ..told };
    let status = run_status(&tracked.view, told, run.status.as_ref(), now);
    if run.status.as_ref() == Some(&status) {
        return Ok(());
    }
    write::status(&cx.client, &cx.world.runs, &run.id, &status).await?;
    if let Some(written) = cx.world.runs.get(&run.id.key) {
        tracked.entry = written;
    }
    Ok(())
}

/// Says that a run waits, and why.
pub async fn hold(
    cx: &Context,
    run: &mut Tracked,
    reason: HeldReason,
    message: &str,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    run.view.phase = Phase::Held;
    reason.name().clone_into(&mut run.view.reason);
    message.clone_into(&mut run.view.message);
    let refused = run.refused();
    show(cx, run, RunTold { refused, ..RunTold::default() }, now).await
}

/// Finds out where a run stands that has a Job, and whether it ended. When to look again though nothing happens.
pub async fn settle(
    cx: &Context,
    bank: &Key,
    tracked: &mut Tracked,
    now: Timestamp,
) -> Result<Option<Timestamp>, ReconcileError> {
    let run = Arc::clone(&tracked.entry);
    let key = &run.id.key;
    if tracked.view.phase.finished() {
        free(cx, key);
        return Ok(None);
    }
    let job = cx.world.jobs.get(key).filter(|job| controls(&run.id.uid, job));
    let job_name = run.status.as_ref().and_then(|status| status.job_name.clone());
    if job.is_none() && job_name.is_none() {
        return Ok(None);
    }
    cx.places.occupy(key);
    // Before the store is asked: a pod that has ended had handed in its report before that.
    let pods = cx.world.pods_of(bank, &key.name);
    if let Some((report, source)) = stored_report(cx, &run).await? {
        let (outcome, reason) = report.outcome();
        let message = match report.decisive() {
            Some(task) => task.message.clone(),
            None => format!("{} tasks did their work", report.tasks.len()),
        };
        cx.forget_facts(bank);
        let told = RunTold { job_name, tasks: task_rows(&report), report: Some(source), ..RunTold::default() };
        tracked.view.started = Some(report.started);
        let note = Note::new(reason, message);
        end(cx, tracked, outcome, &note, told, report.finished.min(now), now).await?;
        // Counted once: a write that is refused brings the run back here.
        cx.board.runs.observe(&report);
        return Ok(None);
    }
    let Some(job) = job else {
        // The mirror may be behind: only the API server can say that the Job is gone.
        let jobs: Api<Job> = Api::namespaced(cx.client.clone(), &key.namespace);
        let there = jobs.get_opt(&key.name).await.map_err(ReconcileError::api(format!("the Job {key} is not read")))?;
        if there.is_none() {
            let note = Note::new(Reason::JobDeleted, "its Job was deleted before it had ended");
            lost(cx, tracked, Outcome::Failed, &note, RunTold { job_name, ..RunTold::default() }, now).await?;
        }
        return Ok(None);
    };
    let pods: Vec<&Pod> = pods.iter().map(|pod| &pod.object).collect();
    let warnings = match ask(&job.object, &pods, now) {
        None => Vec::new(),
        Some(Ask::OfJob) => warnings(cx, &key.namespace, "Job", &key.name, &job.id.uid).await?,
        Some(Ask::OfPod(name)) => {
            let uid = newest(&pods).and_then(|pod| pod.metadata.uid.as_deref()).unwrap_or_default();
            warnings(cx, &key.namespace, "Pod", name, uid).await?
        }
    };
    let told = RunTold { job_name: Some(key.name.clone()), ..RunTold::default() };
    let standing = standing(&job.object, &pods, &warnings, now);
    let summary = newest(&pods).and_then(ended).and_then(|ended| Summary::parse(ended.message.as_deref()?));
    let summary = summary.filter(|summary| summary.uid == run.id.uid && !summary.interrupted);
    match (standing, summary) {
        (Standing::Active(note), _) => {
            tracked.view.phase = Phase::Running;
            tracked.view.started = tracked.view.started.or(Some(job.id.created));
            let note = note.map(|note| (note.reason.name().to_owned(), note.message));
            (tracked.view.reason, tracked.view.message) = note.unwrap_or_default();
            show(cx, tracked, told, now).await?;
            return Ok(look_again(&job.object, &pods).and_then(|wait| now.checked_add(wait).ok()));
        }
        (Standing::Ended | Standing::Failed(Note { reason: Reason::TaskFailed, .. }), Some(summary)) => {
            let message = format!("the report itself did not arrive; {}", summary.message);
            let rows = summary.tasks.iter().map(row).collect();
            let source = RunReportRef { sha256: None, bytes: None, source: Some("TerminationMessage".to_owned()) };
            let told = RunTold { tasks: rows, report: Some(source), ..told };
            lost(cx, tracked, summary.outcome, &Note::new(summary.reason, message), told, now).await?;
        }
        (Standing::Ended, None) => {
            let note =
                Note::new(Reason::ReportLost, "its pod ended well, but neither its report nor a summary arrived");
            lost(cx, tracked, Outcome::Unknown, &note, without_report(told), now).await?;
        }
        (Standing::Failed(note), _) => {
            lost(cx, tracked, Outcome::Failed, &note, without_report(told), now).await?;
        }
    }
    // A Job that failed by itself stays for whoever looks into it; one that would go on is ended.
    if !job_finished(&job.object) {
        write::delete::<Job>(&cx.client, &job.id).await?;
    }
    Ok(None)
}

fn without_report(told: RunTold) -> RunTold {
    let none = RunReportRef { sha256: None, bytes: None, source: Some("None".to_owned()) };
    RunTold { report: Some(none), ..told }
}

/// Whether a Job ended by itself, or is about to: its last pods may still be ending.
pub fn job_finished(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let end = |type_: &str| matches!(type_, "Complete" | "SuccessCriteriaMet" | "Failed" | "FailureTarget");
    conditions.into_iter().flatten().any(|condition| end(&condition.type_) && condition.status == "True")
}

/// Whether a Job is a run's.
pub fn controls(run_uid: &str, job: &JobEntry) -> bool {
    job.id.owner.as_ref().is_some_and(|owner| owner.uid == run_uid)
}

/// Ends a run without a report of its own in the store.
pub async fn lost(
    cx: &Context,
    tracked: &mut Tracked,
    outcome: Outcome,
    note: &Note,
    told: RunTold,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    let uid = &tracked.entry.id.uid;
    cx.store.set_phase(uid, Phase::from(outcome), note.reason.name(), &note.message, now).await?;
    end(cx, tracked, outcome, note, told, now, now).await
}

async fn end(
    cx: &Context,
    tracked: &mut Tracked,
    outcome: Outcome,
    note: &Note,
    told: RunTold,
    finished: Timestamp,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    tracked.view.phase = Phase::from(outcome);
    tracked.view.finished = Some(finished);
    note.reason.name().clone_into(&mut tracked.view.reason);
    note.message.clone_into(&mut tracked.view.message);
    show(cx, tracked, told, now).await?;
    free(cx, &tracked.entry.id.key);
    let told = Told {
        warning: outcome != Outcome::Succeeded,
        reason: note.reason.name().to_owned(),
        action: "End".to_owned(),
        note: format!("{}: {}", outcome.name(), note.message),
    };
    cx.teller.tell("MaintenanceRun", &tracked.entry.id, &[told]);
    Ok(())
}

/// Gives a run's place to whoever waits for it.
pub fn free(cx: &Context, run: &Key) {
    for bank in cx.places.release(run) {
        cx.banks.add_first(bank);
    }
}

/// A run's report, where the store has it.
async fn stored_report(cx: &Context, run: &Run) -> Result<Option<(RunReport, RunReportRef)>, ReconcileError> {
    let key = &run.id.key;
    let record = cx.store.run(&key.namespace, &key.name).await?.filter(|record| record.uid == run.id.uid);
    let Some(digest) = record.and_then(|record| record.report) else { return Ok(None) };
    let Some(bytes) = cx.store.get_blob(&digest).await? else { return Ok(None) };
    let source = RunReportRef {
        sha256: Some(digest.to_string()),
        bytes: Some(bytes.len() as u64),
        source: Some("Ingest".to_owned()),
    };
    Ok(serde_json::from_slice(&bytes).ok().map(|report| (report, source)))
}

/// What Kubernetes warned of about an object, newest first; not of an earlier one of its name.
async fn warnings(
    cx: &Context,
    namespace: &str,
    kind: &str,
    name: &str,
    uid: &str,
) -> Result<Vec<String>, ReconcileError> {
    let events: Api<Event> = Api::namespaced(cx.client.clone(), namespace);
    let fields = format!("regarding.kind={kind},regarding.name={name},type=Warning");
    let params = ListParams::default().fields(&fields).limit(MAX_WARNINGS);
    let listed = events.list(&params).await.map_err(ReconcileError::api(format!("Events of {kind} {name}")))?;
    let mut found = listed.items;
    found.retain(|event| event.regarding.as_ref().is_some_and(|regarding| regarding.uid.as_deref() == Some(uid)));
    found.sort_by_key(|event| {
        let series = event.series.as_ref().map(|series| series.last_observed_time.0);
        std::cmp::Reverse(series.or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0)))
    });
    Ok(found.into_iter().filter_map(|event| event.note).collect())
}

fn row(task: &TaskSummary) -> TaskStatus {
    let of = |severity| task.findings.get(&severity).copied();
    let counts = FindingCounts {
        critical: of(Severity::Critical),
        high: of(Severity::High),
        medium: of(Severity::Medium),
        low: of(Severity::Low),
        ..FindingCounts::default()
    };
    TaskStatus {
        name: task.name.clone(),
        outcome: Some(task.outcome.name().to_owned()),
        reason: Some(task.reason.name().to_owned()),
        message: Some(task.message.clone()),
        duration_milliseconds: None,
        findings: (!task.findings.is_empty()).then_some(counts),
    }
}
