//! What reports make of findings, damage and measurements.

use std::collections::BTreeSet;

use memorybank::domain::{
    BankFacts, CorruptionType, Digest, FindingState, Level, Outcome, Reason, Sample, Severity, TaskKind, TaskReport,
    Verdict,
};
use memorybank::store::{LatestSample, Location, Store};
use proptest::prelude::*;

use crate::reports::{at, check, damage, finding, report, task};
use crate::{audit, begin, check_task, facts, integrity, on_both};

on_both!(
    findings_are_new_then_persisting_then_fixed_then_new_again,
    damage_is_closed_only_by_a_verdict,
    a_late_report_changes_nothing_that_a_newer_one_judged,
    a_clock_that_was_ahead_hides_nothing_once_it_is_set_back,
    a_run_takes_its_place_when_it_is_started,
    measurements_and_samples_are_the_newest
);

async fn findings_are_new_then_persisting_then_fixed_then_new_again(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&audit("1", 1, Verdict::Failed, &["x", "y"])).await.unwrap();
    let first = facts(&store).await.findings;
    assert_eq!((first.high, first.new, first.persisting, first.fixed), (2, 2, 0, 0));

    store.finish_run(&audit("2", 2, Verdict::Failed, &["x", "z"])).await.unwrap();
    let second = facts(&store).await.findings;
    assert_eq!((second.new, second.persisting, second.fixed), (1, 1, 1), "z is new, x persists, y is fixed");
    assert_eq!(second.top[0], (FindingState::New, finding("leaks", "z")));
    assert_eq!(second.top[1], (FindingState::Persisting, finding("leaks", "x")));

    store.finish_run(&audit("3", 3, Verdict::Unknown, &[])).await.unwrap();
    let third = facts(&store).await.findings;
    assert_eq!((third.new, third.persisting, third.fixed), (1, 1, 0), "what was not looked at stays as it is");

    store.finish_run(&audit("4", 4, Verdict::Failed, &["y"])).await.unwrap();
    let fourth = facts(&store).await.findings;
    assert_eq!((fourth.high, fourth.new, fourth.persisting, fourth.fixed), (1, 1, 0, 2), "y came back and is new");
}

async fn damage_is_closed_only_by_a_verdict(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&integrity("1", 1, Verdict::Failed, &["memories", "apps"])).await.unwrap();
    let first = facts(&store).await.corruption;
    assert_eq!((first.open, first.last_detected, first.top.len()), (2, Some(at(1)), 2));

    let mut worse = integrity("2", 2, Verdict::Failed, &["memories", "apps"]);
    worse.tasks[0].corruption[0].count = 9;
    worse.tasks[0].corruption[0].severity = Severity::Critical;
    store.finish_run(&worse).await.unwrap();
    let second = facts(&store).await.corruption;
    assert_eq!((second.open, second.last_detected), (2, Some(at(1))), "the same damage is no new event");
    assert_eq!(second.top[0].1, worse.tasks[0].corruption[0], "but it tells the newest state");
    let id_of = |summary: &memorybank::domain::CorruptionSummary, object: &str| {
        summary.top.iter().find(|(_, event)| event.object == object).map(|(id, _)| id.clone()).unwrap()
    };
    assert_eq!(id_of(&first, "memories"), id_of(&second, "memories"));

    store.finish_run(&integrity("3", 3, Verdict::Unknown, &[])).await.unwrap();
    let mut cut = integrity("4", 4, Verdict::Failed, &[]);
    cut.tasks[0].omitted = 1;
    store.finish_run(&cut).await.unwrap();
    let mut other = integrity("5", 5, Verdict::Passed, &[]);
    other.tasks[0].checks[0].component = "history".into();
    store.finish_run(&other).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 2, "Unknown, left out, and another component close nothing");

    store.finish_run(&integrity("6", 6, Verdict::Failed, &["apps"])).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 1);
    store.finish_run(&integrity("7", 7, Verdict::Failed, &["apps", "memories"])).await.unwrap();
    let returned = facts(&store).await.corruption;
    assert_eq!((returned.open, returned.last_detected), (2, Some(at(7))));
    assert_ne!(id_of(&returned, "memories"), id_of(&second, "memories"), "what returns is another event");
    let metrics = store.bank_metrics().await.unwrap();
    let bank = &metrics[&("default".to_owned(), "assistant".to_owned())];
    assert_eq!(bank.corruption_total, [(CorruptionType::FileCorruption, 3)]);
    assert_eq!(bank.open_corruption, 2);
}

