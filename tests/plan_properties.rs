//! What holds of planning whatever happens: restarts, clocks that jump, edits, runs that end anyhow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "common/planning.rs"]
mod common;

use std::collections::BTreeSet;

use common::{Crash, World, at};
use jiff::{SignedDuration, Timestamp};
use memorybank::domain::Phase;
use memorybank::plan::{BankPlan, EventReason, RunOwner};
use memorybank::resources::MemoryBankStatus;
use proptest::prelude::*;

/// A bank with a policy of two schedules, a check on a schedule and an audit that runs once. One of the
/// schedules needs the bank alone.
fn documents(edit: Edit, token: u32) -> String {
    let (suspend, cron) = match edit {
        Edit::None | Edit::Token => (false, "*/20 * * * *"),
        Edit::Suspended => (true, "*/20 * * * *"),
        Edit::Cron => (false, "5,35 * * * *"),
    };
    format!(
        "apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: b}}
spec:
  database: {{sqlite: {{volume: data, path: openmemory.db}}}}
  volumes: [{{name: data, folder: {{path: ./data}}}}]
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {{name: p, annotations: {{memorybank.dev/run-now: t{token}}}}}
spec:
  bankSelector: {{}}
  suspend: {suspend}
  windows: [{{start: '22:00', end: '12:00'}}]
  schedules:
  - {{name: often, cron: '{cron}', spreadSeconds: 120, tasks: [{{task: IntegrityCheck, level: Quick}}]}}
  - {{name: alone, cron: '0 */3 * * *', concurrencyPolicy: Replace, tasks: [{{task: Optimize}}]}}
---
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {{name: c}}
spec: {{bankName: b, level: Quick, schedule: {{cron: '@hourly'}}}}
---
apiVersion: memorybank.dev/v1alpha1
kind: SecurityAudit
metadata: {{name: a}}
spec: {{bankName: b}}
"
    )
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    None,
    Suspended,
    Cron,
    Token,
}

#[derive(Clone, Debug)]
enum Event {
    /// So many seconds pass; negative ones where somebody sets the clock.
    Tick(i64),
    Finish(Phase),
    Edit(Edit),
    Crash(Crash),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0i64..7_200).prop_map(Event::Tick),
        1 => (-7_200i64..200_000).prop_map(Event::Tick),
        4 => prop_oneof![Just(Phase::Succeeded), Just(Phase::Failed), Just(Phase::Unknown)].prop_map(Event::Finish),
        1 => prop_oneof![Just(Edit::None), Just(Edit::Suspended), Just(Edit::Cron), Just(Edit::Token)].prop_map(Event::Edit),
        1 => prop_oneof![(0usize..3).prop_map(Crash::Made), Just(Crash::BeforeStatus), Just(Crash::AfterStatus)]
            .prop_map(Event::Crash),
    ]
}

fn moment(second: i64) -> Timestamp {
    at("2026-11-22T00:00:00Z") + SignedDuration::from_secs(second)
}

/// Every time of a status that must not go back, in a fixed order.
fn times(status: &MemoryBankStatus) -> Vec<(String, Option<Timestamp>)> {
    let mut all = vec![("last".to_owned(), status.last_run_time.as_ref().map(|t| t.0))];
    for c in &status.conditions {
        all.push((c.type_.clone(), Some(c.last_transition_time.0)));
    }
    for row in &status.schedules {
        let named = [
            ("since", &row.since_time),
            ("handled", &row.last_handled_slot_time),
            ("run", &row.last_run_time),
            ("success", &row.last_success_time),
        ];
        all.extend(named.map(|(name, time)| (format!("{}/{name}", row.schedule), time.as_ref().map(|t| t.0))));
    }
    all
}

