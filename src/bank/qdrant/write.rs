//! Points that are written or removed. Each call waits until it is done, and is made once.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::page::id;
use super::{Client, QdrantError};
use crate::domain::PointId;

/// A point to be written whole.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPoint {
    /// Its id.
    pub id: PointId,
    /// All that is beside its vector.
    pub payload: Map<String, Value>,
    /// Its dense vector.
    pub vector: Vec<f32>,
}

const POINTS: &str = "writing of points";

impl Client {
    /// Writes points, each in place of one of its id. `name` is that of the dense vector, empty for the one without.
    pub async fn upsert(&self, collection: &str, name: &str, points: &[NewPoint]) -> Result<(), QdrantError> {
        let points: Vec<Value> = points
            .iter()
            .map(|point| {
                let vector = if name.is_empty() { json!(point.vector) } else { json!({name: point.vector}) };
                json!({"id": id(point.id), "payload": point.payload, "vector": vector})
            })
            .collect();
        self.change(Method::PUT, vec!["collections", collection, "points"], json!({"points": points})).await
    }

    /// Writes some keys into the payload of each point, and leaves the others.
    pub async fn set_payload(
        &self,
        collection: &str,
        keys: &[(PointId, Map<String, Value>)],
    ) -> Result<(), QdrantError> {
        let operations: Vec<Value> = keys
            .iter()
            .map(|(point, payload)| json!({"set_payload": {"payload": payload, "points": [id(*point)]}}))
            .collect();
        let path = vec!["collections", collection, "points", "batch"];
        self.change(Method::POST, path, json!({"operations": operations})).await
    }

    /// Removes points, those of them that there are.
    pub async fn delete_points(&self, collection: &str, ids: &[PointId]) -> Result<(), QdrantError> {
        let ids: Vec<Value> = ids.iter().map(|one| id(*one)).collect();
        let path = vec!["collections", collection, "points", "delete"];
        self.change(Method::POST, path, json!({"points": ids})).await
    }

    async fn change(&self, method: Method, path: Vec<&str>, body: Value) -> Result<(), QdrantError> {
        let call = Call { body: Some(body), ..Call::change(POINTS, method, path) };
        self.result::<Value>(&call).await.map(|_| ())
    }
}
