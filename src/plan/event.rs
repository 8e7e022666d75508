/// Something worth telling once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// What it is.
    pub reason: EventReason,
    /// For people: what happened, to what.
    pub message: String,
}

/// The kinds of events: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the documentation; docs/scheduling.md explains each.
pub enum EventReason {
    RunCreated,
    RunSkippedOverlap,
    RunSuperseded,
    SlotMissed,
    NameCollision,
    TooManySchedules,
    RunStarted,
    ScaledDown,
    PutBack,
    NotPutBack,
    RecoveryMade,
    RecoveryRefused,
}

impl EventReason {
    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunCreated => "RunCreated",
            Self::RunSkippedOverlap => "RunSkippedOverlap",
            Self::RunSuperseded => "RunSuperseded",
            Self::SlotMissed => "SlotMissed",
            Self::NameCollision => "NameCollision",
            Self::TooManySchedules => "TooManySchedules",
            Self::RunStarted => "RunStarted",
            Self::ScaledDown => "ScaledDown",
            Self::PutBack => "PutBack",
            Self::NotPutBack => "NotPutBack",
            Self::RecoveryMade => "RecoveryMade",
            Self::RecoveryRefused => "RecoveryRefused",
        }
    }
}

impl EventDraft {
    /// An event.
    pub fn new(reason: EventReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