fn empty(plan: &BankPlan) -> bool {
    plan.create.is_empty()
        && plan.start.is_empty()
        && plan.held.is_empty()
        && plan.skip.is_empty()
        && plan.cancel.is_empty()
        && plan.delete.is_empty()
        && plan.events.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_slot_runs_twice_time_never_goes_back_and_a_carried_out_plan_leaves_nothing_to_do(
        events in prop::collection::vec(any_event(), 1..40)
    ) {
        let mut world = World::new(&documents(Edit::None, 0));
        let (mut second, mut token) = (0, 0);
        let mut made: BTreeSet<String> = BTreeSet::new();
        for event in events {
            let mut crash = Crash::Never;
            match event {
                Event::Tick(seconds) => second = (second + seconds).max(0),
                Event::Finish(phase) => {
                    for run in world.runs.iter_mut().filter(|run| run.phase == Phase::Running) {
                        (run.phase, run.finished) = (phase, Some(moment(second).max(run.started.unwrap())));
                    }
                }
                Event::Edit(edit) => {
                    token += u32::from(matches!(edit, Edit::Token));
                    world.reload(&documents(edit, token));
                }
                Event::Crash(at) => crash = at,
            }
            let now = moment(second);
            let before = world.status.clone();
            let known: BTreeSet<_> = world.runs.iter().map(|run| run.name.clone()).collect();
            let mut whole = world.clone();
            if crash != Crash::Never {
                world.step_at(now, crash);
            }
            let mut ended = !world.step_at(now, Crash::Never).cancel.is_empty();
            for run in world.runs.iter().filter(|run| !known.contains(&run.name)) {
                prop_assert!(made.insert(run.name.clone()), "{} was made twice", run.name);
            }
            // A crash after any single effect ends where no crash ends.
            whole.step_at(now, Crash::Never);
            prop_assert_eq!(&world.status, &whole.status);
            // In whatever order they are listed.
            world.runs.sort_by(|a, b| a.name.cmp(&b.name));
            whole.runs.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(&world.runs, &whole.runs);
            if let Some(before) = before {
                let after = times(world.status());
                for (name, old) in times(&before) {
                    let new = after.iter().find(|(other, _)| *other == name);
                    prop_assert!(new.is_some_and(|(_, new)| *new >= old), "{name} went back");
                }
            }
            // A run that was cancelled makes room: that is news.
            while ended {
                ended = !world.step_at(now, Crash::Never).cancel.is_empty();
            }
            let again = world.plan(now);
            prop_assert!(empty(&again), "{again:?}");
            prop_assert_eq!(Some(&again.status), world.status.as_ref());
            prop_assert!(again.next.is_none_or(|next| next > now));
            let exclusive = world.runs.iter().filter(|r| r.phase == Phase::Running && r.exclusive).count();
            let running = world.runs.iter().filter(|r| r.phase == Phase::Running).count();
            prop_assert!(exclusive == 0 || running == 1, "the lock of the bank");
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// While the clock goes forward, every slot is made into a run, told as missed or told as skipped.
    #[test]
    fn no_slot_is_lost_in_silence(steps in prop::collection::vec((0i64..90_000, any::<bool>()), 1..30)) {
        let mut world = World::new(&documents(Edit::None, 0));
        let mut second = 0;
        let (mut made, mut skipped) = (0u64, 0u64);
        world.step_at(moment(0), Crash::Never);
        for (seconds, finish) in steps {
            second += seconds;
            let plan = world.step_at(moment(second), Crash::Never);
            let often = RunOwner::Policy { policy: "p".to_owned(), schedule: "often".to_owned() };
            made += plan.create.iter().filter(|run| run.owner == often).count() as u64;
            let told = |e: &&memorybank::plan::EventDraft| {
                e.reason == EventReason::RunSkippedOverlap && e.message.starts_with("p/often")
            };
            skipped += plan.events.iter().filter(told).count() as u64;
            if finish {
                world.finish(Phase::Succeeded);
            }
        }
        let row = world.status().schedules.iter().find(|row| row.schedule == "often").unwrap().clone();
        let handled = row.last_handled_slot_time.map_or(-1, |t| t.0.duration_since(moment(0)).as_secs());
        let slots = u64::try_from(handled.div_euclid(1_200) + 1).unwrap();
        prop_assert_eq!(made + skipped + row.missed_runs.unwrap(), slots);
    }
}

/// Runs are made for every tick that comes just when the plan said to look again.
#[test]
fn looking_only_when_told_to_is_enough() {
    let mut world = World::new(&documents(Edit::None, 0));
    let mut now = moment(0);
    let mut looks = 0;
    while now < moment(86_400) {
        world.step_at(now, Crash::Never);
        world.finish(Phase::Succeeded);
        world.step_at(now, Crash::Never);
        now = world.next.unwrap();
        looks += 1;
    }
    let row = &world.status().schedules.iter().find(|row| row.schedule == "often").unwrap();
    assert_eq!(row.missed_runs, Some(0));
    assert!(looks < 400, "{looks} looks a day");
}
