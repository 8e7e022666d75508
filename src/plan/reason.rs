/// Why a condition has its status: a closed set, which documents, alerts and metrics share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // docs/scheduling.md tells the rule of each.
pub enum ConditionReason {
    // True
    AsExpected,
    // Unknown, of any condition
    Suspended,
    NotConfigured,
    // Reachable
    ApiUnreachable,
    ApiError,
    DatabaseUnreachable,
    VectorStoreUnreachable,
    CanaryFailed,
    AuthenticationFailed,
    NotSampled,
    SampleStale,
    SecretForbidden,
    // Intact, Consistent
    ChecksumMismatch,
    FileCorruption,
    DatabaseCorrupt,
    VectorsCorrupt,
    DataInconsistency,
    Inconsistent,
    NotChecked,
    CheckStale,
    CheckIncomplete,
    // Secure
    FindingsAboveThreshold,
    LeakFound,
    UnauthorizedAccess,
    Vulnerable,
    NotAudited,
    AuditStale,
    // BackedUp
    NoBackup,
    BackupTooOld,
    VerificationFailed,
    NotVerified,
    // OnSchedule
    SlotMissed,
    Overdue,
    RunsFailing,
    TooManySchedules,
    NoPolicy,
    Held,
    // Stable
    Learning,
    // Policies, checks and audits
    NoBankSelected,
    BankNotFound,
    NotRun,
    RunPlanned,
    NotMeasured,
    TaskFailed,
    Damaged,
    // Ready
    InvalidSpec,
    ReferenceNotFound,
    HostPathForbidden,
}

impl ConditionReason {
    /// The form in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsExpected => "AsExpected",
            Self::Suspended => "Suspended",
            Self::NotConfigured => "NotConfigured",
            Self::ApiUnreachable => "ApiUnreachable",
            Self::ApiError => "ApiError",
            Self::DatabaseUnreachable => "DatabaseUnreachable",
            Self::VectorStoreUnreachable => "VectorStoreUnreachable",
            Self::CanaryFailed => "CanaryFailed",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::NotSampled => "NotSampled",
            Self::SampleStale => "SampleStale",
            Self::SecretForbidden => "SecretForbidden",
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::FileCorruption => "FileCorruption",
            Self::DatabaseCorrupt => "DatabaseCorrupt",
            Self::VectorsCorrupt => "VectorsCorrupt",
            Self::DataInconsistency => "DataInconsistency",
            Self::Inconsistent => "Inconsistent",
            Self::NotChecked => "NotChecked",
            Self::CheckStale => "CheckStale",
            Self::CheckIncomplete => "CheckIncomplete",
            Self::FindingsAboveThreshold => "FindingsAboveThreshold",
            Self::LeakFound => "LeakFound",
            Self::UnauthorizedAccess => "UnauthorizedAccess",
            Self::Vulnerable => "Vulnerable",
            Self::NotAudited => "NotAudited",
            Self::AuditStale => "AuditStale",
            Self::NoBackup => "NoBackup",
            Self::BackupTooOld => "BackupTooOld",
            Self::VerificationFailed => "VerificationFailed",
            Self::NotVerified => "NotVerified",
            Self::SlotMissed => "SlotMissed",
            Self::Overdue => "Overdue",
            Self::RunsFailing => "RunsFailing",
            Self::TooManySchedules => "TooManySchedules",
            Self::NoPolicy => "NoPolicy",
            Self::Held => "Held",
            Self::Learning => "Learning",
            Self::NoBankSelected => "NoBankSelected",
            Self::BankNotFound => "BankNotFound",
            Self::NotRun => "NotRun",
            Self::RunPlanned => "RunPlanned",
            Self::NotMeasured => "NotMeasured",
            Self::TaskFailed => "TaskFailed",
            Self::Damaged => "Damaged",
            Self::InvalidSpec => "InvalidSpec",
            Self::ReferenceNotFound => "ReferenceNotFound",
            Self::HostPathForbidden => "HostPathForbidden",
        }
    }
}
