//! What the derives cannot say of a schema: closed sets of the vocabulary, bounded maps, no nulls.

use schemars::transform::transform_subschemas;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::condition::ConditionName;
use crate::domain::{AuditScope, IntegrityScope, Level, Severity, TaskKind};

/// A DNS label, as object, volume, schedule and task names must be.
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The longest DNS label, and so the longest value of a label.
pub const DNS_LABEL_MAX: u32 = 63;
/// A DNS subdomain, as the names of Secrets and claims must be.
pub const DNS_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The longest DNS subdomain.
pub const DNS_NAME_MAX: u32 = 253;
/// A key of a Secret; never `.` or `..`, for locally it is a file's name.
pub const SECRET_KEY: &str = "^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$";
/// A time of day, `HH:MM`.
pub const TIME_OF_DAY: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// A date, `YYYY-MM-DD`.
pub const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
/// A Kubernetes quantity, such as `10Gi`.
pub const QUANTITY: &str = "^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

/// The name or the address of a server.
pub const HOST: &str = "^[a-zA-Z0-9:]([-a-zA-Z0-9.:]*[a-zA-Z0-9])?$";
/// An address of mail: one line, one sign.
pub const MAIL_ADDRESS: &str = r"^[^@\s]+@[^@\s]+$";

fn closed<const N: usize>(names: [&str; N]) -> Schema {
    json_schema!({"type": "string", "enum": names.as_slice()})
}

pub fn flavor(_: &mut SchemaGenerator) -> Schema {
    closed(["OpenMemory", "Mem0Server"])
}

pub fn mutable(_: &mut SchemaGenerator) -> Schema {
    closed(["Never", "Append", "Always"])
}

pub fn task_kind(_: &mut SchemaGenerator) -> Schema {
    closed(TaskKind::ALL.map(TaskKind::name))
}

pub fn level(_: &mut SchemaGenerator) -> Schema {
    closed(Level::ALL.map(Level::name))
}

pub fn severity(_: &mut SchemaGenerator) -> Schema {
    closed(Severity::ALL.map(Severity::name))
}

pub fn severities(_: &mut SchemaGenerator) -> Schema {
    set_of(&closed(Severity::ALL.map(Severity::name)), Severity::ALL.len())
}

pub fn condition(_: &mut SchemaGenerator) -> Schema {
    closed(ConditionName::ALL.map(ConditionName::name))
}

pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    set_of(&closed(ConditionName::ALL.map(ConditionName::name)), ConditionName::ALL.len())
}

fn set_of(items: &Schema, max: usize) -> Schema {
    json_schema!({"type": "array", "maxItems": max, "items": items, "x-kubernetes-list-type": "set"})
}

pub fn integrity_scopes(_: &mut SchemaGenerator) -> Schema {
    set_of(&closed(IntegrityScope::ALL.map(IntegrityScope::name)), IntegrityScope::ALL.len())
}

pub fn audit_scopes(_: &mut SchemaGenerator) -> Schema {
    set_of(&closed(AuditScope::ALL.map(AuditScope::name)), AuditScope::ALL.len())
}

/// Scopes of either kind: which of them fit is a rule of the task.
pub fn task_scopes(_: &mut SchemaGenerator) -> Schema {
    let names =
        [&IntegrityScope::ALL.map(IntegrityScope::name)[..], &AuditScope::ALL.map(AuditScope::name)[..]].concat();
    set_of(&json_schema!({"type": "string", "enum": names}), AuditScope::ALL.len())
}

/// Labels, annotations or a node selector.
pub fn text_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 4096}
    })
}

/// The labels that a selector asks for.
pub fn match_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": DNS_LABEL_MAX}
    })
}

/// Amounts of resources; `cpu: 1` is as good as `cpu: "1"`.
pub fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"x-kubernetes-int-or-string": true}
    })
}

/// An object that Kubernetes itself judges.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Takes from a schema what the API server does not know or what only blurs it: null beside a type
/// (an absent field is absent), and the formats of unsigned numbers (their minimum says it).
pub fn plain(schema: &mut Schema) {
    transform_subschemas(&mut plain, schema);
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|o| o.get("type") != Some(&Value::from("null")));
        if let [Value::Object(only)] = options.as_mut_slice() {
            let only = std::mem::take(only);
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
        object.remove("format");
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}
