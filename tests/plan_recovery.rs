//! When a recovery runs, what its runs may do, and what is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // It fails by panicking.

#[path = "common/planning.rs"]
mod common;

use common::{World, at};
use memorybank::domain::{
    Consent, CorruptionEvent, CorruptionType, Outcome, Phase, Reason, RecoveryPlan, RecoveryReport, RecoveryState,
    RecoveryStep, RepairAction, Severity, TaskKind, TaskReport, Work,
};
use memorybank::plan::{EventReason, HeldReason, RecoveryAsk, RunOwner, consent};
use memorybank::resources::{Quiesce, RecoveryMode, RecoveryStatus};

fn document(spec: &str) -> String {
    format!(
        "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {{name: assistant}}
spec:
  database: {{sqlite: {{volume: data, path: openmemory.db}}}}
  volumes: [{{name: data, folder: {{path: ./data}}}}]
---
apiVersion: memorybank.dev/v1alpha1
kind: Recovery
metadata: {{name: mend}}
spec: {{bankName: assistant{spec}}}
"
    )
}

fn damage(object: &str) -> CorruptionEvent {
    CorruptionEvent {
        check: "sqlite-structure".to_owned(),
        component: "database".to_owned(),
        corruption_type: CorruptionType::FileCorruption,
        invariant: None,
        severity: Severity::Critical,
        object: object.to_owned(),
        count: 1,
        evidence: String::new(),
        advice: String::new(),
    }
}

fn plan(lost: u64) -> RecoveryPlan {
    let step = RecoveryStep {
        action: RepairAction::RestoreDatabase,
        target: "database".to_owned(),
        items: 9,
        lossless: lost == 0,
        lost_memories: lost,
        lost_rows: lost,
        estimated_seconds: None,
        detail: "from the set".to_owned(),
    };
    RecoveryPlan { set: Some("set".to_owned()), steps: vec![step], unmended: Vec::new() }
}

fn report(state: RecoveryState, lost: u64) -> TaskReport {
    let recovery = RecoveryReport {
        plan: plan(lost),
        plan_digest: plan(lost).digest(),
        state,
        verified_before: "1 damage".to_owned(),
        verified_after: (state == RecoveryState::Succeeded).then(|| "no damage".to_owned()),
        quarantine: None,
        lost_memories: None,
        mended: Vec::new(),
    };
    TaskReport {
        name: "recover".to_owned(),
        task: TaskKind::Recover,
        level: None,
        outcome: Outcome::Succeeded,
        reason: Reason::Completed,
        message: String::new(),
        duration_milliseconds: 1,
        scopes: Vec::new(),
        coverage_percent: None,
        checks: Vec::new(),
        corruption: Vec::new(),
        findings: Vec::new(),
        omitted: 0,
        samples: Vec::new(),
        outputs: Vec::new(),
        recovery: Some(recovery),
    }
}

fn status(world: &World) -> (&RecoveryStatus, &str, &str) {
    let status = &world.recoveries["mend"];
    (status, status.phase.as_deref().unwrap(), &status.conditions[0].reason)
}

/// The run that a step makes, with what it may do.
fn made(world: &mut World, now: &str) -> (String, Consent) {
    let plan = world.step(now);
    assert_eq!((plan.create.len(), plan.start.len()), (1, 1));
    let run = &plan.create[0];
    assert_eq!(run.owner, RunOwner::Recovery("mend".to_owned()));
    let Work::Recover { consent, .. } = &run.spec.tasks[0].work else { panic!("{:?}", run.spec) };
    (run.name.clone(), *consent)
}

fn ends(world: &mut World, run: &str, task: TaskReport, now: &str) {
    world.finish(Phase::Succeeded);
    world.recovered = Some((run.to_owned(), task));
    assert!(world.step(now).create.is_empty());
}

