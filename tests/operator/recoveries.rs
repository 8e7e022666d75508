//! A Recovery from its plan to its end, and who may give its runs what.

use memorybank::domain::{
    Consent, CorruptionEvent, CorruptionType, Digest, RecoveryPlan, RecoveryReport, RecoveryState, RecoveryStep,
    RepairAction, Severity, Work,
};
use serde_json::{Value, json};

use crate::bed::{Bed, message};
use crate::ends::by_hand;
use crate::guardian::condition;
use crate::kubelet::name;
use crate::replica::Replica;
use crate::wholesome::{BANK, POLICY};

const RECOVERY: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: Recovery
metadata: {name: mend}
spec: {bankName: assistant, mode: OnApproval}
";

pub fn plan() -> RecoveryPlan {
    let step = RecoveryStep {
        action: RepairAction::Reindex,
        target: "database".to_owned(),
        items: 1,
        lossless: true,
        lost_memories: 0,
        lost_rows: 0,
        estimated_seconds: Some(1),
        detail: "one index is made anew".to_owned(),
    };
    RecoveryPlan { set: None, steps: vec![step], unmended: Vec::new() }
}

/// The recovery's next run.
pub async fn next(bed: &Bed<'_>, known: &[&str]) -> String {
    crate::bed::wait_for("a run of the recovery", async || {
        let runs = bed.list("MaintenanceRun").await;
        let of_it =
            |run: &&Value| run["metadata"]["ownerReferences"][0]["kind"] == "Recovery" && !known.contains(&name(run));
        runs.iter().find(of_it).map(|run| name(run).to_owned())
    })
    .await
}

pub fn consent_of(pod: &Value) -> Consent {
    let spec = Bed::spec(pod);
    let Work::Recover { consent, .. } = &spec.tasks[0].work else { panic!("{spec:?}") };
    *consent
}

/// Plays the pod of a recovery's run to this state.
pub async fn play(bed: &Bed<'_>, operator: &Replica, pod: &Value, state: RecoveryState) {
    report(bed, operator, pod, state).await;
    bed.exit(pod, 0, "Completed", "").await;
}

/// The same up to its report: the pod lives on.
pub async fn report(bed: &Bed<'_>, operator: &Replica, pod: &Value, state: RecoveryState) {
    bed.begin(pod).await;
    let (token, mut report) = (bed.token(pod).await, bed.report(pod).await);
    report.tasks[0].recovery = Some(RecoveryReport {
        plan: plan(),
        plan_digest: plan().digest(),
        state,
        verified_before: "1 damage".to_owned(),
        verified_after: (state == RecoveryState::Succeeded).then(|| "no damage".to_owned()),
        quarantine: None,
        lost_memories: None,
        mended: Vec::new(),
    });
    assert_eq!(bed.send(operator, &token, &report, pod).await, 201);
}

#[tokio::test]
async fn a_plan_is_shown_approved_and_carried_out_once() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(RECOVERY).await;
    let first = next(&bed, &[]).await;
    let pod = bed.pod(&first).await;
    assert_eq!(consent_of(&pod), Consent::None);
    // What overwrites a bank, or undoes what an interrupted recovery left, may write to it.
    let volume = pod["spec"]["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "b-data").unwrap();
    assert_ne!(volume["persistentVolumeClaim"]["readOnly"], true, "{volume}");
    play(&bed, &operator, &pod, RecoveryState::Planned).await;
    let told =
        bed.until("Recovery", "mend", "AwaitingApproval", |it| it["status"]["phase"] == "AwaitingApproval").await;
    let digest = format!("sha256:{}", plan().digest());
    assert_eq!(told["status"]["planDigest"], digest.as_str());
    assert_eq!(told["status"]["plan"][0]["action"], "Reindex");
    assert!(message(&told, "Succeeded").contains(&digest));

    bed.change("Recovery", "mend", json!({"spec": {"approval": {"planDigest": digest, "approvedBy": "alice"}}})).await;
    let second = next(&bed, &[&first]).await;
    let pod = bed.pod(&second).await;
    assert_eq!(consent_of(&pod), Consent::Plan(plan().digest()));
    play(&bed, &operator, &pod, RecoveryState::Succeeded).await;
    let told = bed.condition("Recovery", "mend", "Succeeded", ("True", "AsExpected")).await;
    assert_eq!(told["status"]["phase"], "Succeeded");
    assert_eq!(told["status"]["verifiedAfter"], "no damage");
    assert_eq!(bed.event("mend", "AsExpected").await["type"], "Normal");
    // Its runs go, and it does not begin anew.
    bed.gone("MaintenanceRun", &first).await;
    bed.delete("MaintenanceRun", &second).await;
    bed.gone("MaintenanceRun", &second).await;
    bed.change("MemoryBank", "assistant", json!({"metadata": {"labels": {"looked": "at"}}})).await;
    bed.apply(&crate::ends::by_hand("after", "assistant")).await;
    bed.play(&operator, "after").await;
    bed.run("after", "Succeeded", "Completed").await;
    assert_eq!(bed.names("MaintenanceRun").await, ["after"]);
}

