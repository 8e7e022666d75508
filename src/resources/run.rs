use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::hour;
use super::task::{TaskSpec, TaskStatus};
use super::{rules, schema};

/// One execution of tasks on one bank; immutable.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "MaintenanceRun",
    namespaced,
    status = "MaintenanceRunStatus",
    derive = "PartialEq",
    shortname = "mrun",
    category = "memorybank-all",
    selectable = ".spec.bankName",
    doc = "One execution of ordered tasks on one bank; planned by a policy, or made by hand.",
    validation = rules::name(),
    printcolumn(name = "Bank", type_ = "string", json_path = ".spec.bankName"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.scheduleName"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::immutable(),
    validation = rules::planned(),
    validation = rules::task_names()
)]
#[schemars(transform = schema::plain)]
pub struct MaintenanceRunSpec {
    /// Name of the MemoryBank, in the same namespace.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub bank_name: String,
    /// Its tasks, in order.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tasks: Vec<TaskSpec>,
    /// The policy that planned it; none of a run made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub policy_name: Option<String>,
    /// The schedule of that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub schedule_name: Option<String>,
    /// The slot that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_time: Option<Time>,
    /// Deadline, from its start.
    #[serde(default = "hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: u32,
    /// Deletes the run so long after it finished. A run made by hand is otherwise kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_622_400))]
    pub ttl_seconds_after_finished: Option<u32>,
}

/// How a run goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct MaintenanceRunStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Pending, Held, Running, Succeeded, Failed, Skipped or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How often its Job was refused; tried again later each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// When its Job is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// Name of its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// One row per task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub tasks: Vec<TaskStatus>,
    /// Its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunReportRef>,
}

/// The report of a run in the event database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunReportRef {
    /// SHA-256 of the report, as hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How it came: Ingest, TerminationMessage or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
