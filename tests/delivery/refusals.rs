//! What the operator does not accept, and how it says so.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memorybank::delivery::{MAX_OUTPUT, MAX_REPORT, Refused, Why, client_config};
use memorybank::domain::RunReport;
use memorybank::runner::{Exchange as _, RemoteExchange};

use crate::bed::{NAMESPACE, OTHER_TOKEN, Operator, RUN, TOKEN, report};

fn client(operator: &Operator) -> reqwest::Client {
    let tls = client_config(operator.authority.ca()).unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// Status and reason of what comes back for a report.
async fn put(operator: &Operator, token: &str, run: &str, body: Vec<u8>) -> (u16, Why) {
    let url = format!("{}/ingest/v1/namespaces/{NAMESPACE}/runs/{run}/report", operator.url());
    let answer = client(operator).put(url).bearer_auth(token).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let refused: Refused = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert!(!refused.message.is_empty());
    (status, refused.reason)
}

fn bytes(report: &RunReport) -> Vec<u8> {
    serde_json::to_vec(report).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_the_pod_of_the_run_is_refused() {
    let operator = Operator::start().await;
    let good = || bytes(&report());
    assert_eq!(put(&operator, "nonsense", RUN, good()).await, (401, Why::Unauthenticated));
    // Of the whole body, so that whoever sends it sees the answer.
    assert_eq!(put(&operator, "nonsense", RUN, vec![b' '; 20 << 20]).await, (401, Why::Unauthenticated));
    assert_eq!(put(&operator, OTHER_TOKEN, RUN, good()).await, (403, Why::Forbidden));
    assert_eq!(put(&operator, TOKEN, "another", good()).await, (403, Why::Forbidden));
    assert_eq!(put(&operator, TOKEN, "gone", good()).await, (404, Why::UnknownRun));
    assert_eq!(put(&operator, "the-api-server-is-away", RUN, good()).await, (503, Why::Unavailable));
    assert_eq!(operator.run().await.report, None);
    assert_eq!(operator.told(), []);
    assert_eq!((operator.counted("refused"), operator.counted("failed")), (5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_given() {
    let operator = Operator::start().await;
    let base = format!("{}/ingest/v1/namespaces/{NAMESPACE}/runs/{RUN}", operator.url());
    for what in ["inputs/manifest%2Fuploads", "fingerprint-key"] {
        let answer = client(&operator).get(format!("{base}/{what}")).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{what}");
        let basic = client(&operator).get(format!("{base}/{what}")).basic_auth(TOKEN, Some(TOKEN)).send().await;
        assert_eq!(basic.unwrap().status(), 401, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_another_run_is_refused() {
    let operator = Operator::start().await;
    let good = report();
    for other in [
        RunReport { uid: "other".to_owned(), ..good.clone() },
        RunReport { namespace: "team-b".to_owned(), ..good.clone() },
        RunReport { run: "other".to_owned(), ..good.clone() },
        RunReport { bank: "other".to_owned(), ..good.clone() },
    ] {
        assert_eq!(put(&operator, TOKEN, RUN, bytes(&other)).await, (409, Why::Mismatch));
    }
    for nonsense in [b"".as_slice(), b"{}", b"null", b"\xff"] {
        assert_eq!(put(&operator, TOKEN, RUN, nonsense.to_vec()).await, (400, Why::Invalid));
    }
    assert_eq!(operator.run().await.report, None);
    assert_eq!(operator.counted("refused"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_no_path_is_404() {
    let operator = Operator::start().await;
    let base = format!("{}/ingest/v1/namespaces/{NAMESPACE}/runs/{RUN}", operator.url());
    let client = client(&operator);
    for request in [
        client.get(operator.url()),
        client.get(format!("{base}/report")),
        client.put(format!("{base}/fingerprint-key")),
        client.put(format!("{base}/inputs/x")),
        client.delete(format!("{base}/report")),
        client.get(format!("{base}/inputs/%00")),
    ] {
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        let (status, url) = (answer.status(), answer.url().clone());
        let refused: Refused = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((status.as_u16(), refused.reason), (404, Why::NotFound), "{url}");
    }
}

/// Sends a head and nothing after it; the status of the answer.
fn head(operator: &Operator, what: &str, fields: &str) -> u16 {
    let config = Arc::new(client_config(operator.authority.ca()).unwrap());
    let name = rustls::pki_types::ServerName::from(operator.address.ip());
    let connection = rustls::ClientConnection::new(config, name).unwrap();
    let stream = std::net::TcpStream::connect(operator.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    write!(
        tls,
        "PUT /ingest/v1/namespaces/{NAMESPACE}/runs/{RUN}/{what} HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {TOKEN}\r\n{fields}\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    tls.read_exact(&mut answer).unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let operator = Arc::new(Operator::start().await);
    let asked = Arc::clone(&operator);
    let statuses = tokio::task::spawn_blocking(move || {
        let over = |most: u64| format!("Content-Length: {}\r\n", most + 1);
        [
            head(&asked, "report", &over(MAX_REPORT)),
            head(&asked, "outputs/x", &over(MAX_OUTPUT)),
            head(&asked, "report", "Transfer-Encoding: chunked\r\n"),
        ]
    });
    assert_eq!(statuses.await.unwrap(), [413, 413, 411]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_does_not_send_what_would_be_too_large() {
    let operator = Operator::start().await;
    let mut large = report();
    large.tasks[0].message = "x".repeat(usize::try_from(MAX_REPORT).unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    let refused = operator.exchange().deliver(&large, until).await.unwrap_err().to_string();
    assert!(refused.contains("at most 33554432 are taken"), "{refused}");
    assert_eq!(operator.counted("refused"), 0);
    let refused = operator.exchange().output("..", Vec::new()).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be sent"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_unknown_is_no_missing_input() {
    let operator = Operator::start().await;
    let mut gone = operator.remote(TOKEN);
    gone.run = "gone".to_owned();
    let refused = RemoteExchange::new(gone).unwrap().input("manifest/uploads").await.unwrap_err().to_string();
    assert!(refused.contains("404") && refused.contains("the run is not known"), "{refused}");
}

#[test]
fn only_https_is_reported_to() {
    let authority = memorybank::delivery::Authority::make(&crate::bed::names(), jiff::Timestamp::now()).unwrap();
    for (url, ca, said) in [
        ("http://127.0.0.1:1", authority.ca(), "https://HOST:PORT"),
        ("operator:9443", authority.ca(), "https://HOST:PORT"),
        ("", authority.ca(), "no address"),
        ("https://127.0.0.1:1", "", "no certificate"),
    ] {
        let remote = memorybank::runner::Remote {
            ingest: url.to_owned(),
            ca: ca.to_owned(),
            token: "token".into(),
            namespace: NAMESPACE.to_owned(),
            run: RUN.to_owned(),
        };
        let error = RemoteExchange::new(remote).unwrap_err().to_string();
        assert!(error.contains(said), "{url}: {error}");
    }
}
