use super::Judged;
use crate::domain::{BankFacts, Finding, FindingState, SecurityEventType, Severity, TaskKind};
use crate::plan::measure::{Proof, Wanted, proof};
use crate::plan::reason::ConditionReason;
use crate::plan::view::Asks;
use crate::plan::wake::Wake;

/// How many open findings there are from a severity on.
pub fn at_or_above(facts: &BankFacts, threshold: Severity) -> u64 {
    let findings = &facts.findings;
    let counts = [
        (Severity::Low, findings.low),
        (Severity::Medium, findings.medium),
        (Severity::High, findings.high),
        (Severity::Critical, findings.critical),
    ];
    counts.into_iter().filter(|(severity, _)| *severity >= threshold).map(|(_, count)| count).sum()
}

/// No unwaived finding from the threshold on (the strictest of all policies), and what is asked for was audited.
pub fn secure(asks: &Asks<'_>, wanted: &[Wanted], facts: &BankFacts, wake: &mut Wake) -> Judged {
    let thresholds = asks.policies.iter().map(|ask| ask.policy.thresholds.min_severity);
    let threshold = thresholds.min().unwrap_or(Severity::High);
    let count = at_or_above(facts, threshold);
    if count > 0 {
        let open = |f: &&(FindingState, Finding)| {
            matches!(f.0, FindingState::New | FindingState::Persisting) && f.1.severity >= threshold
        };
        let worst = facts.findings.top.iter().filter(open).map(|(_, finding)| finding).max_by_key(|f| f.severity);
        let from = threshold.name();
        return match worst {
            Some(worst) => Judged::bad(
                reason(worst),
                format!(
                    "{count} findings from {from} on, such as {} at {}. {}",
                    worst.title, worst.place, worst.advice
                ),
            ),
            None => Judged::bad(ConditionReason::FindingsAboveThreshold, format!("{count} findings from {from} on")),
        };
    }
    let own: Vec<_> = wanted.iter().filter(|w| w.task == TaskKind::SecurityAudit).collect();
    match proof(&own, facts, wake) {
        Proof::Fresh => Judged::good(format!("no open finding from {} on", threshold.name())),
        Proof::Missing(lack, message) => Judged::unknown(lack.of_audit(), message),
        Proof::NotAsked => Judged::unknown(
            ConditionReason::NotAudited,
            "nobody asks for a SecurityAudit: add one, or a policy with such a task",
        ),
    }
}

fn reason(worst: &Finding) -> ConditionReason {
    match worst.event_type {
        SecurityEventType::Audit => ConditionReason::FindingsAboveThreshold,
        SecurityEventType::DataLeak => ConditionReason::LeakFound,
        SecurityEventType::UnauthorizedAccess => ConditionReason::UnauthorizedAccess,
        SecurityEventType::Vulnerability => ConditionReason::Vulnerable,
    }
}
