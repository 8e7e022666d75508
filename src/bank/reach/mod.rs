//! Asks the parts of a bank that answer over the network, each by one read, and tells whether they do.
//!
//! Nothing is written, nothing of an answer is kept, no redirect is followed, no proxy is used, and addresses that
//! a machine's own network trusts are never called (`net::address`). docs/reachability.md tells the rules.

mod api;
mod http;
mod postgres;
mod qdrant;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use thiserror::Error;

use super::Secrets;
use super::net::http::{Extra, Failure, place};
use super::net::secret::{Held, Lack, NoSecret};
use crate::domain::{
    ApiEndpoint, Bank, Canary, Flavor, NetworkPart, PartSample, QdrantEndpoint, Reach, ReachReason, SqlDatabase, Trust,
    VectorStore,
};
use api::Question;
use http::WHOLE;

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

impl From<NoSecret> for Miss {
    fn from(no: NoSecret) -> Self {
        let reason = match no.lack {
            Lack::NotFound => ReachReason::SecretNotFound,
            Lack::Forbidden => ReachReason::SecretForbidden,
            Lack::Unreadable => ReachReason::SecretUnreadable,
        };
        Self::new(reason, no.message)
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
        let place = place(&url);
        let answer = self.get(&api.tls, held, url, secret, &API).await?;
        api::judge(question, &answer, &place)
    }

    async fn ask_qdrant<S: Secrets>(&self, qdrant: &QdrantEndpoint, held: &Held<'_, S>) -> Result<(), Miss> {
        let secret = held.header(qdrant.api_key.as_ref(), HeaderName::from_static("api-key"), "").await?;
        let url = qdrant::url(qdrant).ok_or_else(|| no_url(&QDRANT))?;
        let place = place(&url);
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
        let place = place(&url);
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
        Ok(held.client(trust, http::client).await?)
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
