//! What of a bank answers over the network.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{FileRef, LabelSelector, SecretKeyRef, Tls};
use super::rules;

/// The HTTP API of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// Address, without user information.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::url())]
    pub url: String,
    /// Whose memories may be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user_id: Option<String>,
    /// Token, sent as Bearer to OpenMemory and as X-API-Key to a Mem0Server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// How a probe proves that the API works: not at all (Disabled), by reading (ReadOnly), or by writing,
    /// finding and deleting a marked memory (Transaction).
    #[serde(default)]
    pub canary: Canary,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How a probe proves that the API works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Canary {
    Disabled,
    #[default]
    ReadOnly,
    Transaction,
}

/// The SQL database of a bank; one of sqlite and postgres.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_of(Database::MEMBERS))]
pub struct Database {
    /// A SQLite file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<FileRef>,
    /// A PostgreSQL server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
}

impl Database {
    /// What a database is one of.
    pub(super) const MEMBERS: &[&str] = &["sqlite", "postgres"];
}

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// Its url, with user and password.
    pub url_secret_ref: SecretKeyRef,
    /// Schema with OpenMemory's tables.
    #[serde(default = "public")]
    #[schemars(length(min = 1, max = 63))]
    pub schema: String,
}

fn public() -> String {
    "public".to_owned()
}

/// The vector store of a bank; one of qdrant and pgvector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_of(VectorStore::MEMBERS))]
pub struct VectorStore {
    /// A Qdrant server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qdrant: Option<Qdrant>,
    /// A PostgreSQL table with pgvector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgvector: Option<Pgvector>,
}

impl VectorStore {
    /// What a vector store is one of.
    pub(super) const MEMBERS: &[&str] = &["qdrant", "pgvector"];
}

/// A collection of Qdrant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Qdrant {
    /// Address of its HTTP API, without user information.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::url())]
    pub url: String,
    /// API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Name of the collection.
    #[schemars(length(min = 1, max = 255))]
    pub collection: String,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A table of PostgreSQL with pgvector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pgvector {
    /// Url of the database, with user and password.
    pub url_secret_ref: SecretKeyRef,
    /// Name of the table.
    #[schemars(length(min = 1, max = 63))]
    pub table: String,
}

/// The model that embeds memories, in the way of OpenAI's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Embedding {
    /// Address of the API, without user information.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::url())]
    pub url: String,
    /// Name of the model.
    #[schemars(length(min = 1, max = 256))]
    pub model: String,
    /// Length of its vectors.
    #[schemars(range(min = 1, max = 65_535))]
    pub dimensions: u32,
    /// API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// What runs the bank, whose posture an audit judges; one of selector and compose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_of(Workload::MEMBERS))]
pub struct Workload {
    /// Labels of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Its Compose file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<FileRef>,
}

impl Workload {
    /// What a workload is one of.
    pub(super) const MEMBERS: &[&str] = &["selector", "compose"];
}

/// Whether live security probes are sent, to the addresses of this bank only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum LiveProbes {
    #[default]
    Disabled,
    Enabled,
}

/// How often what answers over the network is sampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// Seconds between two samples.
    #[serde(default = "sampling_interval")]
    #[schemars(range(min = 30, max = 86_400))]
    pub interval_seconds: u32,
}

const fn sampling_interval() -> u32 {
    300
}

impl Default for Sampling {
    fn default() -> Self {
        Self { interval_seconds: sampling_interval() }
    }
}
