//! What a server would do otherwise for speed, and the one thing of it that is done: an index of a payload's field.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, cut};
use super::{Client, QdrantError};

/// A hint of the server about performance; never a sign of damage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Issue {
    /// Such as `UNINDEXED_FIELD/COLLECTION/FIELD`.
    pub id: String,
    /// In the server's words.
    #[serde(default)]
    pub description: String,
    /// `{"immediate": {"action": {"method", "uri", "body"}}}`, several to choose from, or advice.
    #[serde(default)]
    solution: Value,
}

/// An index that searches by a field of the payload want.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldIndex {
    /// The field, such as `user_id`.
    pub field: String,
    /// How its values are taken, one of [`FieldIndex::KINDS`].
    pub kind: String,
}

impl FieldIndex {
    /// The kinds of index that a field can have.
    pub const KINDS: [&str; 8] = ["keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"];
    /// The longest name of a field, in bytes.
    const LONGEST: usize = 256;
}

/// What was made of the hints of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heeded {
    /// The indexes that are there now and were not.
    pub indexed: Vec<FieldIndex>,
    /// Hints about the collection that are for people, in the server's words.
    pub left: Vec<String>,
}

impl Issue {
    /// Whether it is about a collection.
    fn is_of(&self, collection: &str) -> bool {
        self.id.split('/').nth(1) == Some(collection)
    }

    /// The index of a collection's field that it asks for. What the server proposes as a request is read, never sent: a
    /// choice between several, another address or a kind that is not known is for people.
    fn index(&self, collection: &str) -> Option<FieldIndex> {
        let action = &self.solution["immediate"]["action"];
        let own = action["method"] == "PUT" && action["uri"] == format!("/collections/{collection}/index");
        let (field, schema) = (action["body"]["field_name"].as_str()?, &action["body"]["field_schema"]);
        let kind = schema.as_str().or_else(|| schema["type"].as_str())?;
        let known = FieldIndex::KINDS.contains(&kind) && (1..=FieldIndex::LONGEST).contains(&field.len());
        (own && known).then(|| FieldIndex { field: field.to_owned(), kind: kind.to_owned() })
    }
}

#[derive(Deserialize)]
struct Issues {
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    payload_schema: BTreeMap<String, Field>,
}

#[derive(Deserialize)]
struct Field {
    data_type: String,
}

/// The most indexes that one run makes: each is work for the server, and memory.
const MOST: usize = 8;
const INDEX: &str = "making of an index";

impl Client {
    /// What the server would do otherwise for speed.
    pub async fn issues(&self) -> Result<Vec<Issue>, QdrantError> {
        let issues: Issues = self.result(&Call::get("list of issues", vec!["issues"])).await?;
        Ok(issues.issues)
    }

    /// Makes the indexes that the server misses in a collection, at most eight, and looks whether they are there. No
    /// point changes. Hints stay with the server until it is started again: those that are heeded are passed over.
    pub async fn heed(&self, collection: &str) -> Result<Heeded, QdrantError> {
        let mut heeded = Heeded::default();
        let issues = self.issues().await?;
        let before = self.fields(collection).await?;
        for issue in issues.iter().filter(|issue| issue.is_of(collection)) {
            match issue.index(collection) {
                Some(index) if before.get(&index.field) == Some(&index.kind) => {}
                // A field has one index: another would take its place.
                Some(index) if heeded.indexed.len() < MOST && !before.contains_key(&index.field) => {
                    let path = vec!["collections", collection, "index"];
                    let body = json!({"field_name": index.field, "field_schema": index.kind});
                    let call = Call { body: Some(body), ..Call::change(INDEX, Method::PUT, path) };
                    self.result::<Value>(&call).await?;
                    heeded.indexed.push(index);
                }
                _ => heeded.left.push(cut(&issue.description)),
            }
        }
        if !heeded.indexed.is_empty() {
            let after = self.fields(collection).await?;
            let (there, missing) =
                heeded.indexed.drain(..).partition(|index| after.get(&index.field) == Some(&index.kind));
            heeded.indexed = there;
            let told = |index: FieldIndex| format!("the index of {} is not there after it was made", cut(&index.field));
            heeded.left.extend(Vec::into_iter(missing).map(told));
        }
        Ok(heeded)
    }

    /// The fields of the payload that have an index, with its kind.
    async fn fields(&self, collection: &str) -> Result<BTreeMap<String, String>, QdrantError> {
        let path = vec!["collections", collection];
        let info: Fields = self.result(&Call::get("list of the collection's indexes", path)).await?;
        Ok(info.payload_schema.into_iter().map(|(field, of)| (field, of.data_type)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(id: &str, solution: Value) -> Issue {
        Issue { id: id.to_owned(), description: "slow".to_owned(), solution }
    }

    fn asks(method: &str, uri: &str, body: &Value) -> Value {
        json!({"immediate": {"message": "m", "action": {"method": method, "uri": uri, "headers": {}, "body": body}}})
    }

    #[test]
    fn only_an_index_of_the_own_collection_is_made() {
        let uri = "/collections/openmemory/index";
        let body = json!({"field_name": "user_id", "field_schema": "keyword"});
        let index = |solution| issue("UNINDEXED_FIELD/openmemory/user_id", solution).index("openmemory");
        let made = index(asks("PUT", uri, &body)).unwrap();
        assert_eq!((made.field.as_str(), made.kind.as_str()), ("user_id", "keyword"));
        let text = json!({"field_name": "data", "field_schema": {"type": "text", "tokenizer": "word"}});
        assert_eq!(index(asks("PUT", uri, &text)).unwrap().kind, "text");
        for other in [
            asks("DELETE", uri, &body),
            asks("PUT", "/collections/other/index", &body),
            asks("PUT", "/collections/openmemory/index/../../other/index", &body),
            asks("PUT", uri, &json!({"field_name": "user_id", "field_schema": "anything"})),
            asks("PUT", uri, &json!({"field_name": "", "field_schema": "keyword"})),
            json!({"immediate_choice": [asks("PUT", uri, &body)["immediate"]]}),
            json!({"refactor": "use one collection"}),
            Value::Null,
        ] {
            assert_eq!(index(other.clone()), None, "{other}");
        }
        assert!(!issue("UNINDEXED_FIELD/openmemory_entities/user_id", Value::Null).is_of("openmemory"));
        assert!(!issue("TOO_MANY_COLLECTIONS", Value::Null).is_of("openmemory"));
    }
}
