//! Events: what is worth telling once, on the object that it happened to.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::entry::Identity;
use crate::plan::{EventDraft, EventReason};
use crate::resources::Condition;

/// Who reports.
const REPORTER: &str = "memorybank.dev/operator";
/// What an Event's note takes.
const MAX_NOTE: usize = 1000;
/// What an Event's action takes.
const MAX_ACTION: usize = 128;
/// Events that wait to be told.
const MAX_WAITING: usize = 4096;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub warning: bool,
    pub reason: String,
    /// What it is about, beside the object: Events of one reason and action within some minutes are one.
    pub action: String,
    pub note: String,
}

impl Told {
    /// What a plan tells.
    pub fn of(draft: &EventDraft) -> Self {
        let normal = match draft.reason {
            EventReason::RunCreated
            | EventReason::RunStarted
            | EventReason::ScaledDown
            | EventReason::PutBack
            | EventReason::RecoveryMade => true,
            EventReason::RunSkippedOverlap
            | EventReason::RunSuperseded
            | EventReason::SlotMissed
            | EventReason::NameCollision
            | EventReason::TooManySchedules
            | EventReason::NotPutBack
            | EventReason::RecoveryRefused => false,
        };
        Self {
            warning: !normal,
            reason: draft.reason.name().to_owned(),
            // Each run and each slot is an Event of its own.
            action: draft.message.clone(),
            note: draft.message.clone(),
        }
    }
}

/// What changed between two lists of conditions: each that broke, and each that was broken and is mended. Pure.
pub fn transitions(before: &[Condition], now: &[Condition]) -> Vec<Told> {
    let was = |type_: &str| before.iter().find(|condition| condition.type_ == type_);
    let told = |condition: &Condition| {
        let broken = was(&condition.type_).is_some_and(|was| was.status == "False");
        let same = was(&condition.type_).is_some_and(|was| was.status == "False" && was.reason == condition.reason);
        let (warning, word) = match condition.status.as_str() {
            "False" if !same => (true, "is False"),
            "True" if broken => (false, "is True again"),
            _ => return None,
        };
        Some(Told {
            warning,
            reason: condition.reason.clone(),
            action: condition.type_.clone(),
            note: format!("{} {word}: {}", condition.type_, condition.message),
        })
    };
    now.iter().filter_map(told).collect()
}

/// Takes what is to be told as Events: nothing waits for it, and what is too much at once is logged alone.
pub struct Teller(mpsc::Sender<(ObjectReference, Event)>);

/// What was told to a [`Teller`], on its way to the API server.
pub struct Telling {
    recorder: Recorder,
    waiting: mpsc::Receiver<(ObjectReference, Event)>,
}

impl Teller {
    /// Tells as this replica.
    pub fn new(client: Client, identity: &str) -> (Self, Telling) {
        let reporter = Reporter { controller: REPORTER.to_owned(), instance: Some(identity.to_owned()) };
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        (Self(sender), Telling { recorder: Recorder::new(client, reporter), waiting })
    }

    /// Tells of an object.
    pub fn tell(&self, kind: &str, id: &Identity, told: &[Told]) {
        let about = ObjectReference {
            api_version: Some("memorybank.dev/v1alpha1".to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(id.key.name.clone()),
            namespace: Some(id.key.namespace.clone()),
            uid: Some(id.uid.clone()),
            ..ObjectReference::default()
        };
        for one in told {
            let event = Event {
                type_: if one.warning { EventType::Warning } else { EventType::Normal },
                reason: one.reason.clone(),
                note: Some(one.note.chars().take(MAX_NOTE).collect()),
                action: one.action.chars().take(MAX_ACTION).collect(),
                secondary: None,
            };
            if self.0.try_send((about.clone(), event)).is_err() {
                tracing::warn!(object = %id.key, reason = one.reason, note = one.note, "an Event was not told: too many wait");
            }
        }
    }
}

impl Telling {
    /// Tells one after the other, for ever. One that cannot be told is logged.
    pub async fn run(mut self) {
        while let Some((about, event)) = self.waiting.recv().await {
            if let Err(error) = self.recorder.publish(&event, &about).await {
                tracing::warn!(object = about.name, reason = event.reason, %error, "an Event was not told");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "m".to_owned(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_condition_is_told_when_it_breaks_for_a_new_reason_and_when_it_is_mended() {
        let told = |before: Option<&Condition>, now: &Condition| {
            let before = before.map_or(&[][..], std::slice::from_ref);
            let told = transitions(before, std::slice::from_ref(now));
            told.iter().map(|t| (t.warning, t.reason.clone())).collect::<Vec<_>>()
        };
        let (bad, worse) = (condition("Secure", "False", "LeakFound"), condition("Secure", "False", "Vulnerable"));
        let (good, unknown) = (condition("Secure", "True", "AsExpected"), condition("Secure", "Unknown", "NotAudited"));
        assert_eq!(told(None, &bad), [(true, "LeakFound".to_owned())]);
        assert_eq!(told(Some(&bad), &bad), []);
        assert_eq!(told(Some(&bad), &worse), [(true, "Vulnerable".to_owned())]);
        assert_eq!(told(Some(&bad), &good), [(false, "AsExpected".to_owned())]);
        assert_eq!(told(None, &good), [], "nothing was broken");
        assert_eq!(told(Some(&good), &unknown), []);
    }
}
