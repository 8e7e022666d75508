#![allow(clippy::struct_field_names)] // A name says its unit. What is derived of a struct does not take its attributes.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{LabelSelector, utc};
use super::condition::{ConditionName, ConditionStatus};
use super::policy_status::MaintenancePolicyStatus;
use super::task::TaskSpec;
use super::{rules, schema};
use crate::domain::{self, Severity};

/// When which banks are maintained, and how.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "MaintenancePolicy",
    plural = "maintenancepolicies",
    namespaced,
    status = "MaintenancePolicyStatus",
    derive = "PartialEq",
    shortname = "mpol",
    category = "memorybank-all",
    doc = "Which banks are maintained, when, and by which tasks.",
    validation = rules::name(),
    printcolumn(name = "Banks", type_ = "integer", json_path = ".status.banks"),
    printcolumn(name = "OnTime", type_ = "integer", json_path = ".status.onTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextSlotTime", format = "date-time"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = rules::holds())]
#[schemars(transform = schema::plain)]
pub struct MaintenancePolicySpec {
    /// Which banks; `{}` selects all of the namespace.
    pub bank_selector: LabelSelector,
    /// Also banks of other namespaces, by the labels of these; only in the operator's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Plans no runs; what is not planned is not missed.
    #[serde(default)]
    pub suspend: bool,
    /// IANA time zone of cron, windows and blackouts.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Runs start only inside one of them; without any, always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<MaintenanceWindow>,
    /// Days on which no run starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub blackouts: Vec<BlackoutDays>,
    /// Runs are held while a condition of the bank has a status. Not by one that the tasks themselves measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub hold_while: Vec<Hold>,
    /// What is done when.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub schedules: Vec<Schedule>,
    /// How many succeeded runs are kept, per bank and schedule.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_runs_history_limit: u32,
    /// How many failed runs are kept, per bank and schedule.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_runs_history_limit: u32,
    /// From where on a condition turns False.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Which backup sets Prune keeps; without it, all. Of two policies, what either keeps stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Which records of the banks themselves Prune removes for good; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<PurgeRule>,
    /// Makes a Recovery by itself for damage that is found; without it, none. Of two policies the more cautious rule counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryRule>,
    /// What is done about predictions.
    #[serde(default)]
    pub prediction: PredictionRule,
}

const fn one() -> u32 {
    1
}

const fn three() -> u32 {
    3
}

/// A span of the day on some days of the week. One that ends before it starts ends on the next day, and
/// belongs to the day on which it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::window())]
pub struct MaintenanceWindow {
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
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Days, both inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::blackout())]
pub struct BlackoutDays {
    /// The first day, YYYY-MM-DD.
    #[schemars(length(max = 10), regex(pattern = schema::DATE))]
    pub from: String,
    /// The last day, YYYY-MM-DD.
    #[schemars(length(max = 10), regex(pattern = schema::DATE))]
    pub to: String,
}

/// What holds runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// A condition of the bank.
    #[schemars(schema_with = "schema::condition")]
    pub condition: ConditionName,
    /// The status by which it holds.
    pub status: ConditionStatus,
}

/// What is done when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::task_names(), validation = rules::no_recover(), validation = rules::spread())]
pub struct Schedule {
    /// Its name within the policy.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// Five fields: minute, hour, day of month, month, day of week; or a name such as @daily.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rules::cron_zone())]
    pub cron: String,
    /// Its tasks, in order.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tasks: Vec<TaskSpec>,
    /// How late a run may still be made; by default a fifth of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31_622_400))]
    pub starting_deadline_seconds: Option<u32>,
    /// What happens to a slot while the run of an earlier one is not finished: it is skipped (Forbid), runs
    /// beside it (Allow), or takes its place (Replace).
    #[serde(default)]
    pub concurrency_policy: ConcurrencyRule,
    /// Spreads the banks over so many seconds, by a hash of the name; the slot stays nominal.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86_400))]
    pub spread_seconds: u32,
    /// Deadline of a run, from its start.
    #[serde(default = "hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: u32,
}

/// The default deadline of a run: an hour.
pub(super) const fn hour() -> u32 {
    3_600
}

/// What happens to a slot while the run of an earlier one is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ConcurrencyRule {
    #[default]
    Forbid,
    Allow,
    Replace,
}

/// From where on a condition turns False. Of two policies the strictest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// The mildest severity of a finding that breaks Secure.
    #[serde(default = "high")]
    #[schemars(schema_with = "schema::severity")]
    pub min_severity: Severity,
    /// How old the newest verified backup set may be.
    #[serde(default = "two_days")]
    #[schemars(range(min = 60, max = 315_576_000))]
    pub backup_max_age_seconds: u32,
    /// How old the newest RestoreTest may be.
    #[serde(default = "month")]
    #[schemars(range(min = 60, max = 315_576_000))]
    pub restore_test_max_age_seconds: u32,
}

/// The default of every `minSeverity`.
pub(super) const fn high() -> Severity {
    Severity::High
}

const fn two_days() -> u32 {
    172_800
}

const fn month() -> u32 {
    2_678_400
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { min_severity: high(), backup_max_age_seconds: two_days(), restore_test_max_age_seconds: month() }
    }
}

/// Which backup sets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::retention())]
pub struct Retention {
    /// So many newest ones.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub last: u32,
    /// The newest one of each of so many days.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub daily: u32,
    /// The newest one of each of so many weeks.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub weekly: u32,
    /// The newest one of each of so many months.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub monthly: u32,
}

impl From<Retention> for domain::Retention {
    fn from(retention: Retention) -> Self {
        let Retention { last, daily, weekly, monthly } = retention;
        Self { last, daily, weekly, monthly }
    }
}

/// Which records go for good once they are old enough. Those that no policy names stay; of two ages the longer one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::purge())]
pub struct PurgeRule {
    /// Deleted memories, in every store, so long after they were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3_600, max = 315_576_000))]
    pub deleted_after_seconds: Option<u32>,
    /// What was noted of accesses, with the queries of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3_600, max = 315_576_000))]
    pub access_log_after_seconds: Option<u32>,
    /// What mem0's history has of a memory between its first and its last text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3_600, max = 315_576_000))]
    pub history_after_seconds: Option<u32>,
}

/// The Recovery that is made for damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryRule {
    /// Shows the plan (DryRun), asks for approval of it (OnApproval), or carries out lossless steps (Auto).
    #[serde(default)]
    pub mode: RecoveryMode,
    /// How many may be made for one bank within 24 hours.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 24))]
    pub max_per_day: u32,
}

/// How far a recovery goes by itself, the most cautious one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum RecoveryMode {
    #[default]
    DryRun,
    OnApproval,
    Auto,
}

/// What is done about predictions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PredictionRule {
    /// From which confidence on a prediction turns Stable False.
    #[serde(default = "confidence")]
    #[schemars(range(min = 1, max = 100))]
    pub min_confidence_percent: u8,
    /// Mitigations that may be done unasked. This version has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 0), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub mitigate: Vec<String>,
}

const fn confidence() -> u8 {
    80
}

impl Default for PredictionRule {
    fn default() -> Self {
        Self { min_confidence_percent: confidence(), mitigate: Vec::new() }
    }
}
