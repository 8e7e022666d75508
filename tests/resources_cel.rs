//! The definitions as the API server takes them, and that `valid` refuses what their CEL rules refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails the test.

#[path = "common/rule_cases.rs"]
mod rule_cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kube::CustomResourceExt;
use kube_cel::Validator;
use memorybank::resources::{
    AlertRoute, FindingWaiver, IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, Origin, Recovery,
    SecurityAudit, ValidAudit, ValidBank, ValidCheck, ValidPolicy, ValidRecovery, ValidRun, Violation, check_route,
    check_waiver, crds,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ORIGIN: Origin<'static> = Origin { namespace: "default", file: None };

/// Below this `kubectl apply` can keep the definition in its annotation.
const MAX_BYTES: usize = 262_144;

fn schema(crd: &impl Serialize) -> Value {
    serde_json::to_value(crd).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `see` for every schema below one, with the path of its field.
fn walk(schema: &Value, path: &str, see: &mut impl FnMut(&Value, &str)) {
    see(schema, path);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), see);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}{mark}"), see);
        }
    }
}

#[test]
fn the_definitions_that_are_kept_are_the_ones_of_the_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), crds().len(), "run `make generate`");
    for crd in crds() {
        let kept = fs::read_to_string(folder.join(format!("{}.yaml", crd.spec.names.plural))).unwrap();
        assert!(kept == serde_saphyr::to_string(&crd).unwrap(), "{}: run `make generate`", crd.spec.names.plural);
        let read: Value = serde_saphyr::from_str(&kept).unwrap();
        let made = serde_json::to_value(&crd).unwrap();
        assert_eq!(read["spec"]["names"], made["spec"]["names"]);
    }
}

#[test]
fn the_definitions_are_small_bounded_and_described() {
    for crd in crds() {
        let kind = &crd.spec.names.kind;
        assert!(serde_json::to_string(&crd).unwrap().len() < MAX_BYTES, "{kind}");
        let mut wrong = String::new();
        let root = schema(&crd);
        walk(&root["properties"]["spec"], "spec", &mut |schema, path| {
            let described = schema["description"].is_string() || path.ends_with("[]") || path.ends_with("{}");
            let bounded = match schema["type"].as_str() {
                Some("string") => {
                    schema["enum"].is_array() || schema["maxLength"].is_u64() || schema["format"] == "date-time"
                }
                Some("array") => schema["maxItems"].is_u64() && schema["x-kubernetes-list-type"].is_string(),
                Some("integer") => path.ends_with("tolerationSeconds") || schema["maximum"].is_number(),
                Some("object") => {
                    schema["properties"].is_object()
                        || schema["maxProperties"].is_u64()
                        || schema["x-kubernetes-preserve-unknown-fields"] == true
                }
                _ => true,
            };
            let plain = schema["nullable"].is_null() && schema["anyOf"].is_null() && schema["oneOf"].is_null();
            if let Some(pattern) = schema["pattern"].as_str() {
                regex::Regex::new(pattern).unwrap();
            }
            if !(described && bounded && plain) {
                writeln!(wrong, "{kind} {path}: {schema}").unwrap();
            }
        });
        // An older schema takes what a newer version writes: nothing is required but the keys of lists,
        // and what Kubernetes' own Condition has.
        walk(&root["properties"]["status"], "status", &mut |schema, path| {
            let keys = ["policy", "schedule", "name"];
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut required = required.filter(|_| !path.contains("conditions"));
            if schema["enum"].is_array()
                || (path != "status" && !schema["nullable"].is_null())
                || required.any(|r| !keys.contains(&r))
            {
                writeln!(wrong, "{kind} {path}: {schema}").unwrap();
            }
            if path.ends_with("status.conditions") {
                assert_eq!(schema["x-kubernetes-list-type"], "map", "{kind}");
                assert_eq!(schema["x-kubernetes-list-map-keys"], json!(["type"]), "{kind}");
            }
        });
        assert_eq!(wrong, "");
    }
}

