use std::collections::BTreeMap;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use memorybank::domain::PointId;
use serde_json::{Value, json};

use super::Damage;

/// What a collection is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub size: usize,
    pub distance: String,
    /// The name of the dense vector; without one it has none.
    pub named: Option<String>,
    /// Whether points also have the sparse vector `bm25`, so that vectors are returned by name.
    pub sparse: bool,
}

impl Config {
    /// As mem0 makes it: unnamed, Cosine.
    pub fn cosine(size: usize) -> Self {
        Self { size, distance: "Cosine".to_owned(), named: None, sparse: false }
    }

    /// As it stands in a collection's information and in `config.json` of a snapshot.
    pub fn params(&self) -> Value {
        let vector = json!({"size": self.size, "distance": self.distance, "on_disk": false});
        let vectors = match &self.named {
            None => vector,
            Some(name) => json!({name: vector}),
        };
        let mut params =
            json!({"vectors": vectors, "shard_number": 1, "replication_factor": 1, "on_disk_payload": true});
        if self.sparse {
            params["sparse_vectors"] = json!({"bm25": {"modifier": "idf"}});
        }
        params
    }

    /// From what a client asks to be made, or from a snapshot.
    pub fn from_params(params: &Value) -> Option<Self> {
        let vectors = &params["vectors"];
        let (named, vector) = if vectors["size"].is_u64() {
            (None, vectors)
        } else {
            let (name, vector) = vectors.as_object()?.iter().next()?;
            (Some(name.clone()), vector)
        };
        Some(Self {
            size: usize::try_from(vector["size"].as_u64()?).ok()?,
            distance: vector["distance"].as_str()?.to_owned(),
            named,
            sparse: params["sparse_vectors"].is_object(),
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub payload: Value,
    pub vector: Option<Vec<f32>>,
}

/// Points that are made as they are asked for: the same ones for the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Generated {
    pub seed: u64,
    pub count: u64,
    pub size: usize,
}

impl Generated {
    fn step(&self) -> u128 {
        u128::MAX / u128::from(self.count.max(1))
    }

    /// The id of one of them: they ascend.
    pub fn id(&self, index: u64) -> PointId {
        let within = (u128::from(mix(self.seed ^ index)) << 64 | u128::from(mix(index))) % self.step();
        PointId::Uuid(u128::from(index) * self.step() + within)
    }

    /// The first one whose id is not below this one.
    fn first(&self, from: Option<PointId>) -> u64 {
        match from {
            Some(PointId::Uuid(bits)) => {
                let slot = u64::try_from(bits / self.step()).unwrap();
                if slot < self.count && self.id(slot) < PointId::Uuid(bits) { slot + 1 } else { slot.min(self.count) }
            }
            Some(PointId::Number(_)) | None => 0,
        }
    }

    fn index(&self, id: PointId) -> Option<u64> {
        let index = self.first(Some(id));
        (index < self.count && self.id(index) == id).then_some(index)
    }

    pub fn point(&self, index: u64) -> Stored {
        let text = format!("memory {index} of a set that is made from the seed {}: {:x}", self.seed, mix(index));
        let user = format!("user-{}", index % 10);
        Stored { payload: memory(&text, &user), vector: Some(unit(self.seed ^ mix(index), self.size)) }
    }
}

/// The payload of a memory as mem0 writes it.
pub fn memory(text: &str, user: &str) -> Value {
    json!({
        "data": text,
        "hash": hash(text),
        "user_id": user,
        "created_at": "2026-11-20T08:00:00.000001+00:00",
        "updated_at": "2026-11-20T08:00:00.000001+00:00",
        "source_app": "openmemory",
        "mcp_client": "assistant",
        "text_lemmatized": text,
    })
}

/// MD5 as mem0 writes it.
pub fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// A vector of length 1.
pub fn unit(seed: u64, size: usize) -> Vec<f32> {
    let mut state = seed;
    let numbers = (0..size).map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        #[allow(clippy::cast_precision_loss)]
        let number = (mix(state) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
        number
    });
    normalised(numbers.collect())
}

fn normalised(vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        #[allow(clippy::cast_possible_truncation)]
        let scaled = vector.iter().map(|number| (f64::from(*number) / norm) as f32);
        return scaled.collect();
    }
    vector
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn id_text(id: PointId) -> Value {
    match id {
        PointId::Number(number) => json!(number),
        PointId::Uuid(_) => json!(id.to_string()),
    }
}

pub struct Collection {
    pub config: Config,
    pub generated: Option<Generated>,
    /// Written points; `None` where one of the generated was removed.
    own: BTreeMap<PointId, Option<Stored>>,
    pub damaged: BTreeMap<PointId, Damage>,
    /// `green`, `yellow`, `grey`, `red`.
    pub colour: String,
    pub optimizer_error: Option<String>,
    /// The number that the collection's information tells in place of the true one.
    pub approximate: Option<u64>,
    /// The number that is counted exactly in place of the true one.
    pub counted: Option<u64>,
    pub shard_state: String,
    pub transfers: usize,
    /// Fields of the payload with an index, and its kind.
    pub indexes: BTreeMap<String, String>,
}

impl Collection {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            generated: None,
            own: BTreeMap::new(),
            damaged: BTreeMap::new(),
            colour: "green".to_owned(),
            optimizer_error: None,
            approximate: None,
            counted: None,
            shard_state: "Active".to_owned(),
            transfers: 0,
            indexes: BTreeMap::new(),
        }
    }

    pub fn put(&mut self, id: PointId, point: Stored) {
        self.own.insert(id, Some(point));
    }

    /// As Qdrant does what it is told to write: Cosine vectors are kept with length 1.
    pub fn upsert(&mut self, id: PointId, payload: Value, vector: Option<Vec<f32>>) {
        let vector = if self.config.distance == "Cosine" { vector.map(normalised) } else { vector };
        self.put(id, Stored { payload, vector });
    }

    pub fn remove(&mut self, id: PointId) {
        if self.generated.is_some_and(|generated| generated.index(id).is_some()) {
            self.own.insert(id, None);
        } else {
            self.own.remove(&id);
        }
    }

    pub fn get(&self, id: PointId) -> Option<Stored> {
        match self.own.get(&id) {
            Some(own) => own.clone(),
            None => self.generated.and_then(|generated| generated.index(id).map(|index| generated.point(index))),
        }
    }

    pub fn count(&self) -> u64 {
        let mut count = self.generated.map_or(0, |generated| generated.count);
        for (id, point) in &self.own {
            let also_generated = self.generated.is_some_and(|generated| generated.index(*id).is_some());
            match (also_generated, point) {
                (true, None) => count -= 1,
                (false, Some(_)) => count += 1,
                (true, Some(_)) | (false, None) => {}
            }
        }
        count
    }

    /// The points from an id on, in their order.
    pub fn from(&self, from: Option<PointId>) -> impl Iterator<Item = (PointId, Stored)> + '_ {
        let lowest = from.unwrap_or(PointId::Number(0));
        let mut own = self.own.range(lowest..).peekable();
        let mut generated = self.generated.map(|generated| (generated, generated.first(from)));
        std::iter::from_fn(move || {
            loop {
                let next = generated.filter(|(of, index)| *index < of.count).map(|(of, index)| of.id(index));
                let written = own.peek().map(|(id, _)| **id);
                match (next, written) {
                    (Some(next), written) if written.is_none_or(|written| next < written) => {
                        let (of, index) = generated.as_mut()?;
                        let point = of.point(*index);
                        *index += 1;
                        return Some((next, point));
                    }
                    (_, None) => return None,
                    (next, Some(written)) => {
                        if next == Some(written)
                            && let Some((_, index)) = generated.as_mut()
                        {
                            *index += 1;
                        }
                        let (id, point) = own.next()?;
                        if let Some(point) = point {
                            return Some((*id, point.clone()));
                        }
                    }
                }
            }
        })
    }
}
