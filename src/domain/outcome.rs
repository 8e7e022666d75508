use serde::{Deserialize, Serialize};

/// How a task, or a run, ended. What could not be measured is `Unknown`, never `Succeeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It did all of its work; what it found is told elsewhere.
    Succeeded,
    /// It could not do its work.
    Failed,
    /// It was not begun.
    Skipped,
    /// Something that was asked for could not be measured.
    Unknown,
}

impl Outcome {
    /// The form in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Unknown => "Unknown",
        }
    }
}

/// Why a run or a task ended as it did: a closed set, used in status, records and metrics alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are the documentation; docs/resources.md explains each.
pub enum Reason {
    Completed,
    TaskFailed,
    NotMeasured,
    Superseded,
    Overlap,
    BankNotFound,
    PolicyDeleted,
    SecretNotFound,
    VolumeNotFound,
    VolumesApart,
    VolumeExclusive,
    PermissionDenied,
    PodForbidden,
    Unschedulable,
    ImagePullFailed,
    OutOfMemory,
    Evicted,
    NodeLost,
    DeadlineExceeded,
    JobDeleted,
    ReportLost,
    Cancelled,
}

impl Reason {
    /// The form in documents, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::TaskFailed => "TaskFailed",
            Self::NotMeasured => "NotMeasured",
            Self::Superseded => "Superseded",
            Self::Overlap => "Overlap",
            Self::BankNotFound => "BankNotFound",
            Self::PolicyDeleted => "PolicyDeleted",
            Self::SecretNotFound => "SecretNotFound",
            Self::VolumeNotFound => "VolumeNotFound",
            Self::VolumesApart => "VolumesApart",
            Self::VolumeExclusive => "VolumeExclusive",
            Self::PermissionDenied => "PermissionDenied",
            Self::PodForbidden => "PodForbidden",
            Self::Unschedulable => "Unschedulable",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::OutOfMemory => "OutOfMemory",
            Self::Evicted => "Evicted",
            Self::NodeLost => "NodeLost",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::JobDeleted => "JobDeleted",
            Self::ReportLost => "ReportLost",
            Self::Cancelled => "Cancelled",
        }
    }
}