async fn a_late_report_changes_nothing_that_a_newer_one_judged(location: Location) {
    let store = Store::open(&location).await.unwrap();
    begin(&store, &["1", "5", "9"]).await;
    store.finish_run(&integrity("1", 1, Verdict::Failed, &["apps"])).await.unwrap();
    store.finish_run(&integrity("9", 9, Verdict::Failed, &["memories"])).await.unwrap();
    let mut late = integrity("5", 5, Verdict::Failed, &["apps"]);
    late.tasks[0].checks.push(check("sqlite-text", Verdict::Failed));
    late.tasks[0].corruption.push(damage("sqlite-text", "memories.content"));
    store.finish_run(&late).await.unwrap();
    let open: BTreeSet<String> =
        facts(&store).await.corruption.top.into_iter().map(|(_, event)| event.object).collect();
    assert_eq!(open, ["memories", "memories.content"].map(str::to_owned).into(), "only what nobody judged since");
}

const MONTH: i64 = 30 * 24 * 60;

async fn a_clock_that_was_ahead_hides_nothing_once_it_is_set_back(location: Location) {
    let store = Store::open(&location).await.unwrap();
    store.finish_run(&integrity("ahead", MONTH, Verdict::Failed, &["apps"])).await.unwrap();
    store.finish_run(&audit("audit-ahead", MONTH, Verdict::Failed, &["x"])).await.unwrap();
    let mut back = integrity("back", 1, Verdict::Failed, &["memories"]);
    back.tasks[0].outcome = Outcome::Unknown;
    back.tasks[0].scopes[0].outcome = Outcome::Unknown;
    back.tasks[0].samples = vec![Sample { metric: "memories".to_owned(), value: 2.0 }];
    store.finish_run(&back).await.unwrap();
    store.finish_run(&audit("audit-back", 2, Verdict::Failed, &["y"])).await.unwrap();

    let known = facts(&store).await;
    assert_eq!((known.corruption.open, known.corruption.top[0].1.object.as_str()), (1, "memories"), "apps is mended");
    assert_eq!((known.findings.new, known.findings.persisting, known.findings.fixed), (1, 0, 1), "y is new, x fixed");
    let newest: Vec<_> = known.measurements.iter().map(|row| (row.outcome, row.finished, row.run.as_str())).collect();
    assert_eq!(newest, [(Outcome::Unknown, at(1), "run-back"), (Outcome::Succeeded, at(2), "run-audit-back")]);

    // The report of another run under the wrong clock, which began before and comes now, is late.
    let mut ahead = integrity("late", MONTH + 1, Verdict::Passed, &[]);
    ahead.tasks[0].samples = vec![Sample { metric: "memories".to_owned(), value: 3.0 }];
    begin(&store, &["late", "in-time"]).await;
    store.finish_run(&integrity("in-time", 3, Verdict::Failed, &["memories", "history"])).await.unwrap();
    store.finish_run(&ahead).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 2);
    assert_eq!(facts(&store).await.measurements[0].run, "run-in-time");
    let metrics = store.bank_metrics().await.unwrap();
    let samples = &metrics[&("default".to_owned(), "assistant".to_owned())].samples;
    let late = LatestSample { metric: "memories".to_owned(), value: 3.0, time: at(MONTH + 1) };
    assert_eq!(*samples, [late], "the newest run that measured it");
}