#[test]
fn the_definitions_print_and_select_as_documented() {
    let printed = [
        (
            "memorybanks",
            "mbank",
            "Ready Health Intact Consistent Secure BackedUp Last Run | Critical High Medium Low Alerts Reason Age",
        ),
        ("maintenancepolicies", "mpol", "Banks OnTime Next Suspended Ready Age"),
        ("maintenanceruns", "mrun", "Bank Schedule Phase Reason Started Age"),
        ("integritychecks", "icheck", "Bank Level Verdict Coverage Last Next Age"),
        ("securityaudits", "saudit", "Bank Passed Critical High New Last Next Age"),
        ("recoveries", "mrec", "Bank Mode Phase Lost Age"),
        ("alertroutes", "aroute", "Ready Deliverable Age"),
        ("findingwaivers", "fwaiver", "Rule Bank Effect Owner Expires Matches Age"),
    ];
    assert_eq!(crds().map(|crd| crd.spec.names.kind), rule_cases::KINDS);
    for (crd, (plural, short, columns)) in crds().into_iter().zip(printed) {
        assert_eq!(crd.spec.names.plural, plural);
        assert_eq!(crd.spec.names.short_names, Some(vec![short.to_owned()]));
        assert_eq!(crd.spec.names.categories, Some(vec!["memorybank-all".to_owned()]));
        assert_eq!(crd.spec.scope, "Namespaced");
        let version = &crd.spec.versions[0];
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        let of = version.additional_printer_columns.as_ref().unwrap();
        let wide = |i: usize| of[i].priority == Some(1);
        let names: Vec<_> = (0..of.len())
            .map(|i| if wide(i) && !wide(i - 1) { format!("| {}", of[i].name) } else { of[i].name.clone() })
            .collect();
        assert_eq!(names.join(" "), columns);
        let selectable = version.selectable_fields.iter().flatten().map(|f| f.json_path.as_str());
        let expected: &[&str] =
            if ["mbank", "mpol", "aroute", "fwaiver"].contains(&short) { &[] } else { &[".spec.bankName"] };
        assert_eq!(selectable.collect::<Vec<_>>(), expected, "{plural}");
    }
}

#[test]
fn what_a_newer_version_wrote_is_read() {
    let run: MaintenanceRun = serde_json::from_value(json!({
        "apiVersion": "memorybank.dev/v1alpha1", "kind": "MaintenanceRun",
        "metadata": {"name": "a"},
        "spec": {"bankName": "b", "tasks": [{"task": "Probe", "zeal": 9}], "mood": "new"},
        "status": {"phase": "Levitating", "rows": [1], "tasks": [{"name": "t", "outcome": "Splendid"}]}
    }))
    .unwrap();
    assert_eq!(run.status.unwrap().phase.as_deref(), Some("Levitating"));
}

#[test]
fn rules_over_changes_refuse_what_may_not_change() {
    for update in rule_cases::updates() {
        let old = rule_cases::good(update.kind);
        let by_cel = match update.kind {
            "MaintenanceRun" => changed::<MaintenanceRun>(&old, &update.changed),
            "Recovery" => changed::<Recovery>(&old, &update.changed),
            other => panic!("{other} has no rule over changes"),
        };
        let told: Vec<_> = by_cel.iter().map(|m| update.refused.is_some_and(|r| m.starts_with(r))).collect();
        assert_eq!(told, vec![true; usize::from(update.refused.is_some())], "{}\n{by_cel:?}", update.changed);
    }
}

/// The messages of the rules that a change breaks.
fn changed<T: CustomResourceExt + Serialize + DeserializeOwned>(old: &Value, new: &Value) -> Vec<String> {
    let typed =
        |document: &Value| serde_json::to_value(serde_json::from_value::<T>(document.clone()).unwrap()).unwrap();
    let judged = Validator::new().validate(&schema(&T::crd()), &typed(new), Some(&typed(old)));
    judged.err().into_iter().flat_map(|errors| errors.into_vec().into_iter().map(|e| e.message)).collect()
}

/// The messages of all rules of a kind.
fn rule_messages(schema: &Value) -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    walk(schema, "", &mut |schema, _| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            messages.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
        }
    });
    messages
}

