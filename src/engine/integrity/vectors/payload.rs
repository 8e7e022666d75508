use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::domain::Payload;

/// What is kept of a payload. Its digest is that of its JSON without spaces, the keys of each object in order, and
/// numbers as they are written by whoever gave it: two stores give different digests of the same payload.
pub fn payload(mut map: Map<String, Value>) -> Payload {
    let mut canonical = Vec::with_capacity(512);
    write_map(&map, &mut canonical);
    let digest = Sha256::digest(&canonical).into();
    let mut text = |key: &str| match map.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (data, hash, user_id) = (text("data"), text("hash"), text("user_id"));
    let (created_at, updated_at) = (text("created_at"), text("updated_at"));
    let linked = match map.remove("linked_memory_ids") {
        Some(Value::Array(list)) => {
            list.into_iter().filter_map(|one| if let Value::String(id) = one { Some(id) } else { None }).collect()
        }
        _ => Vec::new(),
    };
    Payload { data, hash, user_id, created_at, updated_at, linked, digest }
}

fn write_map(map: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_unstable();
    out.push(b'{');
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write(map.get(key).unwrap_or(&Value::Null), out);
    }
    out.push(b'}');
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(list) => {
            out.push(b'[');
            for (index, one) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(one, out);
            }
            out.push(b']');
        }
        Value::Object(map) => write_map(map, out),
    }
}

/// Escaped as far as it must be, so that where a text ends is never in doubt.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Payload {
        payload(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_order_of_keys_changes_nothing_and_anything_else_does() {
        let one = of(r#"{"data": "a \"b\"", "n": {"x": [1, null, true], "y": 0.5}}"#);
        assert_eq!(one.digest, of(r#"{"n": {"y": 0.5, "x": [1, null, true]}, "data": "a \"b\""}"#).digest);
        for other in [
            r#"{"data": "a b", "n": {"x": [1, null, true], "y": 0.5}}"#,
            r#"{"data": "a \"b\"", "n": {"x": [1, null, false], "y": 0.5}}"#,
            r#"{"data": "a \"b\"", "n": {"x": [1, true, null], "y": 0.5}}"#,
            r#"{"data": "a \"b\"", "n": {"x": [1, null, true], "y": 0.25}}"#,
            r#"{"data": "a \"b\"", "n": {"x": [1, null, true], "z": 0.5}}"#,
            r#"{"data": "a \"b\"", "n": {"x": [1, null, true], "y": "0.5"}}"#,
            r#"{"data": "a \"b\""}"#,
        ] {
            assert_ne!(one.digest, of(other).digest, "{other}");
        }
        // SHA-256 of {"a":1,"b":"\"\\"}.
        let known: [u8; 32] = Sha256::digest(br#"{"a":1,"b":"\"\\"}"#).into();
        assert_eq!(of(r#"{"b": "\"\\", "a": 1}"#).digest, known);
    }

    #[test]
    fn a_key_of_another_type_is_as_if_it_were_not_there() {
        let odd = of(r#"{"data": 1, "user_id": "u", "linked_memory_ids": ["a", 2]}"#);
        assert_eq!((odd.data, odd.user_id.as_deref(), odd.linked), (None, Some("u"), vec!["a".to_owned()]));
        assert_eq!(of(r#"{"linked_memory_ids": "a"}"#).linked, Vec::<String>::new());
    }
}
