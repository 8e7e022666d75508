use serde::{Deserialize, Serialize};

use super::Retention;

/// What goes for good, as the policies of a bank say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruning {
    /// Of the policies that select the bank: a set goes when none of them keeps it. Without any, none goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<Retention>,
    /// Which records of the bank itself; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Purge>,
}

/// Which records of a bank go for good, once they are so many seconds old; what is none stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purge {
    /// Memories, by when they were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_after_seconds: Option<u32>,
    /// Accesses of memories, by when they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log_after_seconds: Option<u32>,
    /// Changes of memories between the first and the last one, by when they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_after_seconds: Option<u32>,
    /// Nothing goes unless a set was verified that was begun so lately.
    pub backup_max_age_seconds: u32,
}
