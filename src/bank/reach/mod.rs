//! Asks the parts of a bank that answer over the network, each by one read, and tells whether they do.
//!
//! Nothing is written, nothing of an answer is kept, no redirect is followed, no proxy is used, and addresses that
//! a machine's own network trusts are never called (`address`). docs/reachability.md tells the rules.

mod address;
mod api;
mod http;
mod postgres;
mod qdrant;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Url};
use thiserror::Error;

use super::{SecretError, Secrets};
use crate::domain::{
    ApiEndpoint, Bank, Canary, Flavor, NetworkPart, PartSample, QdrantEndpoint, Reach, ReachReason, SecretKey,
    SqlDatabase, Trust, VectorStore,
};
use api::Question;
use http::{Extra, Failure, WHOLE};

/// How long a secret may take to be looked up.
const SECRET: Duration = Duration::from_secs(5);
/// How much later than the client itself its request is given up.
const SLACK: Duration = Duration::from_secs(1);

/// The HTTP client could not be made.
#[derive(Debug, Error)]
#[error("no HTTP client: {0}")]
pub struct ReachError(#[source] reqwest::Error);

/// Asks parts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Probes {
    plain: Client,
}

/// Why a part was not reached, or not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Miss {
    reason: ReachReason,
    message: String,
}

impl Miss {
    fn new(reason: ReachReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    fn forbidden(place: &str, field: &str) -> Self {
        let told = format!(
            "{place} is a link-local or metadata address, or leads to one: it is never called, correct {field}"
        );
        Self::new(ReachReason::AddressForbidden, told)
    }
}

/// What a part that is asked over HTTP is called.
struct Named {
    what: &'static str,
    field: &'static str,
    unreachable: ReachReason,
    broken: ReachReason,
}

const API: Named = Named {
    what: "API",
    field: "spec.api.url",
    unreachable: ReachReason::ApiUnreachable,
    broken: ReachReason::ApiError,
};
const QDRANT: Named = Named {
    what: "vector store",
    field: "spec.vectorStore.qdrant.url",
    unreachable: ReachReason::VectorStoreUnreachable,
    broken: ReachReason::VectorStoreUnreachable,
};

impl Probes {
    /// What asks; it holds no connection open.
    pub fn new() -> Result<Self, ReachError> {
        // The first one counts, and there is only one: whoever was earlier chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { plain: http::client(Extra::default()).map_err(ReachError)? })
    }

    /// Asks one part of a bank once. A part that the bank does not declare is reached: it has nothing to ask.
    pub async fn sample(&self, namespace: &str, bank: &Bank, part: NetworkPart, secrets: &impl Secrets) -> PartSample {
        let (time, begun) = (Timestamp::now(), Instant::now());
        let asked = self.ask(namespace, bank, part, secrets).await;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = match asked {
            Ok(()) => Reach::Reached,
            Err(Miss { reason, message }) => Reach::Missed { reason, message },
        };
        PartSample { part, time, since: time, milliseconds, outcome }
    }

    async fn ask(&self, namespace: &str, bank: &Bank, part: NetworkPart, secrets: &impl Secrets) -> Result<(), Miss> {
        let held = Held { namespace, secrets };
        match (part, &bank.api, &bank.database, &bank.vector_store) {
            (NetworkPart::Api, Some(api), ..) if api.canary != Canary::Disabled => {
                self.ask_api(api, bank.flavor, &held).await
            }
            (NetworkPart::Database, _, Some(SqlDatabase::Postgres(endpoint)), _) => {
                let wanted = postgres::Wanted {
                    what: "database",
                    field: "spec.database.postgres.urlSecretRef",
                    unreachable: ReachReason::DatabaseUnreachable,
                    schema: Some(&endpoint.schema),
                    table: "memories",
                };
                ask_postgres(&held.text(&endpoint.url).await?, wanted).await
            }
            (NetworkPart::VectorStore, .., Some(VectorStore::Qdrant(qdrant))) => self.ask_qdrant(qdrant, &held).await,
            (NetworkPart::VectorStore, .., Some(VectorStore::Pgvector(endpoint))) => {
                let wanted = postgres::Wanted {
                    what: "vector store",
                    field: "spec.vectorStore.pgvector.urlSecretRef",
                    unreachable: ReachReason::VectorStoreUnreachable,
                    schema: None,
                    table: &endpoint.table,
                };
                ask_postgres(&held.text(&endpoint.url).await?, wanted).await
            }
            _ => Ok(()),
        }
    }

    async fn ask_api<S: Secrets>(&self, api: &ApiEndpoint, flavor: Flavor, held: &Held<'_, S>) -> Result<(), Miss> {
        let (name, before) = match flavor {
            Flavor::OpenMemory => (AUTHORIZATION, "Bearer "),
            Flavor::Mem0Server => (HeaderName::from_static("x-api-key"), ""),
        };
        let secret = held.header(api.token.as_ref(), name, before).await?;
        let question = Question::of(api, flavor);
        let url = question.url(api).ok_or_else(|| no_url(&API))?;
        let place = http::place(&url);
        let answer = self.get(&api.tls, held, url, secret, &API).await?;
        api::judge(question, &answer, &place)
    }

