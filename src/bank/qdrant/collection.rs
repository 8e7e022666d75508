//! What a server says of itself and of a collection.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, cut};
use super::{Client, QdrantError};
use crate::engine::integrity::vectors::{Collection, Colour, Dense, Distance, Shard, Shards};

/// Which server answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `qdrant - vector search engine`.
    #[serde(default)]
    pub title: String,
    /// Such as `1.19.0`.
    pub version: String,
}

/// Whether servers work together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// `enabled` or `disabled`.
    pub status: String,
    /// The servers by id; empty where there is one.
    #[serde(default)]
    pub peers: BTreeMap<String, Value>,
    /// How they agree, where there are several.
    #[serde(default)]
    pub consensus_thread_status: Option<Value>,
}

#[derive(Deserialize)]
struct Names {
    collections: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
struct Info {
    status: String,
    #[serde(default)]
    optimizer_status: Value,
    #[serde(default)]
    points_count: Option<u64>,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    /// One vector without a name, or several by name.
    #[serde(default)]
    vectors: Value,
}

#[derive(Deserialize)]
struct Vector {
    size: u32,
    #[serde(default)]
    distance: String,
    #[serde(default)]
    datatype: Option<String>,
    #[serde(default)]
    multivector_config: Option<Value>,
}

#[derive(Deserialize)]
struct OfCluster {
    #[serde(default)]
    peer_id: u64,
    #[serde(default)]
    local_shards: Vec<Local>,
    #[serde(default)]
    remote_shards: Vec<Remote>,
    #[serde(default)]
    shard_transfers: Vec<Value>,
}

#[derive(Deserialize)]
struct Local {
    shard_id: u64,
    state: String,
}

#[derive(Deserialize)]
struct Remote {
    shard_id: u64,
    peer_id: u64,
    state: String,
}

const COLLECTION: &str = "collection of that name";

impl Client {
    /// Which server answers; needs no key.
    pub async fn version(&self) -> Result<Version, QdrantError> {
        // The address of the server itself, which has no step.
        self.bare(&Call::get("question for its version", Vec::new())).await
    }

    /// The names of all collections, without aliases.
    pub async fn collections(&self) -> Result<Vec<String>, QdrantError> {
        let names: Names = self.result(&Call::get("list of collections", vec!["collections"])).await?;
        Ok(names.collections.into_iter().map(|name| name.name).collect())
    }

    /// What the server says of a collection.
    pub async fn collection(&self, name: &str) -> Result<Collection, QdrantError> {
        let info: Info = self.result(&Call::get(COLLECTION, vec!["collections", name])).await?;
        Ok(Collection {
            colour: colour(&info.status),
            optimizer_error: info.optimizer_status.get("error").map(|error| cut(error.as_str().unwrap_or("unnamed"))),
            dense: dense(&info.config.params.vectors).ok_or_else(|| self.malformed(COLLECTION))?,
            approximate_points: info.points_count,
        })
    }

    /// How many points there are, counted one by one.
    pub async fn count(&self, collection: &str) -> Result<u64, QdrantError> {
        let path = vec!["collections", collection, "points", "count"];
        let call = Call::ask(COLLECTION, path, json!({"exact": true}));
        let count: Count = self.result(&Call { patience: Duration::from_mins(2), ..call }).await?;
        Ok(count.count)
    }

    /// Whether the server is one of several.
    pub async fn cluster(&self) -> Result<Cluster, QdrantError> {
        self.result(&Call::get("state of the cluster", vec!["cluster"])).await
    }

    /// Where a collection's shards are, and how they are.
    pub async fn shards(&self, collection: &str) -> Result<Shards, QdrantError> {
        let call = Call::get("state of the collection's shards", vec!["collections", collection, "cluster"]);
        let of: OfCluster = self.result(&call).await?;
        let local = of.local_shards.into_iter().map(|s| Shard { shard: s.shard_id, peer: of.peer_id, state: s.state });
        let remote = of.remote_shards.into_iter().map(|s| Shard { shard: s.shard_id, peer: s.peer_id, state: s.state });
        Ok(Shards { shards: local.chain(remote).collect(), transfers: of.shard_transfers.len() })
    }

    /// Removes a collection with all that is in it, once.
    pub async fn delete_collection(&self, name: &str) -> Result<bool, QdrantError> {
        let mut call = Call::change(COLLECTION, Method::DELETE, vec!["collections", name]);
        call.query.clear();
        self.result(&call).await
    }
}

fn colour(status: &str) -> Colour {
    match status {
        "green" => Colour::Green,
        "yellow" => Colour::Yellow,
        "grey" => Colour::Grey,
        "red" => Colour::Red,
        _ => Colour::Unknown,
    }
}

/// The dense vectors that a collection declares; the one without a name has the name that REST gives it, none.
fn dense(vectors: &Value) -> Option<Vec<Dense>> {
    let Some(map) = vectors.as_object() else { return Some(Vec::new()) };
    if map.get("size").is_some_and(Value::is_u64) {
        return Some(vec![one("", vectors)?]);
    }
    map.iter().map(|(name, vector)| one(name, vector)).collect()
}

fn one(name: &str, vector: &Value) -> Option<Dense> {
    let read = Vector::deserialize(vector).ok()?;
    let distance = match read.distance.as_str() {
        "Cosine" => Distance::Cosine,
        "Dot" => Distance::Dot,
        "Euclid" => Distance::Euclid,
        "Manhattan" => Distance::Manhattan,
        _ => Distance::Unknown,
    };
    Some(Dense {
        name: name.to_owned(),
        size: Some(read.size),
        distance,
        // Bytes are stored as they come.
        normalised: distance == Distance::Cosine && read.datatype.as_deref() != Some("uint8"),
        several: read.multivector_config.is_some_and(|config| !config.is_null()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_without_a_name_is_found_in_both_forms() {
        let plain = dense(&json!({"size": 384, "distance": "Cosine", "on_disk": false})).unwrap();
        let named = dense(&json!({"": {"size": 384, "distance": "Cosine"}})).unwrap();
        assert_eq!(plain, named);
        assert_eq!((plain[0].size, plain[0].distance, plain[0].normalised), (Some(384), Distance::Cosine, true));
        let bytes = dense(&json!({"size": 8, "distance": "Cosine", "datatype": "uint8"})).unwrap();
        assert!(!bytes[0].normalised);
        assert_eq!(dense(&Value::Null).unwrap(), Vec::new());
        assert_eq!(dense(&json!({"a": {"size": "x"}})), None);
    }
}
