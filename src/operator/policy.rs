//! One policy: it counts how it goes over the banks that it selects.

use jiff::Timestamp;

use super::context::Context;
use super::error::ReconcileError;
use super::key::Key;
use super::told::transitions;
use super::write;
use crate::plan::{SelectedBank, plan_policy, refused_conditions};
use crate::resources::MaintenancePolicyStatus;

/// Looks at one policy. When to look again though nothing happens.
pub async fn reconcile(cx: &Context, key: &Key, now: Timestamp) -> Result<Option<Timestamp>, ReconcileError> {
    let Some(policy) = cx.world.policies.get(key).filter(|policy| !policy.id.deleting) else { return Ok(None) };
    let old = policy.status.as_ref();
    let refuse = |message: &str| {
        let old = old.cloned().unwrap_or_default();
        let conditions = refused_conditions(&["Ready"], &old.conditions, policy.id.generation, message, now);
        MaintenancePolicyStatus { observed_generation: policy.id.generation, conditions, ..old }
    };
    let (status, next) = match &policy.valid {
        Err(wrong) => (refuse(wrong), None),
        Ok(valid) if valid.namespace_selector.is_some() && key.namespace != cx.world.own => {
            let message = format!(
                "spec.namespaceSelector selects banks of other namespaces, which only a policy of the operator's own \
                 namespace may: move it to {}, or remove the selector",
                cx.world.own
            );
            (refuse(&message), None)
        }
        Ok(valid) => {
            let banks = cx.world.banks_of(valid);
            let names: Vec<String> = banks
                .iter()
                .map(|bank| {
                    let near = bank.id.key.namespace == key.namespace;
                    if near { bank.id.key.name.clone() } else { bank.id.key.to_string() }
                })
                .collect();
            let selected: Vec<SelectedBank<'_>> = banks
                .iter()
                .zip(&names)
                .map(|(bank, name)| SelectedBank { name, status: bank.status.as_ref() })
                .collect();
            plan_policy(valid, old, &selected, now)
        }
    };
    if old != Some(&status) {
        write::status(&cx.client, &cx.world.policies, &policy.id, &status).await?;
        let before = old.map_or(&[][..], |old| &old.conditions);
        cx.teller.tell("MaintenancePolicy", &policy.id, &transitions(before, &status.conditions));
    }
    Ok(next)
}
