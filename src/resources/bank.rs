use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::bank_status::MemoryBankStatus;
use super::common::FileRef;
use super::condition::ConditionName;
use super::endpoint::{Api, Database, Embedding, LiveProbes, Sampling, VectorStore, Workload};
use super::job_template::JobTemplate;
use super::volume::{BackupSets, FileTree, Repository, Volume};
use super::{rules, schema};
use crate::domain::Flavor;

/// A memory store to look after. At least one of api, database, vectorStore, files and backups.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "memorybank.dev",
    version = "v1alpha1",
    kind = "MemoryBank",
    namespaced,
    status = "MemoryBankStatus",
    derive = "PartialEq",
    shortname = "mbank",
    category = "memorybank-all",
    doc = "A memory store (OpenMemory or mem0) that is looked after: where its parts are.",
    validation = rules::name(),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Health", type_ = "integer", json_path = ".status.health.score"),
    printcolumn(name = "Intact", type_ = "string", json_path = ".status.conditions[?(@.type==\"Intact\")].status"),
    printcolumn(
        name = "Consistent",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Consistent\")].status"
    ),
    printcolumn(name = "Secure", type_ = "string", json_path = ".status.conditions[?(@.type==\"Secure\")].status"),
    printcolumn(name = "BackedUp", type_ = "string", json_path = ".status.conditions[?(@.type==\"BackedUp\")].status"),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.lastRunTime"),
    printcolumn(name = "Critical", type_ = "integer", json_path = ".status.findings.critical", priority = 1),
    printcolumn(name = "High", type_ = "integer", json_path = ".status.findings.high", priority = 1),
    printcolumn(name = "Medium", type_ = "integer", json_path = ".status.findings.medium", priority = 1),
    printcolumn(name = "Low", type_ = "integer", json_path = ".status.findings.low", priority = 1),
    printcolumn(name = "Alerts", type_ = "integer", json_path = ".status.activeAlerts", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::any_part(),
    validation = rules::volume_of(&["database", "database.sqlite"]),
    validation = rules::volume_of(&["history"]),
    validation = rules::volume_of(&["repository", "repository.folder"]),
    validation = rules::volume_of(&["workload", "workload.compose"]),
    validation = rules::volumes_of("files"),
    validation = rules::volumes_of("backups")
)]
#[schemars(transform = schema::plain)]
pub struct MemoryBankSpec {
    /// Which dialect of API and schema the bank speaks.
    #[serde(default)]
    #[schemars(schema_with = "schema::flavor")]
    pub flavor: Flavor,
    /// Nothing is run, sampled, changed or missed.
    #[serde(default)]
    pub suspend: bool,
    /// Conditions that are measured but not counted for Ready and the score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub waived_conditions: Vec<ConditionName>,
    /// HTTP API of the bank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// SQL database of the bank; one of sqlite and postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// History that mem0 keeps, a SQLite file whatever the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<FileRef>,
    /// Vector store of the bank; one of qdrant and pgvector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_store: Option<VectorStore>,
    /// Where the bank's files are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub volumes: Vec<Volume>,
    /// Trees of files under a manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub files: Vec<FileTree>,
    /// Backup sets of other tools, to be judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub backups: Vec<BackupSets>,
    /// Where MemoryBank keeps its own backup sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The model that embeds memories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedding>,
    /// What runs the bank, for audits of posture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Whether live security probes are sent, to the addresses above only.
    #[serde(default)]
    pub live_probes: LiveProbes,
    /// How often what answers over the network is sampled.
    #[serde(default)]
    pub sampling: Sampling,
    /// Changes to the Jobs of this bank. Ignored in local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_template: Option<JobTemplate>,
}
