//! The vocabulary that every floor above speaks: plain data, no effects.
//!
//! Nothing here knows Kubernetes, a database, a clock or a network. Everything that crosses a floor
//! (a run to execute, its report, what was found) is one of these types.

mod backup;
mod bank;
mod check;
mod corruption;
mod digest;
mod endpoint;
mod facts;
mod finding;
mod level;
mod outcome;
mod phase;
mod point;
mod purge;
mod reach;
mod recovery;
mod run;
mod sample;
mod severity;
mod task;

pub use backup::{BackupVerdict, LatestSet, RestoreVerdict, RestoredSet, Retention, VerifiedSet, VerifiedSets};
pub use bank::{
    Bank, Encryption, FileTree, Flavor, History, Mutable, PathInVolume, Repository, SqlDatabase, VectorStore,
};
pub use check::{Check, Verdict};
pub use corruption::{CorruptionEvent, CorruptionType};
pub use digest::{Digest, ParseDigestError};
pub use endpoint::{
    ApiEndpoint, BucketEndpoint, Canary, EmbeddingEndpoint, PgvectorEndpoint, PostgresEndpoint, QdrantEndpoint,
    SecretKey, Trust,
};
pub use facts::{BankFacts, CorruptionSummary, FindingSummary, Measurement};
pub use finding::{Finding, FindingState, SecurityEventType};
pub use level::Level;
pub use outcome::{Outcome, Reason};
pub use phase::Phase;
pub use point::{Payload, Point, PointId};
pub use purge::{Pruning, Purge};
pub use reach::{NetworkPart, PartSample, Reach, ReachReason};
pub use recovery::{Consent, Mended, RecoveryPlan, RecoveryReport, RecoveryState, RecoveryStep, RepairAction};
pub use run::{Output, RunReport, RunSpec, ScopeReport, TaskReport};
pub use sample::Sample;
pub use severity::Severity;
pub use task::{AuditScope, IntegrityScope, Task, TaskKind, Work};
