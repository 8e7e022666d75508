//! What the chart renders, whole; and that the forms made from it are up to date.

use std::process::Command;

use serde_json::Value;

use crate::guardian::{memorybank, text};
use crate::helm::{
    ALL, CHART, EVERYTHING, HIGHLY_AVAILABLE, Helm, NAMESPACE, NAMESPACED, Objects, WITHOUT_CRDS, name, namespace,
};
use crate::{names_in, repository, text_of};

/// The kinds that have a controller, as their definitions are named.
const KINDS: [&str; 6] =
    ["integritychecks", "maintenancepolicies", "maintenanceruns", "memorybanks", "recoveries", "securityaudits"];
/// Helm writes 1 as 1, and the definitions as 1.0.
fn with_numbers_alike(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(all) => all.iter().map(with_numbers_alike).collect(),
        Value::Object(all) => {
            Value::Object(all.iter().map(|(key, value)| (key.clone(), with_numbers_alike(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn helm_finds_nothing_to_say() {
    let Some(helm) = Helm::find() else { return };
    for values in ALL {
        let output = helm.command().args(["lint", "--strict", CHART]).args(values).output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success() && !said.contains("[WARNING]"), "{values:?}: {said}");
    }
}

#[test]
fn default_values_render_as_reviewed() {
    let Some(helm) = Helm::find() else { return };
    insta::assert_snapshot!(helm.render(WITHOUT_CRDS));
}

#[test]
fn every_switch_renders_as_reviewed() {
    let Some(helm) = Helm::find() else { return };
    // The dashboard and the rules are files of the chart, compared in tests of their own.
    let hidden = ["dashboard.enabled=false", "rules.enabled=false"].map(|value| format!("--set={value}"));
    let values: Vec<&str> = EVERYTHING.iter().copied().chain(hidden.iter().map(String::as_str)).collect();
    insta::assert_snapshot!(helm.render(&values));
}

#[test]
fn rules_and_dashboard_are_rendered_as_they_are_in_their_files() {
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(EVERYTHING);
    let rules: Value = serde_saphyr::from_str(
        &text_of("charts/memorybank-operator/files/rules.yaml")
            .replace("docs/runbooks", "https://runbooks.example/memorybank"),
    )
    .unwrap();
    assert_eq!(objects.one("PrometheusRule")["spec"], rules);
    let dashboards: Vec<_> = objects.of_kind("ConfigMap").filter(|map| name(map) == "guardian-dashboard").collect();
    assert_eq!(
        dashboards[0]["data"]["memorybank.json"].as_str().unwrap().trim_end(),
        text_of("charts/memorybank-operator/files/dashboard.json").trim_end()
    );
}

#[test]
fn the_chart_has_the_definitions_of_the_kinds_with_a_controller() {
    let files: Vec<_> = KINDS.iter().map(|kind| format!("{kind}.yaml")).collect();
    assert_eq!(names_in("charts/memorybank-operator/files/crds"), files, "run `make generate`");
    for file in &files {
        let ours = text_of(&format!("charts/memorybank-operator/files/crds/{file}"));
        assert!(ours == text_of(&format!("crds/{file}")), "{file}: run `make generate`");
    }
    let Some(helm) = Helm::find() else { return };
    let objects = helm.objects(&[]);
    let rendered: Vec<_> = objects.of_kind("CustomResourceDefinition").collect();
    assert_eq!(rendered.len(), KINDS.len());
    for (crd, file) in rendered.into_iter().zip(&files) {
        let source: Value = serde_saphyr::from_str(&text_of(&format!("crds/{file}"))).unwrap();
        assert!(with_numbers_alike(&crd["spec"]) == with_numbers_alike(&source["spec"]), "{file}");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{file}");
    }
    let given_up = helm.objects(HIGHLY_AVAILABLE);
    assert!(given_up.of_kind("CustomResourceDefinition").all(|crd| crd["metadata"]["annotations"].is_null()));
    assert_eq!(helm.objects(WITHOUT_CRDS).of_kind("CustomResourceDefinition").count(), 0);
}

#[test]
fn every_object_of_a_namespace_says_which() {
    let cluster_wide = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    let Some(helm) = Helm::find() else { return };
    for values in ALL {
        for object in helm.objects(values).0 {
            let kind = object["kind"].as_str().unwrap();
            assert_eq!(
                namespace(&object).is_none(),
                cluster_wide.contains(&kind),
                "{values:?}: {kind} {}",
                name(&object)
            );
            let roles = ["Role", "RoleBinding"].contains(&kind);
            assert!(roles || namespace(&object).is_none_or(|at| at == NAMESPACE), "{kind} {}", name(&object));
        }
    }
    assert!(helm.objects(NAMESPACED).of_kind("Role").any(|role| namespace(role) == Some("team-b")));
}

#[test]
fn a_name_that_fills_what_helm_allows_is_cut_to_what_kubernetes_takes() {
    let Some(helm) = Helm::find() else { return };
    let long = "a-release-of-fifty-three-letters-which-is-the-longest";
    let output = helm.command().args(["template", long, CHART]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for object in Objects::parse(&text(&output.stdout)).0 {
        let limit = if ["Service", "Deployment"].iter().any(|kind| object["kind"] == *kind) { 63 } else { 253 };
        assert!(name(&object).len() <= limit && !name(&object).ends_with('-'), "{}", name(&object));
        for (label, value) in object["metadata"]["labels"].as_object().unwrap() {
            assert!(value.as_str().unwrap().len() <= 63, "{label}: {value}");
        }
    }
}

#[test]
fn the_plain_install_is_what_the_chart_renders() {
    let Some(helm) = Helm::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output =
        Command::new(repository("config/render")).arg(folder.path()).env("HELM", helm.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for file in ["crds.yaml", "operator.yaml"] {
        let made = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(made == text_of(&format!("config/{file}")), "config/{file}: run `make generate`");
        assert!(!made.to_lowercase().contains("helm"), "config/{file} speaks of Helm");
    }
}

#[test]
fn the_chart_is_of_the_version_of_the_program() {
    let chart: Value = serde_saphyr::from_str(&text_of("charts/memorybank-operator/Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["apiVersion"], "v2");
    assert_eq!(chart["kubeVersion"], ">=1.33.0-0");
}

#[test]
fn the_example_that_the_notes_name_is_good() {
    let example = repository("examples/kubernetes/quickstart.yaml");
    let output = memorybank().arg("lint").arg(example).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
}
