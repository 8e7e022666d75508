//! Where the parts of a bank answer over the network: addresses, and names of secrets. What a secret holds is
//! looked up where it is used, and never stands here.

use serde::{Deserialize, Serialize};

/// One key of a Secret of the bank's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key within it.
    pub key: String,
}

/// How the certificate behind an address is verified; without it, by the public authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trust {
    /// An authority to trust beside the public ones, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// Nothing is verified at all.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// How a probe proves that the API works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canary {
    /// Not at all: the API is not asked.
    Disabled,
    /// By one read.
    #[default]
    ReadOnly,
    /// By writing, finding and deleting a memory; this version reads only.
    Transaction,
}

/// The HTTP API of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiEndpoint {
    /// Its address, without user information.
    pub url: String,
    /// Whose memories may be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Bearer token of OpenMemory, `X-API-Key` of a mem0 server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKey>,
    /// How it is probed.
    pub canary: Canary,
    /// How its certificate is verified.
    #[serde(default)]
    pub tls: Trust,
}

/// A PostgreSQL database with OpenMemory's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostgresEndpoint {
    /// Its url, which has a password.
    pub url: SecretKey,
    /// The schema of the tables.
    pub schema: String,
}

/// A collection of a Qdrant server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QdrantEndpoint {
    /// The address of its HTTP API, without user information.
    pub url: String,
    /// Its API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// The collection's name.
    pub collection: String,
    /// How its certificate is verified.
    #[serde(default)]
    pub tls: Trust,
}

/// The model that embeds the memories of a bank, behind an API like that of `OpenAI`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddingEndpoint {
    /// The address of its API, below which `/embeddings` is; without user information.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// How many numbers its vectors have.
    pub dimensions: u32,
    /// Its API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// How its certificate is verified.
    #[serde(default)]
    pub tls: Trust,
}

/// A table of a PostgreSQL database with pgvector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PgvectorEndpoint {
    /// The database's url, which has a password.
    pub url: SecretKey,
    /// The table's name.
    pub table: String,
}

/// A bucket of S3, or of a server that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketEndpoint {
    /// Its name.
    pub bucket: String,
    /// What every key begins with, a path.
    #[serde(default)]
    pub prefix: String,
    /// The address of the server, without user information; none for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of the bucket, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The Secret that holds [`Self::KEYS`]; without it the process has an identity of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// How the server's certificate is verified.
    #[serde(default)]
    pub tls: Trust,
}

impl BucketEndpoint {
    /// The keys of the Secret: the access key's id, and the access key.
    pub const KEYS: [&'static str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
}
