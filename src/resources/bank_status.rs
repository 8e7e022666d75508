use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::FindingCounts;
use super::schema;

/// What is known of a bank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::plain)]
pub struct MemoryBankStatus {
    /// The generation of the spec that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One condition per promise; True is good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// When the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<Time>,
    /// How many alerts are active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_alerts: Option<u32>,
    /// The score; absent while every condition is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// One row per policy and schedule that applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["policy".to_owned(), "schedule".to_owned()]))]
    pub schedules: Vec<ScheduleStatus>,
    /// Findings of audits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingCounts>,
    /// Damage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption: Option<CorruptionStatus>,
    /// The newest verified backup set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// What is predicted, likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub predictions: Vec<Prediction>,
}

/// How well a bank is, in one number and one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// For people: which promises are broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// How one schedule of one policy goes on this bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Name of the policy.
    pub policy: String,
    /// Name of the schedule within the policy.
    pub schedule: String,
    /// Its cron expression when this row was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Its time zone when this row was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Slots before this time are neither missed nor caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_time: Option<Time>,
    /// The newest slot that was run, skipped or counted as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_slot_time: Option<Time>,
    /// Name of the newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_name: Option<String>,
    /// When the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<Time>,
    /// When the newest run that succeeded ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// The next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_slot_time: Option<Time>,
    /// The longest gap between two slots of the next 366 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_interval_seconds: Option<i64>,
    /// How many slots were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_runs: Option<u64>,
    /// The newest slot that was missed; gone once the run of a later slot has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_missed_slot_time: Option<Time>,
    /// How many runs failed since one succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u32>,
    /// The newest run-now token that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_now_token: Option<String>,
}

/// The damage of a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CorruptionStatus {
    /// How many corruption events are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<u64>,
    /// When one was last detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_detected_time: Option<Time>,
}

/// The newest verified backup set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_name: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// Something that is predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// What, such as DiskFull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// How likely, in steps of 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability_percent: Option<u8>,
    /// When, in steps of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_time: Option<Time>,
    /// Its id in the event database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}
