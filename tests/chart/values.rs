//! What values are: described once in the schema, refused where they are wrong, listed in the README.

use std::fmt::Write as _;

use serde_json::Value;

use crate::helm::Helm;
use crate::text_of;

fn schema() -> Value {
    serde_json::from_str(&text_of("charts/memorybank-operator/values.schema.json")).unwrap()
}

fn defaults() -> Value {
    serde_saphyr::from_str(&text_of("charts/memorybank-operator/values.yaml")).unwrap()
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let Some(helm) = Helm::find() else { return };
    for (values, place) in [
        ("replicaCount=2", "/store/postgres/urlSecret/name"),
        ("replicaCount=0", "/replicaCount"),
        ("replicaCount=two", "/replicaCount"),
        ("replicas=1", "replicas"),
        ("image.tags=v1", "tags"),
        ("image.digest=sha256:abc", "/image/digest"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("watch.namespaces={Team}", "/watch/namespaces/0"),
        ("watch.namespaces={*}", "/watch/namespaces/0"),
        ("secrets.namespaces={a*}", "/secrets/namespaces/0"),
        ("rbac.scale.namespaces={a*}", "/rbac/scale/namespaces/0"),
        ("allowHostPaths={srv}", "/allowHostPaths/0"),
        ("maxActiveJobs=0", "/maxActiveJobs"),
        ("logLevel=loud", "/logLevel"),
        ("store.persistence.size=much", "/store/persistence/size"),
        ("store.sqlite.path=x", "sqlite"),
        ("metrics.serviceMonitor.interval=often", "/metrics/serviceMonitor/interval"),
        ("podDisruptionBudget.maxUnavailable=most", "/podDisruptionBudget/maxUnavailable"),
        ("rules.runbookBase=", "/rules/runbookBase"),
    ] {
        let refused = helm.try_render(&["--set", values]).expect_err(values);
        assert!(refused.contains(place), "{values}: {refused}");
    }
}

/// Every part of the schema that describes a value, with its path.
fn described(path: &str, schema: &Value, all: &mut Vec<(String, Value)>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        described(&path, value, all);
        all.push((path.trim_start_matches('.').to_owned(), value.clone()));
    }
}

#[test]
fn every_value_is_typed_described_and_closed() {
    let mut all = Vec::new();
    described("", &schema(), &mut all);
    assert_eq!(schema()["additionalProperties"], false);
    for (path, value) in all {
        assert!(value["description"].as_str().is_some_and(|text| text.len() > 5), "{path} is not described");
        assert!(value["type"].is_string() || value["anyOf"].is_array(), "{path} has no type");
        assert!(value["properties"].is_null() || value["additionalProperties"] == false, "{path} is open");
    }
}

/// The rows of the table: a value is a leaf where the schema names no properties of it.
fn rows(path: &str, value: &Value, schema: &Value, table: &mut String) {
    match (value.as_object(), schema["properties"].as_object()) {
        (Some(values), Some(known)) if !values.is_empty() => {
            for (name, value) in values {
                let schema = known.get(name).unwrap_or_else(|| panic!("{path}.{name} is not in the schema"));
                rows(&format!("{path}.{name}"), value, schema, table);
            }
        }
        _ => {
            let (path, meaning) = (path.trim_start_matches('.'), schema["description"].as_str().unwrap());
            writeln!(table, "| `{path}` | `{value}` | {meaning} |").unwrap();
        }
    }
}

#[test]
fn the_readme_lists_every_value_with_its_default() {
    let mut table = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    rows("", &defaults(), &schema(), &mut table);
    let readme = text_of("charts/memorybank-operator/README.md");
    assert!(readme.contains(&table), "the README of the chart should have this table:\n{table}");
}

#[test]
fn every_value_of_the_schema_has_a_default() {
    let (defaults, mut all) = (defaults(), Vec::new());
    described("", &schema(), &mut all);
    // What Helm passes to every chart, and what a list in `resources` may hold.
    let without = ["global", "resources.claims"];
    for (path, _) in all.iter().filter(|(path, _)| !without.contains(&path.as_str())) {
        let pointer = format!("/{}", path.replace('.', "/"));
        assert!(defaults.pointer(&pointer).is_some(), "{path} is not in values.yaml");
    }
}
