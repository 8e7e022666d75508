//! The model that embeds a bank's memories, asked in the way of `OpenAI`'s API (`POST URL/embeddings`), which Ollama,
//! vLLM and others speak too. It is sent texts of the bank: the same ones that the bank itself sends it.

mod error;
mod sample;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::json;

use super::Secrets;
use super::net::http::{Extra, Failure, broken, builder, failure, names_forbidden, place};
use super::net::secret::Held;
use crate::domain::EmbeddingEndpoint;

pub use error::EmbedError;
pub use sample::{SampleError, sample};

/// The most texts of one call.
pub const TEXTS: usize = 32;
/// The most bytes of texts of one call, but for one that is longer alone.
pub const BYTES: usize = 256 << 10;
/// How long an answer may take: models on small machines are slow.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a call is tried.
const ATTEMPTS: u32 = 5;
/// The longest wait before the second attempt; twice as long before each further one.
const FIRST: Duration = Duration::from_millis(400);
/// The longest that a server may ask to be left alone.
const ASKED: Duration = Duration::from_secs(20);
/// What a number takes in JSON at most, and what all else does.
const DIGITS: u64 = 32;
const FRAME: u64 = 64 << 10;

/// A model, with the key for it.
#[derive(Debug)]
pub struct Embedder {
    http: reqwest::Client,
    url: Url,
    key: Option<(HeaderName, HeaderValue)>,
    place: String,
    model: String,
    dimensions: u32,
    /// Whether the length of the vectors has to be asked for: some models make longer ones else, others refuse to be
    /// asked.
    sized: bool,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedded>,
}

#[derive(Deserialize)]
struct Embedded {
    index: usize,
    embedding: Vec<f32>,
}

/// The outcome of one attempt.
enum Missed {
    /// Asked again it may be otherwise; the server asks to wait so long.
    Again(EmbedError, Duration),
    Final(EmbedError),
}

impl Embedder {
    /// What asks the model of an endpoint; nothing is asked yet.
    pub async fn open(
        namespace: &str,
        endpoint: &EmbeddingEndpoint,
        secrets: &impl Secrets,
    ) -> Result<Self, EmbedError> {
        let mut url = Url::parse(&endpoint.url).map_err(|_| EmbedError::NoUrl)?;
        url.path_segments_mut().map_err(|()| EmbedError::NoUrl)?.pop_if_empty().push("embeddings");
        let place = place(&url);
        if names_forbidden(&url) {
            return Err(EmbedError::Forbidden(place));
        }
        let held = Held { namespace, secrets };
        let key = held.header(endpoint.api_key.as_ref(), AUTHORIZATION, "Bearer ").await;
        let key = key.map_err(|no| EmbedError::Secret(no.message))?;
        let build = |extra: Extra| builder(extra).build();
        let http = held.client(&endpoint.tls, build).await.map_err(|no| EmbedError::Secret(no.message))?;
        let (model, dimensions) = (endpoint.model.clone(), endpoint.dimensions);
        Ok(Self { http, url, key, place, model, dimensions, sized: false })
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The vectors of some texts, in their order; at most [`TEXTS`]. Line feeds are sent as spaces, as mem0 sends them to
    /// `OpenAI`.
    pub async fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts: Vec<String> = texts.iter().take(TEXTS).map(|text| text.replace('\n', " ")).collect();
        let vectors = self.insist(&texts).await?;
        let wanted = self.dimensions as usize;
        let other = |vectors: &[Vec<f32>]| vectors.iter().map(Vec::len).find(|length| *length != wanted);
        let vectors = match other(&vectors) {
            Some(_) if !self.sized => {
                self.sized = true;
                self.insist(&texts).await?
            }
            _ => vectors,
        };
        if let Some(found) = other(&vectors) {
            let (place, model) = (self.place.clone(), self.model.clone());
            return Err(EmbedError::Size { place, model, found, wanted });
        }
        if vectors.iter().any(|vector| !vector.iter().all(|n| n.is_finite()) || vector.iter().all(|n| *n == 0.0)) {
            return Err(EmbedError::Malformed(self.place.clone()));
        }
        Ok(vectors)
    }

    async fn insist(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask(texts).await {
                Ok(vectors) => return Ok(vectors),
                Err(Missed::Again(why, asked)) if tries < ATTEMPTS => {
                    // Anything from nothing to the whole: those who failed together do not come back together.
                    let longest = FIRST * 2_u32.pow(tries - 1);
                    tracing::debug!(tries, "again: {why}");
                    tokio::time::sleep(asked.min(ASKED) + longest.mul_f64(rand::random_range(0.0..=1.0))).await;
                }
                Err(Missed::Again(error, _) | Missed::Final(error)) => return Err(error),
            }
        }
    }

    async fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Missed> {
        let mut body = json!({"model": self.model, "input": texts, "encoding_format": "float"});
        if self.sized {
            body["dimensions"] = json!(self.dimensions);
        }
        let mut request = self.http.post(self.url.clone()).timeout(PATIENCE).header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = &self.key {
            request = request.header(name, value);
        }
        let response = request.body(body.to_string()).send().await.map_err(|error| {
            let told = failure(&error, PATIENCE);
            let last = error.is_timeout() || told == Failure::Forbidden;
            let told = EmbedError::of(told, &self.place);
            if last { Missed::Final(told) } else { Missed::Again(told, Duration::ZERO) }
        })?;
        let status = response.status().as_u16();
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if !(200..=299).contains(&status) {
            // Its words may quote the text that it was sent: they are not told.
            let error = EmbedError::Refused { place: self.place.clone(), model: self.model.clone(), status };
            return Err(match status {
                408 | 429 | 500 | 502..=504 => Missed::Again(error, Duration::from_secs(asked.unwrap_or_default())),
                _ => Missed::Final(error),
            });
        }
        let limit = FRAME + texts.len() as u64 * (u64::from(self.dimensions.max(4_096)) * DIGITS + FRAME);
        let body = self.body(response, limit).await?;
        let malformed = || Missed::Final(EmbedError::Malformed(self.place.clone()));
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| malformed())?;
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        for Embedded { index, embedding } in answer.data {
            *vectors.get_mut(index).ok_or_else(malformed)? = Some(embedding);
        }
        vectors.into_iter().collect::<Option<_>>().ok_or_else(malformed)
    }

    async fn body(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, Missed> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > limit => {
                    return Err(Missed::Final(EmbedError::Malformed(self.place.clone())));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => {
                    let told = EmbedError::of(broken(&error, PATIENCE), &self.place);
                    return Err(Missed::Again(told, Duration::ZERO));
                }
            }
        }
    }
}
