//! Planning over validated resources: tables of what users would notice, on plain YAML.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.
#![allow(clippy::format_push_string)] // Documents are put together line by line.

#[path = "common/planning.rs"]
mod common;

use common::{World, at, condition};
use memorybank::domain::{CorruptionEvent, CorruptionType, Level, Outcome, Phase, Severity, TaskKind};
use memorybank::plan::{EventReason, HeldReason, RunOwner};

const BANK: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: assistant}
spec:
  database: {sqlite: {volume: data, path: openmemory.db}}
  volumes: [{name: data, folder: {path: ./data}}]
";

fn policy(head: &str, schedules: &str) -> String {
    format!(
        "{BANK}---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {{name: standard{head}
spec:
  bankSelector: {{}}
{schedules}"
    )
}

const DAILY: &str = "  schedules:
  - {name: daily, cron: '0 6 * * *', tasks: [{task: IntegrityCheck, level: Checksum}, {task: SecurityAudit}]}
";

#[test]
fn a_due_slot_makes_one_run_with_its_documented_name_and_starts_it() {
    let mut world = World::new(&policy("}", DAILY));
    assert!(world.step("2026-11-22T04:00:00Z").create.is_empty());
    assert_eq!(world.next, Some(at("2026-11-22T06:00:00Z")));
    let plan = world.step("2026-11-22T06:00:00Z");
    assert_eq!(plan.create.len(), 1);
    assert_eq!(plan.create[0].name, "assistant-daily-56b646-29922120");
    assert_eq!(plan.start, ["assistant-daily-56b646-29922120"]);
    let work = serde_json::to_value(&plan.create[0].spec.tasks).unwrap();
    assert_eq!(work[0]["scopes"], serde_json::json!(["Database"]), "what the bank declares");
    assert_eq!(work[1]["scopes"], serde_json::json!(["Leaks", "Erasure"]));
    world.finish(Phase::Succeeded);
    assert!(world.step("2026-11-22T06:05:00Z").create.is_empty());
    let row = &world.status().schedules[0];
    assert_eq!(row.last_success_time.as_ref().unwrap().0, at("2026-11-22T06:00:00Z"));
    assert_eq!(row.next_slot_time.as_ref().unwrap().0, at("2026-11-23T06:00:00Z"));
    assert_eq!(row.expected_interval_seconds, Some(86_400));
}

#[test]
fn the_same_documents_give_the_same_work_order() {
    let text = policy("}", DAILY);
    let order = || {
        let mut world = World::new(&text);
        world.step("2026-11-22T04:00:00Z");
        serde_json::to_string(&world.step("2026-11-22T06:00:00Z").create[0].spec).unwrap()
    };
    assert_eq!(order(), order());
}

#[test]
fn a_day_down_catches_up_the_newest_slot_and_tells_the_others_once() {
    let hourly = DAILY.replace("0 6 * * *", "0 * * * *");
    let mut world = World::new(&policy("}", &hourly));
    world.step("2026-11-22T00:30:00Z");
    let plan = world.step("2026-11-23T00:01:00Z");
    assert_eq!(plan.create.len(), 1, "the slot of 00:00, one minute late");
    assert_eq!(plan.events.iter().filter(|e| e.reason == EventReason::SlotMissed).count(), 1);
    assert_eq!(condition(world.status(), "OnSchedule"), ("False", "SlotMissed"));
    assert_eq!(world.status().schedules[0].missed_runs, Some(23));
    world.finish(Phase::Succeeded);
    let again = world.step("2026-11-23T00:02:00Z");
    assert!(again.events.is_empty());
    assert_eq!(condition(world.status(), "OnSchedule"), ("True", "AsExpected"), "the run of a later slot has ended");
    assert_eq!(world.status().schedules[0].missed_runs, Some(23));
}