#[test]
fn a_dry_run_shows_its_plan_once_and_changes_nothing() {
    let mut world = World::new(&document(""));
    let (run, consent) = made(&mut world, "2026-11-22T05:00:00Z");
    assert_eq!(consent, Consent::None);
    assert_eq!(status(&world).1, "Planning");
    ends(&mut world, &run, report(RecoveryState::Planned, 2), "2026-11-22T05:01:00Z");
    let (told, phase, reason) = status(&world);
    assert_eq!((phase, reason), ("Succeeded", "PlanShown"));
    assert_eq!(told.plan_digest, Some(format!("sha256:{}", plan(2).digest())));
    assert_eq!((told.plan[0].action.as_deref(), told.plan[0].lossless), (Some("RestoreDatabase"), Some(false)));
    assert_eq!(told.lost.as_ref().unwrap().memories, Some(2), "what it would cost");
    // Its run is forgotten; what it told stays, and it is not done again.
    world.runs.clear();
    world.recovered = None;
    assert!(world.step("2026-11-22T07:00:00Z").create.is_empty());
    assert_eq!((status(&world).1, status(&world).2), ("Succeeded", "PlanShown"));
    // A file that was rewritten is another recovery.
    world.reload(&document(", backupName: other"));
    let (_, consent) = made(&mut world, "2026-11-22T08:00:00Z");
    assert_eq!(consent, Consent::None);
}

#[test]
fn only_the_approved_plan_is_carried_out() {
    let asks = ", mode: OnApproval";
    let mut world = World::new(&document(asks));
    let (run, consent) = made(&mut world, "2026-11-22T05:00:00Z");
    assert_eq!(consent, Consent::None);
    ends(&mut world, &run, report(RecoveryState::Planned, 2), "2026-11-22T05:01:00Z");
    assert_eq!((status(&world).1, status(&world).2), ("AwaitingApproval", "AwaitingApproval"));
    let approve = |plan: &RecoveryPlan| {
        document(&format!("{asks}, approval: {{planDigest: 'sha256:{}', approvedBy: alice}}", plan.digest()))
    };
    world.reload(&approve(&plan(1)));
    assert!(world.step("2026-11-22T05:02:00Z").create.is_empty(), "the approval of another plan");
    assert_eq!(status(&world).1, "AwaitingApproval");
    world.reload(&approve(&plan(2)));
    let (run, consent) = made(&mut world, "2026-11-22T05:03:00Z");
    assert_eq!(consent, Consent::Plan(plan(2).digest()));
    assert_eq!(status(&world).1, "Running");
    // The damage has grown meanwhile: the new plan waits for an approval of its own.
    ends(&mut world, &run, report(RecoveryState::Refused, 3), "2026-11-22T05:04:00Z");
    assert_eq!((status(&world).1, status(&world).2), ("AwaitingApproval", "AwaitingApproval"));
    assert_eq!(status(&world).0.plan_digest, Some(format!("sha256:{}", plan(3).digest())));
    world.reload(&approve(&plan(3)));
    let (run, consent) = made(&mut world, "2026-11-22T05:05:00Z");
    assert_eq!(consent, Consent::Plan(plan(3).digest()));
    ends(&mut world, &run, report(RecoveryState::Succeeded, 3), "2026-11-22T05:06:00Z");
    let (told, phase, reason) = status(&world);
    assert_eq!((phase, reason), ("Succeeded", "AsExpected"));
    assert_eq!(told.verified_after.as_deref(), Some("no damage"));
    world.runs.clear();
    assert!(world.step("2026-11-22T09:00:00Z").create.is_empty(), "once");
}

#[test]
fn auto_asks_nobody_and_only_for_what_loses_nothing() {
    let mut world = World::new(&document(", mode: Auto"));
    let (run, consent) = made(&mut world, "2026-11-22T05:00:00Z");
    assert_eq!(consent, Consent::Lossless);
    assert_eq!(status(&world).1, "Running");
    ends(&mut world, &run, report(RecoveryState::RolledBack, 0), "2026-11-22T05:01:00Z");
    let (told, phase, reason) = status(&world);
    assert_eq!((phase, reason, told.conditions[0].status.as_str()), ("RolledBack", "RolledBack", "False"));

    let mut world = World::new(&document(", mode: Auto"));
    let (run, _) = made(&mut world, "2026-11-22T05:00:00Z");
    ends(&mut world, &run, report(RecoveryState::Refused, 2), "2026-11-22T05:01:00Z");
    assert_eq!((status(&world).1, status(&world).2), ("Failed", "Damaged"), "what it may do mends nothing");
}

