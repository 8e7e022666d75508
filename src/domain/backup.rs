use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;

/// The set that a bank's newest backup made, as the store keeps it apart from the set: who rewrites a set cannot rewrite
/// this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestSet {
    /// Its name.
    pub set: String,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// What verification says of the sets of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerdict {
    /// The set that was looked at last; none where there was none to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// When.
    pub time: Timestamp,
    /// Why it was refused; none where it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The newest set that passed, and was not refused since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedSet>,
}

/// A set that was read back whole and agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedSet {
    /// Its name.
    pub set: String,
    /// When it was begun: what was written later is not in it.
    pub started: Timestamp,
    /// When it was last verified.
    pub time: Timestamp,
    /// Its size as it is stored.
    pub bytes: u64,
}

impl LatestSet {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/latest";
}

impl BackupVerdict {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/verdict";
}
