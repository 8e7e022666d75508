/// Why an event is told: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum EventReason {
    RunCreated,
    RunSkippedOverlap,
    RunSuperseded,
    SlotMissed,
    NameCollision,
}

impl EventReason {
    /// The form in events and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunCreated => "RunCreated",
            Self::RunSkippedOverlap => "RunSkippedOverlap",
            Self::RunSuperseded => "RunSuperseded",
            Self::SlotMissed => "SlotMissed",
            Self::NameCollision => "NameCollision",
        }
    }
}

/// Something that happened, to be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// Why.
    pub reason: EventReason,
    /// For people.
    pub message: String,
}
