//! One bounded call: a limit of time and of bytes, and for reads a few more attempts where the server was busy or
//! the connection broke.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Client, QdrantError};
use crate::bank::net::http::{Failure, broken, failure};

/// How often a read is tried.
const ATTEMPTS: u32 = 4;
/// The longest wait before the second attempt; twice as long before each further one.
const FIRST: Duration = Duration::from_millis(200);
/// The longest that a server may ask to be left alone.
const ASKED: Duration = Duration::from_secs(5);
/// How much of the server's own words is told.
const WORDS: usize = 200;
/// No error is longer.
const MAX_ERROR: u64 = 64 << 10;

/// What is asked, and how much of an answer is waited for and taken.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    /// For people: continues "does not answer to".
    pub what: &'static str,
    pub method: Method,
    /// Steps of the path below the server's address.
    pub path: Vec<&'a str>,
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Value>,
    /// How long until the whole answer is there.
    pub patience: Duration,
    /// The most bytes of an answer.
    pub limit: u64,
    /// Whether it may be tried again: it changes nothing.
    pub again: bool,
}

impl<'a> Call<'a> {
    /// A read of something small.
    pub fn get(what: &'static str, path: Vec<&'a str>) -> Self {
        Self {
            what,
            method: Method::GET,
            path,
            query: Vec::new(),
            body: None,
            patience: Duration::from_secs(15),
            limit: 8 << 20,
            again: true,
        }
    }

    /// A read that has a body.
    pub fn ask(what: &'static str, path: Vec<&'a str>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(what, path) }
    }

    /// A change, which is asked for once and waited for until it is done.
    pub fn change(what: &'static str, method: Method, path: Vec<&'a str>) -> Self {
        let query = vec![("wait", "true".to_owned())];
        Self { method, query, again: false, patience: Duration::from_hours(1), ..Self::get(what, path) }
    }
}

/// How Qdrant wraps what it answers.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default = "none")]
    result: Option<T>,
    #[serde(default)]
    status: Value,
}

fn none<T>() -> Option<T> {
    None
}

/// The outcome of one attempt.
enum Missed {
    /// Asked again it may be otherwise; the server asks to wait so long.
    Again(QdrantError, Duration),
    Final(QdrantError),
}

impl Client {
    /// What a call results in.
    pub(super) async fn result<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, QdrantError> {
        self.insist(call, |body| {
            let envelope: Envelope<T> = self.decode(call, body)?;
            match (envelope.result, envelope.status) {
                (Some(result), Value::String(status)) if status == "ok" => Ok(result),
                (_, status) if status.get("error").is_some() => Err(self.rejected(call.what, 200, &status)),
                _ => Err(self.malformed(call.what)),
            }
        })
        .await
    }

    /// What is answered without an envelope.
    pub(super) async fn bare<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, QdrantError> {
        self.insist(call, |body| self.decode(call, body)).await
    }

