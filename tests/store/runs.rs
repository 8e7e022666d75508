//! Runs and the delivery of their reports.

use memorybank::domain::Phase;
use memorybank::domain::{BankFacts, Outcome, Reason, RunReport, Verdict};
use memorybank::store::{AuditEntry, Begin, Finish, Location, Store};

use crate::reports::{at, check, damage, finding, record, report};
use crate::{audit, audit_task, begin, check_task, entry, facts, integrity, on_both};

on_both!(
    a_run_goes_from_pending_to_its_report,
    a_run_that_ended_without_a_report_takes_a_late_one,
    a_run_is_told_by_its_decisive_task,
    a_bank_is_known_by_its_runs_or_its_measurements,
    deliveries_at_once_are_kept_once_each,
    a_report_of_thousands_is_kept_whole,
    texts_with_nul_are_kept
);

async fn a_run_goes_from_pending_to_its_report(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let run = record("a", at(0));
    assert_eq!(store.begin_run(&run).await.unwrap(), Begin::New);
    let mut same_name = record("b", at(1));
    same_name.name.clone_from(&run.name);
    assert_eq!(store.begin_run(&same_name).await.unwrap(), Begin::Exists(Box::new(run.clone())));
    assert_eq!(store.unfinished_runs().await.unwrap(), std::slice::from_ref(&run));

    assert!(store.set_phase("a", Phase::Held, "Overlap", "another run has the bank", at(1)).await.unwrap());
    assert!(!store.set_phase("a", Phase::Held, "Overlap", "another run has the bank", at(2)).await.unwrap());
    assert!(store.mark_started("a", at(3)).await.unwrap());
    assert!(!store.mark_started("unknown", at(3)).await.unwrap());

    let mut tasks = vec![check_task(), audit_task()];
    tasks[1].outcome = Outcome::Unknown;
    tasks[1].reason = Reason::PermissionDenied;
    tasks[1].message = "uid 1000 cannot read it".into();
    let done = report("a", at(5), tasks);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Stored);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Duplicate);
    assert!(!store.set_phase("a", Phase::Failed, "JobDeleted", "", at(6)).await.unwrap(), "a report is the last word");
    assert!(!store.mark_started("a", at(6)).await.unwrap());

    let kept = store.run("default", "run-a").await.unwrap().unwrap();
    assert_eq!((kept.phase, kept.reason.as_str()), (Phase::Unknown, "PermissionDenied"));
    assert_eq!(kept.message, "uid 1000 cannot read it");
    assert_eq!((kept.started, kept.finished), (Some(at(3)), Some(at(5))));
    let bytes = store.get_blob(&kept.report.unwrap()).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<RunReport>(&bytes).unwrap(), done);
    assert_eq!(store.unfinished_runs().await.unwrap(), []);

    assert_eq!(store.begin_run(&record("c", at(9))).await.unwrap(), Begin::New);
    let newest_first: Vec<String> =
        store.runs("default", "assistant").await.unwrap().into_iter().map(|run| run.uid).collect();
    assert_eq!(newest_first, ["c", "a"]);
    assert_eq!(store.delete_runs(&["a".to_owned(), "unknown".to_owned()]).await.unwrap(), 1);
    assert_eq!(store.finish_run(&done).await.unwrap(), Finish::Duplicate, "also when its run is forgotten");

    // What was acknowledged is there after the process is gone.
    store.close().await;
    let again = Store::open(&location).await.unwrap();
    assert_eq!(again.finish_run(&done).await.unwrap(), Finish::Duplicate);
    assert_eq!(again.runs("default", "assistant").await.unwrap().len(), 1);
}

async fn a_run_is_told_by_its_decisive_task(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let worse = [Outcome::Succeeded, Outcome::Skipped, Outcome::Unknown, Outcome::Failed];
    let phases = [Phase::Succeeded, Phase::Unknown, Phase::Unknown, Phase::Failed];
    for n in 0..4 {
        let uid = n.to_string();
        begin(&store, &[&uid]).await;
        let tasks = worse[..=n].iter().map(|outcome| {
            let mut task = check_task();
            task.outcome = *outcome;
            task.message = format!("it is {}", outcome.name());
            task
        });
        store.finish_run(&report(&uid, at(1), tasks.collect())).await.unwrap();
        let kept = store.run("default", &format!("run-{uid}")).await.unwrap().unwrap();
        let message = if n == 0 { String::new() } else { format!("it is {}", worse[n].name()) };
        assert_eq!((kept.phase, kept.message), (phases[n], message));
    }
}

