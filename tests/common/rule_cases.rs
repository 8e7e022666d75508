//! For every rule of every definition, an object that keeps it and one that breaks it and no other: judged by
//! CEL and `valid` in process (`resources_cel`), and by a real API server (`crds`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use serde_json::{Value, json};

/// The kinds, in the order of `crds()`.
pub const KINDS: [&str; 8] = [
    "MemoryBank",
    "MaintenancePolicy",
    "MaintenanceRun",
    "IntegrityCheck",
    "SecurityAudit",
    "Recovery",
    "AlertRoute",
    "FindingWaiver",
];

/// One rule, broken.
pub struct Case {
    pub kind: &'static str,
    /// The place of the rule in the schema, such as `spec.volumes[]`; empty for the root.
    pub place: &'static str,
    /// The beginning of the rule's message.
    pub message: &'static str,
    pub bad: Value,
}

/// A change of an object that is there.
pub struct Update {
    pub kind: &'static str,
    pub changed: Value,
    /// The beginning of the message by which it is refused; none where it is allowed.
    pub refused: Option<&'static str>,
}

const NAME: &str = "metadata.name is a DNS label";
const PATH: &str = "expected a path relative to the volume";
const URL: &str = "expected http:// or https://";
const TLS: &str = "caSecretRef and insecureSkipVerify exclude each other";
const UNDECLARED: &str = "expected the name of a volume declared";
const REQUIREMENT: &str = "values belong to In and NotIn";
const WINDOW: &str = "start and end differ";
const ZONE: &str = "found a time zone within the cron expression";
const TASK_NAMES: &str = "names of tasks are unique";
const LEVEL_NEEDED: &str = "an IntegrityCheck has a level";
const LEVEL_MISPLACED: &str = "level and sharePercent belong to an IntegrityCheck";
const SCOPES: &str = "scopes fit the task";
const RUN: &str = "the spec of a MaintenanceRun is immutable";
const RECOVERY: &str = "the spec of a Recovery is immutable but for approval";

/// An object of a kind that says nearly all that the kind can say.
pub fn good(kind: &str) -> Value {
    document(kind, &spec(kind))
}

/// An object of a kind that says nothing that has a default.
pub fn least(kind: &str) -> Value {
    let spec = match kind {
        "MemoryBank" => json!({"api": {"url": "http://a", "tls": {}}}),
        "MaintenancePolicy" => {
            json!({"bankSelector": {}, "schedules": [{"name": "s", "cron": "@daily", "tasks": [{"task": "Probe"}]}]})
        }
        "MaintenanceRun" => json!({"bankName": "b", "tasks": [{"task": "Probe"}]}),
        "IntegrityCheck" => json!({"bankName": "b", "level": "Quick", "schedule": {"cron": "@daily"}}),
        "SecurityAudit" => json!({"bankName": "b", "schedule": {"cron": "@daily"}}),
        "Recovery" => json!({"bankName": "b"}),
        "AlertRoute" => json!({
            "match": [{}],
            "quietHours": [{"start": "22:00", "end": "07:00"}],
            "receivers": [{"name": "mail", "email": {"host": "mail", "from": "a@b", "to": ["c@d"]}}],
            "selfTest": {"cron": "@daily"},
        }),
        "FindingWaiver" => json!({
            "match": {"rule": "r"}, "reason": "known", "owner": "alice", "expiryTime": "2027-02-01T00:00:00Z"
        }),
        other => panic!("{other}"),
    };
    document(kind, &spec)
}

/// Every rule of every kind, broken once at each of its places.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = KINDS.map(|kind| case(kind, "", NAME, "/metadata/name", json!("a.b"))).into();
    cases.extend(bank_cases());
    cases.extend(policy_cases());
    cases.extend(task_cases("MaintenanceRun", "spec", "spec.tasks[]", "/spec/tasks"));
    cases.extend(route_cases());
    cases.extend([
        case("MaintenanceRun", "spec", "policyName, scheduleName and slotTime", "/spec/policyName", json!("p")),
        case("IntegrityCheck", "spec", "a RestoreTest has no scopes", "/spec/level", json!("RestoreTest")),
        case("IntegrityCheck", "spec.schedule.cron", ZONE, "/spec/schedule/cron", json!("TZ=UTC 0 0 * * *")),
        case("SecurityAudit", "spec.schedule.cron", ZONE, "/spec/schedule/cron", json!("CRON_TZ=UTC 0 0 * * *")),
        case("FindingWaiver", "spec.match", "a waiver is of a rule", "/spec/match/rule", Value::Null),
    ]);
    cases
}

