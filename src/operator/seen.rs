use std::sync::Arc;

use super::context::Context;
use super::entry::{Audit, Bank, Check, Policy, Recovery};
use super::key::Key;
use super::run::Tracked;
use crate::plan::{Asks, AuditAsk, CheckAsk, MADE_FOR, PolicyAsk, RecoveryAsk};
use crate::resources::ValidRecovery;

/// All that is known of one bank.
pub struct Seen {
    pub bank: Option<Arc<Bank>>,
    pub policies: Vec<Arc<Policy>>,
    pub checks: Vec<Arc<Check>>,
    pub audits: Vec<Arc<Audit>>,
    pub recoveries: Vec<Arc<Recovery>>,
    pub runs: Vec<Tracked>,
}

impl Seen {
    /// As the mirrors have it.
    pub fn of(cx: &Context, key: &Key) -> Self {
        let world = &cx.world;
        let bank = world.banks.get(key).filter(|bank| !bank.id.deleting);
        let labels = bank.as_ref().and_then(|bank| bank.valid.as_ref().ok()).map(|valid| &valid.meta.labels);
        let runs = world.runs.of_bank(key).into_iter().filter(|run| !run.id.deleting);
        Self {
            policies: labels.map(|labels| world.policies_of(&key.namespace, labels)).unwrap_or_default(),
            checks: world.checks.of_bank(key),
            audits: world.audits.of_bank(key),
            recoveries: world.recoveries.of_bank(key),
            runs: runs.filter_map(|run| Tracked::of(run, bank.as_deref())).collect(),
            bank,
        }
    }
}

pub fn find<'a>(seen: &'a mut Seen, name: &str) -> Option<&'a mut Tracked> {
    seen.runs.iter_mut().find(|run| run.view.name == name)
}

/// All that asks for work on the bank. Runs made by hand are objects already: they are among its runs.
pub fn asks(seen: &Seen) -> Asks<'_> {
    Asks {
        policies: seen
            .policies
            .iter()
            .filter_map(|policy| {
                let echoed = policy.status.as_ref().and_then(|status| status.last_run_now_token.as_deref());
                Some(PolicyAsk { policy: policy.valid.as_ref().ok()?, echoed })
            })
            .collect(),
        checks: seen
            .checks
            .iter()
            .filter_map(|check| Some(CheckAsk { check: check.valid.as_ref().ok()?, status: check.status.as_ref() }))
            .collect(),
        audits: seen
            .audits
            .iter()
            .filter_map(|audit| Some(AuditAsk { audit: audit.valid.as_ref().ok()?, status: audit.status.as_ref() }))
            .collect(),
        recoveries: seen
            .recoveries
            .iter()
            .filter_map(|recovery| Some(recovery_ask(recovery, recovery.valid.as_ref().ok()?)))
            .collect(),
        hand: Vec::new(),
    }
}

/// What a recovery asks for.
pub fn recovery_ask<'a>(recovery: &'a Recovery, valid: &'a ValidRecovery) -> RecoveryAsk<'a> {
    let made = by_policy(recovery).then_some(recovery.id.created);
    RecoveryAsk { recovery: valid, status: recovery.status.as_ref(), scales: true, made }
}

/// Whether a policy made a recovery: then the bank owns it, and it says what for.
pub fn by_policy(recovery: &Recovery) -> bool {
    let says = recovery.valid.as_ref().is_ok_and(|valid| valid.meta.annotations.contains_key(MADE_FOR));
    says && recovery.id.owner.as_ref().is_some_and(|owner| owner.kind == "MemoryBank")
}
