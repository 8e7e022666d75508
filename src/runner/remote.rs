//! The operator's end of a run in a Job: inputs, outputs and the report over HTTPS (docs/delivery.md).

mod attempt;
mod retry;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, redirect};
use serde::Deserialize;
use thiserror::Error;
use tokio_util::bytes::Bytes;

use super::{Exchange, ExchangeError};
use crate::delivery::{MAX_OUTPUT, MAX_REPORT, Refused, Route, TlsError, What, client_config};
use crate::domain::{Digest, RunReport};
use attempt::{Answer, Attempt, Request};
use retry::retry;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one attempt may take: a little longer than the operator gives itself.
const BRIEF: Duration = Duration::from_secs(150);
const LONG: Duration = Duration::from_mins(6);
/// How long an input or output is tried for. The operator is away for less than that when it is replaced.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where the operator is, and which run this is.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `https://HOST:PORT` of the operator's ingest.
    pub ingest: String,
    /// The certificates that are trusted, as PEM: these alone.
    pub ca: String,
    /// The file of the token. It is read for every request: the kubelet puts a new one there in time.
    pub token: PathBuf,
    /// The run's namespace.
    pub namespace: String,
    /// The run's name.
    pub run: String,
}

/// Why the operator cannot be asked at all.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The certificates are none.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It is no URL of HTTPS.
    #[error("{url} is no address to report to: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a report is not with the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DeliveryError(String);

/// Whether the operator had a report already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is new to it.
    Stored,
    /// It had it: an earlier attempt, or another pod, was heard though no answer came back.
    Duplicate,
}

/// Inputs and outputs of a run in a Job, and its report.
#[derive(Debug)]
pub struct RemoteExchange {
    client: Client,
    remote: Remote,
}

impl RemoteExchange {
    /// Connects to nothing yet.
    pub fn new(remote: Remote) -> Result<Self, RemoteError> {
        let url = |why: String| RemoteError::Url { url: remote.ingest.clone(), why };
        let parsed = reqwest::Url::parse(&remote.ingest).map_err(|error| url(error.to_string()))?;
        if parsed.scheme() != "https" || !parsed.has_host() {
            return Err(url("it must be https://HOST:PORT".to_owned()));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(client_config(&remote.ca)?)
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            // A few requests in minutes: each finds a replica that is there.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| url(attempt::told(error)))?;
        Ok(Self { client, remote })
    }

    /// Offers the report until it is taken, refused, or it is too late.
    pub async fn deliver(&self, report: &RunReport, until: Instant) -> Result<Delivered, DeliveryError> {
        let body = serde_json::to_vec(report).map_err(|error| DeliveryError(error.to_string()))?;
        if body.len() as u64 > MAX_REPORT {
            let told = format!("the report has {} bytes, and at most {MAX_REPORT} are taken", body.len());
            return Err(DeliveryError(told));
        }
        let request = self.request(Method::PUT, What::Report, BRIEF).map_err(DeliveryError)?;
        let request = Request { body: Some(Bytes::from(body)), ..request };
        let answer = retry("the report", until, || self.attempt(&request, until, |answer| taken(&answer))).await;
        answer.map_err(DeliveryError)
    }

    fn request(&self, method: Method, what: What, limit: Duration) -> Result<Request, String> {
        let route = Route::new(&self.remote.namespace, &self.remote.run, what).map_err(|error| error.to_string())?;
        let url = format!("{}{route}", self.remote.ingest.trim_end_matches('/'));
        Ok(Request { method, url, body: None, limit, most: Refused::MAX })
    }

    /// Asks until there is an answer, or patience ends.
    async fn ask<T>(
        &self,
        what: &str,
        request: Result<Request, String>,
        judge: impl Fn(Answer) -> Attempt<T>,
    ) -> Result<T, ExchangeError> {
        let failed = |why| ExchangeError { what: what.to_owned(), why };
        let request = request.map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        retry(what, until, || self.attempt(&request, until, &judge)).await.map_err(failed)
    }
}

fn taken(answer: &Answer) -> Attempt<Delivered> {
    match answer.status.as_u16() {
        201 => Attempt::Done(Delivered::Stored),
        200 => Attempt::Done(Delivered::Duplicate),
        _ => answer.refused(),
    }
}

impl Exchange for RemoteExchange {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        let request = self.request(Method::GET, What::Input(name.to_owned()), LONG);
        let most = usize::try_from(MAX_OUTPUT).unwrap_or(usize::MAX);
        let request = request.map(|request| Request { most, ..request });
        self.ask(name, request, |answer| {
            if answer.is_no_input() {
                return Attempt::Done(None);
            }
            if answer.status.as_u16() != 200 {
                return answer.refused();
            }
            match answer.digest {
                Some(digest) if digest == Digest::of(&answer.bytes) => Attempt::Done(Some(answer.bytes)),
                Some(_) => Attempt::again("what came has another digest than what was sent"),
                None => Attempt::Refused("the answer names no digest".to_owned()),
            }
        })
        .await
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        #[derive(Deserialize)]
        struct Put {
            digest: Digest,
        }
        if bytes.len() as u64 > MAX_OUTPUT {
            let why = format!("it has {} bytes, and at most {MAX_OUTPUT} are taken", bytes.len());
            return Err(ExchangeError { what: name.to_owned(), why });
        }
        let digest = Digest::of(&bytes);
        let request = self.request(Method::PUT, What::Output(name.to_owned()), LONG);
        let request = request.map(|request| Request { body: Some(Bytes::from(bytes)), ..request });
        self.ask(name, request, |answer| match answer.json::<Put>() {
            Some(put) if put.digest == digest => Attempt::Done(digest),
            Some(_) => Attempt::again("what was kept has another digest than what was sent"),
            None => answer.refused(),
        })
        .await
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        // The 64 hex digits of a digest are a handy form for any 32 bytes.
        #[derive(Deserialize)]
        struct Key {
            key: Digest,
        }
        let request = self.request(Method::GET, What::FingerprintKey, BRIEF);
        self.ask("the bank's fingerprint key", request, |answer| match answer.json::<Key>() {
            Some(key) => Attempt::Done(*key.key.as_bytes()),
            None => answer.refused(),
        })
        .await
    }
}
