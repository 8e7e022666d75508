//! Objects that cannot be used, or are somebody else's: told on the object, and the others go on.

use kube::api::{Api, PostParams};
use memorybank::resources::{CustomResourceDefinition, crds};
use serde_json::{Value, json};

use crate::bed::{Bed, message, wait_for};
use crate::control_plane::ControlPlane;
use crate::ends::by_hand;
use crate::guardian::condition;
use crate::wholesome::{BANK, POLICY, requested};

#[tokio::test]
async fn what_no_schema_can_refuse_is_told_in_words() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&POLICY.replace("30 3 1 1 *", "61 3 1 1 *")).await;
    let policy = bed.condition("MaintenancePolicy", "standard", "Ready", ("False", "InvalidSpec")).await;
    assert!(message(&policy, "Ready").contains("61 3 1 1 *"), "{policy}");
    bed.apply(
        r#"
apiVersion: memorybank.dev/v1alpha1
kind: IntegrityCheck
metadata: {name: martian}
spec: {bankName: assistant, level: Quick, schedule: {cron: "0 2 * * *", timeZone: Mars/Olympus}}
---
apiVersion: memorybank.dev/v1alpha1
kind: SecurityAudit
metadata: {name: never}
spec: {bankName: assistant, schedule: {cron: "0 0 30 2 *"}}
"#,
    )
    .await;
    let check = bed.condition("IntegrityCheck", "martian", "Ready", ("False", "InvalidSpec")).await;
    assert!(message(&check, "Ready").contains("Mars/Olympus"), "{check}");
    let audit = bed.condition("SecurityAudit", "never", "Ready", ("False", "InvalidSpec")).await;
    assert!(message(&audit, "Ready").contains("0 0 30 2 *"), "{audit}");
    assert_eq!(bed.names("MaintenanceRun").await, [""; 0]);

    // Mended, it runs.
    bed.apply(POLICY).await;
    bed.play(&operator, &requested("first")).await;
    bed.run(&requested("first"), "Succeeded", "Completed").await;
    let ready = |policy: &Value| condition(policy, "Ready").1 != "InvalidSpec";
    bed.until("MaintenancePolicy", "standard", "mended", ready).await;
}

#[tokio::test]
async fn folders_of_nodes_are_used_only_where_they_are_allowed() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&["--allow-host-path=/srv/others"]).await;
    let folder = BANK.replace("persistentVolumeClaim: {claimName: assistant-data}", "folder: {path: /srv/banks/a}");
    bed.apply(&folder).await;
    let bank = bed.condition("MemoryBank", "assistant", "Ready", ("False", "HostPathForbidden")).await;
    let said = message(&bank, "Ready");
    assert!(said.contains("/srv/banks/a") && said.contains("/srv/others"), "{said}");
    bed.apply(&by_hand("early", "assistant")).await;
    bed.run("early", "Held", "Refused").await;
    assert!(operator.stop().await.success());

    let operator = bed.start(&["--allow-host-path=/srv/others,/srv/banks/"]).await;
    bed.run("early", "Running", "Running").await;
    let job = bed.get("Job", "early").await.unwrap();
    let volumes = job["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let of_bank = volumes.iter().find(|volume| volume["name"] == "b-data").unwrap();
    assert_eq!(of_bank["hostPath"], json!({"path": "/srv/banks/a", "type": "Directory"}));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts.iter().find(|mount| mount["name"] == "b-data").unwrap()["readOnly"], true);
    bed.play(&operator, "early").await;
    bed.run("early", "Succeeded", "Completed").await;
    let allowed = |bank: &Value| condition(bank, "Ready").1 != "HostPathForbidden";
    bed.until("MemoryBank", "assistant", "allowed", allowed).await;
}

