//! Where a Job stands, told by what the API server shows of it and its pods. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, PodCondition};

use crate::domain::Reason;

/// The container of a Job's pods.
pub const CONTAINER: &str = "runner";
/// A pod is made within this time, or something keeps it from being made.
const POD_MADE: SignedDuration = SignedDuration::from_secs(5);
/// A container is started within this time, or something keeps it from starting.
const POD_STARTED: SignedDuration = SignedDuration::from_secs(20);

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is being executed, or may be soon. A note says what it waits for.
    Active(Option<Note>),
    /// Its pod did its work and ended well: its report is stored, or was lost.
    Ended,
    /// It ended without a report, or will never end otherwise: why.
    Failed(Note),
}

/// What is to be told of a run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub reason: Reason,
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What has to be asked for, beside the Job and its pods, before it can be told where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// The warnings about the Job: it has no pod.
    OfJob,
    /// The warnings about this pod: its container does not start.
    OfPod(&'a str),
}

/// Whether warnings have to be asked for.
pub fn ask<'a>(job: &Job, pods: &[&'a Pod], now: Timestamp) -> Option<Ask<'a>> {
    if finished(job).is_some() {
        return None;
    }
    let Some(pod) = newest(pods) else {
        return (age(job.metadata.creation_timestamp.as_ref(), now) >= POD_MADE).then_some(Ask::OfJob);
    };
    let scheduled = condition(pod, "PodScheduled").is_some_and(|c| c.status == "True");
    let stuck = scheduled && !began(pod) && age(pod.metadata.creation_timestamp.as_ref(), now) >= POD_STARTED;
    stuck.then(|| Ask::OfPod(pod.metadata.name.as_deref().unwrap_or_default()))
}

/// When to look again though nothing happens: warnings are not watched.
pub fn look_again(job: &Job, pods: &[&Pod]) -> Option<SignedDuration> {
    let waits = finished(job).is_none() && newest(pods).is_none_or(|pod| !began(pod));
    waits.then_some(POD_MADE)
}

/// Where a Job stands. `warnings` are the newest ones about it, or about its pod, where [`ask`] said so.
pub fn standing(job: &Job, pods: &[&Pod], warnings: &[String], now: Timestamp) -> Standing {
    let newest = newest(pods);
    match finished(job) {
        Some(("Complete", _)) => return Standing::Ended,
        Some((_, reason)) => return Standing::Failed(failure(reason, newest)),
        None => {}
    }
    let Some(pod) = newest else { return without_pod(job, warnings, now) };
    if let Some(ended) = ended(pod) {
        return match ended.exit_code {
            0 => Standing::Ended,
            _ if out_of_memory(ended) => Standing::Failed(memory_note()),
            // The Job decides whether another pod is made.
            _ => Standing::Active(Some(exit_note(pod, ended))),
        };
    }
    if let Some(note) = disrupted(pod) {
        return Standing::Active(Some(Note { message: format!("{}; its Job starts another", note.message), ..note }));
    }
    if !began(pod) {
        return not_begun(pod, warnings);
    }
    // The node's own word is missing: Kubernetes takes its pods for not ready, and later removes them.
    let kept = pod.metadata.deletion_timestamp.is_none();
    let unready = kept && running(pod) && condition(pod, "Ready").is_some_and(|c| c.status == "False");
    Standing::Active(
        unready.then(|| Note::new(Reason::NodeLost, "its node does not answer: the pod is replaced if that stays so")),
    )
}

fn without_pod(job: &Job, warnings: &[String], now: Timestamp) -> Standing {
    if age(job.metadata.creation_timestamp.as_ref(), now) < POD_MADE {
        return Standing::Active(None);
    }
    match warnings.first() {
        // The Job goes on trying: quotas free up.
        Some(warning) if warning.contains("exceeded quota") => {
            Standing::Active(Some(Note::new(Reason::PodForbidden, cut(warning))))
        }
        Some(warning) if warning.contains("forbidden") || warning.contains("violates PodSecurity") => {
            Standing::Failed(Note::new(Reason::PodForbidden, format!("its pod is refused: {}", cut(warning))))
        }
        Some(warning) => Standing::Active(Some(Note::new(Reason::PodForbidden, cut(warning)))),
        None => Standing::Active(None),
    }
}

