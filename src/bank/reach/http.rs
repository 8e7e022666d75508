//! One bounded GET.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use crate::bank::net::http::{Extra, Failure, broken, builder, failure, names_forbidden};

/// How long a server may take to give its whole answer.
pub(super) const WHOLE: Duration = Duration::from_secs(10);
/// No answer to a probe is larger.
const MAX_BODY: usize = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A client for single requests.
pub(super) fn client(extra: Extra) -> Result<Client, reqwest::Error> {
    // A connection of before says nothing of whether one can be made now.
    builder(extra).timeout(WHOLE).pool_max_idle_per_host(0).build()
}

/// Asks once.
pub(super) async fn get(
    client: &Client,
    url: Url,
    secret: Option<(HeaderName, HeaderValue)>,
) -> Result<Answer, Failure> {
    if names_forbidden(&url) {
        return Err(Failure::Forbidden);
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(secret.map(|(name, value)| (Some(name), value)));
    let mut response = client.get(url).headers(headers).send().await.map_err(|error| failure(&error, WHOLE))?;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => {
                return Err(Failure::Broken("answers with more than 1 MiB".to_owned()));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Answer { status: response.status().as_u16(), body }),
            Err(error) => return Err(broken(&error, WHOLE)),
        }
    }
}