#[test]
fn suspended_time_is_not_missed_and_nothing_fires_on_resume() {
    let text = policy("}", DAILY);
    let mut world = World::new(&text);
    world.step("2026-11-22T04:00:00Z");
    world.reload(&text.replace("bankSelector: {}", "bankSelector: {}\n  suspend: true"));
    world.step("2026-11-22T05:00:00Z");
    world.step("2026-11-24T07:00:00Z");
    assert!(world.runs.is_empty());
    world.reload(&text);
    let plan = world.step("2026-11-25T06:01:00Z");
    assert!(plan.create.is_empty() && plan.events.is_empty());
    assert_eq!(world.status().schedules[0].missed_runs, Some(0));
    assert_eq!(world.step("2026-11-26T06:00:00Z").create.len(), 1);
}

#[test]
fn a_suspended_bank_is_unknown_in_every_condition() {
    let text = policy("}", DAILY);
    let mut world = World::new(&text);
    world.step("2026-11-22T04:00:00Z");
    world.reload(&text.replacen("spec:", "spec:\n  suspend: true", 1));
    world.step("2026-11-22T07:00:00Z");
    for condition in &world.status().conditions {
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("Unknown", "Suspended"),
            "{}",
            condition.type_
        );
    }
    assert!(world.status().health.is_none());
}

#[test]
fn outside_its_windows_a_run_is_held_until_one_opens_and_a_request_passes_them() {
    let windows =
        format!("  windows: [{{days: [Sun], start: '05:00', end: '05:30'}}]\n{}", DAILY.replace("0 6", "0,30 5"));
    let text = policy("}", &windows);
    let mut world = World::new(&text);
    world.step("2026-11-21T04:00:00Z");
    let plan = world.step("2026-11-21T05:00:00Z");
    assert!(plan.start.is_empty());
    assert_eq!(plan.held[0].1, HeldReason::OutsideWindow);
    assert!(world.step("2026-11-21T05:01:00Z").held.is_empty(), "told once");
    let plan = world.step("2026-11-21T05:30:00Z");
    assert_eq!(plan.skip.len(), 1, "the next slot supersedes it");
    assert_eq!(plan.create.len(), 1);
    assert!(world.next.unwrap() <= at("2026-11-22T05:00:00Z"), "it looks again when the window opens");
    world.reload(&text.replace("{name: standard}", "{name: standard, annotations: {memorybank.dev/run-now: now-1}}"));
    let plan = world.step("2026-11-21T06:00:00Z");
    assert_eq!((plan.create.len(), plan.start.len()), (1, 1));
    world.finish(Phase::Succeeded);
    assert_eq!(world.step("2026-11-22T05:00:00Z").start.len(), 1);
}

#[test]
fn a_request_runs_once_per_token_and_bank() {
    let text = policy(", annotations: {memorybank.dev/run-now: t1/daily}}", DAILY);
    let mut world = World::new(&text);
    assert_eq!(world.step("2026-11-22T12:00:00Z").start.len(), 1);
    world.finish(Phase::Succeeded);
    world.runs.clear();
    assert!(world.step("2026-11-22T13:00:00Z").create.is_empty(), "even when the run was deleted");
    world.echo();
    assert_eq!(world.echoed.as_deref(), Some("t1/daily"));
    // A bank that is selected after the echo does not run it.
    world.status = None;
    assert!(world.step("2026-11-22T14:00:00Z").create.is_empty());
    world.reload(&text.replace("t1/daily", "t2"));
    assert_eq!(world.step("2026-11-22T15:00:00Z").create.len(), 1);
}

#[test]
fn concurrency_forbids_allows_or_replaces() {
    for (rule, created, cancelled, started) in [("Forbid", 0, 0, 0), ("Allow", 1, 0, 1), ("Replace", 1, 1, 0)] {
        let hourly = DAILY.replace("'0 6 * * *'", &format!("'0 * * * *', concurrencyPolicy: {rule}"));
        let mut world = World::new(&policy("}", &hourly));
        world.step("2026-11-22T05:30:00Z");
        world.step("2026-11-22T06:00:00Z");
        assert_eq!(world.runs[0].phase, Phase::Running);
        let plan = world.step("2026-11-22T07:00:00Z");
        assert_eq!((plan.create.len(), plan.cancel.len(), plan.start.len()), (created, cancelled, started), "{rule}");
        let told = plan.events.iter().any(|e| e.reason == EventReason::RunSkippedOverlap);
        assert_eq!(told, rule == "Forbid");
        assert!(world.step("2026-11-22T07:01:00Z").create.is_empty(), "{rule}: the slot is handled");
    }
}

