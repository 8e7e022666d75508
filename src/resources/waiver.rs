use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// Accepts findings for a time.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "FindingWaiver",
    namespaced,
    status = "FindingWaiverStatus",
    derive = "PartialEq",
    shortname = "fwaiver",
    category = "memorybank-all",
    doc = "Accepts findings of a rule or with a fingerprint, for a reason and until a time. This version acts on none.",
    validation = rules::name(),
    printcolumn(name = "Rule", type_ = "string", json_path = ".spec.match.rule"),
    printcolumn(name = "Bank", type_ = "string", json_path = ".spec.match.bankName"),
    printcolumn(name = "Effect", type_ = "string", json_path = ".spec.effect"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiryTime", format = "date-time"),
    printcolumn(name = "Matches", type_ = "integer", json_path = ".status.matches"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(transform = schema::plain)]
pub struct FindingWaiverSpec {
    /// Which findings.
    #[serde(rename = "match")]
    pub matches: FindingMatch,
    /// What becomes of them: they are told but leave Secure as it is (AlertOnly), or neither (Ignore).
    #[serde(default)]
    pub effect: WaiverEffect,
    /// Why they are accepted.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 253))]
    pub owner: String,
    /// Until when; from then on they count again.
    pub expiry_time: Time,
}

/// Which findings: all that it says must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::waiver_match())]
pub struct FindingMatch {
    /// Findings of this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub rule: Option<String>,
    /// Findings of this bank; without it, of every bank of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub bank_name: Option<String>,
    /// The one finding with this keyed fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub fingerprint: Option<String>,
}

/// What becomes of findings that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum WaiverEffect {
    #[default]
    AlertOnly,
    Ignore,
}

/// What a waiver does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct FindingWaiverStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; False with reason Expired after its time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// How many findings it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<u64>,
}