/// Holds CEL and `valid` against each other, by the messages that they share; tells which rules were broken.
fn compare<T>(document: &Value, parse: impl Fn(&T) -> Result<(), Vec<Violation>>) -> Result<BTreeSet<String>, String>
where
    T: CustomResourceExt + Serialize + DeserializeOwned,
{
    // What the type cannot hold, the schema refuses.
    let Ok(resource) = serde_json::from_value::<T>(document.clone()) else { return Ok(BTreeSet::new()) };
    let schema = schema(&T::crd());
    let rules = rule_messages(&schema);
    let object = serde_json::to_value(&resource).unwrap();
    let by_cel: BTreeSet<String> = match Validator::new().validate(&schema, &object, None) {
        Ok(()) => BTreeSet::new(),
        Err(errors) => errors.into_vec().into_iter().map(|e| e.message).collect(),
    };
    let by_valid: BTreeSet<String> = parse(&resource)
        .err()
        .into_iter()
        .flatten()
        .filter_map(|v| rules.iter().find(|rule| v.message.starts_with(*rule)).cloned())
        .collect();
    if by_cel == by_valid { Ok(by_cel) } else { Err(format!("{document}\ncel {by_cel:?}\nvalid {by_valid:?}")) }
}

fn compare_kind(document: &Value) -> Result<BTreeSet<String>, String> {
    match document["kind"].as_str().unwrap() {
        "MemoryBank" => compare::<MemoryBank>(document, |d| ValidBank::parse(d, ORIGIN).map(|_| ())),
        "MaintenancePolicy" => compare::<MaintenancePolicy>(document, |d| ValidPolicy::parse(d, ORIGIN).map(|_| ())),
        "MaintenanceRun" => compare::<MaintenanceRun>(document, |d| ValidRun::parse(d, ORIGIN).map(|_| ())),
        "IntegrityCheck" => compare::<IntegrityCheck>(document, |d| ValidCheck::parse(d, ORIGIN).map(|_| ())),
        "SecurityAudit" => compare::<SecurityAudit>(document, |d| ValidAudit::parse(d, ORIGIN).map(|_| ())),
        "Recovery" => compare::<Recovery>(document, |d| ValidRecovery::parse(d, ORIGIN).map(|_| ())),
        "AlertRoute" => compare::<AlertRoute>(document, |d| check_route(d, ORIGIN)),
        "FindingWaiver" => compare::<FindingWaiver>(document, |d| check_waiver(d, ORIGIN)),
        other => panic!("{other}"),
    }
}

fn examples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut documents = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            documents.extend(serde_saphyr::from_multiple::<Value>(&fs::read_to_string(path).unwrap()).unwrap());
        }
    }
    documents.retain(|d| d["apiVersion"] == "memorybank.dev/v1alpha1");
    assert!(documents.len() >= 9);
    documents
}

/// The fields that lie about in the examples, as JSON pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| {
            pointers(v, &format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

/// Values that break rules, or just do not.
fn odd_values() -> Vec<Value> {
    let texts = [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/..b",
        "/etc",
        "data",
        "nowhere",
        "A_b",
        "-a",
        "22:00",
        "06:30",
        "2026-12-24",
        "2026-12-23",
        "http://a",
        "https://u:p@h/x",
        "ftp://h",
        "http://",
        "http://h/?q=@",
        "http://h h",
        "http://h\u{a0}x",
        "TZ=UTC 0 0 * * *",
        "CRON_TZ=UTC * * * * *",
        "* * * * *",
        "Probe",
        "IntegrityCheck",
        "SecurityAudit",
        "RestoreTest",
        "Backup",
        "ConsistencyCheck",
        "Quick",
        "Database",
        "Leaks",
        "Reachable",
        "Intact",
        "Secure",
        "OnSchedule",
        "BackedUp",
        "In",
        "NotIn",
        "Exists",
        "UTC",
    ];
    let mut values: Vec<Value> = texts.into_iter().map(Value::from).collect();
    values.push("a".repeat(64).into());
    values.extend([json!(0), json!(1), json!(7200), json!(true), json!(false), json!([]), json!({})]);
    values.push(json!({"name": "s", "key": "k"}));
    values.push(json!({"volume": "data", "path": "x"}));
    values.push(json!({"matchLabels": {"a": "b"}}));
    values.push(json!({"last": 0}));
    values.push(json!({"bucket": "abc"}));
    values
}

/// Members that may be missing, put in beside what is there.
const MEMBERS: [&str; 29] = [
    "sqlite",
    "postgres",
    "qdrant",
    "pgvector",
    "folder",
    "persistentVolumeClaim",
    "s3",
    "selector",
    "compose",
    "value",
    "secretKeyRef",
    "configMap",
    "secret",
    "emptyDir",
    "insecureSkipVerify",
    "caSecretRef",
    "level",
    "sharePercent",
    "scopes",
    "name",
    "spreadSeconds",
    "startingDeadlineSeconds",
    "retention",
    "purge",
    "policyName",
    "scheduleName",
    "slotTime",
    "values",
    "history",
];

#[derive(Clone, Debug)]
enum Change {
    Remove,
    Put(usize),
    Add(usize, usize),
    Repeat,
}

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let (values, members) = (odd_values().len(), MEMBERS.len());
    let change = prop_oneof![
        2 => Just(Change::Remove),
        4 => (0..values).prop_map(Change::Put),
        3 => (0..members, 0..values).prop_map(|(m, v)| Change::Add(m, v)),
        1 => Just(Change::Repeat),
    ];
    (any::<prop::sample::Index>(), change)
}

