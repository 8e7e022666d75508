use jiff::Timestamp;
use serde_json::json;

use super::super::objects::Objects;
use super::Guardian;
use crate::plan::{MADE_FOR, PlannedRecovery};
use crate::resources::{Config, Origin, Recovery, ValidRecovery};

/// Recoveries that policies made, which no document declares: they live among the objects.
#[derive(Debug, Default)]
pub(super) struct Mends {
    made: Vec<ValidRecovery>,
    gone: Vec<String>,
}

/// A recovery that a policy made, from the objects; none where a document declared it or it is of a bank that is gone.
fn read(objects: &Objects, config: &Config, name: &str) -> Option<ValidRecovery> {
    let recovery: Recovery = objects.object("Recovery", name).filter(|_| !objects.declared("Recovery", name))?;
    let valid = ValidRecovery::parse(&recovery, Origin { namespace: &config.namespace, file: None }).ok()?;
    let banks = config.banks.iter().any(|bank| bank.meta.name == valid.bank_name);
    (banks && valid.meta.annotations.contains_key(MADE_FOR)).then_some(valid)
}

impl Guardian {
    /// Adds to a configuration the recoveries that policies made before. A document of the same name has taken the
    /// place of one: its approval.
    pub(super) fn add_made(&self, config: &mut Config) {
        for name in self.objects.names("Recovery") {
            if config.recoveries.iter().all(|declared| declared.meta.name != name)
                && let Some(made) = read(&self.objects, config, &name)
            {
                config.recoveries.push(made);
            }
        }
    }

    /// Makes a recovery, as the policies of its bank say; whether it did.
    pub(super) fn make_recovery(&mut self, planned: PlannedRecovery, config: &Config, now: Timestamp) -> bool {
        let PlannedRecovery { name, spec, made_for } = planned;
        if config.recoveries.iter().chain(&self.mends.made).any(|known| known.meta.name == name) {
            return false;
        }
        self.objects.make("Recovery", &name, json!({MADE_FOR: made_for}), json!(spec), now);
        self.mends.made.extend(read(&self.objects, config, &name));
        true
    }

    /// Forgets ended recoveries that policies made; what a document declares stays.
    pub(super) fn forget_recoveries(&mut self, names: Vec<String>) {
        for name in names {
            if !self.objects.declared("Recovery", &name) {
                self.objects.remove("Recovery", &name);
                self.mends.gone.push(name);
            }
        }
    }

    /// Takes what was made and what went into the configuration; whether there is something to look at again.
    pub(super) fn take_mends(&mut self, config: &mut Config) -> bool {
        let Mends { made, gone } = std::mem::take(&mut self.mends);
        config.recoveries.retain(|known| !gone.contains(&known.meta.name));
        for recovery in &made {
            if let Some(watched) = self.banks.get_mut(&recovery.bank_name) {
                watched.dirty = true;
            }
        }
        let any = !made.is_empty();
        config.recoveries.extend(made);
        any
    }
}