#[tokio::test]
async fn a_run_gets_no_more_than_its_recovery_gives() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    // By hand it shows a plan.
    let by_hand = "
apiVersion: memorybank.dev/v1alpha1
kind: MaintenanceRun
metadata: {name: by-hand}
spec: {bankName: assistant, tasks: [{task: Recover}]}
";
    bed.apply(by_hand).await;
    let pod = bed.pod("by-hand").await;
    assert_eq!(consent_of(&pod), Consent::None);
    play(&bed, &operator, &pod, RecoveryState::Planned).await;
    bed.run("by-hand", "Succeeded", "Completed").await;

    bed.apply(RECOVERY).await;
    let first = next(&bed, &[]).await;
    let pod = bed.pod(&first).await;
    play(&bed, &operator, &pod, RecoveryState::Planned).await;
    let recovery =
        bed.until("Recovery", "mend", "AwaitingApproval", |it| it["status"]["phase"] == "AwaitingApproval").await;
    // Somebody says that a run of theirs is the recovery's: nothing was approved.
    let digest = Digest::of(b"another plan").to_string();
    let forged = json!({
        "apiVersion": "memorybank.dev/v1alpha1",
        "kind": "MaintenanceRun",
        "metadata": {
            "name": format!("assistant-mend-r{}", &digest[..6]),
            "ownerReferences": [{
                "apiVersion": "memorybank.dev/v1alpha1", "kind": "Recovery", "name": "mend", "controller": true,
                "uid": recovery["metadata"]["uid"],
            }],
        },
        "spec": {"bankName": "assistant", "tasks": [{"task": "Recover"}]},
    });
    bed.apply(&forged.to_string()).await;
    let run = bed.run(name(&forged), "Failed", "TaskFailed").await;
    assert!(message(&run, "Succeeded").contains("asks for no run of this name"), "{run:#}");
    assert!(bed.get("Job", name(&forged)).await.is_none());
    assert_eq!(condition(&bed.get("Recovery", "mend").await.unwrap(), "Succeeded").1, "AwaitingApproval");
    let refused = RECOVERY.replace("name: mend", "name: kept").replace("OnApproval", "OnApproval, quiesce: Guard");
    bed.apply(&refused).await;
    bed.condition("Recovery", "kept", "Succeeded", ("False", "InvalidSpec")).await;
}

#[tokio::test]
async fn a_policy_makes_a_recovery_for_damage_and_no_second_one() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    let policy = POLICY.replace(", annotations: {memorybank.dev/run-now: first}", "");
    bed.apply(&format!("{BANK}---{policy}  recovery: {{mode: OnApproval}}\n---\n{}", by_hand("check", "assistant")))
        .await;
    let pod = bed.pod("check").await;
    bed.begin(&pod).await;
    let (token, mut report) = (bed.token(&pod).await, bed.report(&pod).await);
    report.tasks[0].corruption.push(CorruptionEvent {
        check: "sqlite-structure".to_owned(),
        component: "database".to_owned(),
        corruption_type: CorruptionType::FileCorruption,
        invariant: None,
        severity: Severity::Critical,
        object: "openmemory.db".to_owned(),
        count: 1,
        evidence: "page 3".to_owned(),
        advice: "restore it".to_owned(),
    });
    assert_eq!(bed.send(&operator, &token, &report, &pod).await, 201);
    bed.exit(&pod, 0, "Completed", "").await;
    let run = next(&bed, &[]).await;
    let recoveries = bed.list("Recovery").await;
    let [recovery] = recoveries.as_slice() else { panic!("{recoveries:#?}") };
    assert_eq!(recovery["metadata"]["ownerReferences"][0]["kind"], "MemoryBank");
    assert_eq!(recovery["metadata"]["labels"]["memorybank.dev/bank"], "assistant");
    assert!(recovery["metadata"]["annotations"]["memorybank.dev/made-for"].is_string());
    assert_eq!((&recovery["spec"]["mode"], &recovery["spec"]["quiesce"]), (&json!("OnApproval"), &json!("Wait")));
    bed.event("assistant", "RecoveryMade").await;
    let pod = bed.pod(&run).await;
    play(&bed, &operator, &pod, RecoveryState::Planned).await;
    let waits = |it: &Value| it["status"]["phase"] == "AwaitingApproval";
    bed.until("Recovery", name(recovery), "AwaitingApproval", waits).await;
    assert_eq!(bed.list("Recovery").await.len(), 1);
    // It goes with its bank.
    bed.delete("MemoryBank", "assistant").await;
    bed.gone("Recovery", name(recovery)).await;
}
