//! The definitions as the API server takes them, and that `valid` refuses what their CEL rules refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A helper of a test fails the test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kube::CustomResourceExt;
use kube::core::cel;
use memorybank::resources::{
    IntegrityCheck, MaintenancePolicy, MaintenanceRun, MemoryBank, Origin, SecurityAudit, ValidAudit, ValidBank,
    ValidCheck, ValidPolicy, ValidRun, Violation, crds,
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
    ];
    for (crd, (plural, short, columns)) in crds().into_iter().zip(printed) {
        assert_eq!(crd.spec.names.plural, plural);
        assert_eq!(crd.spec.names.short_names, Some(vec![short.to_owned()]));
        assert_eq!(crd.spec.names.categories, Some(vec!["memorybank".to_owned()]));
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
        let expected: &[&str] = if ["mbank", "mpol"].contains(&short) { &[] } else { &[".spec.bankName"] };
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
fn the_spec_of_a_run_is_immutable() {
    let run = |deadline: u32| -> MaintenanceRun {
        let spec = json!({"bankName": "b", "tasks": [{"task": "Probe"}], "activeDeadlineSeconds": deadline});
        serde_json::from_value(json!({
            "apiVersion": "memorybank.dev/v1alpha1", "kind": "MaintenanceRun", "metadata": {"name": "a"}, "spec": spec
        }))
        .unwrap()
    };
    assert!(cel::validate_cel_update(&run(60), &run(60)).is_ok());
    let refused = cel::validate_cel_update(&run(61), &run(60)).unwrap_err();
    assert_eq!(refused.as_slice()[0].message, "the spec of a MaintenanceRun is immutable");
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
    let rules = rule_messages(&schema(&T::crd()));
    let by_cel: BTreeSet<String> = match cel::validate_cel(&resource) {
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
const MEMBERS: [&str; 28] = [
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

/// Documents that together break every rule: random changes find some of them seldom.
fn broken() -> Vec<Value> {
    let document = |kind: &str, spec: Value| json!({"apiVersion": "memorybank.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let policy = |extra: Value| {
        let tasks = json!([{"task": "Backup"}]);
        let mut spec = json!({"bankSelector": {}, "schedules": [{"name": "s", "cron": "@daily", "tasks": tasks}]});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        document("MaintenancePolicy", spec)
    };
    let run = |tasks: Value| document("MaintenanceRun", json!({"bankName": "b", "tasks": tasks}));
    let tls = json!({"caSecretRef": {"name": "a", "key": "b"}, "insecureSkipVerify": true});
    vec![
        document("MemoryBank", json!({})),
        document("MemoryBank", json!({"api": {"url": "http://a", "tls": tls}})),
        document("IntegrityCheck", json!({"bankName": "b", "level": "RestoreTest", "scopes": ["Files"]})),
        document("MaintenanceRun", json!({"bankName": "b", "tasks": [{"task": "Probe"}], "policyName": "p"})),
        policy(json!({"windows": [{"start": "10:00", "end": "10:00"}]})),
        policy(json!({"blackouts": [{"from": "2026-12-24", "to": "2026-12-23"}]})),
        policy(json!({"retention": {"last": 0}})),
        policy(json!({"holdWhile": [{"condition": "BackedUp", "status": "False"}]})),
        policy(json!({"holdWhile": [{"condition": "OnSchedule", "status": "False"}]})),
        policy(json!({"schedules": [{"name": "s", "cron": "TZ=UTC 0 0 * * *", "tasks": [{"task": "Probe"}]}]})),
        policy(json!({"schedules": [{"name": "s", "cron": "@daily", "spreadSeconds": 60,
            "startingDeadlineSeconds": 60, "tasks": [{"task": "Probe"}]}]})),
        run(json!([{"name": "a", "task": "Probe"}, {"name": "a", "task": "Learn"}])),
        run(json!([{"task": "IntegrityCheck"}])),
        run(json!([{"task": "Probe", "level": "Full"}])),
        run(json!([{"task": "SecurityAudit", "scopes": ["Leaks", "Files"]}])),
        document("MemoryBank", json!({"database": {"sqlite": {"volume": "none", "path": "/../a"}}})),
        document(
            "MemoryBank",
            json!({"database": {}, "vectorStore": {}, "workload": {}, "repository": {},
            "volumes": [{"name": "a"}], "jobTemplate": {"env": [{"name": "A"}], "volumes":
            [{"name": "a", "mountPath": "/a"}]}}),
        ),
        document("MemoryBank", json!({"api": {"url": "http://user:word@host"}})),
        json!({"apiVersion": "memorybank.dev/v1alpha1", "kind": "SecurityAudit", "metadata": {"name": "A"},
            "spec": {"bankName": "b"}}),
        policy(json!({"bankSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
    ]
}

#[test]
fn valid_refuses_just_what_the_rules_refuse() {
    for example in examples() {
        assert_eq!(compare_kind(&example), Ok(BTreeSet::new()), "an example breaks a rule");
    }
    let mut seen = BTreeSet::new();
    for document in broken() {
        let found = compare_kind(&document).unwrap();
        assert!(!found.is_empty(), "{document}");
        seen.extend(found);
    }
    // A rule that no document broke was not compared.
    let all: BTreeSet<_> = crds().iter().flat_map(|crd| rule_messages(&schema(crd))).collect();
    let never: Vec<_> = all.iter().filter(|m| !seen.contains(*m) && !m.contains("immutable")).collect();
    assert_eq!(never, Vec::<&String>::new(), "no document broke these rules");
}

#[test]
fn valid_refuses_just_what_the_rules_refuse_in_changed_examples() {
    let examples = examples();
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