#[test]
fn who_needs_the_bank_alone_waits_and_is_not_overtaken() {
    let schedules = "  schedules:
  - {name: a, cron: '0 6 * * *', tasks: [{task: SecurityAudit}]}
  - {name: b, cron: '1 6 * * *', tasks: [{task: Backup}]}
  - {name: c, cron: '2 6 * * *', tasks: [{task: SecurityAudit}]}
";
    let mut world = World::new(&policy("}", schedules));
    world.step("2026-11-22T05:00:00Z");
    assert_eq!(world.step("2026-11-22T06:00:00Z").start.len(), 1);
    assert_eq!(world.step("2026-11-22T06:01:00Z").held[0].1, HeldReason::Locked);
    assert_eq!(world.step("2026-11-22T06:02:00Z").held[0].1, HeldReason::Locked);
    world.finish(Phase::Succeeded);
    let plan = world.step("2026-11-22T06:03:00Z");
    assert_eq!(plan.start.len(), 1);
    assert!(plan.start[0].starts_with("assistant-b-"));
    world.finish(Phase::Succeeded);
    assert!(world.step("2026-11-22T06:04:00Z").start[0].starts_with("assistant-c-"));
}

#[test]
fn a_condition_holds_runs_and_lets_them_go() {
    let held = format!("  holdWhile: [{{condition: BackedUp, status: Unknown}}]\n{DAILY}");
    let mut world = World::new(&policy("}", &held));
    world.step("2026-11-22T05:00:00Z");
    let plan = world.step("2026-11-22T06:00:00Z");
    assert_eq!(plan.held[0].1, HeldReason::Condition);
    world.step("2026-11-22T20:00:00Z");
    assert_eq!(condition(world.status(), "OnSchedule"), ("Unknown", "Held"));
    world.reload(&policy("}", DAILY));
    assert_eq!(world.step("2026-11-22T21:00:00Z").start.len(), 1);
}

#[test]
fn a_deleted_policy_ends_what_has_not_started_and_its_runs_go_after_a_week() {
    let held = format!("  windows: [{{start: '06:00', end: '06:01'}}]\n{}", DAILY.replace("0 6", "0,30 6"));
    let mut world = World::new(&policy("}", &held));
    world.step("2026-11-22T05:59:00Z");
    world.step("2026-11-22T06:00:00Z");
    world.finish(Phase::Succeeded);
    world.step("2026-11-22T06:30:00Z");
    world.reload(BANK);
    let plan = world.step("2026-11-22T07:00:00Z");
    assert_eq!(plan.skip[0].1, memorybank::domain::Reason::PolicyDeleted);
    assert!(world.status().schedules.is_empty());
    assert_eq!(condition(world.status(), "OnSchedule"), ("Unknown", "NoPolicy"));
    assert!(world.step("2026-11-28T07:00:00Z").delete.is_empty());
    assert_eq!(world.step("2026-11-29T07:00:02Z").delete.len(), 2);
}

#[test]
fn history_keeps_one_succeeded_and_three_failed() {
    let mut world = World::new(&policy("}", DAILY));
    world.step("2026-11-01T05:00:00Z");
    for day in 1..=9 {
        world.step(&format!("2026-11-{day:02}T06:00:00Z"));
        world.finish(if day % 2 == 0 { Phase::Succeeded } else { Phase::Failed });
    }
    world.step("2026-11-09T07:00:00Z");
    let count = |phase| world.runs.iter().filter(|run| run.phase == phase).count();
    assert_eq!((count(Phase::Succeeded), count(Phase::Failed)), (1, 3));
    assert_eq!(world.status().schedules[0].consecutive_failures, Some(1));
    assert_eq!(condition(world.status(), "OnSchedule"), ("False", "RunsFailing"));
}