/// A pod whose container has not begun.
fn not_begun(pod: &Pod, warnings: &[String]) -> Standing {
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        let message = scheduled.message.clone().unwrap_or_default();
        return if message.contains("persistentvolumeclaim") && message.contains("not found") {
            Standing::Failed(Note::new(Reason::VolumeNotFound, cut(&message)))
        } else if message.contains("ReadWriteOncePod") {
            Standing::Active(Some(Note::new(Reason::VolumeExclusive, cut(&message))))
        } else {
            let message = format!("no node takes its pod: {}", cut(&message));
            Standing::Active(Some(Note::new(Reason::Unschedulable, message)))
        };
    }
    let waiting = container(pod).and_then(|status| status.state.as_ref()).and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match reason {
        "ErrImagePull" => Standing::Active(Some(Note::new(Reason::ImagePullFailed, image(message)))),
        "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "SignatureValidationFailed"
        | "ImageInspectError" => Standing::Failed(Note::new(Reason::ImagePullFailed, image(message))),
        "CreateContainerConfigError" => {
            Standing::Failed(Note::new(Reason::PodForbidden, format!("the container is refused: {}", cut(message))))
        }
        "CreateContainerError" | "RunContainerError" => {
            Standing::Failed(Note::new(Reason::TaskFailed, format!("the container does not start: {}", cut(message))))
        }
        _ => Standing::Active(warnings.first().map(|warning| Note::new(Reason::VolumeNotFound, cut(warning)))),
    }
}

fn image(message: &str) -> String {
    format!("its image cannot be pulled: {}", cut(message))
}

/// Why a Job failed that left no report.
fn failure(reason: &str, pod: Option<&Pod>) -> Note {
    let late = reason == "DeadlineExceeded";
    let Some(pod) = pod else {
        return if late {
            Note::new(Reason::DeadlineExceeded, "stopped by its deadline, and no report came")
        } else {
            Note::new(Reason::TaskFailed, format!("its Job failed and left no pod: {reason}"))
        };
    };
    if let Some(note) = disrupted(pod) {
        return note;
    }
    if let Some(ended) = ended(pod) {
        return if out_of_memory(ended) {
            memory_note()
        } else if late {
            Note::new(Reason::DeadlineExceeded, "stopped by its deadline, and no report came")
        } else {
            exit_note(pod, ended)
        };
    }
    if pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("DeadlineExceeded") || late {
        // What kept it from beginning says more than that it took too long.
        if let Standing::Active(Some(note)) | Standing::Failed(note) = not_begun(pod, &[])
            && !began(pod)
        {
            return note;
        }
        return Note::new(Reason::DeadlineExceeded, "stopped by its deadline, and no report came");
    }
    Note::new(Reason::TaskFailed, format!("its Job failed: {reason}"))
}

/// A pod that something outside of it ended.
fn disrupted(pod: &Pod) -> Option<Note> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let word = status.reason.as_deref().unwrap_or_default();
    let disruption = condition(pod, "DisruptionTarget").filter(|c| c.status == "True");
    let why = disruption.and_then(|c| c.reason.as_deref()).unwrap_or_default();
    let said = disruption.and_then(|c| c.message.as_deref()).or(status.message.as_deref()).unwrap_or_default();
    match (why, word) {
        ("DeletionByTaintManager" | "DeletionByPodGC", _) | (_, "NodeLost") => {
            Some(Note::new(Reason::NodeLost, format!("the node of the pod {name} was lost: {}", cut(said))))
        }
        ("", "Evicted") => Some(Note::new(Reason::Evicted, format!("the pod {name} was evicted: {}", cut(said)))),
        ("", _) => None,
        (why, _) => Some(Note::new(Reason::Evicted, format!("the pod {name} was evicted ({why}): {}", cut(said)))),
    }
}

fn memory_note() -> Note {
    let advice =
        "the runner was killed: it needed more memory than its limit; raise spec.jobTemplate.resources of the bank";
    Note::new(Reason::OutOfMemory, advice)
}

fn exit_note(pod: &Pod, ended: &ContainerStateTerminated) -> Note {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let code = ended.exit_code;
    Note::new(Reason::TaskFailed, format!("the pod {name} ended with exit code {code} and left no report: see its log"))
}

/// Whether the kernel killed the container for its memory.
fn out_of_memory(ended: &ContainerStateTerminated) -> bool {
    ended.reason.as_deref() == Some("OOMKilled")
}

/// The type and reason of the condition that ended a Job.
fn finished(job: &Job) -> Option<(&'static str, &str)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |type_: &str| conditions.iter().find(|c| c.type_ == type_ && c.status == "True");
    if holds("Complete").or_else(|| holds("SuccessCriteriaMet")).is_some() {
        return Some(("Complete", ""));
    }
    let failed = holds("Failed").or_else(|| holds("FailureTarget"))?;
    Some(("Failed", failed.reason.as_deref().unwrap_or_default()))
}

/// The pod that was made last.
pub fn newest<'a>(pods: &[&'a Pod]) -> Option<&'a Pod> {
    pods.iter().copied().max_by_key(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, pod.metadata.name.as_deref())
    })
}

fn container(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == CONTAINER)
}

/// How its container ended.
pub fn ended(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

fn running(pod: &Pod) -> bool {
    container(pod).and_then(|status| status.state.as_ref()).is_some_and(|state| state.running.is_some())
}

fn began(pod: &Pod) -> bool {
    running(pod) || ended(pod).is_some()
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

fn age(made: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>, now: Timestamp) -> SignedDuration {
    made.map_or(SignedDuration::ZERO, |made| now.duration_since(made.0))
}

/// Other people's words, kept to a line.
fn cut(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests;
