use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{CronRule, FindingCounts, ReportRef};
use super::policy::{high, hour};
use super::{rules, schema};
use crate::domain::{AuditScope, Severity};

/// Audits the security of one bank, once or on a schedule.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "SecurityAudit",
    namespaced,
    status = "SecurityAuditStatus",
    derive = "PartialEq",
    shortname = "saudit",
    category = "memorybank-all",
    selectable = ".spec.bankName",
    doc = "Audits the security of a bank, once per generation or on a schedule.",
    validation = rules::name(),
    printcolumn(name = "Bank", type_ = "string", json_path = ".spec.bankName"),
    printcolumn(name = "Passed", type_ = "string", json_path = ".status.conditions[?(@.type==\"Passed\")].status"),
    printcolumn(name = "Critical", type_ = "integer", json_path = ".status.findings.critical"),
    printcolumn(name = "High", type_ = "integer", json_path = ".status.findings.high"),
    printcolumn(name = "New", type_ = "integer", json_path = ".status.findings.new"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastAuditTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextSlotTime", format = "date-time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(transform = schema::plain)]
pub struct SecurityAuditSpec {
    /// Name of the MemoryBank, in the same namespace.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub bank_name: String,
    /// Plans no runs.
    #[serde(default)]
    pub suspend: bool,
    /// What it looks at; by default all that the bank declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::audit_scopes")]
    pub scopes: Vec<AuditScope>,
    /// The mildest severity of a finding that turns Passed False.
    #[serde(default = "high")]
    #[schemars(schema_with = "schema::severity")]
    pub min_severity: Severity,
    /// When it is repeated; without it, it runs once per generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<CronRule>,
    /// Deadline of a run, from its start.
    #[serde(default = "hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: u32,
}

/// What a SecurityAudit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct SecurityAuditStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Succeeded (the newest run measured all) and Passed (nothing unwaived from minSeverity on).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// When the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_audit_time: Option<Time>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_slot_time: Option<Time>,
    /// How many findings there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingCounts>,
    /// The worst findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub top: Vec<TopFinding>,
    /// The newest report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRef>,
    /// The newest run-now token that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_now_token: Option<String>,
}

/// One finding; never with content of the bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopFinding {
    /// The rule that is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Low, Medium, High or Critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Its keyed fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}
