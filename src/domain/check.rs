use serde::{Deserialize, Serialize};

/// What one check says of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Measured, nothing wrong.
    Passed,
    /// Measured, something wrong: events or findings tell what.
    Failed,
    /// Could not be measured; never healthy.
    Unknown,
}

/// One check of one component: the row by which later runs know what was looked at.
///
/// An open event or finding of the same `id` and `component` that a later run does not see again is
/// resolved only where that run has this row with a verdict other than `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Stable kebab-case id of the check, such as `sqlite-integrity-check` or `files-content`.
    pub id: String,
    /// What was checked, such as `database` or `files/uploads`.
    pub component: String,
    /// The verdict.
    pub verdict: Verdict,
    /// One line for people: what was measured, or why not. Never content of a bank.
    pub detail: String,
}

impl Check {
    /// A check that found nothing wrong.
    pub fn passed(id: &str, component: &str, detail: impl Into<String>) -> Self {
        Self::new(id, component, Verdict::Passed, detail)
    }

    /// A check that found something wrong.
    pub fn failed(id: &str, component: &str, detail: impl Into<String>) -> Self {
        Self::new(id, component, Verdict::Failed, detail)
    }

    /// A check that could not be made.
    pub fn unknown(id: &str, component: &str, detail: impl Into<String>) -> Self {
        Self::new(id, component, Verdict::Unknown, detail)
    }

    fn new(id: &str, component: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), component: component.to_owned(), verdict, detail: detail.into() }
    }
}
