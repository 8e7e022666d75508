use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{FileRef, SecretKeyRef, SecretRef, Tls};
use super::{rules, schema};
use crate::domain::Mutable;

/// A place where files of the bank are; one of persistentVolumeClaim and folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_of(Volume::MEMBERS))]
pub struct Volume {
    /// Its name within the bank.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// A claim of the bank's namespace; locally the folder that --claim NAME=DIR names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimRef>,
    /// A folder of the machine. Locally relative to the file that declares it; in the cluster a hostPath,
    /// absolute and below --allow-host-paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<Folder>,
}

impl Volume {
    /// What a volume is one of.
    pub(super) const MEMBERS: &[&str] = &["persistentVolumeClaim", "folder"];
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRef {
    /// Name of the claim.
    #[schemars(length(min = 1, max = schema::DNS_NAME_MAX), regex(pattern = schema::DNS_NAME))]
    pub claim_name: String,
}

/// A folder of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Folder {
    /// Path of the folder.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// A tree of files that is kept under a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct FileTree {
    /// Its name within the bank.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// Name of a volume of spec.volumes.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub volume: String,
    /// Path within the volume, relative and without `..`; `.` is the volume itself.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::path())]
    pub path: String,
    /// What counts as an expected change: none (Never), new and grown files (Append), any with a newer
    /// time (Always).
    #[serde(default)]
    #[schemars(schema_with = "schema::mutable")]
    pub mutable: Mutable,
}

/// Backup sets that another tool makes. They are judged; once verified they count for BackedUp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct BackupSets {
    /// Its name within the bank.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// Name of a volume of spec.volumes.
    #[schemars(length(min = 1, max = schema::DNS_LABEL_MAX), regex(pattern = schema::DNS_LABEL))]
    pub volume: String,
    /// Path within the volume, relative and without `..`; `.` is the volume itself.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::path())]
    pub path: String,
}

/// Where MemoryBank keeps its own backup sets; one of folder and s3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::one_of(Repository::MEMBERS))]
pub struct Repository {
    /// A folder of a declared volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<FileRef>,
    /// A bucket of S3 or of a server that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Encrypts every set; without it sets are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

impl Repository {
    /// What a repository is one of.
    pub(super) const MEMBERS: &[&str] = &["folder", "s3"];
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Beginning of every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub prefix: Option<String>,
    /// Address of the server, where it is not AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = rules::url())]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without it, workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    /// How the server's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// For whom backup sets are encrypted, with age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// Public keys, age1...
    #[schemars(length(min = 1, max = 16), inner(length(max = 128), regex(pattern = "^age1[0-9a-z]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub recipients: Vec<String>,
    /// The private key, by which MemoryBank verifies and restores sets; without it they stay unverified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_secret_ref: Option<SecretKeyRef>,
}