#[test]
fn nobody_can_give_a_run_more_than_its_recovery_gives() {
    let digest = plan(0).digest();
    let approved = format!(", mode: OnApproval, approval: {{planDigest: 'sha256:{digest}', approvedBy: alice}}");
    let name_of = |spec: &str, status: Option<RecoveryStatus>| {
        let mut world = World::new(&document(spec));
        if let Some(status) = status {
            world.recoveries.insert("mend".to_owned(), status);
        }
        let plan = world.step("2026-11-22T05:00:00Z");
        let run = plan.create.into_iter().next().unwrap();
        (world, run)
    };
    let shown = RecoveryStatus { plan_digest: Some(format!("sha256:{digest}")), ..RecoveryStatus::default() };
    let (with, apply) = name_of(&approved, Some(shown));
    let (without, look) = name_of(", mode: OnApproval", None);
    assert_ne!(apply.name, look.name);
    let given = |world: &World, run: &str| {
        let ask = RecoveryAsk { recovery: &world.config.recoveries[0], status: None, scales: true, made: None };
        consent(&ask, &world.config.banks[0], run, &[])
    };
    assert_eq!(given(&with, &apply.name).unwrap(), apply.spec.tasks[0].work);
    assert_eq!(given(&with, &look.name).unwrap(), look.spec.tasks[0].work, "it may still look");
    assert!(given(&without, &apply.name).is_err(), "the approval was taken back");
    assert!(given(&without, "made-by-hand").is_err());
}

#[test]
fn it_mends_the_damage_that_it_names_and_waits_for_what_nobody_knows() {
    let mut world = World::new(&document(", events: [id]"));
    assert!(world.step("2026-11-22T05:00:00Z").create.is_empty());
    assert_eq!((status(&world).1, status(&world).2), ("Held", "ReferenceNotFound"));
    world.damage(damage("openmemory.db"));
    let plan = world.step("2026-11-22T05:01:00Z");
    let Work::Recover { events, .. } = &plan.create[0].spec.tasks[0].work else { panic!("{plan:?}") };
    assert_eq!(*events, [damage("openmemory.db").key("default", "assistant")]);
}

#[test]
fn a_run_that_told_nothing_leaves_it_unknown_and_a_suspended_bank_makes_none() {
    let mut world = World::new(&document("").replacen("spec:", "spec:\n  suspend: true", 1));
    assert!(world.step("2026-11-22T05:00:00Z").create.is_empty());
    assert_eq!((status(&world).1, status(&world).2), ("Held", "Suspended"));
    world.reload(&document(""));
    made(&mut world, "2026-11-22T05:01:00Z");
    world.finish(Phase::Unknown);
    assert!(world.step("2026-11-22T05:02:00Z").create.is_empty());
    let (told, phase, reason) = status(&world);
    assert_eq!((phase, reason, told.conditions[0].status.as_str()), ("Unknown", "NotMeasured", "Unknown"));
    world.reload(&document(", quiesce: Guard"));
    assert!(world.step("2026-11-22T05:03:00Z").create.is_empty());
    assert_eq!(status(&world).2, "InvalidSpec");
}

