//! What reports make of findings, damage and measurements.

use std::collections::BTreeSet;

use memorybank::domain::{
    BankFacts, CorruptionType, Digest, FindingState, Level, Outcome, Reason, Sample, Severity, TaskKind, TaskReport,
    Verdict,
};
use memorybank::store::{LatestSample, Location, Store};
use proptest::prelude::*;

use crate::reports::{at, check, damage, finding, report, task};
use crate::{audit, check_task, facts, integrity, on_both};

on_both!(
    findings_are_new_then_persisting_then_fixed_then_new_again,
    damage_is_closed_only_by_a_verdict,
    a_late_report_changes_nothing_that_a_newer_one_judged,
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

    /// Whatever the order of delivery, what is open in the end is what the newest verdicts say.
    #[test]
    fn the_order_of_delivery_does_not_matter(
        runs in prop::collection::vec((any::<bool>(), prop::collection::btree_set(0u8..4, 0..4)), 1..6),
        seed in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|n| Digest::of(format!("{seed}/{n}").as_bytes()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&Location::Sqlite(folder.path().to_owned())).await.unwrap();
            for n in order {
                let (complete, objects) = &runs[n];
                let objects: Vec<String> = objects.iter().map(u8::to_string).collect();
                let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
                let verdict = if *complete { Verdict::Failed } else { Verdict::Unknown };
                let delivered = integrity(&n.to_string(), i64::try_from(n).unwrap(), verdict, &objects);
                store.finish_run(&delivered).await.unwrap();
            }
            facts(&store).await.corruption.top.into_iter().map(|(_, event)| event.object).collect::<BTreeSet<_>>()
        });
        let newest_complete = runs.iter().rposition(|(complete, _)| *complete).unwrap_or(0);
        let expected: BTreeSet<String> =
            runs[newest_complete..].iter().flat_map(|(_, objects)| objects).map(u8::to_string).collect();
        prop_assert_eq!(open, expected);
    }
}
