use crate::domain::{
    Check, CorruptionEvent, Finding, Outcome, Output, Reason, RecoveryReport, RunReport, Sample, ScopeReport, Verdict,
};

/// What a task has measured so far. It outlives the task's future, so that a deadline loses nothing
/// that was already known.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub scopes: Vec<ScopeReport>,
    pub checks: Vec<Check>,
    pub corruption: Vec<CorruptionEvent>,
    pub findings: Vec<Finding>,
    pub omitted: u64,
    pub coverage_percent: Option<u8>,
    pub samples: Vec<Sample>,
    pub outputs: Vec<Output>,
    /// Of a recovery: what it did, or would do.
    pub recovery: Option<RecoveryReport>,
    /// What was done, for people: it ends the message of a task that did all it could.
    pub done: Vec<String>,
    /// Why something that has no scope could not be measured.
    pub unmeasured: Option<(Reason, String)>,
}

impl Body {
    /// Closes a scope: it succeeded where each of its checks, those from `first` on, could be measured.
    pub fn close_scope(&mut self, scope: &str, first: usize) {
        let unknown: Vec<_> = self.checks[first..].iter().filter(|c| c.verdict == Verdict::Unknown).collect();
        let (outcome, message) = match unknown.first() {
            None if self.checks.len() > first => (Outcome::Succeeded, String::new()),
            None => (Outcome::Unknown, "nothing that this scope could look at".to_owned()),
            Some(one) if unknown.len() == 1 => {
                (Outcome::Unknown, format!("{} of {}: {}", one.id, one.component, one.detail))
            }
            Some(one) => (
                Outcome::Unknown,
                format!("{} of {}: {} (and {} more)", one.id, one.component, one.detail, unknown.len() - 1),
            ),
        };
        self.scopes.push(ScopeReport { scope: scope.to_owned(), outcome, message });
    }

    /// Notes a scope that this version cannot measure.
    pub fn not_built(&mut self, scope: &str) {
        self.scopes.push(ScopeReport {
            scope: scope.to_owned(),
            outcome: Outcome::Unknown,
            message: "this version cannot measure it".to_owned(),
        });
    }

    /// Notes a scope that was asked for and not closed, and why.
    pub fn open_scope(&mut self, scope: &str, why: &str) {
        if !self.scopes.iter().any(|known| known.scope == scope) {
            let (outcome, message) = (Outcome::Unknown, why.to_owned());
            self.scopes.push(ScopeReport { scope: scope.to_owned(), outcome, message });
        }
    }

    /// How a task ended that did all it could: Unknown where a scope was not measured whole.
    pub fn outcome(&self) -> (Outcome, Reason, String) {
        if let Some((reason, message)) = &self.unmeasured {
            return (Outcome::Unknown, *reason, message.clone());
        }
        let unmeasured: Vec<_> = self.scopes.iter().filter(|s| s.outcome != Outcome::Succeeded).collect();
        match unmeasured.first() {
            None => (Outcome::Succeeded, Reason::Completed, self.summary()),
            Some(one) => (Outcome::Unknown, Reason::NotMeasured, format!("{}: {}", one.scope, one.message)),
        }
    }

    fn summary(&self) -> String {
        let count = |verdict| self.checks.iter().filter(|c| c.verdict == verdict).count();
        let counted = format!(
            "{} checks passed, {} failed; {} damages, {} findings",
            count(Verdict::Passed),
            count(Verdict::Failed),
            self.corruption.len(),
            self.findings.len()
        );
        [&[counted], self.done.as_slice()].concat().join("; ")
    }

    /// Cuts what is too much for one report, the mildest first, and counts it.
    pub fn bound(&mut self) {
        self.corruption.sort_by_key(|event| std::cmp::Reverse(event.severity));
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let excess = self.corruption.len().saturating_sub(RunReport::MAX_EVENTS)
            + self.findings.len().saturating_sub(RunReport::MAX_EVENTS);
        self.corruption.truncate(RunReport::MAX_EVENTS);
        self.findings.truncate(RunReport::MAX_EVENTS);
        self.omitted += excess as u64;
    }
}
