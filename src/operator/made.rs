//! The runs, and the recovery, that a plan asks for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::context::Context;
use super::entry::{Bank, Identity, Read, Recovery, Run};
use super::error::ReconcileError;
use super::key::Key;
use super::labels;
use super::run::Tracked;
use super::seen::Seen;
use super::write::{self, Made};
use crate::plan::{EventDraft, EventReason, MADE_FOR, PlannedRecovery, PlannedRun, RunOwner};
use crate::resources::{self, MaintenanceRun, MaintenanceRunSpec, Time};

/// Makes a run, once by its name. What is to be told of it.
pub async fn make(
    cx: &Context,
    bank: &Bank,
    seen: &mut Seen,
    planned: PlannedRun,
) -> Result<Vec<EventDraft>, ReconcileError> {
    let Some(owner) = owner_reference(bank, seen, &planned.owner) else { return Ok(Vec::new()) };
    let run = run_object(bank, &planned, owner.clone());
    match write::create(&cx.client, &run, &owner.uid).await? {
        Made::Ours(made) => {
            cx.world.runs.put(Run::read(kube::core::DeserializeGuard(Ok(made))));
            let key = Key::new(bank.id.key.namespace.as_str(), planned.name.as_str());
            let made = cx.world.runs.get(&key).and_then(|run| Tracked::of(run, Some(bank)));
            seen.runs.extend(made);
            Ok(Vec::new())
        }
        Made::Theirs => {
            let message = format!("a run named {} was made by somebody else: this slot is not run", planned.name);
            Ok(vec![EventDraft { reason: EventReason::NameCollision, message }])
        }
        Made::Invalid(why) | Made::Forbidden(why) => {
            Err(ReconcileError::Refused { what: format!("the MaintenanceRun {}", planned.name), why })
        }
    }
}

/// Makes the recovery that a bank's policies ask for, once by its name. Whether it was made, or what is to be told instead:
/// a bank whose recovery is refused is looked after all the same.
pub async fn make_recovery(
    cx: &Context,
    bank: &Bank,
    planned: PlannedRecovery,
) -> Result<Result<(), EventDraft>, ReconcileError> {
    let PlannedRecovery { name, spec, made_for } = planned;
    let recovery = resources::Recovery {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(bank.id.key.namespace.clone()),
            labels: Some(labels::of_recovery(&bank.id.key.name).into()),
            annotations: Some([(MADE_FOR.to_owned(), made_for)].into()),
            owner_references: Some(vec![of("MemoryBank", &bank.id)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    match write::create(&cx.client, &recovery, &bank.id.uid).await? {
        Made::Ours(made) => {
            cx.world.recoveries.put(Recovery::read(kube::core::DeserializeGuard(Ok(made))));
            Ok(Ok(()))
        }
        Made::Theirs => {
            let message = format!("a Recovery named {name} was made by somebody else: none is made for the damage");
            Ok(Err(EventDraft::new(EventReason::NameCollision, message)))
        }
        Made::Invalid(why) | Made::Forbidden(why) => {
            let message = format!("the Recovery {name} for open damage is refused: {why}");
            Ok(Err(EventDraft::new(EventReason::RecoveryRefused, message)))
        }
    }
}

fn of(kind: &str, id: &Identity) -> OwnerReference {
    OwnerReference {
        api_version: "memorybank.dev/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        name: id.key.name.clone(),
        uid: id.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn owner_reference(bank: &Bank, seen: &Seen, owner: &RunOwner) -> Option<OwnerReference> {
    match owner {
        RunOwner::Policy { .. } => Some(of("MemoryBank", &bank.id)),
        RunOwner::Check(name) => {
            let check = seen.checks.iter().find(|check| check.id.key.name == *name)?;
            Some(of("IntegrityCheck", &check.id))
        }
        RunOwner::Audit(name) => {
            let audit = seen.audits.iter().find(|audit| audit.id.key.name == *name)?;
            Some(of("SecurityAudit", &audit.id))
        }
        RunOwner::Recovery(name) => {
            let recovery = seen.recoveries.iter().find(|recovery| recovery.id.key.name == *name)?;
            Some(of("Recovery", &recovery.id))
        }
        RunOwner::Hand => None,
    }
}

/// The MaintenanceRun of a planned run. Pure.
fn run_object(bank: &Bank, planned: &PlannedRun, owner: OwnerReference) -> MaintenanceRun {
    let (policy_name, schedule_name) = match &planned.owner {
        RunOwner::Policy { policy, schedule } => (Some(policy.clone()), Some(schedule.clone())),
        _ => (None, None),
    };
    let of_policy = policy_name.is_some();
    let annotation = planned.slot.filter(|_| !of_policy).map(|slot| (labels::SLOT.to_owned(), slot.to_string()));
    let tasks = planned.spec.tasks.iter().map(Into::into).collect();
    MaintenanceRun {
        metadata: ObjectMeta {
            name: Some(planned.name.clone()),
            namespace: Some(bank.id.key.namespace.clone()),
            labels: Some(labels::of_run(&bank.id.key.name, &planned.name).into()),
            annotations: annotation.map(|annotation| [annotation].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: MaintenanceRunSpec {
            bank_name: bank.id.key.name.clone(),
            tasks,
            policy_name,
            schedule_name,
            slot_time: planned.slot.filter(|_| of_policy).map(Time),
            active_deadline_seconds: planned.spec.active_deadline_seconds,
            ttl_seconds_after_finished: planned.ttl_seconds_after_finished,
        },
        status: None,
    }
}
