use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{LabelSelector, utc};
use super::policy::{Day, high};
use super::receiver::Receiver;
use super::{rules, schema};
use crate::domain::Severity;

/// Which alerts are told to whom.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "AlertRoute",
    namespaced,
    status = "AlertRouteStatus",
    derive = "PartialEq",
    shortname = "aroute",
    category = "memorybank-all",
    doc = "Which alerts are told to whom, and when. This version acts on none.",
    validation = rules::name(),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Deliverable",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"AlertsDeliverable\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(transform = schema::plain)]
pub struct AlertRouteSpec {
    /// Which alerts: those that any entry matches. An empty entry matches every alert from severity High on.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub matches: Vec<AlertMatch>,
    /// Alerts that agree in these are told in one message.
    #[serde(default = "bank_and_category")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub group_by: Vec<GroupKey>,
    /// How long after a message of a group the next one with news waits. The first goes at once.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 10, max = 86_400))]
    pub group_interval_seconds: u32,
    /// After which time an alert that stays is told again.
    #[serde(default = "four_hours")]
    #[schemars(range(min = 300, max = 2_678_400))]
    pub repeat_interval_seconds: u32,
    /// IANA time zone of quietHours and selfTest.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// When alerts wait for the end of the quiet, and are told together then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub quiet_hours: Vec<QuietHours>,
    /// Who is told; all of them.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub receivers: Vec<Receiver>,
    /// Sends a marked message on a schedule, to prove that alerts arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<SelfTest>,
}

fn bank_and_category() -> Vec<GroupKey> {
    vec![GroupKey::Bank, GroupKey::Category]
}

const fn five_minutes() -> u32 {
    300
}

const fn four_hours() -> u32 {
    14_400
}

/// Which alerts: all that it says must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertMatch {
    /// Kinds of alerts; all without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub categories: Vec<AlertCategory>,
    /// The mildest severity.
    #[serde(default = "high")]
    #[schemars(schema_with = "schema::severity")]
    pub min_severity: Severity,
    /// Which banks; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank_selector: Option<LabelSelector>,
    /// Also banks of other namespaces, by the labels of these; only in the operator's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum AlertCategory {
    Availability,
    Performance,
    Integrity,
    Security,
    Backup,
    Schedule,
    Prediction,
}

/// What alerts are grouped by: labels of an alert, and so written as those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum GroupKey {
    Namespace,
    Bank,
    Category,
    Severity,
}

/// A span of the day on some days of the week. One that ends before it starts ends on the next day, and
/// belongs to the day on which it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::window())]
pub struct QuietHours {
    /// Days on which it starts; every day without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<Day>,
    /// Time of day, HH:MM.
    #[schemars(length(max = 5), regex(pattern = schema::TIME_OF_DAY))]
    pub start: String,
    /// Time of day, HH:MM, exclusive.
    #[schemars(length(max = 5), regex(pattern = schema::TIME_OF_DAY))]
    pub end: String,
    /// Severities that are told at once nevertheless; Critical unless set.
    #[serde(default = "critical")]
    #[schemars(schema_with = "schema::severities")]
    pub except: Vec<Severity>,
}

fn critical() -> Vec<Severity> {
    vec![Severity::Critical]
}

/// Proves on a schedule that alerts arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SelfTest {
    /// Five fields: minute, hour, day of month, month, day of week; or a name such as @daily.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rules::cron_zone())]
    pub cron: String,
    /// What proves it: the channel took the message (Accepted), the message was read back (Confirmed), a
    /// person said so (Acknowledged).
    #[serde(default)]
    pub level: Proof,
}

/// What proves that an alert arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Proof {
    #[default]
    Accepted,
    Confirmed,
    Acknowledged,
}

/// How a route delivers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct AlertRouteStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and AlertsDeliverable (the newest self-test proved it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// One row per receiver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub receivers: Vec<ReceiverStatus>,
}

/// How a receiver is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverStatus {
    /// Its name.
    pub name: String,
    /// When it last took a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery_time: Option<Time>,
    /// How many attempts failed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u64>,
    /// How many messages were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
}
