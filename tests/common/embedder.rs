//! A stand-in for an embedding model on a loopback port, asked as `OpenAI` is: the same text has the same vector, another
//! model makes others, and it can be made to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests.
#![allow(dead_code)] // Each test binary uses its part.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use memorybank::domain::{Digest, EmbeddingEndpoint, SecretKey, Trust};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The model that banks of tests declare.
pub const MODEL: &str = "small";
const KEY: &str = "key-of-the-model";

/// What the server does to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// An error with this status.
    Status(u16),
    /// Well for so many requests more, then an error of 500.
    WellFor(u32),
    /// An answer with one vector too few.
    Short,
    /// Vectors of this length, but where the length is asked for.
    Long(usize),
    /// A vector of zeros.
    Zeros,
    /// An error of 400 where a text begins with this letter.
    Refuses(char),
}

/// What is done once a text is asked for, and which.
type Then = (String, Box<dyn FnOnce() + Send>);

struct Shared {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<Vec<String>>>,
    then: Mutex<Option<Then>>,
    size: usize,
}

pub struct Embedder {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// The vector of a text, of length 1.
pub fn vector(model: &str, text: &str, size: usize) -> Vec<f32> {
    let mut numbers: Vec<f64> = (0..size)
        .map(|at| {
            let digest = Digest::of(format!("{model} {at} {}", text.replace('\n', " ")).as_bytes()).to_string();
            f64::from(u32::from_str_radix(&digest[..8], 16).unwrap()) / f64::from(u32::MAX) - 0.5
        })
        .collect();
    let norm = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    for number in &mut numbers {
        *number /= norm;
    }
    #[allow(clippy::cast_possible_truncation)]
    numbers.into_iter().map(|number| number as f32).collect()
}

impl Embedder {
    /// A server whose vectors have so many numbers.
    pub fn start(size: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { mood: Mutex::new(Mood::Well), asked: Mutex::default(), then: Mutex::default(), size });
        let router = Router::new().route("/v1/embeddings", post(answer)).with_state(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// The endpoint that a bank declares; the key is in the secret `model`.
    pub fn endpoint(&self) -> EmbeddingEndpoint {
        EmbeddingEndpoint {
            url: format!("http://{}/v1/", self.address),
            model: MODEL.to_owned(),
            dimensions: u32::try_from(self.shared.size).unwrap(),
            api_key: Some(SecretKey { name: "model".to_owned(), key: "key".to_owned() }),
            tls: Trust::default(),
        }
    }

    pub const fn key() -> &'static str {
        KEY
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Does something as soon as this text is asked for, before the answer.
    pub fn when_asked(&self, text: &str, then: impl FnOnce() + Send + 'static) {
        *self.shared.then.lock().unwrap() = Some((text.to_owned(), Box::new(then)));
    }

    /// The texts of each request since the last time that this was asked.
    pub fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if given != Some(&format!("Bearer {KEY}")) {
        return (StatusCode::UNAUTHORIZED, r#"{"error":{"message":"Incorrect API key provided"}}"#).into_response();
    }
    let asked: Value = serde_json::from_str(&body).unwrap();
    let texts: Vec<String> =
        asked["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    shared.asked.lock().unwrap().push(texts.clone());
    let then = shared.then.lock().unwrap().take_if(|(text, _)| texts.contains(text));
    if let Some((_, then)) = then {
        then();
    }
    let mood = {
        let mut mood = shared.mood.lock().unwrap();
        let now = *mood;
        if let Mood::WellFor(more) = now {
            *mood = if more > 1 { Mood::WellFor(more - 1) } else { Mood::Status(500) };
        }
        now
    };
    if let Mood::Status(status) = mood {
        let error = json!({"error": {"message": "the model could not be loaded", "type": "server_error"}});
        return (StatusCode::from_u16(status).unwrap(), error.to_string()).into_response();
    }
    if let Mood::Refuses(letter) = mood
        && texts.iter().any(|text| text.starts_with(letter))
    {
        return (StatusCode::BAD_REQUEST, r#"{"error":{"message":"maximum context length"}}"#).into_response();
    }
    let size = match mood {
        Mood::Long(size) if asked.get("dimensions").is_none() => size,
        _ => shared.size,
    };
    let model = asked["model"].as_str().unwrap();
    let mut data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = if mood == Mood::Zeros { vec![0.0; size] } else { vector(model, text, size) };
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    // The order of the answers is not promised.
    data.reverse();
    if mood == Mood::Short {
        data.pop();
    }
    json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        .to_string()
        .into_response()
}
