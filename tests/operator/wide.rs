//! An operator for every namespace, under the rights that the chart gives for that.

use crate::bed::{Bed, message};
use crate::control_plane::ControlPlane;
use crate::wholesome::{BANK, FORBIDDEN, POLICY, requested};

#[tokio::test]
async fn a_policy_of_the_operators_namespace_selects_banks_of_others_and_no_other_policy_does() {
    let Some(plane) = ControlPlane::start() else { return };
    plane.definitions().await;
    let Some(bed) = Bed::wide(&plane).await else { return };
    let operator = bed.start(&[]).await;
    let (team, others) = (bed.elsewhere().await, bed.elsewhere().await);
    team.label("team", "a").await;
    team.apply(BANK).await;
    others.apply(BANK).await;
    let far = POLICY.replace("spec:", "spec:\n  namespaceSelector: {matchLabels: {team: a}}");
    bed.apply(&far).await;

    team.play(&operator, &requested("first")).await;
    team.run(&requested("first"), "Succeeded", "Completed").await;
    bed.until("MaintenancePolicy", "standard", "one bank", |policy| policy["status"]["banks"] == 1).await;
    bed.until("MaintenancePolicy", "standard", "its request echoed", |p| p["status"]["lastRunNowToken"] == "first")
        .await;
    others.condition("MemoryBank", "assistant", "OnSchedule", ("Unknown", "NoPolicy")).await;
    assert_eq!(others.names("MaintenanceRun").await, [""; 0]);

    // Of a namespace of its own no policy reaches out.
    others.apply(&far.replace("name: standard", "name: greedy")).await;
    let greedy = others.condition("MaintenancePolicy", "greedy", "Ready", ("False", "InvalidSpec")).await;
    assert!(message(&greedy, "Ready").contains(&bed.namespace), "{greedy}");

    // Another label, other banks.
    others.label("team", "a").await;
    others.until("MemoryBank", "assistant", "a schedule", |bank| bank["status"]["schedules"][0].is_object()).await;
    team.label("team", "b").await;
    team.until("MemoryBank", "assistant", "no schedule", |bank| bank["status"]["schedules"].is_null()).await;
    bed.until("MaintenancePolicy", "standard", "the other bank", |policy| policy["status"]["banks"] == 1).await;
    assert_eq!(others.names("MaintenanceRun").await, [""; 0], "a request that was echoed is not for new banks");
    assert_eq!(operator.number(FORBIDDEN), 0, "the chart's rights do not suffice");
}