/// Every rule over a change, kept and broken.
pub fn updates() -> Vec<Update> {
    let update = |kind, pointer, value, refused| Update { kind, changed: set(good(kind), pointer, value), refused };
    let approval = json!({"planDigest": format!("sha256:{}", "0".repeat(64)), "approvedBy": "alice"});
    vec![
        update("MaintenanceRun", "/metadata/labels", json!({"a": "b"}), None),
        update("MaintenanceRun", "/spec/activeDeadlineSeconds", json!(61), Some(RUN)),
        update("MaintenanceRun", "/spec/ttlSecondsAfterFinished", json!(61), Some(RUN)),
        update("Recovery", "/spec/approval", approval, None),
        update("Recovery", "/spec/bankName", json!("other"), Some(RECOVERY)),
        update("Recovery", "/spec/mode", json!("Auto"), Some(RECOVERY)),
        update("Recovery", "/spec/quiesce", json!("Guard"), Some(RECOVERY)),
        update("Recovery", "/spec/events", json!(["e2"]), Some(RECOVERY)),
        update("Recovery", "/spec/events", Value::Null, Some(RECOVERY)),
        update("Recovery", "/spec/backupName", json!("set"), Some(RECOVERY)),
    ]
}

fn document(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "memorybank.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

fn case(kind: &'static str, place: &'static str, message: &'static str, pointer: &str, value: Value) -> Case {
    Case { kind, place, message, bad: set(good(kind), pointer, value) }
}

/// Puts a member in, or takes it away (null).
fn set(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
        Value::Object(fields) if value.is_null() => drop(fields.remove(member).unwrap()),
        Value::Object(fields) => drop(fields.insert(member.to_owned(), value)),
        other => panic!("{pointer}: {other}"),
    }
    document
}

fn spec(kind: &str) -> Value {
    let tls = json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}});
    let requirement = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
    let tasks = json!([
        {"name": "check", "task": "IntegrityCheck", "level": "Quick", "scopes": ["Files"]},
        {"name": "audit", "task": "SecurityAudit", "scopes": ["Leaks"]},
    ]);
    match kind {
        "MemoryBank" => json!({
            "api": {"url": "https://a", "tls": tls},
            "database": {"sqlite": {"volume": "data", "path": "a.db"}},
            "history": {"volume": "data", "path": "h.db"},
            "vectorStore": {"qdrant": {"url": "https://q", "collection": "c", "tls": tls}},
            "volumes": [{"name": "data", "folder": {"path": "/data"}}],
            "files": [{"name": "f", "volume": "data", "path": "f"}],
            "backups": [{"name": "b", "volume": "data", "path": "b"}],
            "repository": {"folder": {"volume": "data", "path": "r"}},
            "embedding": {"url": "https://e", "model": "m", "dimensions": 3, "tls": tls},
            "workload": {"compose": {"volume": "data", "path": "compose.yaml"}},
            "jobTemplate": {
                "env": [{"name": "A", "value": "b"}],
                "volumes": [{"name": "v", "mountPath": "/v", "emptyDir": {}}],
            },
        }),
        "MaintenancePolicy" => json!({
            "bankSelector": requirement,
            "namespaceSelector": requirement,
            "windows": [{"start": "05:00", "end": "07:00"}],
            "blackouts": [{"from": "2026-12-24", "to": "2026-12-26"}],
            "holdWhile": [{"condition": "Reachable", "status": "False"}],
            "schedules": [{"name": "s", "cron": "0 6 * * *", "startingDeadlineSeconds": 600, "tasks": tasks}],
            "retention": {"last": 3},
            "purge": {"deletedAfterSeconds": 3600},
        }),
        "MaintenanceRun" => json!({"bankName": "b", "tasks": tasks}),
        "IntegrityCheck" => {
            json!({"bankName": "b", "level": "Full", "scopes": ["Files"], "schedule": {"cron": "@daily"}})
        }
        "SecurityAudit" => json!({"bankName": "b", "scopes": ["Leaks"], "schedule": {"cron": "@daily"}}),
        "Recovery" => json!({"bankName": "b", "mode": "OnApproval", "events": ["e1"]}),
        "AlertRoute" => json!({
            "match": [{"categories": ["Security"], "bankSelector": requirement, "namespaceSelector": requirement}],
            "quietHours": [{"days": ["Sat"], "start": "22:00", "end": "07:00", "except": ["Critical", "High"]}],
            "receivers": [
                {"name": "ops", "webhook": {"urlSecretRef": {"name": "ops", "key": "url"}, "tls": tls}},
                {"name": "mail", "email": {"host": "mail.example.com", "from": "a@b", "to": ["c@d"], "tls": tls}},
                {"name": "screen", "desktop": {}},
            ],
            "selfTest": {"cron": "0 9 * * 1", "level": "Confirmed"},
        }),
        "FindingWaiver" => json!({
            "match": {"rule": "r", "bankName": "b"}, "effect": "Ignore", "reason": "known", "owner": "alice",
            "expiryTime": "2027-02-01T00:00:00Z",
        }),
        other => panic!("{other}"),
    }
}

