use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::watched::Newest;
use super::Guardian;
use super::asks::Statuses;
use crate::domain::Phase;
use crate::plan::{
    BankPlan, EventDraft, RunOwner, SelectedBank, plan_audit, plan_bank, plan_check, plan_policy, plan_recovery,
};
use crate::resources::{Config, ValidBank};
use crate::store::StoreError;

impl Guardian {
    /// Looks at every bank at which something happened or something is due.
    pub(super) async fn look(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let config = std::mem::take(&mut self.config);
        let mut config = config;
        let mut outcome = self.look_at_due(&config, now).await;
        while self.take_mends(&mut config) && outcome.is_ok() {
            outcome = self.look_at_due(&config, now).await;
        }
        if outcome.is_ok()
            && let Some(token) = self.now_token.take()
        {
            self.take_back(&token.token, &mut config, now);
        }
        self.config = config;
        if let Err(error) = &outcome {
            self.board.store.count_error(error.reason());
        }
        outcome
    }

    /// Puts the documents' own requests back in place of `--now`, in the configuration and in what was noted
    /// as handled: everything has just been asked to run, so they are handled too.
    fn take_back(&mut self, token: &str, config: &mut Config, now: Timestamp) {
        let own = |kind: &'static str, name: &str| self.annotated.get(&(kind, name.to_owned())).cloned().flatten();
        for policy in &mut config.policies {
            policy.run_now = own("MaintenancePolicy", &policy.meta.name);
        }
        for check in &mut config.checks {
            check.run_now = own("IntegrityCheck", &check.meta.name);
        }
        for audit in &mut config.audits {
            audit.run_now = own("SecurityAudit", &audit.meta.name);
        }
        let annotated = std::mem::take(&mut self.annotated);
        let known = |kind: &'static str, name: &str| {
            annotated.get(&(kind, name.to_owned())).and_then(|own| own.as_ref()).map(|own| own.token.clone())
        };
        for (name, watched) in &mut self.banks {
            let Some(status) = &mut watched.status else { continue };
            for row in &mut status.schedules {
                if row.last_run_now_token.as_deref() == Some(token) {
                    row.last_run_now_token = known("MaintenancePolicy", &row.policy);
                }
            }
            let value = serde_json::to_value(&*status).unwrap_or(Value::Null);
            self.objects.set_status("MemoryBank", name, value, now);
        }
        for kind in ["MaintenancePolicy", "IntegrityCheck", "SecurityAudit"] {
            for name in self.objects.names(kind) {
                self.objects.replace_token(kind, &name, token, known(kind, &name), now);
            }
        }
    }

    async fn look_at_due(&mut self, config: &Config, now: Timestamp) -> Result<(), StoreError> {
        let mut looked = self.next_policy_look.is_some_and(|next| next <= now) || self.objects.pending();
        let mut failed = None;
        for bank in &config.banks {
            if self.banks.get(&bank.meta.name).is_some_and(|watched| watched.due(now)) {
                looked = true;
                // One bank whose records cannot be read does not keep the others from being looked at.
                failed = failed.or(self.look_at(bank, config, now).await.err());
            }
        }
        while self.running.len() < self.settings.parallel
            && let Some(name) = self.starved.pop_front()
        {
            if let Some(bank) = config.banks.iter().find(|bank| bank.meta.name == name) {
                looked = true;
                failed = failed.or(self.look_at(bank, config, now).await.err());
            }
        }
        if looked {
            self.look_at_policies(config, now);
            self.objects.flush(&self.store).await?;
            self.show(config).await;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Plans one bank and carries the plan out, in the order that a crash in between does not hurt. What
    /// failed halfway is looked at again.
    async fn look_at(&mut self, bank: &ValidBank, config: &Config, now: Timestamp) -> Result<(), StoreError> {
        let outcome = Box::pin(self.plan_and_carry_out(bank, config, now)).await;
        if let Some(watched) = self.banks.get_mut(&bank.meta.name) {
            watched.dirty = outcome.is_err();
        }
        outcome
    }

    async fn plan_and_carry_out(
        &mut self,
        bank: &ValidBank,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(watched) = self.banks.get_mut(&bank.meta.name)
            && watched.unread
        {
            let running = |name: &str| self.running.contains_key(name);
            watched.refresh(&self.store, &config.namespace, &bank.meta.name, &running).await?;
        }
        if let Some(watched) = self.banks.get_mut(&bank.meta.name)
            && !bank.bank.network_parts().is_empty()
        {
            // Those that came to the same as before are told to nobody.
            watched.facts.reach = self.store.reach(&config.namespace, &bank.meta.name).await?;
        }
        let statuses = Statuses::of(bank, config, &self.objects);
        let asks = statuses.asks(bank, config);
        let Some(watched) = self.banks.get(&bank.meta.name) else { return Ok(()) };
        let plan = plan_bank(bank, &asks, &watched.observed(), now);
        let next = plan.next;
        self.carry_out(bank, plan, config, now).await?;
        let Some(watched) = self.banks.get_mut(&bank.meta.name) else { return Ok(()) };
        let observed = watched.observed();
        let mut looks = vec![next];
        for ask in &asks.checks {
            let name = &ask.check.meta.name;
            let newest = watched.newest.get(&RunOwner::Check(name.clone())).and_then(Newest::measured);
            let open = &observed.facts.corruption;
            let plan = plan_check(ask, Some(bank), &observed.runs, newest.as_ref(), open, now);
            tell_events(name, &plan.events);
            looks.push(plan.next);
            self.objects.set_status("IntegrityCheck", name, json!(plan.status), now);
        }
        for ask in &asks.audits {
            let name = &ask.audit.meta.name;
            let newest = watched.newest.get(&RunOwner::Audit(name.clone())).and_then(Newest::measured);
            let top = &observed.facts.findings.top;
            let state = |fingerprint: &str| {
                top.iter().find(|(_, finding)| finding.fingerprint == fingerprint).map(|(state, _)| *state)
            };
            let plan = plan_audit(ask, Some(bank), &observed.runs, newest.as_ref(), state, now);
            tell_events(name, &plan.events);
            looks.push(plan.next);
            self.objects.set_status("SecurityAudit", name, json!(plan.status), now);
        }
        for ask in &asks.recoveries {
            let name = &ask.recovery.meta.name;
            let newest = watched.newest.get(&RunOwner::Recovery(name.clone())).and_then(Newest::measured);
            let open = &observed.facts.corruption.top;
            let status = plan_recovery(ask, Some(bank), &observed.runs, newest.as_ref(), open, now);
            // One that came to its end may make room for the next.
            looks.push((ask.status.map(|old| &old.phase) != Some(&status.phase)).then_some(now));
            self.objects.set_status("Recovery", name, json!(status), now);
        }
        watched.next = looks.into_iter().flatten().min();
        Ok(())
    }

    async fn carry_out(
        &mut self,
        bank: &ValidBank,
        plan: BankPlan,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Without `..`: a part of the plan that nobody carries out does not compile.
        let BankPlan { create, skip, cancel, start, held, delete, recover, forget, status, events, next: _ } = plan;
        let name = &bank.meta.name;
        for run in create {
            self.make(name, run, now).await?;
        }
        for (run, reason, message) in skip {
            self.end(name, &run, Phase::Skipped, reason.name(), &message, now).await?;
        }
        for run in cancel {
            if let Some(cancel) = self.running.get(&run) {
                cancel.cancel();
            }
        }
        for (run, reason, message) in &held {
            self.end(name, run, Phase::Held, reason.name(), message, now).await?;
        }
        self.delete(name, &delete).await?;
        if let Some((recovery, event)) = recover
            && self.make_recovery(recovery, config, now)
        {
            tell_events(name, &[event]);
        }
        self.forget_recoveries(forget);
        tell_events(name, &events);
        let value = serde_json::to_value(&status).unwrap_or(Value::Null);
        if let Some(watched) = self.banks.get_mut(name) {
            watched.status = Some(status);
        }
        self.objects.set_status("MemoryBank", name, value, now);
        for run in start {
            if self.running.len() >= self.settings.parallel {
                if !self.starved.contains(name) {
                    self.starved.push_back(name.clone());
                }
                break;
            }
            self.start_run(bank, &run, now).await?;
        }
        Ok(())
    }

    fn look_at_policies(&mut self, config: &Config, now: Timestamp) {
        let mut looks = Vec::new();
        for policy in &config.policies {
            let selected: Vec<SelectedBank<'_>> = config
                .banks
                .iter()
                .filter(|bank| policy.bank_selector.matches(&bank.meta.labels))
                .map(|bank| SelectedBank {
                    name: &bank.meta.name,
                    status: self.banks.get(&bank.meta.name).and_then(|watched| watched.status.as_ref()),
                })
                .collect();
            let before = self.objects.status("MaintenancePolicy", &policy.meta.name);
            let (status, next) = plan_policy(policy, before.as_ref(), &selected, now);
            looks.push(next);
            self.objects.set_status("MaintenancePolicy", &policy.meta.name, json!(status), now);
        }
        self.next_policy_look = looks.into_iter().flatten().min();
    }
}

fn tell_events(about: &str, events: &[EventDraft]) {
    for event in events {
        tracing::info!(about, event = event.reason.name(), "{}", event.message);
    }
}
