use super::Judged;
use crate::domain::{BackupVerdict, Bank, BankFacts, Measurement, Outcome, RestoreVerdict, TaskKind};
use crate::plan::measure::Wanted;
use crate::plan::reason::ConditionReason;
use crate::plan::view::Asks;
use crate::plan::wake::{Wake, after, second};
use crate::resources::Thresholds;

/// A set that was read back whole proves that the bank could be brought back, for as long as the set is young enough for
/// the strictest policy. One that was refused breaks the promise even beside an older good one: what is made now is not
/// what it should be.
pub fn backed_up(bank: &Bank, asks: &Asks<'_>, wanted: &[Wanted], facts: &BankFacts, wake: &mut Wake) -> Judged {
    let tasks = [TaskKind::Backup, TaskKind::VerifyBackup, TaskKind::RestoreTest];
    let asked = wanted.iter().any(|w| tasks.contains(&w.task));
    if bank.backups.is_empty() && bank.repository.is_none() && !asked {
        return Judged::unknown(
            ConditionReason::NotConfigured,
            "no backup is asked for: declare a repository, or waive BackedUp if the bank may be lost",
        );
    }
    let Some(verdict) = &facts.backup else { return not_verified(asked, facts) };
    match verdict {
        BackupVerdict { set: None, .. } => Judged::bad(
            ConditionReason::NoBackup,
            "no set of this bank was ever made: ask for a Backup, and look at its runs",
        ),
        BackupVerdict { set: Some(set), refused: Some(why), verified, time, .. } => {
            let older = verified.as_ref().map(|v| format!(" The newest good one is {}.", v.set)).unwrap_or_default();
            let message =
                format!("set {set} was refused at {}: {why}.{older} Make another, and keep this one", second(*time));
            Judged::bad(ConditionReason::VerificationFailed, message)
        }
        BackupVerdict { verified: Some(verified), .. } => {
            let limits = asks.policies.iter().map(|ask| ask.policy.thresholds.backup_max_age_seconds);
            let limit = limits.min().unwrap_or_else(|| Thresholds::default().backup_max_age_seconds);
            let (set, started) = (&verified.set, second(verified.started));
            if wake.passed(after(started, i64::from(limit))) {
                let message = format!(
                    "the newest verified set {set} is older than {limit} s: look at the runs that make and verify sets"
                );
                return Judged::bad(ConditionReason::BackupTooOld, message);
            }
            restored(asks, wanted, facts, wake)
                .unwrap_or_else(|| Judged::good(format!("set {set} was read back whole")))
        }
        BackupVerdict { verified: None, .. } => not_verified(asked, facts),
    }
}

/// What restore tests say against a set that was read back whole: one that is no bank when it is restored; and where
/// somebody asks for them, that none is young enough. Nothing where they say nothing against it.
fn restored(asks: &Asks<'_>, wanted: &[Wanted], facts: &BankFacts, wake: &mut Wake) -> Option<Judged> {
    if let Some(RestoreVerdict { set, refused: Some(why), time, .. }) = &facts.restore {
        let message = format!(
            "set {set} was no bank when it was restored at {}: {why}. Keep it, make another, and look for damage in the bank",
            second(*time)
        );
        return Some(Judged::bad(ConditionReason::RestoreTestFailed, message));
    }
    if !wanted.iter().any(|w| w.task == TaskKind::RestoreTest) {
        return None;
    }
    let limits = asks.policies.iter().map(|ask| ask.policy.thresholds.restore_test_max_age_seconds);
    let limit = limits.min().unwrap_or_else(|| Thresholds::default().restore_test_max_age_seconds);
    let Some(restored) = facts.restore.as_ref().and_then(|verdict| verdict.restored.as_ref()) else {
        let message = match facts.measurements.iter().find(|measured| measured.task == TaskKind::RestoreTest) {
            Some(measured) => unmeasured(measured),
            None => "no set was restored for a test yet: wait for the run of RestoreTest, or ask for it now".to_owned(),
        };
        return Some(Judged::unknown(ConditionReason::NotVerified, message));
    };
    wake.passed(after(second(restored.time), i64::from(limit))).then(|| {
        let message = format!(
            "the newest set that was restored for a test, {}, was so more than {limit} s ago: look at the runs of \
             RestoreTest",
            restored.set
        );
        Judged::bad(ConditionReason::BackupTooOld, message)
    })
}

fn unmeasured(measured: &Measurement) -> String {
    let Measurement { task, run, outcome, message, .. } = measured;
    format!("{} of run {run} ended {}: {message}", task.name(), outcome.name())
}

/// What keeps sets from being verified, as far as it is known.
fn not_verified(asked: bool, facts: &BankFacts) -> Judged {
    let newest = |task| facts.measurements.iter().find(|m: &&Measurement| m.task == task);
    let unmeasured = [TaskKind::Backup, TaskKind::VerifyBackup].into_iter().find_map(|task| {
        let measured = newest(task).filter(|m| m.outcome != Outcome::Succeeded)?;
        Some(unmeasured(measured))
    });
    let message = match unmeasured {
        Some(why) => why,
        None if asked => "no set was verified yet: wait for a run of Backup and VerifyBackup".to_owned(),
        None => "nobody asks for Backup and VerifyBackup: add a policy with both tasks".to_owned(),
    };
    Judged::unknown(ConditionReason::NotVerified, message)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{PathInVolume, Repository, RestoredSet, VerifiedSet};
    use crate::plan::view::PolicyAsk;
    use crate::resources::{ConditionStatus, Config};

    const POLICY: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: assistant}
