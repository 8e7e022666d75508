use crate::domain::{AuditScope, Bank, IntegrityScope, RunSpec, Task, Work};
use crate::resources::ValidBank;

/// The RunSpec of a run: scopes that were left open become all that the bank declares. The same documents
/// give the same RunSpec, byte for byte.
pub fn run_spec(bank: &ValidBank, run: String, tasks: &[Task], active_deadline_seconds: u32) -> RunSpec {
    RunSpec {
        namespace: bank.meta.namespace.clone(),
        run,
        bank: bank.bank.clone(),
        tasks: tasks.iter().map(|task| Task { work: filled(&task.work, &bank.bank), ..task.clone() }).collect(),
        active_deadline_seconds,
    }
}

/// The work with its scopes filled in.
pub(super) fn filled(work: &Work, bank: &Bank) -> Work {
    match work {
        Work::IntegrityCheck { level, scopes, share_percent } if scopes.is_empty() => {
            Work::IntegrityCheck { level: *level, scopes: integrity_scopes(bank), share_percent: *share_percent }
        }
        Work::SecurityAudit { scopes } if scopes.is_empty() => Work::SecurityAudit { scopes: audit_scopes(bank) },
        other => other.clone(),
    }
}

fn integrity_scopes(bank: &Bank) -> Vec<IntegrityScope> {
    let vectors = bank.vector_store.is_some();
    let declared = |scope: &IntegrityScope| match scope {
        IntegrityScope::Database => bank.database.is_some() || bank.history.is_some(),
        IntegrityScope::VectorStore => vectors,
        IntegrityScope::Consistency => vectors && bank.database.is_some(),
        IntegrityScope::Files => !bank.files.is_empty(),
        IntegrityScope::Backups => !bank.backups.is_empty(),
    };
    IntegrityScope::ALL.into_iter().filter(declared).collect()
}

fn audit_scopes(bank: &Bank) -> Vec<AuditScope> {
    let mut scopes = vec![AuditScope::Leaks];
    if bank.database.is_some() {
        scopes.push(AuditScope::Erasure);
    }
    scopes
}
