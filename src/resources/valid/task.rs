use std::collections::BTreeSet;

use super::Violations;
use crate::domain::{AuditScope, Consent, IntegrityScope, Pruning, Task, TaskKind, Work};
use crate::resources::rules;
use crate::resources::task::{SHARE_PERCENT, Scope, TaskSpec};

/// The tasks of a list, named and with their arguments. A list of scopes that is empty stands for all that
/// the bank declares: planning fills it in.
pub(super) fn tasks(specs: &[TaskSpec], field: &str, wrong: &mut Violations) -> Vec<Task> {
    let mut taken: BTreeSet<_> = specs.iter().filter_map(|s| s.name.clone()).collect();
    let given = specs.iter().filter(|s| s.name.is_some()).count();
    wrong.require(taken.len() == given, field, rules::TASK_NAMES);
    let mut tasks = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let name = spec.name.clone().unwrap_or_else(|| free_name(spec.task, &mut taken));
        if let Some(work) = work(spec, &format!("{field}[{index}]"), wrong) {
            tasks.push(Task { name, work, active_deadline_seconds: spec.active_deadline_seconds });
        }
    }
    tasks
}

/// The kind in kebab-case, with a number where that is taken.
fn free_name(kind: TaskKind, taken: &mut BTreeSet<String>) -> String {
    let mut name = String::new();
    for c in kind.name().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    let base = name.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

fn work(spec: &TaskSpec, field: &str, wrong: &mut Violations) -> Option<Work> {
    let (integrity, audit) = split(&spec.scopes);
    let fits = match spec.task {
        TaskKind::IntegrityCheck => audit.is_empty(),
        TaskKind::SecurityAudit => integrity.is_empty(),
        _ => spec.scopes.is_empty(),
    };
    wrong.require(fits, format!("{field}.scopes"), rules::SCOPES);
    if spec.task != TaskKind::IntegrityCheck {
        wrong.require(spec.level.is_none() && spec.share_percent.is_none(), field, rules::LEVEL_MISPLACED);
    }
    Some(match spec.task {
        TaskKind::IntegrityCheck => {
            let Some(level) = spec.level else {
                wrong.add(format!("{field}.level"), rules::LEVEL_NEEDED);
                return None;
            };
            let share_percent = spec.share_percent.unwrap_or(SHARE_PERCENT);
            Work::IntegrityCheck { level, scopes: integrity, share_percent }
        }
        TaskKind::SecurityAudit => Work::SecurityAudit { scopes: audit },
        TaskKind::Probe => Work::Probe,
        TaskKind::Backup => Work::Backup,
        TaskKind::VerifyBackup => Work::VerifyBackup,
        TaskKind::RestoreTest => Work::RestoreTest,
        TaskKind::ConsistencyCheck => Work::ConsistencyCheck,
        TaskKind::Optimize => Work::Optimize,
        // Planning fills in what the policies keep.
        TaskKind::Prune => Work::Prune(Pruning::default()),
        TaskKind::Learn => Work::Learn,
        // It shows its plan; what it may do more, a Recovery says.
        TaskKind::Recover => Work::Recover { events: Vec::new(), set: None, consent: Consent::None },
    })
}

fn split(scopes: &[Scope]) -> (Vec<IntegrityScope>, Vec<AuditScope>) {
    let mut integrity = Vec::new();
    let mut audit = Vec::new();
    for scope in scopes {
        match scope {
            Scope::Integrity(scope) => integrity.push(*scope),
            Scope::Audit(scope) => audit.push(*scope),
        }
    }
    (integrity, audit)
}