#[test]
fn a_check_runs_once_per_generation_whatever_becomes_of_its_run() {
    let text = format!(
        "{BANK}---
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {{name: once}}
spec: {{bankName: assistant, level: Full}}
"
    );
    let mut world = World::new(&text.replacen("spec:", "spec:\n  suspend: true", 1));
    assert!(world.step("2026-11-22T05:00:00Z").create.is_empty(), "its bank is suspended");
    world.reload(&text);
    let plan = world.step("2026-11-22T06:00:00Z");
    assert_eq!((plan.create.len(), plan.start.len()), (1, 1));
    assert_eq!(plan.create[0].owner, RunOwner::Check("once".to_owned()));
    world.finish(Phase::Succeeded);
    world.step("2026-11-22T06:01:00Z");
    world.runs.clear();
    assert!(world.step("2026-11-22T07:00:00Z").create.is_empty(), "deleting the run does not repeat it");
    world.reload(&text.replace("Full", "Quick"));
    assert_eq!(world.step("2026-11-22T08:00:00Z").create.len(), 1);
}

#[test]
fn a_check_on_a_schedule_keeps_its_slots_over_a_restart() {
    let text = format!(
        "{BANK}---
apiVersion: memorybank.dev/v1alpha1
kind: SecurityAudit
metadata: {{name: nightly}}
spec: {{bankName: assistant, schedule: {{cron: '0 3 * * *', timeZone: Europe/Berlin}}}}
"
    );
    let mut world = World::new(&text);
    world.step("2026-11-22T00:00:00Z");
    assert_eq!(world.audits["nightly"].next_slot_time.as_ref().unwrap().0, at("2026-11-22T02:00:00Z"));
    assert_eq!(world.step("2026-11-22T03:00:00Z").create.len(), 1, "an hour late, within a fifth of a day");
    world.finish(Phase::Succeeded);
    assert!(world.step("2026-11-22T03:01:00Z").create.is_empty());
    assert_eq!(world.audits["nightly"].next_slot_time.as_ref().unwrap().0, at("2026-11-23T02:00:00Z"));
    let plan = world.step("2026-11-23T12:00:00Z");
    assert!(plan.create.is_empty(), "too late");
    assert_eq!(world.audits["nightly"].next_slot_time.as_ref().unwrap().0, at("2026-11-24T02:00:00Z"));
}

#[test]
fn conditions_tell_what_was_measured_and_nothing_else() {
    let mut world = World::new(&policy("}", DAILY));
    world.step("2026-11-22T05:00:00Z");
    let expected = [
        ("Ready", "Unknown", "NotChecked"),
        ("Reachable", "Unknown", "NotConfigured"),
        ("Intact", "Unknown", "NotChecked"),
        ("Consistent", "Unknown", "NotChecked"),
        ("Secure", "Unknown", "NotAudited"),
        ("BackedUp", "Unknown", "NotConfigured"),
        ("OnSchedule", "True", "AsExpected"),
        ("Stable", "Unknown", "Learning"),
    ];
    for (name, status, reason) in expected {
        assert_eq!(condition(world.status(), name), (status, reason), "{name}");
    }
    world.measure(
        TaskKind::IntegrityCheck,
        Some(Level::Checksum),
        "Database",
        Outcome::Succeeded,
        "2026-11-22T06:00:00Z",
    );
    world.measure(TaskKind::SecurityAudit, None, "Leaks", Outcome::Succeeded, "2026-11-22T06:00:00Z");
    world.measure(TaskKind::SecurityAudit, None, "Erasure", Outcome::Unknown, "2026-11-22T06:00:00Z");
    world.step("2026-11-22T06:01:00Z");
    assert_eq!(condition(world.status(), "Intact"), ("True", "AsExpected"));
    assert_eq!(condition(world.status(), "Consistent"), ("True", "AsExpected"));
    assert_eq!(condition(world.status(), "Secure"), ("Unknown", "NotAudited"), "a part was not measured");
    assert_eq!(condition(world.status(), "Ready"), ("Unknown", "NotAudited"));
    world.measure(TaskKind::SecurityAudit, None, "Erasure", Outcome::Succeeded, "2026-11-22T06:02:00Z");
    world.step("2026-11-22T06:03:00Z");
    assert_eq!(condition(world.status(), "Secure"), ("True", "AsExpected"));
    assert_eq!(condition(world.status(), "Ready"), ("Unknown", "NotConfigured"), "not backed up");
    let health = world.status().health.clone().unwrap();
    assert_eq!(health.summary.as_deref(), Some("1 of 5 unknown: BackedUp"));
    assert_eq!(health.score, Some(82));
    world.step("2026-11-24T06:00:00Z");
    assert_eq!(condition(world.status(), "Intact"), ("True", "AsExpected"), "just twice the interval");
    world.step("2026-11-24T06:00:01Z");
    assert_eq!(condition(world.status(), "Intact"), ("Unknown", "CheckStale"));
}

