//! The definitions on a real API server: accepted, enforced, printed and selected as documented.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails the test.

#[path = "common/control_plane.rs"]
mod control_plane;
#[path = "common/rule_cases.rs"]
mod rule_cases;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use memorybank::resources::{
    AlertRoute, CustomResourceDefinition, FindingWaiver, IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank,
    Recovery, SecurityAudit, crds,
};
use rule_cases::{KINDS, cases, good, least, updates};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let gvk = GroupVersionKind::gvk("memorybank.dev", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Applies an object, strictly: what is not known is an error.
async fn apply(client: &Client, namespace: &str, object: &Value, dry_run: bool) -> kube::Result<DynamicObject> {
    let api = api(client, namespace, object["kind"].as_str().unwrap());
    let params = PatchParams { dry_run, ..PatchParams::apply("test").validation(ValidationDirective::Strict) };
    api.patch(object["metadata"]["name"].as_str().unwrap(), &params, &Patch::Apply(object)).await
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> String {
    said(&plane.kubectl().args(arguments).output().unwrap())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[tokio::test]
async fn every_definition_is_applied_by_either_side_and_established() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let kept = folder("crds").display().to_string();
    let by_client = kubectl(plane, &["apply", "-f", &kept]);
    assert_eq!(by_client.lines().count(), KINDS.len(), "{by_client}");
    kubectl(plane, &["apply", "--server-side", "--force-conflicts", "--field-manager=test", "-f", &kept]);
    let definitions: Api<CustomResourceDefinition> = Api::all(plane.client().await);
    for crd in crds() {
        let found = definitions.get(crd.metadata.name.as_deref().unwrap()).await.unwrap();
        let conditions = found.status.unwrap().conditions.unwrap();
        let mut conditions: Vec<_> = conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
        conditions.sort_unstable();
        // No NonStructuralSchema, no KubernetesAPIApprovalPolicyConformant, nothing that warns.
        assert_eq!(conditions, [("Established", "True"), ("NamesAccepted", "True")], "{}", crd.spec.names.kind);
    }
}

#[tokio::test]
async fn every_rule_is_enforced_at_each_of_its_places() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    for kind in KINDS {
        let object = good(kind);
        let made = apply(&client, &namespace, &object, true).await;
        made.unwrap_or_else(|error| panic!("{object}: {error}"));
    }
    for case in cases() {
        let told = causes(apply(&client, &namespace, &case.bad, true).await);
        let [(place, message)] = told.as_slice() else { panic!("{told:?}\n{}", case.bad) };
        assert!(message.contains(case.message), "{}\n{message}", case.message);
        let expected = if case.place.is_empty() { "<nil>" } else { case.place };
        assert_eq!(place, expected, "{message}");
    }
}

/// Where an object breaks what: the place in the schema, and the message.
fn causes(answer: kube::Result<DynamicObject>) -> Vec<(String, String)> {
    let Err(kube::Error::Api(status)) = answer else { panic!("not refused: {answer:?}") };
    let index = regex::Regex::new(r"\[\d+\]").unwrap();
    let causes = status.details.unwrap().causes.into_iter();
    causes.map(|cause| (index.replace_all(&cause.field, "[]").into_owned(), cause.message)).collect()
}

#[tokio::test]
async fn rules_over_changes_are_enforced() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    for kind in ["MaintenanceRun", "Recovery"] {
        apply(&client, &namespace, &good(kind), false).await.unwrap();
    }
    for update in updates() {
        let answer = apply(&client, &namespace, &update.changed, true).await;
        match (update.refused, answer) {
            (None, answer) => drop(answer.unwrap_or_else(|error| panic!("{}: {error}", update.changed))),
            (Some(message), answer) => {
                let told = causes(answer);
                assert!(matches!(told.as_slice(), [(_, told)] if told.contains(message)), "{told:?}");
            }
        }
    }
}

/// A spec as the reader fills it in.
fn filled(object: &Value) -> Value {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()["spec"].take()
    }
    match object["kind"].as_str().unwrap() {
        "MemoryBank" => through::<MemoryBank>(object),
        "MaintenancePolicy" => through::<MaintenancePolicy>(object),
        "MaintenanceRun" => through::<MaintenanceRun>(object),
        "IntegrityCheck" => through::<IntegrityCheck>(object),
        "SecurityAudit" => through::<SecurityAudit>(object),
        "Recovery" => through::<Recovery>(object),
        "AlertRoute" => through::<AlertRoute>(object),
        "FindingWaiver" => through::<FindingWaiver>(object),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn defaults_are_those_of_the_reader() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    for object in KINDS.map(least).into_iter().chain(KINDS.map(good)) {
        let made = apply(&client, &namespace, &object, true).await.unwrap();
        assert_eq!(made.data["spec"], filled(&object), "{object}");
    }
}

