//! The payload of a point as it is made from its row: what mem0 and OpenMemory write beside a vector.

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use crate::engine::integrity::sqlite::date;

/// What the point of a live memory is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryText {
    /// Its id.
    pub id: u128,
    /// Its text.
    pub content: String,
    /// The name of its user.
    pub user: String,
    /// The name of the app that it came from.
    pub app: Option<String>,
    /// As OpenMemory writes them, without an offset: UTC.
    pub created: Option<String>,
    /// The same of its last change.
    pub updated: Option<String>,
}

/// Beside the text of a point for search by words; mem0 writes the text itself where it has no lemmatizer.
const WORDS: &str = "text_lemmatized";

impl MemoryText {
    /// The payload of a point that is made anew.
    pub fn payload(&self) -> Map<String, Value> {
        let mut payload = self.text();
        payload.insert("user_id".to_owned(), json!(self.user));
        payload.insert("source_app".to_owned(), json!("openmemory"));
        payload.extend(self.app.as_ref().map(|app| ("mcp_client".to_owned(), json!(app))));
        payload.extend(iso(self.created.as_deref()).map(|time| ("created_at".to_owned(), json!(time))));
        payload
    }

    /// What puts the text of the row in place of another one beside a vector.
    pub fn keys(&self, payload: &Map<String, Value>) -> Map<String, Value> {
        let mut keys = self.text();
        if payload.contains_key(WORDS) {
            keys.insert(WORDS.to_owned(), json!(self.content));
        }
        keys
    }

    fn text(&self) -> Map<String, Value> {
        let mut keys = Map::new();
        keys.insert("data".to_owned(), json!(self.content));
        keys.insert("hash".to_owned(), json!(hash(&self.content)));
        keys.extend(
            iso(self.updated.as_deref().or(self.created.as_deref())).map(|time| ("updated_at".to_owned(), json!(time))),
        );
        keys
    }
}

/// What is written beside a text that has no hash. The time changes too, by a microsecond: a point that changes without one
/// counts as damaged.
pub fn hashed(payload: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = payload.get("data")?.as_str()?;
    let time = |key: &str| payload.get(key)?.as_str().and_then(date::parse);
    let later =
        time("updated_at").or_else(|| time("created_at")).and_then(|time| Timestamp::from_microsecond(time + 1).ok());
    let mut keys = Map::from_iter([("hash".to_owned(), json!(hash(text)))]);
    keys.extend(later.map(|time| ("updated_at".to_owned(), json!(iso_of(time)))));
    Some(keys)
}

/// MD5 in hex, as mem0 writes it.
fn hash(text: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(text).into()))
}

fn iso(time: Option<&str>) -> Option<String> {
    let time = Timestamp::from_microsecond(date::parse(time?)?).ok()?;
    Some(iso_of(time))
}

/// As mem0 writes times: ISO 8601 with an offset.
fn iso_of(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> MemoryText {
        MemoryText {
            id: 7,
            content: "likes tea".to_owned(),
            user: "ada".to_owned(),
            app: Some("claude".to_owned()),
            created: Some("2025-07-01 10:00:00.000000".to_owned()),
            updated: None,
        }
    }

    #[test]
    fn a_point_is_made_as_openmemory_makes_it() {
        let expected = json!({
            "data": "likes tea", "hash": "333eb7a1a291340c4a5e076606a7774e", "user_id": "ada",
            "source_app": "openmemory", "mcp_client": "claude",
            "created_at": "2025-07-01T10:00:00.000000+00:00", "updated_at": "2025-07-01T10:00:00.000000+00:00",
        });
        assert_eq!(json!(memory().payload()), expected);
    }

    #[test]
    fn a_text_takes_the_place_of_another_and_leaves_what_else_there_is() {
        let Value::Object(payload) = json!({
            "data": "likes coffee", "hash": "x", "user_id": "ada", "role": "user", "text_lemmatized": "like coffee",
        }) else {
            panic!()
        };
        let keys = MemoryText { updated: Some("2025-07-02 10:00:00".to_owned()), ..memory() }.keys(&payload);
        let expected = json!({
            "data": "likes tea", "hash": hash("likes tea"), "text_lemmatized": "likes tea",
            "updated_at": "2025-07-02T10:00:00.000000+00:00",
        });
        assert_eq!(json!(keys), expected);
        let keys = memory().keys(&Map::new());
        assert!(!keys.contains_key("text_lemmatized"), "{keys:?}");
    }

    #[test]
    fn a_hash_moves_the_time_by_as_little_as_there_is() {
        let Value::Object(payload) = json!({"data": "abc", "created_at": "2025-07-01T03:00:00.000009-07:00"}) else {
            panic!()
        };
        let keys = json!(hashed(&payload).unwrap());
        let expected = json!({"hash": hash("abc"), "updated_at": "2025-07-01T10:00:00.000010+00:00"});
        assert_eq!(keys, expected);
        assert_eq!(hashed(&Map::new()), None);
    }

    #[test]
    fn the_hash_is_that_of_rfc_1321() {
        assert_eq!(hash(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hash("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
