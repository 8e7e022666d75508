use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::RecoveryMode;
use super::{rules, schema};

/// Repairs or restores one bank; immutable but for the approval.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "Recovery",
    plural = "recoveries",
    namespaced,
    status = "RecoveryStatus",
    derive = "PartialEq",
    shortname = "mrec",
    category = "memorybank-all",
    selectable = ".spec.bankName",
    doc = "Repairs a bank, or restores it from a verified backup set; shows its plan first.",
    validation = rules::name(),
    printcolumn(name = "Bank", type_ = "string", json_path = ".spec.bankName"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Lost", type_ = "integer", json_path = ".status.lost.memories"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = rules::recovery_immutable())]
#[schemars(transform = schema::plain)]
pub struct RecoverySpec {
    /// Name of the MemoryBank, in the same namespace.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub bank_name: String,
    /// Shows the plan (DryRun), asks for approval of it (OnApproval), or carries out lossless steps (Auto).
    #[serde(default)]
    pub mode: RecoveryMode,
    /// How writes are kept away meanwhile: it waits until nothing writes (Wait), scales the workload down and
    /// up again (ScaleDown), or uses the guard's read-only mode (Guard).
    #[serde(default)]
    pub quiesce: Quiesce,
    /// Ids of the corruption events that it mends; by default every open one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub events: Vec<String>,
    /// Name of the backup set that it restores from; by default the newest verified one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::DNS_NAME_MAX))]
    pub backup_name: Option<String>,
    /// Approves one plan; another plan needs another approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// How writes are kept away from a bank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Quiesce {
    #[default]
    Wait,
    ScaleDown,
    Guard,
}

/// The approval of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The plan's digest, as status.planDigest has it.
    #[schemars(length(max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub plan_digest: String,
    /// Who approves it.
    #[schemars(length(min = 1, max = 253))]
    pub approved_by: String,
}

/// How a recovery goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct RecoveryStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Planning, AwaitingApproval, Held, Running, Succeeded, RolledBack, Failed or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What it does, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub plan: Vec<RecoveryStep>,
    /// Digest of the whole plan, to be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// What the verification before the first step said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_before: Option<String>,
    /// What the verification after the last step said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_after: Option<String>,
    /// Where what was replaced is kept: the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// What could not be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// One step of a recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStep {
    /// Its number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// What is done, such as ReEmbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// To how many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Whether nothing can be lost by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossless: Option<bool>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_seconds: Option<u64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a recovery could not bring back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// So many memories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memories: Option<u64>,
}
