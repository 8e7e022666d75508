use serde::{Deserialize, Serialize};

use super::{
    ApiEndpoint, BucketEndpoint, Canary, EmbeddingEndpoint, NetworkPart, PgvectorEndpoint, PostgresEndpoint,
    QdrantEndpoint, SecretKey,
};

/// Which dialect of API and schema a bank speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flavor {
    /// OpenMemory, the app around mem0.
    #[default]
    OpenMemory,
    /// The mem0 REST server.
    Mem0Server,
}

/// A file or folder within a volume, which is named and never resolved here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInVolume {
    /// The volume's name, one of [`Bank::volumes`].
    pub volume: String,
    /// Relative, without `..`.
    pub path: String,
}

/// The SQL database of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SqlDatabase {
    /// A SQLite file.
    Sqlite(PathInVolume),
    /// A PostgreSQL server.
    Postgres(PostgresEndpoint),
}

/// mem0's own SQLite history, whatever the database.
pub type History = PathInVolume;

/// The vector store of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum VectorStore {
    Qdrant(QdrantEndpoint),
    Pgvector(PgvectorEndpoint),
}

/// Which changes of a file tree are expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutable {
    /// None at all.
    #[default]
    Never,
    /// New files, and files grown over an unchanged beginning.
    Append,
    /// Any; only silent changes (same size and time) are damage.
    Always,
}

/// A tree of files under a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileTree {
    /// Its name within the bank.
    pub name: String,
    /// Where it is.
    #[serde(flatten)]
    pub root: PathInVolume,
    /// What may change.
    pub mutable: Mutable,
}

/// Where a bank's own backup sets are kept: in one of a folder and a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// A folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathInVolume>,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<BucketEndpoint>,
    /// For whom sets are encrypted; without it they are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// For whom a bank's sets are encrypted, with age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// Public keys, `age1...`.
    pub recipients: Vec<String>,
    /// The private key by which sets are verified; without it their content stays unverified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretKey>,
}

/// The parts of one bank, as a run needs them: names only; where a volume is mounted and a secret lies
/// is an argument of the runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bank {
    /// The MemoryBank's name.
    pub name: String,
    /// Its dialect.
    pub flavor: Flavor,
    /// Its SQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<SqlDatabase>,
    /// mem0's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Its vector store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_store: Option<VectorStore>,
    /// What embeds its memories, where it declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingEndpoint>,
    /// Its HTTP API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiEndpoint>,
    /// The names of its volumes.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Trees under a manifest.
    #[serde(default)]
    pub files: Vec<FileTree>,
    /// Trees of backup sets that other tools made.
    #[serde(default)]
    pub backups: Vec<FileTree>,
    /// Where its own backup sets are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The Compose file that runs the bank, where it declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<PathInVolume>,
}

impl Bank {
    /// Whether it is on a PostgreSQL server.
    pub const fn on_postgres(&self) -> bool {
        matches!(self.database, Some(SqlDatabase::Postgres(_)))
    }

    /// The parts that answer over the network and are to be asked, in the order in which they are judged.
    pub fn network_parts(&self) -> Vec<NetworkPart> {
        let has = |part: &NetworkPart| match part {
            NetworkPart::Api => self.api.as_ref().is_some_and(|api| api.canary != Canary::Disabled),
            NetworkPart::Database => self.on_postgres(),
            NetworkPart::VectorStore => self.vector_store.is_some(),
        };
        NetworkPart::ALL.into_iter().filter(has).collect()
    }
}
