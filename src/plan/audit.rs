use jiff::Timestamp;

use super::bank::Observed;
use super::check::{Newest, Own, cut, not_measured, succeeded};
use super::conditions::set_condition;
use super::reason::ConditionReason;
use super::run::{PlannedRun, RunOwner};
use crate::domain::{Outcome, Severity};
use crate::resources::{FindingCounts, ReportRef, SecurityAuditStatus, Time, TopFinding, ValidAudit, ValidBank};

/// A status lists no more findings than this.
const MAX_TOP: usize = 20;

/// What is to be done about a SecurityAudit.
#[derive(Clone, Debug, Default)]
pub struct AuditPlan {
    /// Runs to make.
    pub create: Vec<PlannedRun>,
    /// Its status once they are made.
    pub status: SecurityAuditStatus,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// Plans a SecurityAudit of a bank.
pub fn plan_audit(
    audit: &ValidAudit,
    bank: &ValidBank,
    before: Option<&SecurityAuditStatus>,
    observed: Observed<'_>,
    newest: Option<&Newest>,
    now: Timestamp,
) -> AuditPlan {
    let own = Own {
        meta: &audit.meta,
        owner: RunOwner::Audit { audit: audit.meta.name.clone() },
        task: &audit.task,
        schedule: audit.schedule.as_ref(),
        run_now: audit.run_now.as_ref(),
        suspended: audit.suspend || bank.suspend,
        active_deadline_seconds: audit.active_deadline_seconds,
        observed_generation: before.and_then(|status| status.observed_generation),
        next_slot: before.and_then(|status| status.next_slot_time.as_ref()).map(|time| time.0),
        handled_token: before.and_then(|status| status.last_run_now_token.as_deref()),
    };
    let plan = own.plan(bank, observed.runs, now);
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = audit.meta.generation;
    status.next_slot_time = plan.next_slot.map(Time);
    status.last_run_now_token = plan.handled_token;
    match newest {
        Some(newest) => take(&mut status, audit, newest, observed, now),
        None => not_measured(&mut status.conditions, audit.meta.generation, now),
    }
    set_condition(
        &mut status.conditions,
        "Ready",
        ("True", ConditionReason::AsExpected, "the audit is planned"),
        audit.meta.generation,
        now,
    );
    AuditPlan { create: plan.create, status, next: plan.next }
}

/// Takes the result of the newest run into the status. What is new or fixed is what the store knows.
fn take(into: &mut SecurityAuditStatus, audit: &ValidAudit, newest: &Newest, observed: Observed<'_>, now: Timestamp) {
    let report = &newest.report;
    let findings: Vec<_> = report.tasks.iter().flat_map(|task| &task.findings).collect();
    let of = |severity| Some(findings.iter().filter(|finding| finding.severity == severity).count() as u64);
    let known = &observed.facts.findings;
    into.last_audit_time = Some(Time(report.finished));
    into.findings = Some(FindingCounts {
        critical: of(Severity::Critical),
        high: of(Severity::High),
        medium: of(Severity::Medium),
        low: of(Severity::Low),
        new: Some(known.new),
        persisting: Some(known.persisting),
        fixed: Some(known.fixed),
        waived: Some(known.waived),
    });
    into.top = findings
        .iter()
        .take(MAX_TOP)
        .map(|finding| TopFinding {
            rule: Some(finding.rule.clone()),
            severity: Some(finding.severity.name().to_owned()),
            place: Some(cut(&format!("{}: {}", finding.component, finding.place))),
            fingerprint: Some(finding.fingerprint.chars().take(16).collect()),
        })
        .collect();
    into.report = newest.digest.map(|digest| ReportRef { sha256: Some(digest.to_string()) });
    succeeded(&mut into.conditions, report, audit.meta.generation, now);
    let above = findings.iter().filter(|finding| finding.severity >= audit.min_severity).count();
    let threshold = audit.min_severity.name();
    let (status, reason, message) = if above > 0 {
        let message = format!("{above} findings of severity {threshold} or worse");
        ("False", ConditionReason::FindingsAboveThreshold, message)
    } else if report.outcome().0 == Outcome::Succeeded {
        ("True", ConditionReason::AsExpected, format!("no finding of severity {threshold} or worse"))
    } else {
        ("Unknown", ConditionReason::NotAudited, "the newest run did not measure all that is asked for".to_owned())
    };
    set_condition(&mut into.conditions, "Passed", (status, reason, &message), audit.meta.generation, now);
}