#[test]
fn a_quick_check_reads_no_rows_and_so_proves_no_agreement() {
    let mut world = World::new(&policy("}", &DAILY.replace("Checksum", "Quick")));
    world.measure(TaskKind::IntegrityCheck, Some(Level::Quick), "Database", Outcome::Succeeded, "2026-11-22T06:00:00Z");
    world.step("2026-11-22T06:01:00Z");
    assert_eq!(condition(world.status(), "Intact"), ("True", "AsExpected"));
    assert_eq!(condition(world.status(), "Consistent"), ("Unknown", "NotChecked"));
}

#[test]
fn waiving_what_cannot_be_kept_makes_a_bank_ready() {
    let text = policy("}", DAILY).replacen("spec:", "spec:\n  waivedConditions: [BackedUp]", 1);
    let mut world = World::new(&text);
    for (kind, level, scope) in [
        (TaskKind::IntegrityCheck, Some(Level::Checksum), "Database"),
        (TaskKind::SecurityAudit, None, "Leaks"),
        (TaskKind::SecurityAudit, None, "Erasure"),
    ] {
        world.measure(kind, level, scope, Outcome::Succeeded, "2026-11-22T06:00:00Z");
    }
    world.step("2026-11-22T06:01:00Z");
    assert_eq!(condition(world.status(), "Ready"), ("True", "AsExpected"));
    assert_eq!(world.status().health.as_ref().unwrap().score, Some(100));
}

#[test]
fn damage_breaks_the_promise_that_it_concerns() {
    use CorruptionType::{ChecksumMismatch, DataInconsistency, FileCorruption};
    let cases = [
        (FileCorruption, None, "database", Severity::Critical, Some("DatabaseCorrupt"), false),
        (FileCorruption, None, "files/uploads", Severity::High, Some("FileCorruption"), false),
        (ChecksumMismatch, None, "files/uploads", Severity::High, Some("ChecksumMismatch"), false),
        (DataInconsistency, None, "database", Severity::Medium, Some("DataInconsistency"), false),
        (DataInconsistency, Some("I12"), "database", Severity::Medium, None, true),
        (DataInconsistency, Some("I7"), "database", Severity::High, Some("DataInconsistency"), true),
        (DataInconsistency, Some("I15"), "database", Severity::Low, None, false),
    ];
    for (kind, invariant, component, severity, intact, inconsistent) in cases {
        let mut world = World::new(&policy("}", DAILY));
        world.measure(
            TaskKind::IntegrityCheck,
            Some(Level::Checksum),
            "Database",
            Outcome::Succeeded,
            "2026-11-22T06:00:00Z",
        );
        world.damage(CorruptionEvent {
            check: "sqlite-text".to_owned(),
            component: component.to_owned(),
            corruption_type: kind,
            invariant: invariant.map(str::to_owned),
            severity,
            object: "memories".to_owned(),
            count: 1,
            evidence: "1 row".to_owned(),
            advice: "restore it".to_owned(),
        });
        world.step("2026-11-22T06:01:00Z");
        let expected = intact.map_or(("True", "AsExpected"), |reason| ("False", reason));
        assert_eq!(condition(world.status(), "Intact"), expected, "{kind:?} {invariant:?}");
        let expected = if inconsistent { ("False", "Inconsistent") } else { ("True", "AsExpected") };
        assert_eq!(condition(world.status(), "Consistent"), expected, "{kind:?} {invariant:?}");
        assert_eq!(world.status().corruption.as_ref().unwrap().open, Some(1));
    }
}