spec:
  database: {sqlite: {volume: data, path: openmemory.db}}
  volumes: [{name: data, folder: {path: ./data}}]
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: strict}
spec:
  bankSelector: {}
  schedules: [{name: daily, cron: '0 6 * * *', tasks: [{task: Probe}]}]
  thresholds: {backupMaxAgeSeconds: 3600}
";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn verified() -> VerifiedSet {
        let (started, time) = (at("2026-11-22T05:00:00Z"), at("2026-11-22T05:10:00Z"));
        VerifiedSet { set: "good".to_owned(), started, time, bytes: 7, manifest: None }
    }

    fn verdict(set: Option<&str>, refused: Option<&str>, verified: Option<VerifiedSet>) -> BackupVerdict {
        let (set, refused) = (set.map(str::to_owned), refused.map(str::to_owned));
        BackupVerdict { set, time: at("2026-11-22T05:10:00Z"), refused, lacks: None, verified }
    }

    #[test]
    fn only_a_verified_set_that_is_young_enough_keeps_the_promise() {
        let (config, _) = Config::load(&[("bank.yaml".to_owned(), POLICY.to_owned())]).unwrap();
        let plain = config.banks[0].bank.clone();
        let place = PathInVolume { volume: "data".to_owned(), path: "sets".to_owned() };
        let declared =
            Bank { repository: Some(Repository { folder: Some(place), s3: None, encryption: None }), ..plain.clone() };
        let strict =
            Asks { policies: vec![PolicyAsk { policy: &config.policies[0], echoed: None }], ..Asks::default() };
        let none = Asks::default();
        let judge = |bank: &Bank, asks: &Asks<'_>, verdict: Option<BackupVerdict>, now: &str| {
            let facts = BankFacts { backup: verdict, ..BankFacts::default() };
            let mut wake = Wake::new(at(now));
            let judged = backed_up(bank, asks, &[], &facts, &mut wake);
            (judged.status, judged.reason, judged.message, wake.next())
        };
        let soon = "2026-11-22T05:59:00Z";
        let good = || Some(verdict(Some("good"), None, Some(verified())));
        let refused = Some(verdict(Some("bad"), Some("a.zst: differs"), Some(verified())));
        let (yes, no, unknown) = (ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown);
        for (bank, asks, verdict, now, expected) in [
            (&plain, &none, None, soon, (unknown, ConditionReason::NotConfigured)),
            (&declared, &none, None, soon, (unknown, ConditionReason::NotVerified)),
            (&declared, &none, Some(verdict(None, Some("none"), None)), soon, (no, ConditionReason::NoBackup)),
            (&declared, &none, refused, soon, (no, ConditionReason::VerificationFailed)),
            (&declared, &none, good(), "2026-11-24T05:00:00Z", (yes, ConditionReason::AsExpected)),
            (&declared, &none, good(), "2026-11-24T05:00:01Z", (no, ConditionReason::BackupTooOld)),
            (&declared, &strict, good(), soon, (yes, ConditionReason::AsExpected)),
            (&declared, &strict, good(), "2026-11-22T06:00:01Z", (no, ConditionReason::BackupTooOld)),
        ] {
            let (status, reason, message, _) = judge(bank, asks, verdict, now);
            assert_eq!((status, reason), expected, "{message}");
        }
        let (.., next) = judge(&declared, &strict, good(), soon);
        assert_eq!(next, Some(at("2026-11-22T06:00:01Z")), "it looks again when the set is too old");
    }

    #[test]
    fn a_set_that_is_no_bank_when_it_is_restored_keeps_no_promise() {
        let (config, _) = Config::load(&[("bank.yaml".to_owned(), POLICY.to_owned())]).unwrap();
        let bank = config.banks[0].bank.clone();
        let restored = Some(RestoredSet {
            set: "old".to_owned(),
            started: at("2026-10-01T05:00:00Z"),
            time: at("2026-10-30T05:00:00Z"),
        });
        let verdict = |refused: Option<&str>| RestoreVerdict {
            set: "old".to_owned(),
            time: at("2026-10-30T05:00:00Z"),
            refused: refused.map(str::to_owned),
            restored: restored.clone(),
        };
        let test = Wanted { task: TaskKind::RestoreTest, level: None, scope: "", interval: None };
        let verify = Wanted { task: TaskKind::VerifyBackup, ..test.clone() };
        let judge = |asked: &Wanted, restore: Option<RestoreVerdict>, now: &str| {
            let facts = BankFacts { backup: Some(verdict_of_good()), restore, ..BankFacts::default() };
            let judged =
                backed_up(&bank, &Asks::default(), std::slice::from_ref(asked), &facts, &mut Wake::new(at(now)));
            (judged.status, judged.reason)
        };
        let (soon, late) = ("2026-11-22T05:59:00Z", "2026-12-01T05:00:01Z");
        let good = (ConditionStatus::True, ConditionReason::AsExpected);
        assert_eq!(judge(&verify, None, soon), good, "nobody asks for a restore test");
        assert_eq!(judge(&test, None, soon), (ConditionStatus::Unknown, ConditionReason::NotVerified));
        assert_eq!(judge(&test, Some(verdict(None)), soon), good);
        for asked in [&test, &verify] {
            let failed = (ConditionStatus::False, ConditionReason::RestoreTestFailed);
            assert_eq!(judge(asked, Some(verdict(Some("short"))), soon), failed);
        }
        assert_eq!(judge(&test, Some(verdict(None)), late), (ConditionStatus::False, ConditionReason::BackupTooOld));
    }

    fn verdict_of_good() -> BackupVerdict {
        let verified = VerifiedSet { started: at("2026-11-30T05:00:00Z"), ..verified() };
        verdict(Some("good"), None, Some(verified))
    }
}