async fn a_bank_is_known_by_its_runs_or_its_measurements(location: Location) {
    let store = Store::open(&location).await.unwrap();
    assert!(store.known_banks("default").await.unwrap().is_empty());
    for uid in ["1", "2"] {
        let mut run = record(uid, at(0));
        "planned".clone_into(&mut run.bank);
        store.begin_run(&run).await.unwrap();
    }
    let mut elsewhere = record("3", at(0));
    "other".clone_into(&mut elsewhere.namespace);
    "elsewhere".clone_into(&mut elsewhere.bank);
    store.begin_run(&elsewhere).await.unwrap();
    store.finish_run(&integrity("4", 1, Verdict::Passed, &[])).await.unwrap();
    let known: Vec<String> = store.known_banks("default").await.unwrap().into_iter().collect();
    assert_eq!(known, ["assistant", "planned"]);
}

async fn a_run_that_ended_without_a_report_takes_a_late_one(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.begin_run(&record("a", at(0))).await.unwrap();
    assert!(store.set_phase("a", Phase::Failed, "ReportLost", "", at(9)).await.unwrap());
    assert_eq!(store.run("default", "run-a").await.unwrap().unwrap().finished, Some(at(9)));
    assert_eq!(store.finish_run(&report("a", at(5), vec![check_task()])).await.unwrap(), Finish::Stored);
    let kept = store.run("default", "run-a").await.unwrap().unwrap();
    assert_eq!((kept.phase, kept.reason.as_str(), kept.finished), (Phase::Succeeded, "Completed", Some(at(5))));
}

async fn deliveries_at_once_are_kept_once_each(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let deliveries = (0..40).map(|n| {
        let store = store.clone();
        let delivered = audit(&format!("{}", n % 10), n % 10, Verdict::Failed, &["x", "y"]);
        tokio::spawn(async move { store.finish_run(&delivered).await.unwrap() })
    });
    let mut stored = 0;
    for delivery in deliveries.collect::<Vec<_>>() {
        stored += usize::from(delivery.await.unwrap() == Finish::Stored);
    }
    assert_eq!(stored, 10);
    assert_eq!(facts(&store).await.findings.high, 2, "ten reports of the same two findings");
    let verdict = store.verify_audit().await.unwrap();
    assert_eq!((verdict.rows, verdict.why), (10, None));
}

async fn a_report_of_thousands_is_kept_whole(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let tasks = (0..12).map(|t| {
        let mut task = audit_task();
        task.checks = vec![check("leaks", Verdict::Failed), check("sqlite-schema", Verdict::Failed)];
        task.findings = (0..1_000).map(|n| finding("leaks", &format!("{t}-{n}"))).collect();
        task.corruption = (0..300).map(|n| damage("sqlite-schema", &format!("{t}-{n}"))).collect();
        task
    });
    let mut large = report("1", at(1), tasks.collect());
    store.finish_run(&large).await.unwrap();
    let known = facts(&store).await;
    assert_eq!((known.findings.new, known.corruption.open), (12_000, 3_600));
    assert_eq!((known.findings.top.len(), known.corruption.top.len()), (BankFacts::TOP, BankFacts::TOP));
    large.uid = "2".into();
    large.finished = at(2);
    large.tasks.truncate(1);
    store.finish_run(&large).await.unwrap();
    let known = facts(&store).await;
    assert_eq!((known.findings.persisting, known.findings.fixed, known.corruption.open), (1_000, 11_000, 300));
}

async fn texts_with_nul_are_kept(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let mut odd = integrity("1", 1, Verdict::Failed, &["a\0b"]);
    odd.tasks[0].message = "half\0written".into();
    odd.run = "run\0".into();
    store.finish_run(&odd).await.unwrap();
    store.append_audit(&AuditEntry { actor: "al\0ice".to_owned(), ..entry(1) }).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 1);
    assert!(store.verify_audit().await.unwrap().is_intact());
}