#[test]
fn the_worst_broken_invariant_is_the_reason() {
    let cases: [(&[(&str, Severity)], &str); 9] = [
        (&[("I1", Severity::High)], "MissingVectors"),
        (&[("I3", Severity::Medium)], "OrphanVectors"),
        (&[("I2", Severity::Critical)], "DeletedStillRecallable"),
        (&[("I8", Severity::Critical)], "DimensionMismatch"),
        (&[("I5", Severity::Medium)], "Inconsistent"),
        (&[("I3", Severity::Medium), ("I4", Severity::High)], "TextDiffers"),
        (&[("I4", Severity::High), ("I1", Severity::High)], "MissingVectors"),
        (&[("I6", Severity::Critical), ("I2", Severity::Critical), ("I1", Severity::Critical)], "WrongOwner"),
        (&[("I5", Severity::High), ("I3", Severity::Medium)], "Inconsistent"),
    ];
    for (broken, expected) in cases {
        let mut world = World::new(&policy("}", DAILY));
        for (invariant, severity) in broken {
            world.damage(CorruptionEvent {
                check: "consistency-text".to_owned(),
                component: "vectors".to_owned(),
                corruption_type: CorruptionType::DataInconsistency,
                invariant: Some((*invariant).to_owned()),
                severity: *severity,
                object: format!("broken {invariant}"),
                count: 1,
                evidence: "1 row".to_owned(),
                advice: "mend it".to_owned(),
            });
        }
        world.step("2026-11-22T06:01:00Z");
        assert_eq!(condition(world.status(), "Consistent"), ("False", expected), "{broken:?}");
    }
}

#[test]
fn the_strictest_threshold_counts() {
    let second = "---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: strict}
spec:
  bankSelector: {}
  thresholds: {minSeverity: Medium}
  schedules: [{name: a, cron: '@weekly', tasks: [{task: SecurityAudit}]}]
";
    for (text, expected) in [(policy("}", DAILY), "Unknown"), (policy("}", DAILY) + second, "False")] {
        let mut world = World::new(&text);
        world.facts.findings.medium = 1;
        world.step("2026-11-22T06:01:00Z");
        assert_eq!(condition(world.status(), "Secure").0, expected);
    }
}

#[test]
fn at_most_sixty_four_schedules_are_run() {
    let mut text = BANK.to_owned();
    for number in 0..5 {
        text += &format!(
            "---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {{name: p{number}}}
spec:
  bankSelector: {{}}
  schedules:
"
        );
        for schedule in 0..16 {
            text += &format!("  - {{name: s{schedule}, cron: '0 6 * * *', tasks: [{{task: Probe}}]}}\n");
        }
    }
    let mut world = World::new(&text);
    let plan = world.step("2026-11-22T05:00:00Z");
    assert_eq!(world.status().schedules.len(), 64);
    assert_eq!(condition(world.status(), "OnSchedule"), ("False", "TooManySchedules"));
    assert_eq!(plan.events.len(), 1);
    assert!(world.step("2026-11-22T05:01:00Z").events.is_empty());
}

#[test]
fn what_a_person_made_runs_once_and_is_never_deleted() {
    let text = format!(
        "{BANK}---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {{name: by-hand}}
spec: {{bankName: assistant, tasks: [{{task: IntegrityCheck, level: Full}}]}}
"
    );
    let mut world = World::new(&text);
    assert_eq!(world.step("2026-11-22T05:00:00Z").start, ["by-hand"]);
    world.finish(Phase::Succeeded);
    for day in 23..=30 {
        let plan = world.step(&format!("2026-11-{day}T05:00:00Z"));
        assert!(plan.create.is_empty() && plan.delete.is_empty());
    }
}

#[test]
fn a_clock_that_was_far_ahead_is_told_and_not_passed_over() {
    let mut world = World::new(&policy("}", DAILY));
    world.step("2026-11-22T05:00:00Z");
    world.step("2031-01-01T06:00:00Z");
    world.finish(Phase::Succeeded);
    world.step("2026-11-22T06:30:00Z");
    assert_eq!(condition(world.status(), "OnSchedule"), ("False", "Overdue"));
}
