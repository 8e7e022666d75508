use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio_util::bytes::Bytes;

use super::RemoteExchange;
use crate::delivery::{DIGEST_HEADER, MAX_TOKEN, Refused, Why};
use crate::domain::Digest;

/// A request that may be made several times.
pub(super) struct Request {
    pub method: Method,
    pub url: String,
    pub body: Option<Bytes>,
    /// How long one attempt may take.
    pub limit: Duration,
    /// The largest answer that is read.
    pub most: usize,
}

/// What the operator said.
pub(super) struct Answer {
    pub status: StatusCode,
    pub digest: Option<Digest>,
    pub bytes: Vec<u8>,
    retry_after: Option<Duration>,
}

/// What came of one attempt.
pub(super) enum Attempt<T> {
    /// It was done.
    Done(T),
    /// It will not be done, however often it is asked for.
    Refused(String),
    /// It may be done later, and not before so long.
    Again { why: String, after: Duration },
}

impl<T> Attempt<T> {
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), after: Duration::ZERO }
    }
}

impl Answer {
    /// The body of a good answer.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        self.status.is_success().then(|| serde_json::from_slice(&self.bytes).ok())?
    }

    /// Whether it says that there is no such output yet. A 404 from anywhere else does not: to go on without what is
    /// there would begin anew, and trust whatever is there now.
    pub fn is_no_input(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.refusal().is_some_and(|refused| refused.reason == Why::NoInput)
    }

    fn refusal(&self) -> Option<Refused> {
        serde_json::from_slice(&self.bytes).ok()
    }

    /// What an answer means that is not the one hoped for.
    pub fn refused<T>(&self) -> Attempt<T> {
        let message = self.refusal().map(|refused| format!(": {}", refused.message)).unwrap_or_default();
        let why = format!("the operator answered {}{message}", self.status.as_u16());
        if self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS {
            Attempt::Again { why, after: self.retry_after.unwrap_or_default() }
        } else {
            Attempt::Refused(why)
        }
    }
}

impl RemoteExchange {
    /// Asks once, and ends before it is too late.
    pub(super) async fn attempt<T>(
        &self,
        request: &Request,
        until: Instant,
        judge: impl Fn(Answer) -> Attempt<T>,
    ) -> Attempt<T> {
        let token = match token(&self.remote.token).await {
            Ok(token) => token,
            Err(why) => return Attempt::again(why),
        };
        let limit = request.limit.min(until.saturating_duration_since(Instant::now()));
        let mut sent = self.client.request(request.method.clone(), &request.url).bearer_auth(token);
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let answered = tokio::time::timeout(limit, async {
            let response = sent.send().await.map_err(|error| Attempt::again(told(error)))?;
            read(response, request.most).await
        });
        match answered.await {
            Ok(Ok(answer)) => judge(answer),
            Ok(Err(failed)) => failed,
            Err(_) => Attempt::again(format!("no answer within {} s", limit.as_secs())),
        }
    }
}

/// The token, as it is now.
async fn token(path: &Path) -> Result<String, String> {
    let told = |why: String| format!("the token {}: {why}", path.display());
    let text = tokio::fs::read_to_string(path).await.map_err(|error| told(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(told("the file holds none".to_owned()));
    }
    Ok(token.to_owned())
}

/// Reads an answer that is not too large.
async fn read<T>(mut response: Response, most: usize) -> Result<Answer, Attempt<T>> {
    let status = response.status();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let digest = header(DIGEST_HEADER).and_then(|digest| digest.parse().ok());
    let retry_after = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let most = if status.is_success() { most } else { Refused::MAX };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Attempt::again(told(error)))? {
        if bytes.len() + chunk.len() > most {
            if !status.is_success() {
                break;
            }
            return Err(Attempt::Refused(format!("the answer has more than {most} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Answer { status, digest, bytes, retry_after })
}

/// An error with what caused it, which says more than itself; the address is told elsewhere.
pub(super) fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