    async fn insist<T>(
        &self,
        call: &Call<'_>,
        take: impl Fn(&[u8]) -> Result<T, QdrantError>,
    ) -> Result<T, QdrantError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let attempt = async {
                let response = self.send(call).await?;
                let body = self.body(call, response).await?;
                take(&body).map_err(|error| match error {
                    QdrantError::Broken { .. } => Missed::Again(error, Duration::ZERO),
                    error => Missed::Final(error),
                })
            };
            match attempt.await {
                Ok(taken) => return Ok(taken),
                Err(Missed::Again(why, asked)) if call.again && tries < ATTEMPTS => {
                    // Anything from nothing to the whole: those who failed together do not come back together.
                    let longest = FIRST * 2_u32.pow(tries - 1);
                    let wait = asked.min(ASKED) + longest.mul_f64(rand::random_range(0.0..=1.0));
                    tracing::debug!(tries, "again: {why}");
                    tokio::time::sleep(wait).await;
                }
                Err(Missed::Again(error, _) | Missed::Final(error)) => return Err(error),
            }
        }
    }

    /// Asks once; an answer whose status is not 2xx is an error.
    async fn send(&self, call: &Call<'_>) -> Result<Response, Missed> {
        let url = self.url(&call.path, &call.query).map_err(Missed::Final)?;
        let mut request = self.http.request(call.method.clone(), url).headers(self.headers()).timeout(call.patience);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| self.failed(&error, call.patience))?;
        self.accepted(call.what, response).await
    }

    /// An answer of 2xx; what else it means is an error.
    pub(super) async fn answer(&self, what: &'static str, response: Response) -> Result<Response, QdrantError> {
        self.accepted(what, response).await.map_err(|missed| match missed {
            Missed::Again(error, _) | Missed::Final(error) => error,
        })
    }

    async fn accepted(&self, what: &'static str, response: Response) -> Result<Response, Missed> {
        let status = response.status().as_u16();
        let place = self.place.clone();
        match status {
            200..=299 => return Ok(response),
            401 | 403 => return Err(Missed::Final(QdrantError::Denied { place, what, status })),
            404 => return Err(Missed::Final(QdrantError::NotFound { place, what })),
            _ => {}
        }
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let call = Call { limit: MAX_ERROR, ..Call::get(what, Vec::new()) };
        // Its words are told where they can be had.
        let body = self.body(&call, response).await.unwrap_or_default();
        let said: Envelope<Value> =
            serde_json::from_slice(&body).unwrap_or(Envelope { result: None, status: Value::Null });
        let error = self.rejected(what, status, &said.status);
        Err(match status {
            408 | 429 | 503 => Missed::Again(error, Duration::from_secs(asked.unwrap_or_default())),
            _ => Missed::Final(error),
        })
    }

    /// The whole of an answer, if it is no larger than allowed.
    async fn body(&self, call: &Call<'_>, mut response: Response) -> Result<Vec<u8>, Missed> {
        let too_large = || {
            let (place, what, limit) = (self.place.clone(), call.what, call.limit);
            Missed::Final(QdrantError::TooLarge { place, what, limit })
        };
        let announced = response.content_length().unwrap_or_default();
        if announced > call.limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > call.limit => return Err(too_large()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => {
                    let told = QdrantError::of(broken(&error, call.patience), &self.place);
                    return Err(if error.is_timeout() {
                        Missed::Final(told)
                    } else {
                        Missed::Again(told, Duration::ZERO)
                    });
                }
            }
        }
    }

    /// No answer. A server that took its time once would take it again.
    fn failed(&self, error: &reqwest::Error, patience: Duration) -> Missed {
        let told = failure(error, patience);
        let final_ = error.is_timeout() || told == Failure::Forbidden;
        let told = QdrantError::of(told, &self.place);
        if final_ { Missed::Final(told) } else { Missed::Again(told, Duration::ZERO) }
    }

    fn decode<T: DeserializeOwned>(&self, call: &Call<'_>, body: &[u8]) -> Result<T, QdrantError> {
        serde_json::from_slice(body).map_err(|error| {
            if error.is_eof() && !body.is_empty() {
                let told = "ends its answer in the middle".to_owned();
                return QdrantError::Broken { place: self.place.clone(), told };
            }
            self.malformed(call.what)
        })
    }

    pub(super) fn malformed(&self, what: &'static str) -> QdrantError {
        QdrantError::Malformed { place: self.place.clone(), what }
    }

    fn rejected(&self, what: &'static str, status: u16, said: &Value) -> QdrantError {
        let words = said.get("error").and_then(Value::as_str).unwrap_or("it says nothing more");
        QdrantError::Rejected { place: self.place.clone(), what, status, told: cut(words) }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.key.clone().map(|(name, value)| (Some(name), value)));
        headers
    }

    /// An address below the server's.
    pub(super) fn url(&self, path: &[&str], query: &[(&'static str, String)]) -> Result<Url, QdrantError> {
        // Such steps would lead elsewhere.
        if path.iter().any(|step| step.is_empty() || *step == "." || *step == "..") {
            return Err(QdrantError::NoUrl);
        }
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| QdrantError::NoUrl)?.pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Some of a text, on one line.
pub(super) fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}