fn bank_cases() -> Vec<Case> {
    let case = |place, message, pointer: &str, value| case("MemoryBank", place, message, pointer, value);
    let tls = json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}, "insecureSkipVerify": true});
    let postgres = json!({"urlSecretRef": {"name": "d", "key": "url"}});
    let pgvector = json!({"urlSecretRef": {"name": "d", "key": "url"}, "table": "t"});
    let requirement = json!({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}});
    vec![
        case("spec", "expected at least one of api, database", "/spec", json!({"suspend": true})),
        case("spec", UNDECLARED, "/spec/database/sqlite/volume", json!("none")),
        case("spec", UNDECLARED, "/spec/history/volume", json!("none")),
        case("spec", UNDECLARED, "/spec/repository/folder/volume", json!("none")),
        case("spec", UNDECLARED, "/spec/workload/compose/volume", json!("none")),
        case("spec", UNDECLARED, "/spec/files/0/volume", json!("none")),
        case("spec", UNDECLARED, "/spec/backups/0/volume", json!("none")),
        case("spec.api.tls", TLS, "/spec/api/tls", tls.clone()),
        case("spec.vectorStore.qdrant.tls", TLS, "/spec/vectorStore/qdrant/tls", tls.clone()),
        case("spec.embedding.tls", TLS, "/spec/embedding/tls", tls.clone()),
        case("spec.repository.s3.tls", TLS, "/spec/repository", json!({"s3": {"bucket": "abc", "tls": tls}})),
        case("spec.api.url", URL, "/spec/api/url", json!("http://user:word@host")),
        case("spec.vectorStore.qdrant.url", URL, "/spec/vectorStore/qdrant/url", json!("ftp://h")),
        case("spec.embedding.url", URL, "/spec/embedding/url", json!("http://h h")),
        case(
            "spec.repository.s3.endpoint",
            URL,
            "/spec/repository",
            json!({"s3": {"bucket": "abc", "endpoint": "minio:9000"}}),
        ),
        case("spec.database.sqlite.path", PATH, "/spec/database/sqlite/path", json!("/a.db")),
        case("spec.history.path", PATH, "/spec/history/path", json!("../h.db")),
        case("spec.repository.folder.path", PATH, "/spec/repository/folder/path", json!("a/..")),
        case("spec.workload.compose.path", PATH, "/spec/workload/compose/path", json!("a/../b")),
        case("spec.files[].path", PATH, "/spec/files/0/path", json!("..")),
        case("spec.backups[].path", PATH, "/spec/backups/0/path", json!("/")),
        case("spec.database", "expected exactly one of sqlite, postgres", "/spec/database/postgres", postgres),
        case("spec.vectorStore", "expected exactly one of qdrant, pgvector", "/spec/vectorStore/pgvector", pgvector),
        case("spec.repository", "expected exactly one of folder, s3", "/spec/repository/folder", Value::Null),
        case("spec.workload", "expected exactly one of selector, compose", "/spec/workload/selector", json!({})),
        case("spec.workload.selector.matchExpressions[]", REQUIREMENT, "/spec/workload", requirement),
        case(
            "spec.volumes[]",
            "expected exactly one of persistentVolumeClaim, folder",
            "/spec/volumes/0/folder",
            Value::Null,
        ),
        case(
            "spec.jobTemplate.env[]",
            "expected exactly one of value, secretKeyRef",
            "/spec/jobTemplate/env/0/value",
            Value::Null,
        ),
        case(
            "spec.jobTemplate.volumes[]",
            "expected exactly one of configMap, secret, emptyDir",
            "/spec/jobTemplate/volumes/0/configMap",
            json!({"name": "c"}),
        ),
    ]
}

