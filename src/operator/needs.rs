//! What the tasks of a run need mounted. Pure.

use std::collections::BTreeSet;

use crate::domain::{AuditScope, Bank, IntegrityScope, PathInVolume, SqlDatabase, Task, Work};

/// The volumes of a bank that its tasks need, by name.
pub fn volumes(bank: &Bank, tasks: &[Task]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for task in tasks {
        match &task.work {
            Work::IntegrityCheck { scopes, .. } => scopes.iter().for_each(|scope| of_check(bank, *scope, &mut needed)),
            Work::SecurityAudit { scopes } => scopes.iter().for_each(|scope| of_audit(bank, *scope, &mut needed)),
            Work::ConsistencyCheck => of_check(bank, IntegrityScope::Consistency, &mut needed),
            Work::Optimize => of_check(bank, IntegrityScope::Database, &mut needed),
            Work::Backup | Work::VerifyBackup | Work::RestoreTest | Work::Recover { .. } => {
                // Verification holds a set against the living bank.
                of_check(bank, IntegrityScope::Database, &mut needed);
                of_check(bank, IntegrityScope::Files, &mut needed);
                needed.extend(repository(bank).map(|place| place.volume.clone()));
            }
            Work::Prune(pruning) => {
                if pruning.purge.is_some() {
                    of_check(bank, IntegrityScope::Database, &mut needed);
                }
                needed.extend(repository(bank).map(|place| place.volume.clone()));
            }
            _ => {}
        }
    }
    needed
}

/// Those of them that are written to: the repository's by Backup and Prune, those of SQLite files by an optimization and a
/// purge, and all of them by a recovery (one that only shows its plan undoes what an interrupted one has left).
pub fn written(bank: &Bank, tasks: &[Task]) -> BTreeSet<String> {
    let recovers = |task: &Task| matches!(task.work, Work::Recover { .. });
    if tasks.iter().any(recovers) {
        return volumes(bank, tasks);
    }
    let any = |wanted: fn(&Work) -> bool| tasks.iter().any(|task| wanted(&task.work));
    let sets = repository(bank).filter(|_| any(|work| matches!(work, Work::Backup | Work::Prune(_))));
    let changes = |work: &Work| match work {
        Work::Optimize => true,
        Work::Prune(pruning) => pruning.purge.is_some(),
        _ => false,
    };
    let changed = databases(bank).filter(|_| any(changes));
    sets.into_iter().chain(changed).map(|place| place.volume.clone()).collect()
}

fn repository(bank: &Bank) -> Option<&PathInVolume> {
    bank.repository.as_ref()?.folder.as_ref()
}

/// Whether the tasks copy a SQLite file, whose locks and shared memory need the kernel of whoever writes it.
pub fn sqlite(bank: &Bank, tasks: &[Task]) -> BTreeSet<String> {
    let files: BTreeSet<String> = databases(bank).map(|place| place.volume.clone()).collect();
    volumes(bank, tasks).intersection(&files).cloned().collect()
}

fn databases(bank: &Bank) -> impl Iterator<Item = &PathInVolume> {
    let database = match &bank.database {
        Some(SqlDatabase::Sqlite(place)) => Some(place),
        _ => None,
    };
    database.into_iter().chain(&bank.history)
}

fn of_check(bank: &Bank, scope: IntegrityScope, needed: &mut BTreeSet<String>) {
    match scope {
        IntegrityScope::Database | IntegrityScope::Consistency => {
            needed.extend(databases(bank).map(|place| place.volume.clone()));
        }
        IntegrityScope::Files => needed.extend(bank.files.iter().map(|tree| tree.root.volume.clone())),
        IntegrityScope::Backups => needed.extend(bank.backups.iter().map(|tree| tree.root.volume.clone())),
        IntegrityScope::VectorStore => {}
    }
}

fn of_audit(bank: &Bank, scope: AuditScope, needed: &mut BTreeSet<String>) {
    match scope {
        // The scan reads every file of text.
        AuditScope::Leaks => needed.extend(bank.volumes.iter().cloned()),
        AuditScope::Erasure => needed.extend(databases(bank).map(|place| place.volume.clone())),
        AuditScope::Posture | AuditScope::Probes | AuditScope::Vulnerabilities | AuditScope::Access => {}
    }
}
