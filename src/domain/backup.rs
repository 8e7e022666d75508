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
    /// The digest of its manifest; a verdict of an earlier version has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// What the newest restore test says of the sets of a bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreVerdict {
    /// The set that was restored last.
    pub set: String,
    /// When.
    pub time: Timestamp,
    /// Why it is no bank when it is restored; none where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The newest set that was restored and found whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredSet>,
}

/// A set that was restored in a scratch place and found whole there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredSet {
    /// Its name.
    pub set: String,
    /// When it was begun: what was written later is not in it.
    pub started: Timestamp,
    /// When it was restored.
    pub time: Timestamp,
}

impl RestoreVerdict {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/restored";
}

impl LatestSet {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/latest";
}

impl BackupVerdict {
    /// What the output is called that holds it.
    pub const OUTPUT: &str = "backup/verdict";
}
