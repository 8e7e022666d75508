//! The custom resources: their types, what makes them valid, and the reader of files.
//!
//! The types read whatever the API server has stored, also by a newer version: unknown fields are passed
//! over. Strictness is the reader's. Later code takes only validated forms, never a raw spec.

// The comments of the types are the descriptions that `kubectl explain` shows, which knows no Markdown.
#![allow(clippy::doc_markdown)]

mod audit;
mod bank;
mod bank_status;
mod check;
mod common;
mod condition;
mod config;
mod crds;
mod endpoint;
mod job_template;
mod policy;
mod policy_status;
mod reader;
mod receiver;
mod recovery;
mod route;
mod rules;
mod run;
mod schema;
mod task;
mod valid;
mod volume;
mod waiver;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use audit::{SecurityAudit, SecurityAuditSpec, SecurityAuditStatus, TopFinding};
pub use bank::{MemoryBank, MemoryBankSpec};
pub use bank_status::{BackupStatus, CorruptionStatus, Health, MemoryBankStatus, Prediction, ScheduleStatus};
pub use check::{CheckCounts, CheckEvent, CheckLevel, IntegrityCheck, IntegrityCheckSpec, IntegrityCheckStatus};
pub use common::{
    CronRule, FileRef, FindingCounts, LabelOperator, LabelRequirement, LabelSelector, ReportRef, SecretKeyRef,
    SecretRef, Tls,
};
pub use condition::{ConditionName, ConditionStatus};
pub use config::{Config, Review};
pub use crds::crds;
pub use endpoint::{
    Api, Canary, Database, Embedding, LiveProbes, Pgvector, Postgres, Qdrant, Sampling, VectorStore, Workload,
};
pub use job_template::{
    ConfigMapRef, EmptyDir, EnvVar, ExtraVolume, JobTemplate, PodSecurity, Resources, Scratch, SecretVolume, Toleration,
};
pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
pub use policy::{
    BlackoutDays, ConcurrencyRule, Day, Hold, MaintenancePolicy, MaintenancePolicySpec, MaintenanceWindow,
    PredictionRule, PurgeRule, RecoveryMode, RecoveryRule, Retention, Schedule, Thresholds,
};
pub use policy_status::{MaintenancePolicyStatus, WorstBank};
pub use reader::{Content, Document, GROUP, MAX_FILE_BYTES, Passed, Place, Problem, Resource, VERSION, Warning, read};
pub use receiver::{Desktop, Email, MailSecurity, Receiver, Webhook};
pub use recovery::{Approval, Lost, Quiesce, Recovery, RecoverySpec, RecoveryStatus, RecoveryStep};
pub use route::{
    AlertCategory, AlertMatch, AlertRoute, AlertRouteSpec, AlertRouteStatus, GroupKey, Proof, QuietHours,
    ReceiverStatus, SelfTest,
};
pub use run::{MaintenanceRun, MaintenanceRunSpec, MaintenanceRunStatus, RunReportRef};
pub use task::{Scope, TaskSpec, TaskStatus};
pub use valid::{
    Meta, Origin, Planned, RUN_NOW, RunNow, SPEC_DIGEST, SecretUse, ValidAudit, ValidBank, ValidCheck, ValidPolicy,
    ValidRecovery, ValidRun, ValidSchedule, ValidVolume, Violation, VolumeSource, check_route, check_waiver,
};
pub use volume::{BackupSets, ClaimRef, Encryption, FileTree, Folder, Repository, S3, Volume};
pub use waiver::{FindingMatch, FindingWaiver, FindingWaiverSpec, FindingWaiverStatus, WaiverEffect};
