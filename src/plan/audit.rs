use jiff::Timestamp;

use super::asked::{Asked, time};
use super::check::{conditions, missed};
use super::conditions::Judged;
use super::event::EventDraft;
use super::measure::Measured;
use super::reason::ConditionReason;
use super::view::{AuditAsk, RunView};
use super::wake::{Wake, second};
use crate::domain::{Finding, FindingState, Outcome, Severity};
use crate::resources::{FindingCounts, ReportRef, SecurityAuditStatus, Time, TopFinding, ValidBank};

/// How many findings a status lists.
const MAX_FINDINGS: usize = 20;

/// What is to be told of an audit. Its runs are made by the plan of its bank.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditPlan {
    /// The whole status; to be written only where it differs.
    pub status: SecurityAuditStatus,
    /// What to tell.
    pub events: Vec<EventDraft>,
    /// When to look again though nothing happens.
    pub next: Option<Timestamp>,
}

/// Plans the status of an audit, as [`super::plan_check`] that of a check. `state` tells what the store knows of
/// a finding by its fingerprint; one that it does not know is new.
pub fn plan_audit(
    ask: &AuditAsk<'_>,
    bank: Option<&ValidBank>,
    runs: &[RunView],
    newest: Option<&Measured<'_>>,
    state: impl Fn(&str) -> Option<FindingState>,
    now: Timestamp,
) -> AuditPlan {
    let now = second(now);
    let mut wake = Wake::new(now);
    let asked = Asked::audit(ask);
    let decision = asked.decide(bank.map(|bank| (&bank.bank, bank.suspend)), runs, now, &mut wake);
    let old = ask.status.cloned().unwrap_or_default();
    let state = |finding: &Finding| state(&finding.fingerprint).unwrap_or(FindingState::New);
    let open: Option<Vec<_>> =
        newest.map(|m| m.task.findings.iter().filter(|f| state(f) != FindingState::Waived).collect());
    let threshold = ask.audit.min_severity;
    let above = open.as_ref().map(|open| open.iter().filter(|f| f.severity >= threshold).count());
    let passed = match (newest, above) {
        (Some(_), Some(above)) if above > 0 => Judged::bad(
            ConditionReason::FindingsAboveThreshold,
            format!("{above} findings from {} on: status.top lists the worst", threshold.name()),
        ),
        (Some(m), _) if m.task.omitted > 0 => Judged::bad(
            ConditionReason::FindingsAboveThreshold,
            format!("{} findings more than a report can list", m.task.omitted),
        ),
        (Some(m), _) if m.task.outcome == Outcome::Succeeded => {
            Judged::good(format!("no finding from {} on", threshold.name()))
        }
        (Some(m), _) => Judged::unknown(ConditionReason::NotMeasured, m.task.message.clone()),
        (None, _) => Judged::unknown(ConditionReason::NotRun, "no run of this audit has ended yet"),
    };
    let mut status = SecurityAuditStatus {
        observed_generation: Some(asked.generation),
        conditions: conditions(&asked, &decision, bank, runs, newest, passed, &old.conditions, now),
        next_slot_time: decision.next_slot.map(Time),
        last_run_now_token: decision.token,
        last_audit_time: old.last_audit_time,
        findings: old.findings,
        top: old.top,
        report: old.report,
    };
    if let (Some(newest), Some(open)) = (newest, open) {
        status.last_audit_time = time(status.last_audit_time.as_ref()).max(Some(newest.finished)).map(Time);
        let of = |severity: Severity| Some(open.iter().filter(|f| f.severity == severity).count() as u64);
        let in_state = |wanted| Some(newest.task.findings.iter().filter(|f| state(f) == wanted).count() as u64);
        status.findings = Some(FindingCounts {
            critical: of(Severity::Critical),
            high: of(Severity::High),
            medium: of(Severity::Medium),
            low: of(Severity::Low),
            new: in_state(FindingState::New),
            persisting: in_state(FindingState::Persisting),
            fixed: None,
            waived: in_state(FindingState::Waived),
        });
        status.top = top(open);
        status.report = newest.report.map(|digest| ReportRef { sha256: Some(digest.to_string()) });
    }
    AuditPlan { status, events: missed(&asked, decision.missed), next: wake.next() }
}

fn top(mut open: Vec<&Finding>) -> Vec<TopFinding> {
    open.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let listed = open.into_iter().take(MAX_FINDINGS).map(|finding| TopFinding {
        rule: Some(finding.rule.clone()),
        severity: Some(finding.severity.name().to_owned()),
        place: Some(finding.place.clone()),
        fingerprint: Some(finding.fingerprint.clone()),
    });
    listed.collect()
}
