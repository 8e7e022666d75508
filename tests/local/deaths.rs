//! A guardian that is told to end, and one that is killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::guardian::{Bed, field, memorybank, text, wait_for};

/// Runs, and reports, by name.
fn names(bed: &Bed, sql: &str) -> Vec<String> {
    bed.query(sql).into_iter().map(|mut row| row.remove(0)).collect()
}

fn unfinished(bed: &Bed) -> Vec<String> {
    names(bed, "SELECT name FROM runs WHERE finished IS NULL ORDER BY name")
}

fn reports(bed: &Bed) -> Vec<String> {
    names(bed, "SELECT run FROM reports ORDER BY run")
}

fn audit_log_is_intact(bed: &Bed) {
    let output = memorybank().args(["audit", "verify", "--data"]).arg(bed.data()).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_run_that_sigterm_interrupts_is_executed_by_the_next_start() {
    let bed = Bed::new(10_000);
    let served = bed.watch(&[]);
    wait_for("a run in scratch", || (!bed.scratch().is_empty()).then_some(()));
    let begun = Instant::now();
    let status = served.stop();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(bed.scratch(), Vec::<std::path::PathBuf>::new());
    assert_eq!(reports(&bed), Vec::<String>::new());
    let interrupted = unfinished(&bed);
    assert!(!interrupted.is_empty());

    bed.once_ends(&[], 0);
    assert_eq!(unfinished(&bed), Vec::<String>::new());
    assert_eq!(reports(&bed), interrupted, "each once, under the same name");
    bed.once_ends(&[], 0);
    assert_eq!(reports(&bed), interrupted);
}

#[test]
fn fifty_kills_lose_no_report_and_double_none() {
    const KILLS: usize = 50;
    let bed = Bed::new(2_000);
    let keep_all = "  bankSelector: {}\n  successfulRunsHistoryLimit: 100\n  failedRunsHistoryLimit: 100";
    bed.edit("  bankSelector: {}", keep_all);
    bed.once_ends(&["--now"], 0);
    let mut random = ChaCha8Rng::seed_from_u64(41);
    let (mut in_the_middle, mut left) = (0, 0);
    for _ in 0..KILLS {
        // Every start asks for everything anew, and takes up what the one before left.
        let guardian = bed.spawn(&["--now", "--listen", "127.0.0.1:0"]);
        let life = Duration::from_millis(u64::from(random.next_u32() % 1_100));
        let begun = Instant::now();
        wait_for("its time to die", || (begun.elapsed() >= life).then_some(()));
        guardian.kill();
        in_the_middle += usize::from(!unfinished(&bed).is_empty());
        left += usize::from(!bed.scratch().is_empty());
    }
    assert!(in_the_middle >= 20 && left >= 10, "{in_the_middle} kills within runs, {left} left copies");

    bed.once_ends(&[], 0);
    assert_eq!(unfinished(&bed), Vec::<String>::new());
    assert_eq!(bed.scratch(), Vec::<std::path::PathBuf>::new());
    let reports = reports(&bed);
    assert_eq!(reports.len(), reports.iter().collect::<BTreeSet<_>>().len(), "a run has one report: {reports:?}");
    let uids = names(&bed, "SELECT uid FROM reports");
    assert_eq!(uids.len(), uids.iter().collect::<BTreeSet<_>>().len());
    // No run that is known is without its report, and each report is in the audit log once.
    let lost = "SELECT name FROM runs WHERE report_digest IS NULL OR uid NOT IN (SELECT uid FROM reports)";
    assert_eq!(names(&bed, lost), Vec::<String>::new());
    assert_eq!(names(&bed, "SELECT name FROM runs WHERE phase <> 'Succeeded'"), Vec::<String>::new());
    let logged =
        "SELECT json_extract(detail, '$.uid') FROM enhanced_audit_log WHERE action = 'run-finished' ORDER BY 1";
    let mut uids = uids;
    uids.sort();
    assert_eq!(names(&bed, logged), uids);
    audit_log_is_intact(&bed);

    // What is shown is what is known, in the records and in the files.
    let shown: BTreeSet<String> = bed.objects("mrun").iter().map(|run| field(run, "/metadata/name")).collect();
    assert_eq!(shown, names(&bed, "SELECT name FROM runs").into_iter().collect());
    for run in bed.objects("mrun") {
        let name = field(&run, "/metadata/name");
        assert_eq!(bed.status("MaintenanceRun", &name).unwrap(), run);
        assert_eq!(field(&run, "/status/phase"), "Succeeded", "{run:#}");
    }
}
