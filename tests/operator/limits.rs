//! What keeps a run waiting though nothing is wrong: windows, the cap on Jobs, the lock of its bank.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::bed::{Bed, message, wait_for};
use crate::ends::by_hand;
use crate::wholesome::BANK;

#[tokio::test]
async fn a_slot_outside_its_window_is_held_until_it_opens() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    // Open in two days: whatever the minute, not now.
    let later = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(2.days()).unwrap();
    let day = match later.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    };
    bed.apply(&format!(
        r#"
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {{name: eager}}
spec:
  bankSelector: {{}}
  windows: [{{days: [{day}], start: "06:00", end: "07:00"}}]
  schedules:
  - {{name: often, cron: "* * * * *", tasks: [{{task: IntegrityCheck, level: Quick}}]}}
"#
    ))
    .await;
    let held = wait_for("a run that waits for its window", async || {
        let runs = bed.list("MaintenanceRun").await;
        runs.into_iter().find(|run| run["status"]["phase"] == "Held")
    })
    .await;
    let shown = message(&held, "Succeeded");
    assert!(shown.contains("outside the windows of eager: the next opens at"), "{shown}");
    assert_eq!(held["status"]["conditions"][0]["reason"], "OutsideWindow");
    let slot: Timestamp = held["spec"]["slotTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(slot.as_second() % 60, 0);
    assert_eq!(bed.names("Job").await, [""; 0]);
    assert_eq!(operator.number("memorybank_schedule_missed_runs_total"), 0);
    bed.change("MaintenancePolicy", "eager", json!({"spec": {"windows": null}})).await;
    wait_for("a run once there is no window", async || {
        let runs = bed.list("MaintenanceRun").await;
        runs.iter().any(|run| run["status"]["phase"] == "Running").then_some(())
    })
    .await;
}

/// Waits for the next second: times of creation have no smaller part.
async fn next_second(after: &Value) {
    let made: Timestamp = after["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
    wait_for("the next second", async || (Timestamp::now().as_second() > made.as_second()).then_some(())).await;
}

#[tokio::test]
async fn the_oldest_slot_of_all_banks_gets_the_next_free_place() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&["--max-active-jobs=1"]).await;
    bed.apply(BANK).await;
    bed.apply(&BANK.replace("name: assistant,", "name: other,")).await;
    bed.apply(&by_hand("first", "assistant")).await;
    bed.run("first", "Running", "Running").await;
    // The order of names is the other way round.
    bed.apply(&by_hand("second-z", "other")).await;
    let second = bed.run("second-z", "Held", "JobLimit").await;
    assert!(message(&second, "Succeeded").contains("1 Jobs may be active"), "{second}");
    next_second(&second).await;
    bed.apply(&by_hand("a-third", "assistant")).await;
    bed.run("a-third", "Held", "JobLimit").await;
    wait_for("what is held on /metrics", async || {
        (operator.number("memorybank_runs_held{reason=\"JobLimit\"}") == 2).then_some(())
    })
    .await;
    assert_eq!(operator.number("memorybank_runs_active"), 1);

    bed.play(&operator, "first").await;
    bed.run("second-z", "Running", "Running").await;
    bed.run("a-third", "Held", "JobLimit").await;
    bed.play(&operator, "second-z").await;
    bed.run("a-third", "Running", "Running").await;
    bed.play(&operator, "a-third").await;
    bed.run("a-third", "Succeeded", "Completed").await;
    assert_eq!(bed.names("Job").await, ["a-third", "first", "second-z"]);
}

#[tokio::test]
async fn who_needs_a_bank_alone_waits_and_is_not_overtaken() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&by_hand("reader", "assistant")).await;
    let first = bed.run("reader", "Running", "Running").await;
    next_second(&first).await;
    bed.apply(&by_hand("alone", "assistant").replace("task: IntegrityCheck, level: Quick", "task: Backup")).await;
    let second = bed.run("alone", "Held", "Locked").await;
    next_second(&second).await;
    bed.apply(&by_hand("a-reader", "assistant")).await;
    bed.run("a-reader", "Held", "Locked").await;
    bed.play(&operator, "reader").await;
    bed.run("alone", "Running", "Running").await;
    bed.run("a-reader", "Held", "Locked").await;
    bed.play(&operator, "alone").await;
    bed.run("a-reader", "Running", "Running").await;
    bed.play(&operator, "a-reader").await;
    bed.run("a-reader", "Succeeded", "Completed").await;
}
