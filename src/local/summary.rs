use crate::domain::{CorruptionEvent, Finding, FindingState};
use crate::resources::MemoryBankStatus;

/// What was found, for the end of a look at everything.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// One per bank, in order of names.
    pub banks: Vec<BankSummary>,
    /// Whether a condition that damage or findings break is False.
    pub broken: bool,
    /// Runs of this process that did not measure all that they were asked for: name and why.
    pub unmeasured: Vec<(String, String)>,
}

/// What was found in one bank.
#[derive(Clone, Debug, Default)]
pub struct BankSummary {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: MemoryBankStatus,
    /// How much damage is open, and the worst of it.
    pub corruption: (u64, Vec<CorruptionEvent>),
    /// How many findings are open, and the worst of them.
    pub findings: (u64, Vec<(FindingState, Finding)>),
}
