//! The HTTP API of a bank: one read that goes through to its database.

use reqwest::Url;
use serde_json::Value;

use super::Miss;
use super::http::Answer;
use crate::domain::{ApiEndpoint, Flavor, ReachReason};

/// What is asked of an API, and so what an answer must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// OpenMemory: the numbers of one user.
    Stats,
    /// OpenMemory: the first of the apps.
    Apps,
    /// A mem0 server: the newest memory of one user, which goes through to the vector store.
    Memories,
    /// A mem0 server: whether it was set up, which reads its own database.
    SetupStatus,
}

impl Question {
    /// The cheapest read that goes through to SQL and tells nothing of the configuration.
    pub const fn of(api: &ApiEndpoint, flavor: Flavor) -> Self {
        match (flavor, api.user_id.is_some()) {
            (Flavor::OpenMemory, true) => Self::Stats,
            (Flavor::OpenMemory, false) => Self::Apps,
            (Flavor::Mem0Server, true) => Self::Memories,
            (Flavor::Mem0Server, false) => Self::SetupStatus,
        }
    }

    /// The url to ask: below that of the API, whose own query and fragment say nothing.
    pub fn url(self, api: &ApiEndpoint) -> Option<Url> {
        let mut url = Url::parse(&api.url).ok()?;
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_fragment(None);
        url.set_query(None);
        let path = match self {
            Self::Stats => "/api/v1/stats/",
            Self::Apps => "/api/v1/apps/",
            Self::Memories => "/memories",
            Self::SetupStatus => "/auth/setup-status",
        };
        url.set_path(&format!("{base}{path}"));
        let user = api.user_id.as_deref().unwrap_or_default();
        match self {
            Self::Stats => drop(url.query_pairs_mut().append_pair("user_id", user)),
            Self::Apps => drop(url.query_pairs_mut().append_pair("page_size", "1")),
            Self::Memories => drop(url.query_pairs_mut().append_pair("user_id", user).append_pair("top_k", "1")),
            Self::SetupStatus => {}
        }
        Some(url)
    }

    /// Whether a body is what a working API answers, whatever it says.
    fn answered_by(self, body: &Value) -> bool {
        match self {
            Self::Stats => body["total_memories"].is_u64() && body["apps"].is_array(),
            Self::Apps => body["total"].is_u64() && body["apps"].is_array(),
            Self::Memories => body.is_array() || body["results"].is_array(),
            Self::SetupStatus => body.as_object().is_some_and(|body| !body.is_empty()),
        }
    }

    const fn on_not_found(self) -> &'static str {
        match self {
            Self::Stats => {
                "does not know the user of spec.api.userId, or is no OpenMemory API (HTTP 404): correct spec.api.userId \
                 or spec.api.url"
            }
            Self::Apps => "is no OpenMemory API (HTTP 404): correct spec.api.url",
            Self::Memories => "is no mem0 server (HTTP 404): correct spec.api.url or spec.flavor",
            Self::SetupStatus => {
                "is no mem0 server, or an old one (HTTP 404): set spec.api.userId, or correct spec.api.url or spec.flavor"
            }
        }
    }
}

/// What an answer is worth. Status 200 alone says nothing: errors of OpenMemory come with it.
pub(super) fn judge(question: Question, answer: &Answer, place: &str) -> Result<(), Miss> {
    let wrong = |told: String| Err(Miss::new(ReachReason::ApiError, format!("the API at {place} {told}")));
    match answer.status {
        200 => {}
        401 | 403 => {
            let told = format!(
                "the API at {place} does not accept the credentials (HTTP {}): correct spec.api.tokenSecretRef",
                answer.status
            );
            return Err(Miss::new(ReachReason::AuthenticationFailed, told));
        }
        404 => return wrong(question.on_not_found().to_owned()),
        300..=399 => {
            let told = "redirects elsewhere, where nothing follows: write its final address to spec.api.url";
            return wrong(format!("{told} (HTTP {})", answer.status));
        }
        status => return wrong(format!("answers with an error (HTTP {status}): look at its log")),
    }
    match serde_json::from_slice::<Value>(&answer.body) {
        Err(_) => wrong(
            "answers with something that is no JSON: is spec.api.url that of the API, and not of its web page?"
                .to_owned(),
        ),
        Ok(body) if body.get("error").is_some() || body.get("detail").is_some() => {
            wrong("answers with an error in place of data (HTTP 200): look at its log".to_owned())
        }
        Ok(body) if !question.answered_by(&body) => {
            wrong("answers without the fields that it should have: look at its log, and at spec.flavor".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Canary, Trust};

    fn endpoint(url: &str, user: Option<&str>) -> ApiEndpoint {
        ApiEndpoint {
            url: url.to_owned(),
            user_id: user.map(str::to_owned),
            token: None,
            canary: Canary::ReadOnly,
            tls: Trust::default(),
        }
    }

    fn url(flavor: Flavor, api: &ApiEndpoint) -> String {
        Question::of(api, flavor).url(api).unwrap().to_string()
    }

    #[test]
    fn the_question_is_below_the_url_of_the_api() {
        let api = endpoint("http://bank:8765", Some("a b&c"));
        assert_eq!(url(Flavor::OpenMemory, &api), "http://bank:8765/api/v1/stats/?user_id=a+b%26c");
        assert_eq!(url(Flavor::Mem0Server, &api), "http://bank:8765/memories?user_id=a+b%26c&top_k=1");
        let api = endpoint("https://host/open/?x=1#y", None);
        assert_eq!(url(Flavor::OpenMemory, &api), "https://host/open/api/v1/apps/?page_size=1");
        assert_eq!(url(Flavor::Mem0Server, &api), "https://host/open/auth/setup-status");
    }

    #[test]
    fn only_data_is_an_answer() {
        let reason = |question, status, body: &str| {
            let answer = Answer { status, body: body.as_bytes().to_vec() };
            judge(question, &answer, "bank:8765").err().map(|miss| miss.reason)
        };
        let stats = r#"{"total_memories": 3, "total_apps": 1, "apps": []}"#;
        assert_eq!(reason(Question::Stats, 200, stats), None);
        assert_eq!(reason(Question::Apps, 200, r#"{"total": 0, "page": 1, "page_size": 1, "apps": []}"#), None);
        assert_eq!(reason(Question::Memories, 200, r#"{"results": []}"#), None);
        assert_eq!(reason(Question::SetupStatus, 200, r#"{"needs_setup": false}"#), None);
        for body in ["null", "[]", "{}", r#"{"error": "x"}"#, "<html></html>", "", r#"{"total_memories": 3"#] {
            assert_eq!(reason(Question::Stats, 200, body), Some(ReachReason::ApiError), "{body}");
        }
        for status in [204, 302, 307, 404, 422, 500, 502, 503] {
            assert_eq!(reason(Question::Stats, status, stats), Some(ReachReason::ApiError), "{status}");
        }
        for status in [401, 403] {
            assert_eq!(reason(Question::Stats, status, stats), Some(ReachReason::AuthenticationFailed));
        }
    }
}
