use crate::domain::{AuditScope, Bank, IntegrityScope, NetworkPart, Pruning, RunSpec, Task, Work};

/// The work order of one run: the same documents give the same one, byte for byte. Scopes that a task leaves
/// open become all that the bank declares; what is kept of it and its sets is what its policies say.
pub fn run_spec(
    namespace: &str,
    run: &str,
    bank: &Bank,
    tasks: &[Task],
    active_deadline_seconds: u32,
    pruning: &Pruning,
) -> RunSpec {
    let filled = |task: &Task| Task { work: fill(&task.work, bank, pruning), ..task.clone() };
    RunSpec {
        namespace: namespace.to_owned(),
        run: run.to_owned(),
        bank: bank.clone(),
        tasks: tasks.iter().map(filled).collect(),
        active_deadline_seconds,
    }
}

/// Whether a run of such tasks must have its bank alone.
pub fn exclusive(tasks: &[Task]) -> bool {
    tasks.iter().any(|task| task.work.kind().exclusive())
}

/// The parts of a bank that must answer over the network for such tasks: a run waits until they do. A `Probe` needs
/// none, for it measures whether they do.
pub fn needs_network(tasks: &[Task], bank: &Bank) -> Vec<NetworkPart> {
    let needed = |part: &NetworkPart| tasks.iter().any(|task| needs(&task.work, *part));
    bank.network_parts().into_iter().filter(needed).collect()
}

/// Whether work can do nothing without a part, of a bank where that answers over the network. A check or an audit of
/// which one scope can be measured without is not kept from it: a database is looked at while a vector store is away.
fn needs(work: &Work, part: NetworkPart) -> bool {
    let (database, vectors) = (part == NetworkPart::Database, part == NetworkPart::VectorStore);
    match work {
        // A recovery looks itself at what is there.
        Work::Probe | Work::Learn | Work::Recover { .. } => false,
        Work::Backup | Work::VerifyBackup | Work::RestoreTest | Work::ConsistencyCheck | Work::Prune(_) => {
            database || vectors
        }
        Work::Optimize => database,
        Work::IntegrityCheck { scopes, .. } => scopes.iter().all(|scope| match scope {
            IntegrityScope::Database => database,
            IntegrityScope::VectorStore => vectors,
            IntegrityScope::Consistency => database || vectors,
            IntegrityScope::Files | IntegrityScope::Backups => false,
        }),
        Work::SecurityAudit { scopes } => scopes.iter().all(|scope| match scope {
            AuditScope::Leaks | AuditScope::Erasure => database,
            AuditScope::Probes => true,
            AuditScope::Posture | AuditScope::Vulnerabilities | AuditScope::Access => false,
        }),
    }
}

fn fill(work: &Work, bank: &Bank, pruning: &Pruning) -> Work {
    match work {
        Work::IntegrityCheck { level, scopes, share_percent } => Work::IntegrityCheck {
            level: *level,
            scopes: integrity_scopes(scopes, bank),
            share_percent: *share_percent,
        },
        Work::SecurityAudit { scopes } => Work::SecurityAudit { scopes: audit_scopes(scopes, bank) },
        Work::Prune(_) => Work::Prune(pruning.clone()),
        other => other.clone(),
    }
}

/// What a check looks at: what it names, else all that the bank declares. Of a bank that declares nothing of it
/// (an API alone) the database, so that the run says what is missing.
pub(super) fn integrity_scopes(named: &[IntegrityScope], bank: &Bank) -> Vec<IntegrityScope> {
    if !named.is_empty() {
        return unique(named);
    }
    let has = |scope: &IntegrityScope| match scope {
        IntegrityScope::Database => bank.database.is_some() || bank.history.is_some(),
        IntegrityScope::VectorStore | IntegrityScope::Consistency => bank.vector_store.is_some(),
        IntegrityScope::Files => !bank.files.is_empty(),
        IntegrityScope::Backups => !bank.backups.is_empty(),
    };
    let declared: Vec<_> = IntegrityScope::ALL.into_iter().filter(has).collect();
    if declared.is_empty() { vec![IntegrityScope::Database] } else { declared }
}

/// What an audit looks at: what it names, else leaks, and erasure where there is a database.
pub(super) fn audit_scopes(named: &[AuditScope], bank: &Bank) -> Vec<AuditScope> {
    if !named.is_empty() {
        return unique(named);
    }
    let mut scopes = vec![AuditScope::Leaks];
    scopes.extend(bank.database.is_some().then_some(AuditScope::Erasure));
    scopes
}

fn unique<T: Copy + PartialEq>(named: &[T]) -> Vec<T> {
    let mut unique = Vec::with_capacity(named.len());
    for scope in named {
        if !unique.contains(scope) {
            unique.push(*scope);
        }
    }
    unique
}