    async fn ask_qdrant<S: Secrets>(&self, qdrant: &QdrantEndpoint, held: &Held<'_, S>) -> Result<(), Miss> {
        let secret = held.header(qdrant.api_key.as_ref(), HeaderName::from_static("api-key"), "").await?;
        let url = qdrant::url(qdrant).ok_or_else(|| no_url(&QDRANT))?;
        let place = http::place(&url);
        let answer = self.get(&qdrant.tls, held, url, secret, &QDRANT).await?;
        qdrant::judge(&answer, &place)
    }

    async fn get<S: Secrets>(
        &self,
        trust: &Trust,
        held: &Held<'_, S>,
        url: Url,
        secret: Option<(HeaderName, HeaderValue)>,
        named: &Named,
    ) -> Result<http::Answer, Miss> {
        let client = self.client(trust, held).await?;
        let place = http::place(&url);
        // The client keeps its own limit, and tells what it waited for; this one holds whatever it does.
        let answer = match tokio::time::timeout(WHOLE + SLACK, http::get(&client, url, secret)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Unreachable("does not answer within 10 s".to_owned())),
        };
        answer.map_err(|failure| match failure {
            Failure::Forbidden => Miss::forbidden(&place, named.field),
            Failure::Unreachable(told) => {
                let advice = format!("start it, or correct {}", named.field);
                Miss::new(named.unreachable, format!("the {} at {place} {told}: {advice}", named.what))
            }
            Failure::Broken(told) => {
                Miss::new(named.broken, format!("the {} at {place} {told}: look at its log", named.what))
            }
        })
    }

    /// The client for servers of such certificates.
    async fn client<S: Secrets>(&self, trust: &Trust, held: &Held<'_, S>) -> Result<Client, Miss> {
        if *trust == Trust::default() {
            return Ok(self.plain.clone());
        }
        let mut extra = Extra { roots: Vec::new(), unverified: trust.insecure_skip_verify };
        let Some(key) = &trust.ca else {
            return http::client(extra).map_err(|_| Miss::new(ReachReason::SecretUnreadable, "no HTTP client"));
        };
        let no_pem = || {
            let told = format!("secret {}, key {}: holds no certificate in PEM", key.name, key.key);
            Miss::new(ReachReason::SecretUnreadable, told)
        };
        extra.roots = Certificate::from_pem_bundle(&held.bytes(key).await?).map_err(|_| no_pem())?;
        if extra.roots.is_empty() {
            return Err(no_pem());
        }
        http::client(extra).map_err(|_| no_pem())
    }
}

fn no_url(named: &Named) -> Miss {
    Miss::new(named.unreachable, format!("{} is no address: correct it", named.field))
}

async fn ask_postgres(url: &str, wanted: postgres::Wanted<'_>) -> Result<(), Miss> {
    let asked = tokio::time::timeout(WHOLE, postgres::ask(url, wanted)).await;
    asked.unwrap_or_else(|_| {
        Err(Miss::new(wanted.unreachable, format!("the {} does not answer within 10 s", wanted.what)))
    })
}

/// The secrets of one bank.
struct Held<'a, S> {
    namespace: &'a str,
    secrets: &'a S,
}

impl<S: Secrets> Held<'_, S> {
    async fn bytes(&self, key: &SecretKey) -> Result<Vec<u8>, Miss> {
        let found = tokio::time::timeout(SECRET, self.secrets.get(self.namespace, key)).await;
        let found = found.unwrap_or_else(|_| Err(SecretError::Failed("not had within 5 s".to_owned())));
        found.map_err(|error| {
            let reason = match &error {
                SecretError::NotFound(_) => ReachReason::SecretNotFound,
                SecretError::Forbidden(_) => ReachReason::SecretForbidden,
                SecretError::Failed(_) => ReachReason::SecretUnreadable,
            };
            Miss::new(reason, format!("secret {}, key {}: {error}", key.name, key.key))
        })
    }

    /// A secret that is a line of text; the newline that editors leave at its end is none of it.
    async fn text(&self, key: &SecretKey) -> Result<String, Miss> {
        let text = String::from_utf8(self.bytes(key).await?).map_err(|_| {
            Miss::new(ReachReason::SecretUnreadable, format!("secret {}, key {}: is no text", key.name, key.key))
        })?;
        Ok(text.trim().to_owned())
    }

    /// A secret as a header.
    async fn header(
        &self,
        key: Option<&SecretKey>,
        name: HeaderName,
        before: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, Miss> {
        let Some(key) = key else { return Ok(None) };
        let text = self.text(key).await?;
        let mut value = HeaderValue::from_str(&format!("{before}{text}")).map_err(|_| {
            let told = format!("secret {}, key {}: cannot be sent as a header", key.name, key.key);
            Miss::new(ReachReason::SecretUnreadable, told)
        })?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }
}