async fn a_run_takes_its_place_when_it_is_started(location: Location) {
    let store = Store::open(&location).await.unwrap();
    begin(&store, &["waiting", "quick"]).await;
    store.mark_started("quick", at(1)).await.unwrap();
    store.mark_started("waiting", at(2)).await.unwrap();
    store.finish_run(&integrity("waiting", 3, Verdict::Failed, &["apps"])).await.unwrap();
    store.finish_run(&integrity("quick", 4, Verdict::Passed, &[])).await.unwrap();
    assert_eq!(facts(&store).await.corruption.open, 1, "what was planned first was started last");
}

async fn measurements_and_samples_are_the_newest(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let measure = |uid: &str, minutes, outcome, value| {
        let mut task = check_task();
        task.scopes[0].outcome = outcome;
        task.samples = vec![
            Sample { metric: "memories".to_owned(), value },
            Sample { metric: "broken".to_owned(), value: f64::NAN },
        ];
        report(uid, at(minutes), vec![task, task_without_scopes()])
    };
    begin(&store, &["1", "2"]).await;
    store.finish_run(&measure("2", 2, Outcome::Unknown, 20.0)).await.unwrap();
    store.finish_run(&measure("1", 1, Outcome::Succeeded, 10.0)).await.unwrap();
    let mut known = facts(&store).await.measurements;
    known.reverse();
    assert_eq!(known.len(), 2);
    assert_eq!(
        (known[0].task, known[0].level, known[0].scope.as_str()),
        (TaskKind::IntegrityCheck, Some(Level::Quick), "Database")
    );
    assert_eq!((known[0].outcome, known[0].finished, known[0].run.as_str()), (Outcome::Unknown, at(2), "run-2"));
    assert_eq!((known[1].task, known[1].level, known[1].scope.as_str()), (TaskKind::Backup, None, ""));
    assert_eq!(known[1].message, "comes later");
    let metrics = store.bank_metrics().await.unwrap();
    let newest = LatestSample { metric: "memories".to_owned(), value: 20.0, time: at(2) };
    assert_eq!(metrics[&("default".to_owned(), "assistant".to_owned())].samples, [newest]);
    assert_eq!(facts(&store).await, facts(&store).await);
    assert_eq!(store.facts("default", "another").await.unwrap(), BankFacts::default());
}

fn task_without_scopes() -> TaskReport {
    let mut task = task(TaskKind::Backup, "");
    task.scopes.clear();
    task.outcome = Outcome::Unknown;
    task.reason = Reason::NotMeasured;
    task.message = "comes later".into();
    task
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order of delivery and whatever the clocks say, what is open in the end is what the verdicts of
    /// the runs say that began last.
    #[test]
    fn the_order_of_delivery_does_not_matter(
        runs in prop::collection::vec((any::<bool>(), -9i64..9, prop::collection::btree_set(0u8..4, 0..4)), 1..6),
        seed in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|n| Digest::of(format!("{seed}/{n}").as_bytes()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&Location::Sqlite(folder.path().to_owned())).await.unwrap();
            let uids: Vec<String> = (0..runs.len()).map(|n| n.to_string()).collect();
            begin(&store, &uids.iter().map(String::as_str).collect::<Vec<_>>()).await;
            for n in order {
                let (complete, clock, objects) = &runs[n];
                let objects: Vec<String> = objects.iter().map(u8::to_string).collect();
                let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
                let verdict = if *complete { Verdict::Failed } else { Verdict::Unknown };
                let delivered = integrity(&uids[n], *clock, verdict, &objects);
                store.finish_run(&delivered).await.unwrap();
            }
            facts(&store).await.corruption.top.into_iter().map(|(_, event)| event.object).collect::<BTreeSet<_>>()
        });
        let newest_complete = runs.iter().rposition(|(complete, ..)| *complete).unwrap_or(0);
        let expected: BTreeSet<String> =
            runs[newest_complete..].iter().flat_map(|(.., objects)| objects).map(u8::to_string).collect();
        prop_assert_eq!(open, expected);
    }
}
