//! What the tasks of a run need mounted. Pure.

use std::collections::BTreeSet;

use crate::domain::{AuditScope, Bank, IntegrityScope, PathInVolume, SqlDatabase, Task, Work};

/// The volumes of a bank that its tasks read, by name. No task of this version writes to a bank.
pub fn volumes(bank: &Bank, tasks: &[Task]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for task in tasks {
        match &task.work {
            Work::IntegrityCheck { scopes, .. } => scopes.iter().for_each(|scope| of_check(bank, *scope, &mut needed)),
            Work::SecurityAudit { scopes } => scopes.iter().for_each(|scope| of_audit(bank, *scope, &mut needed)),
            _ => {}
        }
    }
    needed
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
        IntegrityScope::Database => needed.extend(databases(bank).map(|place| place.volume.clone())),
        IntegrityScope::Files => needed.extend(bank.files.iter().map(|tree| tree.root.volume.clone())),
        IntegrityScope::VectorStore | IntegrityScope::Consistency | IntegrityScope::Backups => {}
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
