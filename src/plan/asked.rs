//! When a check or an audit runs: once per generation, or on its schedule, or on request.
//!
//! What is remembered stands in its own status: `nextSlotTime` (slots before it are handled), the condition
//! `Succeeded` of this generation (the one run was planned), `lastRunNowToken`. Both its own plan and that of
//! its bank ask here, so that they cannot disagree.

use jiff::Timestamp;

use super::reason::ConditionReason;
use super::view::{AuditAsk, CheckAsk, RunOwner, RunView};
use super::wake::Wake;
use crate::domain::{Bank, Digest, Phase, Task};
use crate::engine::schedule::{CronSchedule, Rule, Since, due, request_name, run_name};
use crate::resources::{Condition, Meta, RunNow, Time};

/// A check or an audit that asks for runs.
pub struct Asked<'a> {
    pub owner: RunOwner,
    pub task: &'a Task,
    pub schedule: Option<&'a CronSchedule>,
    pub active_deadline_seconds: u32,
    pub suspend: bool,
    pub generation: i64,
    /// The digest of its spec: one that is deleted and made again counts its generations anew.
    spec_digest: Digest,
    /// Stands for the policy in names; kinds are no DNS labels, so no policy has such a name.
    kind: &'static str,
    name: &'a str,
    run_now: Option<&'a RunNow>,
    seen: Seen<'a>,
}

/// What its status says.
struct Seen<'a> {
    generation: Option<i64>,
    conditions: &'a [Condition],
    next_slot: Option<Timestamp>,
    token: Option<&'a str>,
}

/// What it comes to now.
pub struct Decision {
    /// Names and slots of the runs to make.
    pub make: Vec<(String, Option<Timestamp>)>,
    /// Slots before it are handled; none while suspended or without a schedule.
    pub next_slot: Option<Timestamp>,
    /// Whether the one run of this generation was planned.
    pub planned: bool,
    /// The newest handled request.
    pub token: Option<String>,
    /// Slots that were missed, and are told by nobody yet.
    pub missed: u64,
}

impl<'a> Asked<'a> {
    pub fn check(ask: &CheckAsk<'a>) -> Self {
        let (check, status) = (ask.check, ask.status);
        Self {
            owner: RunOwner::Check(check.meta.name.clone()),
            task: &check.task,
            schedule: check.schedule.as_ref(),
            active_deadline_seconds: check.active_deadline_seconds,
            suspend: check.suspend,
            generation: generation(&check.meta),
            spec_digest: check.meta.spec_digest,
            kind: "IntegrityCheck",
            name: &check.meta.name,
            run_now: check.run_now.as_ref(),
            seen: Seen {
                generation: status.and_then(|s| s.observed_generation),
                conditions: status.map_or(&[], |s| &s.conditions),
                next_slot: status.and_then(|s| time(s.next_slot_time.as_ref())),
                token: status.and_then(|s| s.last_run_now_token.as_deref()),
            },
        }
    }

    pub fn audit(ask: &AuditAsk<'a>) -> Self {
        let (audit, status) = (ask.audit, ask.status);
        Self {
            owner: RunOwner::Audit(audit.meta.name.clone()),
            task: &audit.task,
            schedule: audit.schedule.as_ref(),
            active_deadline_seconds: audit.active_deadline_seconds,
            suspend: audit.suspend,
            generation: generation(&audit.meta),
            spec_digest: audit.meta.spec_digest,
            kind: "SecurityAudit",
            name: &audit.meta.name,
            run_now: audit.run_now.as_ref(),
            seen: Seen {
                generation: status.and_then(|s| s.observed_generation),
                conditions: status.map_or(&[], |s| &s.conditions),
                next_slot: status.and_then(|s| time(s.next_slot_time.as_ref())),
                token: status.and_then(|s| s.last_run_now_token.as_deref()),
            },
        }
    }

    /// `runs` are all runs of the bank; `bank` is none where it does not exist.
    pub fn decide(&self, bank: Option<(&Bank, bool)>, runs: &[RunView], now: Timestamp, wake: &mut Wake) -> Decision {
        let mut decision = Decision {
            make: Vec::new(),
            next_slot: None,
            planned: self.planned_before(),
            token: self.seen.token.map(str::to_owned),
            missed: 0,
        };
        let Some((bank, bank_suspended)) = bank else { return decision };
        let suspended = self.suspend || bank_suspended;
        let own: Vec<_> = runs.iter().filter(|run| run.owner == self.owner).collect();
        match self.schedule {
            _ if suspended => {}
            Some(cron) => self.by_slot(cron, &bank.name, &own, now, &mut decision, wake),
            None => {
                let name = self.once_name(&bank.name);
                if !decision.planned && own.iter().all(|run| run.name != name) {
                    decision.make.push((name, None));
                } else {
                    decision.planned = true;
                }
            }
        }
        if let Some(request) = self.run_now.filter(|request| self.seen.token != Some(&request.token)) {
            let name = request_name(self.kind, &bank.name, self.name, &request.token);
            if suspended || own.iter().any(|run| run.name == name) {
                decision.token = Some(request.token.clone());
            } else {
                decision.make.push((name, None));
            }
        }
        decision
    }

    /// What it is, for people.
    pub fn shown(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The name of the one run of this generation.
    pub fn once_name(&self, bank: &str) -> String {
        // No token has a space, so no request has this name.
        request_name(self.kind, bank, self.name, &format!("generation {} {}", self.generation, self.spec_digest))
    }

    fn planned_before(&self) -> bool {
        let not_planned = [ConditionReason::Suspended, ConditionReason::NotRun, ConditionReason::BankNotFound]
            .map(ConditionReason::name);
        self.seen.conditions.iter().any(|condition| {
            condition.type_ == "Succeeded"
                && condition.observed_generation == Some(self.generation)
                && !not_planned.contains(&condition.reason.as_str())
        })
    }

    fn by_slot(
        &self,
        cron: &CronSchedule,
        bank: &str,
        own: &[&RunView],
        now: Timestamp,
        decision: &mut Decision,
        wake: &mut Wake,
    ) {
        let name = |slot| run_name(self.kind, bank, self.name, slot);
        let handled = own.iter().filter_map(|run| run.slot.filter(|slot| run.name == name(*slot))).max();
        let since = self.seen.next_slot.filter(|_| self.seen.generation == Some(self.generation)).unwrap_or(now);
        let rule = Rule { cron, starting_deadline_seconds: None, offset_seconds: 0 };
        let found = due(rule, Since { since, handled }, now);
        wake.at(found.next);
        decision.missed = found.missed;
        decision.next_slot = found.next;
        if let Some(slot) = found.run
            && !own.iter().any(|run| run.phase == Phase::Running)
        {
            // Not handled before its run is there.
            decision.next_slot = Some(slot);
            decision.make.push((name(slot), Some(slot)));
        }
    }
}

/// The count of changes of a spec; where nobody counts (a folder), a number that changes with its content.
pub fn generation(meta: &Meta) -> i64 {
    let bytes = meta.spec_digest.as_bytes();
    let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> 1;
    meta.generation.unwrap_or_else(|| i64::from(number))
}

pub fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