fn apply(document: &mut Value, at: prop::sample::Index, change: &Change) {
    let mut places = Vec::new();
    pointers(&document["spec"], "/spec", &mut places);
    places.push("/metadata/name".to_owned());
    let place = at.get(&places).clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match change {
        Change::Put(value) => *document.pointer_mut(&place).unwrap() = odd_values()[*value].clone(),
        Change::Add(member, value) => {
            if let Some(Value::Object(fields)) = document.pointer_mut(&place) {
                fields.insert(MEMBERS[*member].to_owned(), odd_values()[*value].clone());
            }
        }
        Change::Remove if place == "/metadata/name" || place == "/spec" => {}
        Change::Remove => match document.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => unreachable!(),
        },
        Change::Repeat => {
            if let Some(Value::Array(items)) = document.pointer_mut(&place)
                && let Some(first) = items.first().cloned()
            {
                items.push(first);
            }
        }
    }
}

/// How often a message is that of a rule at a place.
fn rules_at_places(crd: &impl Serialize) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    walk(&schema(crd), "", &mut |schema, place| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap().to_owned();
            *found.entry((place.trim_start_matches('.').to_owned(), message)).or_default() += 1;
        }
    });
    found
}

#[test]
fn valid_refuses_just_what_the_rules_refuse() {
    for good in rule_cases::KINDS.map(rule_cases::good).into_iter().chain(rule_cases::KINDS.map(rule_cases::least)) {
        assert_eq!(compare_kind(&good), Ok(BTreeSet::new()), "{good}");
    }
    for example in examples() {
        assert_eq!(compare_kind(&example), Ok(BTreeSet::new()), "an example breaks a rule");
    }
    for case in rule_cases::cases() {
        let broken = compare_kind(&case.bad).unwrap();
        let told: Vec<_> = broken.iter().map(|message| message.starts_with(case.message)).collect();
        assert_eq!(told, [true], "{}: {broken:?}\n{}", case.message, case.bad);
    }
}

/// So no rule goes without a case, here and on a real API server.
#[test]
fn every_rule_has_its_cases() {
    for crd in crds() {
        let kind = &crd.spec.names.kind;
        for ((place, message), count) in rules_at_places(&crd) {
            let cases = rule_cases::cases();
            let of_rule = |at: &str, begins: &str| at == place && message.starts_with(begins);
            let found = cases.iter().filter(|c| c.kind == kind && of_rule(c.place, c.message)).count();
            let updates = rule_cases::updates();
            let over = updates.iter().filter(|u| u.kind == kind && u.refused.is_some_and(|m| of_rule("spec", m)));
            let found = found.max(usize::from(over.count() > 0));
            assert_eq!(found, count, "{kind} {place}: {message}");
        }
    }
}

#[test]
fn valid_refuses_just_what_the_rules_refuse_in_changed_examples() {
    let mut examples = examples();
    examples.extend(rule_cases::KINDS.map(rule_cases::good));
    let changed = (any::<prop::sample::Index>(), prop::collection::vec(change(), 1..4));
    let config = ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&changed, |(which, changes)| {
            let mut document = which.get(&examples).clone();
            for (at, change) in &changes {
                apply(&mut document, *at, change);
            }
            compare_kind(&document).map(|_| ()).map_err(TestCaseError::fail)
        })
        .unwrap();
}
