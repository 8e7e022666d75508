//! A thin typed client of Qdrant's REST API, as far as a guardian needs it: what a server says of a collection, its
//! points in order, and snapshots. Versions since 1.8 are understood: what a version does not tell is `None`.
//!
//! Every call is bounded in time and size; reads are tried again where the server was busy (408, 429, 503) or the
//! connection broke, changes never. Addresses and certificates go by the rules of docs/reachability.md.

mod call;
mod collection;
mod error;
mod hint;
mod page;
mod snapshot;
mod vector;
mod write;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::Secrets;
use super::net::http::{Extra, builder, names_forbidden, place};
use super::net::secret::Held;
use crate::domain::QdrantEndpoint;

pub use collection::{Cluster, Version};
pub use error::QdrantError;
pub use hint::{FieldIndex, Heeded, Issue};
pub use page::{Page, Wanted};
pub use snapshot::{Downloaded, Snapshot};
pub use write::NewPoint;

/// A server of Qdrant, with the key for it. Cheap to clone; connections are kept for the next call.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<(HeaderName, HeaderValue)>,
    place: String,
}

impl Client {
    /// What calls the server of an endpoint; nothing is called yet.
    pub async fn open(namespace: &str, endpoint: &QdrantEndpoint, secrets: &impl Secrets) -> Result<Self, QdrantError> {
        let mut base = Url::parse(&endpoint.url).map_err(|_| QdrantError::NoUrl)?;
        base.set_query(None);
        base.set_fragment(None);
        let place = place(&base);
        if names_forbidden(&base) {
            return Err(QdrantError::Forbidden(place));
        }
        let held = Held { namespace, secrets };
        let key = held.header(endpoint.api_key.as_ref(), HeaderName::from_static("api-key"), "").await;
        let key = key.map_err(|no| QdrantError::Secret(no.message))?;
        let build = |extra: Extra| builder(extra).build();
        let http = held.client(&endpoint.tls, build).await.map_err(|no| QdrantError::Secret(no.message))?;
        Ok(Self { http, base, key, place })
    }

    /// HOST:PORT, for people.
    pub fn place(&self) -> &str {
        &self.place
    }
}