#[test]
fn what_is_scaled_down_must_be_said_and_only_a_cluster_scales() {
    let scaled = document(", quiesce: ScaleDown, mode: Auto");
    let with = |workload: &str| scaled.replacen("spec:", &format!("spec:\n  workload: {workload}"), 1);
    let mut world = World::new(&scaled);
    assert!(world.step("2026-11-22T05:00:00Z").create.is_empty());
    assert_eq!((status(&world).1, status(&world).2), ("Held", "InvalidSpec"));
    assert!(status(&world).0.conditions[0].message.contains("spec.workload.selector"));
    // All that lacks a label is everybody else.
    world.reload(&with("{selector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}"));
    assert!(world.step("2026-11-22T05:01:00Z").create.is_empty());
    assert_eq!((status(&world).1, status(&world).2), ("Held", "InvalidSpec"));
    // What can be said later is no end.
    world.reload(&with("{selector: {matchLabels: {app: assistant}}}"));
    let (run, consent) = made(&mut world, "2026-11-22T05:02:00Z");
    assert_eq!(consent, Consent::Lossless);
    // While the workload goes, nobody else gets the bank, however long it has waited; and it is told.
    let scaling = |world: &mut World, reason: HeldReason| {
        let known = world.runs.iter_mut().find(|known| known.name == run).unwrap();
        (known.phase, known.reason, known.message) = (Phase::Held, reason.name().to_owned(), "pods end".to_owned());
        let mut other = known.clone();
        (other.name, other.owner, other.phase) = ("other".to_owned(), RunOwner::Hand, Phase::Pending);
        other.created = at("2026-11-22T04:00:00Z");
        world.runs.push(other);
        let plan = world.plan(at("2026-11-22T05:03:00Z"));
        world.runs.retain(|known| known.name == run);
        plan
    };
    let plan = scaling(&mut world, HeldReason::Quiescing);
    assert_eq!((plan.start, plan.held[0].1), (vec![run.clone()], HeldReason::Locked));
    assert!(world.step("2026-11-22T05:04:00Z").create.is_empty());
    assert_eq!(world.runs[0].phase, Phase::Running, "the front end goes on with it");
    // One that cannot be begun now keeps nobody from the bank.
    let plan = scaling(&mut world, HeldReason::CannotScale);
    assert_eq!(plan.start, ["other".to_owned()]);
    assert_eq!(plan.held[0], (run.clone(), HeldReason::Locked, plan.held[0].2.clone()));

    let mut folder = World::new(&with("{selector: {matchLabels: {app: assistant}}}"));
    folder.scales = false;
    assert!(folder.step("2026-11-22T05:00:00Z").create.is_empty());
    assert_eq!((status(&folder).1, status(&folder).2), ("Unknown", "InvalidSpec"));
    assert!(status(&folder).0.conditions[0].message.contains("docker compose stop"));
}

const RULES: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: assistant}
spec:
  database: {sqlite: {volume: data, path: openmemory.db}}
  volumes: [{name: data, folder: {path: ./data}}]
---
apiVersion: memorybank.dev/v1alpha1
kind: MaintenancePolicy
metadata: {name: standard}
spec:
  bankSelector: {}
  schedules: [{name: yearly, cron: '30 3 1 1 *', tasks: [{task: IntegrityCheck, level: Quick}]}]
RULE";

fn rules(rules: &[&str]) -> String {
    let (bank, policy) = RULES.split_once("---").unwrap();
    let of = |(index, rule): (usize, &&str)| {
        let named = policy.replace("standard", &format!("policy-{index}"));
        format!("---{}\n", named.replace("RULE", &if rule.is_empty() { String::new() } else { format!("  {rule}") }))
    };
    format!("{bank}{}", rules.iter().enumerate().map(of).collect::<String>())
}

/// Every recovery came to this phase.
fn come_to(world: &mut World, phase: &str) {
    for recovery in &world.config.recoveries {
        let status = RecoveryStatus { phase: Some(phase.to_owned()), ..RecoveryStatus::default() };
        world.recoveries.insert(recovery.meta.name.clone(), status);
    }
    world.runs.clear();
}

fn found(world: &mut World, id: &str) {
    world.damage(damage(id));
    id.clone_into(&mut world.facts.corruption.top.last_mut().unwrap().0);
}

