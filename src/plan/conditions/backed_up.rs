use super::Judged;
use crate::domain::{Bank, TaskKind};
use crate::plan::measure::Wanted;
use crate::plan::reason::ConditionReason;

/// Whether a restored and compared backup set proves that the bank could be brought back. Nothing proves it in
/// this version, and nothing is taken on trust.
pub fn backed_up(bank: &Bank, wanted: &[Wanted]) -> Judged {
    let tasks = [TaskKind::Backup, TaskKind::VerifyBackup, TaskKind::RestoreTest];
    if bank.backups.is_empty() && !wanted.iter().any(|w| tasks.contains(&w.task)) {
        return Judged::unknown(
            ConditionReason::NotConfigured,
            "no backup is asked for: declare backups, or waive BackedUp if the bank may be lost",
        );
    }
    Judged::unknown(ConditionReason::NotVerified, "no backup set was verified: this version verifies none")
}
