use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{CronRule, ReportRef};
use super::task::SHARE_PERCENT;
use super::{rules, schema};
use crate::domain::IntegrityScope;

/// Verifies one bank at one level, once or on a schedule.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "IntegrityCheck",
    namespaced,
    status = "IntegrityCheckStatus",
    derive = "PartialEq",
    shortname = "icheck",
    category = "memorybank-all",
    selectable = ".spec.bankName",
    doc = "Verifies that a bank is intact, once per generation or on a schedule.",
    validation = rules::name(),
    printcolumn(name = "Bank", type_ = "string", json_path = ".spec.bankName"),
    printcolumn(name = "Level", type_ = "string", json_path = ".spec.level"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Coverage", type_ = "integer", json_path = ".status.coveragePercent"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastCheckTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextSlotTime", format = "date-time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = rules::restore_scopes())]
#[schemars(transform = schema::plain)]
pub struct IntegrityCheckSpec {
    /// Name of the MemoryBank, in the same namespace.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub bank_name: String,
    /// Plans no runs.
    #[serde(default)]
    pub suspend: bool,
    /// How deep it looks: structure, names, sizes and times (Quick); that and the content of a rolling share
    /// (Checksum); all content (Full); a restored backup (RestoreTest).
    pub level: CheckLevel,
    /// What it looks at; by default all that the bank declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::integrity_scopes")]
    pub scopes: Vec<IntegrityScope>,
    /// At level Checksum: the share of the bytes that one run reads.
    #[serde(default = "share")]
    #[schemars(range(min = 1, max = 100))]
    pub share_percent: u8,
    /// When it is repeated; without it, it runs once per generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<CronRule>,
    /// Deadline of a run, from its start.
    #[serde(default = "two_hours")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: u32,
}

const fn share() -> u8 {
    SHARE_PERCENT
}

const fn two_hours() -> u32 {
    7_200
}

/// How deep an IntegrityCheck looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // As domain::Level, and the task RestoreTest.
pub enum CheckLevel {
    Quick,
    Checksum,
    Full,
    RestoreTest,
}

/// What an IntegrityCheck found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct IntegrityCheckStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Succeeded (the newest run measured all) and Passed (it found nothing).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Intact, Damaged or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// When the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_slot_time: Option<Time>,
    /// At level Checksum: how much of the content has been covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_percent: Option<u8>,
    /// How many checks ended how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<CheckCounts>,
    /// The worst damage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub events: Vec<CheckEvent>,
    /// The newest report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRef>,
    /// The newest run-now token that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_now_token: Option<String>,
}

/// How many checks ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckCounts {
    /// Measured, nothing wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// Measured, something wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// Could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u64>,
}

/// One damage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckEvent {
    /// Its id in the event database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// ChecksumMismatch, FileCorruption or DataInconsistency.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The part of the bank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The proof, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
