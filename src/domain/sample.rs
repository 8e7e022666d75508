use serde::{Deserialize, Serialize};

/// One measured number. Nothing is put here that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// What was measured, the metric's name without prefix: `memories`, `database_size_bytes`.
    pub metric: String,
    /// The value, in the unit that the name ends with.
    pub value: f64,
}