fn policy_cases() -> Vec<Case> {
    let case = |place, message, pointer: &str, value| case("MaintenancePolicy", place, message, pointer, value);
    let hold = "no schedule is held by a condition";
    let mut cases = vec![
        case("spec", hold, "/spec/holdWhile/0/condition", json!("Intact")),
        case(
            "spec.bankSelector.matchExpressions[]",
            REQUIREMENT,
            "/spec/bankSelector/matchExpressions/0/operator",
            json!("In"),
        ),
        case(
            "spec.namespaceSelector.matchExpressions[]",
            REQUIREMENT,
            "/spec/namespaceSelector/matchExpressions/0/values",
            json!(["a"]),
        ),
        case("spec.windows[]", WINDOW, "/spec/windows/0/end", json!("05:00")),
        case("spec.blackouts[]", "from is not after to", "/spec/blackouts/0/to", json!("2026-12-23")),
        case("spec.retention", "a retention keeps something", "/spec/retention", json!({"last": 0})),
        case("spec.purge", "a purge names something", "/spec/purge", json!({})),
        case("spec.schedules[]", "spreadSeconds is less than", "/spec/schedules/0/spreadSeconds", json!(600)),
        case("spec.schedules[]", "a recovery comes from", "/spec/schedules/0/tasks", json!([{"task": "Recover"}])),
        case("spec.schedules[].cron", ZONE, "/spec/schedules/0/cron", json!("TZ=UTC 0 6 * * *")),
    ];
    let tasks = "/spec/schedules/0/tasks";
    cases.extend(task_cases("MaintenancePolicy", "spec.schedules[]", "spec.schedules[].tasks[]", tasks));
    cases
}

/// The rules of a list of tasks.
fn task_cases(kind: &'static str, list: &'static str, place: &'static str, pointer: &str) -> Vec<Case> {
    let case = |place, message, member: &str, value| case(kind, place, message, &format!("{pointer}/{member}"), value);
    vec![
        case(list, TASK_NAMES, "1/name", json!("check")),
        case(place, LEVEL_NEEDED, "0/level", Value::Null),
        case(place, LEVEL_MISPLACED, "1/sharePercent", json!(5)),
        case(place, SCOPES, "1/scopes", json!(["Leaks", "Files"])),
    ]
}

fn route_cases() -> Vec<Case> {
    let case = |place, message, pointer: &str, value| case("AlertRoute", place, message, pointer, value);
    let receivers = "expected exactly one of webhook, email, desktop";
    vec![
        case(
            "spec.match[].bankSelector.matchExpressions[]",
            REQUIREMENT,
            "/spec/match/0/bankSelector/matchExpressions/0/operator",
            json!("NotIn"),
        ),
        case(
            "spec.match[].namespaceSelector.matchExpressions[]",
            REQUIREMENT,
            "/spec/match/0/namespaceSelector/matchExpressions/0/operator",
            json!("In"),
        ),
        case("spec.quietHours[]", WINDOW, "/spec/quietHours/0/end", json!("22:00")),
        case("spec.receivers[]", receivers, "/spec/receivers/0/desktop", json!({"expireSeconds": 5})),
        case("spec.receivers[].webhook.tls", TLS, "/spec/receivers/0/webhook/tls/insecureSkipVerify", json!(true)),
        case("spec.receivers[].email.tls", TLS, "/spec/receivers/1/email/tls/insecureSkipVerify", json!(true)),
        case("spec.selfTest.cron", ZONE, "/spec/selfTest/cron", json!("TZ=UTC 0 9 * * 1")),
    ]
}