#[tokio::test]
async fn names_that_somebody_else_has_are_theirs() {
    let Some(bed) = Bed::new().await else { return };
    let operator = bed.start(&[]).await;
    bed.apply(BANK).await;
    bed.apply(&by_hand(&requested("first"), "assistant")).await;
    bed.play(&operator, &requested("first")).await;
    bed.run(&requested("first"), "Succeeded", "Completed").await;
    bed.apply(POLICY).await;
    let event = bed.event("assistant", "NameCollision").await;
    assert_eq!(event["type"], "Warning");
    assert!(event["note"].as_str().unwrap().contains(&requested("first")), "{event}");
    bed.until("MaintenancePolicy", "standard", "its request echoed", |p| p["status"]["lastRunNowToken"] == "first")
        .await;
    let run = bed.get("MaintenanceRun", &requested("first")).await.unwrap();
    assert!(run["metadata"]["ownerReferences"].is_null() && run["spec"]["policyName"].is_null());
    assert_eq!(bed.names("Job").await.len(), 1);

    // A Job of the run's name.
    let container = json!({"name": "c", "image": "localhost/none:1"});
    let theirs = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "taken"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    bed.apply(&theirs.to_string()).await;
    bed.apply(&by_hand("taken", "assistant")).await;
    let run = bed.run("taken", "Failed", "TaskFailed").await;
    assert!(message(&run, "Succeeded").contains("somebody else's"), "{run}");
    let job = bed.get("Job", "taken").await.unwrap();
    assert!(job["metadata"]["deletionTimestamp"].is_null() && job["status"]["active"] == 1, "{job}");
}

/// Puts the definition of banks as it is to be.
async fn define(bed: &Bed<'_>, change: impl Fn(&mut Value)) {
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client.clone());
    let ours = Vec::from(crds()).into_iter().find(|crd| crd.spec.names.kind == "MemoryBank").unwrap();
    let name = ours.metadata.name.clone().unwrap();
    let mut fresh = serde_json::to_value(&ours).unwrap();
    change(&mut fresh["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let known = definitions.get(&name).await.unwrap();
    fresh["metadata"]["resourceVersion"] = json!(known.metadata.resource_version);
    let fresh = serde_json::from_value(fresh).unwrap();
    definitions.replace(&name, &PostParams::default(), &fresh).await.unwrap();
}

#[tokio::test]
async fn an_object_that_no_longer_fits_its_type_is_told_and_the_others_go_on() {
    let Some(plane) = ControlPlane::start() else { return };
    plane.definitions().await;
    let Some(bed) = Bed::on(&plane).await else { return };
    bed.apply(BANK).await;
    define(&bed, |schema| {
        schema["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        schema["x-kubernetes-validations"] = json!([]);
    })
    .await;
    let broken = r#"
apiVersion: memorybank.dev/v1alpha1
kind: MemoryBank
metadata: {name: broken}
spec: {suspend: "perhaps"}
"#;
    // The API server takes a moment to go by the new schema.
    wait_for("a schema that takes anything", async || bed.try_apply(broken).await.is_ok().then_some(())).await;
    // What was claimed when it could be read.
    bed.set_status("MemoryBank", "broken", json!({"health": {"score": 99, "summary": "all is well"}})).await;
    // The strict schema again: what is wrong stays, is told, and harms nobody.
    define(&bed, |_| ()).await;
    wait_for("a schema that refuses", async || {
        bed.try_apply(&broken.replace("name: broken", "name: second")).await.is_err().then_some(())
    })
    .await;
    let operator = bed.start(&[]).await;
    bed.apply(&by_hand("well", "assistant")).await;
    bed.play(&operator, "well").await;
    bed.run("well", "Succeeded", "Completed").await;
    let shown = bed.condition("MemoryBank", "broken", "Ready", ("False", "InvalidSpec")).await;
    assert!(message(&shown, "Ready").contains("it cannot be read"), "{shown}");
    assert_eq!(shown["status"]["health"], Value::Null, "nothing is claimed any more");
    let mend = json!({"spec": {"suspend": null, "api": {"url": "http://127.0.0.1:9"}}});
    bed.change("MemoryBank", "broken", mend).await;
    let mended = |bank: &Value| condition(bank, "Ready").1 != "InvalidSpec";
    bed.until("MemoryBank", "broken", "mended", mended).await;
}
