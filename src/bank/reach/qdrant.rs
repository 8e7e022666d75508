//! A collection of Qdrant: what the server says of it.

use reqwest::Url;
use serde_json::Value;

use super::Miss;
use super::http::Answer;
use crate::domain::{QdrantEndpoint, ReachReason};

/// The url of the collection, below that of the server.
pub(super) fn url(qdrant: &QdrantEndpoint) -> Option<Url> {
    let mut url = Url::parse(&qdrant.url).ok()?;
    url.set_fragment(None);
    url.set_query(None);
    url.path_segments_mut().ok()?.pop_if_empty().extend(["collections", &qdrant.collection]);
    Some(url)
}

/// What an answer is worth. Green, yellow (being optimised) and grey (to be optimised) collections answer; a red
/// one has operations that failed and were not recovered, so that nothing it returns can be taken as whole.
pub(super) fn judge(answer: &Answer, place: &str) -> Result<(), Miss> {
    let missed = |told: String| {
        Err(Miss::new(ReachReason::VectorStoreUnreachable, format!("the vector store at {place} {told}")))
    };
    match answer.status {
        200 => {}
        401 | 403 => {
            let told = format!(
                "the vector store at {place} does not accept the API key (HTTP {}): correct \
                 spec.vectorStore.qdrant.apiKeySecretRef",
                answer.status
            );
            return Err(Miss::new(ReachReason::AuthenticationFailed, told));
        }
        404 => {
            let told = "has no collection of that name (HTTP 404): its storage may be lost, or correct \
                        spec.vectorStore.qdrant";
            return missed(told.to_owned());
        }
        status => return missed(format!("answers with an error (HTTP {status}): look at its log")),
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = body.pointer("/result/status").and_then(Value::as_str);
    match (body["status"].as_str(), status) {
        (Some("ok"), Some("green" | "yellow" | "grey")) => Ok(()),
        (Some("ok"), Some("red")) => {
            missed("tells the collection red: operations failed and were not recovered, look at its log".to_owned())
        }
        _ => missed("does not answer as Qdrant does: correct spec.vectorStore.qdrant.url".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Trust;

    #[test]
    fn a_collection_is_one_step_of_the_path() {
        let qdrant = |base: &str| QdrantEndpoint {
            url: base.to_owned(),
            api_key: None,
            collection: "a/b c".to_owned(),
            tls: Trust::default(),
        };
        assert_eq!(url(&qdrant("http://q:6333")).unwrap().as_str(), "http://q:6333/collections/a%2Fb%20c");
        assert_eq!(url(&qdrant("http://q/base/?a=b")).unwrap().as_str(), "http://q/base/collections/a%2Fb%20c");
    }

    #[test]
    fn a_collection_answers_unless_it_is_red() {
        let reason = |status, body: &str| {
            let answer = Answer { status, body: body.as_bytes().to_vec() };
            judge(&answer, "q:6333").err().map(|miss| miss.reason)
        };
        let body = |colour: &str| format!(r#"{{"result": {{"status": "{colour}"}}, "status": "ok", "time": 0.1}}"#);
        for colour in ["green", "yellow", "grey"] {
            assert_eq!(reason(200, &body(colour)), None);
        }
        let unreachable = Some(ReachReason::VectorStoreUnreachable);
        assert_eq!(reason(200, &body("red")), unreachable);
        assert_eq!(reason(200, &body("mauve")), unreachable);
        assert_eq!(reason(200, r#"{"status": {"error": "x"}}"#), unreachable);
        assert_eq!(reason(200, "<html>"), unreachable);
        assert_eq!(reason(404, &body("green")), unreachable);
        assert_eq!(reason(500, &body("green")), unreachable);
        assert_eq!(reason(401, ""), Some(ReachReason::AuthenticationFailed));
        assert_eq!(reason(403, ""), Some(ReachReason::AuthenticationFailed));
    }
}
