use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// One key of a Secret of the object's namespace; locally the file NAME/KEY under the folder of secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = schema::DNS_NAME_MAX), regex(pattern = schema::DNS_NAME))]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = schema::DNS_NAME_MAX), regex(pattern = schema::SECRET_KEY))]
    pub key: String,
}

/// A Secret of the object's namespace, whose keys are told by the field that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = schema::DNS_NAME_MAX), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}

/// How the certificate behind a url is verified; without it, by the public authorities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::tls())]
pub struct Tls {
    /// The certificate authority to trust, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Does not verify the certificate at all.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// A file or folder within a declared volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FileRef {
    /// Name of a volume of spec.volumes.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub volume: String,
    /// Path within the volume, relative and without `..`; `.` is the volume itself.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::path())]
    pub path: String,
}

/// Which objects are meant, by their labels: all requirements hold; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that are there with just this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::match_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<LabelRequirement>,
}

impl LabelSelector {
    /// Whether labels meet every requirement, as Kubernetes judges it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|r| r.matches(labels.get(&r.key)))
    }

    /// Whether it says what an object has, and not only what it lacks: the latter selects all others.
    pub fn names_any(&self) -> bool {
        let has = |r: &LabelRequirement| matches!(r.operator, LabelOperator::In | LabelOperator::Exists);
        !self.match_labels.is_empty() || self.match_expressions.iter().any(has)
    }

    /// The indices of requirements whose values do not fit their operator.
    pub(super) fn broken_requirements(&self) -> impl Iterator<Item = usize> {
        self.match_expressions.iter().enumerate().filter_map(|(index, requirement)| {
            let needs = matches!(requirement.operator, LabelOperator::In | LabelOperator::NotIn);
            (needs == requirement.values.is_empty()).then_some(index)
        })
    }
}

impl LabelRequirement {
    fn matches(&self, value: Option<&String>) -> bool {
        match self.operator {
            LabelOperator::In => value.is_some_and(|v| self.values.contains(v)),
            LabelOperator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::requirement())]
pub struct LabelRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What its value must be.
    pub operator: LabelOperator,
    /// The values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = schema::DNS_LABEL_MAX)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// How a label is compared; NotIn and DoesNotExist admit objects without the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // Kubernetes' own operators.
pub enum LabelOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// A cron expression with its time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronRule {
    /// Five fields: minute, hour, day of month, month, day of week; or a name such as @daily.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rules::cron_zone())]
    pub cron: String,
    /// IANA time zone in which cron is read.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// The default time zone.
pub fn utc() -> String {
    "UTC".to_owned()
}

/// The digest of a report in the event database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportRef {
    /// SHA-256 of the report, as hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How many findings there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingCounts {
    /// Open, of severity Critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<u64>,
    /// Open, of severity High.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<u64>,
    /// Open, of severity Medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<u64>,
    /// Open, of severity Low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<u64>,
    /// Seen for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<u64>,
    /// Seen before, and still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persisting: Option<u64>,
    /// No longer there since the newest audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<u64>,
    /// Accepted by a FindingWaiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<u64>,
}