#[tokio::test]
async fn kubectl_prints_the_documented_columns() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    for kind in KINDS {
        apply(&client, &namespace, &good(kind), false).await.unwrap();
    }
    let headers = |arguments: &[&str]| -> Vec<Vec<String>> {
        let text = kubectl(plane, &[&["get", "-n", &namespace], arguments].concat());
        let tables = text.split("\n\n").map(|table| table.lines().next().unwrap().to_owned());
        // Two spaces and more part columns, one stands within a name.
        tables.map(|line| line.split("  ").map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect()).collect()
    };
    let documented = [
        ("mbank", "NAME|READY|HEALTH|INTACT|CONSISTENT|SECURE|BACKEDUP|LAST RUN|AGE"),
        ("mpol", "NAME|BANKS|ONTIME|NEXT|SUSPENDED|READY|AGE"),
        ("mrun", "NAME|BANK|SCHEDULE|PHASE|REASON|STARTED|AGE"),
        ("icheck", "NAME|BANK|LEVEL|VERDICT|COVERAGE|LAST|NEXT|AGE"),
        ("saudit", "NAME|BANK|PASSED|CRITICAL|HIGH|NEW|LAST|NEXT|AGE"),
        ("mrec", "NAME|BANK|MODE|PHASE|LOST|AGE"),
        ("aroute", "NAME|READY|DELIVERABLE|AGE"),
        ("fwaiver", "NAME|RULE|BANK|EFFECT|OWNER|EXPIRES|MATCHES|AGE"),
    ];
    let together = headers(&["mbank,mpol,mrun,icheck,saudit,mrec,aroute,fwaiver"]);
    assert_eq!(together.len(), documented.len());
    for (printed, (short, columns)) in together.into_iter().zip(documented) {
        assert_eq!(printed.join("|"), columns, "{short}");
        assert_eq!(headers(&[short]).concat().join("|"), columns, "{short}");
    }
    let wide = headers(&["mbank", "-o", "wide"]).concat().join("|");
    assert!(wide.contains("|CRITICAL|HIGH|MEDIUM|LOW|ALERTS|REASON|AGE"), "{wide}");
    let category = kubectl(plane, &["get", "memorybank-all", "-n", &namespace, "-o", "name"]);
    assert_eq!(category.lines().count(), KINDS.len(), "the category holds every kind: {category}");
}

#[tokio::test]
async fn kubectl_explains_fields_by_their_descriptions() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    // The schema is published a moment after the kind is served.
    let begun = Instant::now();
    while !plane.kubectl().args(["explain", "fwaiver.spec"]).output().unwrap().status.success() {
        assert!(begun.elapsed() < PATIENCE, "{}", plane.log("apiserver"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let explained = kubectl(plane, &["explain", "mbank.spec.database"]);
    assert!(explained.contains("SQL database of the bank;") && explained.contains("A SQLite file."), "{explained}");
    let explained = kubectl(plane, &["explain", "aroute"]);
    assert!(explained.contains("This version acts on none."), "{explained}");
}

#[tokio::test]
async fn objects_are_selected_by_their_bank() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    for kind in ["MaintenanceRun", "IntegrityCheck", "SecurityAudit", "Recovery"] {
        for (name, bank) in [("one", "first"), ("two", "second")] {
            let mut object = good(kind);
            object["metadata"]["name"] = name.into();
            object["spec"]["bankName"] = bank.into();
            apply(&client, &namespace, &object, false).await.unwrap();
        }
        let of_second = ListParams::default().fields("spec.bankName=second");
        let found = api(&client, &namespace, kind).list(&of_second).await.unwrap().items;
        let names: Vec<_> = found.iter().map(|o| o.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["two"], "{kind}");
    }
}

#[tokio::test]
async fn a_status_of_a_newer_version_is_kept_and_leaves_the_spec_alone() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let (client, namespace) = (plane.client().await, plane.namespace().await);
    apply(&client, &namespace, &good("MaintenanceRun"), false).await.unwrap();
    let runs = api(&client, &namespace, "MaintenanceRun");
    let tasks = json!([{"name": "check", "outcome": "Splendid"}]);
    let status = json!({"phase": "Levitating", "tasks": tasks, "report": {"source": "Pigeon"}});
    let patch = Patch::Merge(json!({"spec": {"bankName": "other"}, "status": status}));
    runs.patch_status("a", &PatchParams::default(), &patch).await.unwrap();
    let kept = runs.get("a").await.unwrap().data;
    assert_eq!(kept["status"], status);
    assert_eq!(kept["spec"]["bankName"], "b");
    // Whoever may change the object may not write its status in passing.
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Succeeded"}}));
    let changed = runs.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(changed.data["status"]["phase"], "Levitating");
}

#[tokio::test]
async fn unknown_fields_are_refused_by_strict_validation() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let namespace = plane.namespace().await;
    let strictly = ["create", "-n", &namespace, "--dry-run=server", "--validate=strict", "-f", "-"];
    for kind in KINDS {
        let mut object = good(kind);
        said(&plane.kubectl_with(&strictly, &object.to_string()));
        object["spec"]["mood"] = "new".into();
        let refused = plane.kubectl_with(&strictly, &object.to_string());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("unknown field \"spec.mood\""), "{kind}: {told}");
    }
}

#[tokio::test]
async fn every_example_is_accepted() {
    let Some(plane) = ControlPlane::shared() else { return };
    plane.definitions().await;
    let namespace = plane.namespace().await;
    let examples = folder("examples");
    for folder in [examples.clone(), examples.join("compose")] {
        let files = fs::read_dir(&folder)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|end| end == "yaml"));
        assert!(files.count() > 0, "{}", folder.display());
        let folder = folder.display().to_string();
        kubectl(plane, &["apply", "-n", &namespace, "--dry-run=server", "--validate=strict", "-f", &folder]);
    }
}