#[test]
fn a_policy_makes_one_recovery_at_a_time_for_damage_that_none_was_made_for() {
    let mut world = World::new(&rules(&["recovery: {mode: OnApproval, maxPerDay: 2}"]));
    assert!(world.step("2026-11-22T05:00:00Z").recover.is_none(), "nothing is damaged");
    found(&mut world, "b");
    found(&mut world, "a");
    let plan = world.step("2026-11-22T05:01:00Z");
    let (first, event) = plan.recover.unwrap();
    assert_eq!(
        (first.made_for.as_str(), first.spec.mode, first.spec.quiesce),
        ("a,b", RecoveryMode::OnApproval, Quiesce::Wait)
    );
    assert!(first.spec.events.is_empty() && first.name.starts_with("assistant-damage-"), "{first:?}");
    assert_eq!(event.reason, EventReason::RecoveryMade);
    // It is looked at like any other.
    let plan = world.step("2026-11-22T05:02:00Z");
    assert_eq!(plan.create[0].owner, RunOwner::Recovery(first.name.clone()));
    assert_eq!(plan.recover, None);
    found(&mut world, "c");
    for phase in ["Planning", "Held", "AwaitingApproval", "Running"] {
        come_to(&mut world, phase);
        assert_eq!(world.plan(at("2026-11-22T05:03:00Z")).recover, None, "{phase} is no end");
    }
    come_to(&mut world, "Failed");
    let (second, _) = world.step("2026-11-22T05:04:00Z").recover.unwrap();
    assert_eq!(second.made_for, "a,b,c");
    come_to(&mut world, "Succeeded");
    found(&mut world, "d");
    let plan = world.plan(at("2026-11-22T06:00:00Z"));
    assert_eq!((plan.recover, plan.next), (None, Some(at("2026-11-23T05:01:00Z"))), "two were made today");
    assert!(world.plan(at("2026-11-23T05:01:00Z")).recover.is_some());
    world.facts.corruption.top.retain(|(id, _)| id != "d");
    assert_eq!(world.plan(at("2026-11-23T05:01:00Z")).recover, None, "one was made for each that is open");
}

#[test]
fn the_most_cautious_rule_counts_and_what_is_suspended_has_none() {
    let made = |text: &str| {
        let mut world = World::new(text);
        found(&mut world, "a");
        world.plan(at("2026-11-22T05:00:00Z")).recover.map(|(made, _)| made.spec.mode)
    };
    let (auto, asks) = ("recovery: {mode: Auto, maxPerDay: 3}", "recovery: {mode: OnApproval}");
    assert_eq!(made(&rules(&[""])), None, "nothing is made unasked");
    assert_eq!(made(&rules(&["recovery: {}"])), Some(RecoveryMode::DryRun));
    assert_eq!(made(&rules(&[auto, "", asks])), Some(RecoveryMode::OnApproval));
    assert_eq!(made(&rules(&[auto, "recovery: {mode: Auto, maxPerDay: 0}"])), None);
    assert_eq!(made(&rules(&[auto, "suspend: true\n  recovery: {}"])), Some(RecoveryMode::Auto));
    assert_eq!(made(&rules(&[auto]).replacen("spec:", "spec:\n  suspend: true", 1)), None);
}

#[test]
fn ended_recoveries_that_policies_made_are_few_and_those_of_people_stay() {
    let mut world = World::new(&format!(
        "{}---{}",
        rules(&["recovery: {maxPerDay: 24}"]),
        document("").split_once("---").unwrap().1
    ));
    come_to(&mut world, "Succeeded");
    for hour in 0..14 {
        found(&mut world, &format!("damage-{hour:02}"));
        let plan = world.step(&format!("2026-11-22T{hour:02}:00:00Z"));
        assert!(plan.recover.is_some_and(|(made, _)| made.made_for.ends_with(&format!("{hour:02}"))), "{hour}");
        assert!(plan.forget.is_empty(), "all of a day are kept");
        come_to(&mut world, "Succeeded");
    }
    let plan = world.step("2026-11-23T02:00:01Z");
    assert_eq!(plan.forget.len(), 3, "{plan:?}");
    let plan = world.step("2026-11-30T00:00:00Z");
    assert_eq!((plan.forget.len(), world.config.recoveries.len()), (1, 11));
    assert!(world.config.recoveries.iter().any(|recovery| recovery.meta.name == "mend"));
    assert!(plan.recover.is_none(), "the newest were made for all that is open");
}
