//! What fails for a while, and what fails for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use memorybank::delivery::Authority;
use memorybank::runner::{Delivered, Exchange as _, RemoteExchange};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::bed::{Operator, TOKEN, names, report};

/// Answers so, the first times.
fn first(
    times: u32,
    status: u16,
    retry_after: Option<&'static str>,
) -> (impl FnOnce(Router) -> Router, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let wrap = move |ingest: Router| {
        Router::new().fallback(move |request: Request| async move {
            if count.fetch_add(1, Ordering::SeqCst) >= times {
                return ingest.oneshot(request).await.unwrap();
            }
            let answer = Response::builder().status(status);
            retry_after
                .into_iter()
                .fold(answer, |answer, after| answer.header("retry-after", after))
                .body(Body::empty())
                .unwrap()
        })
    };
    (wrap, asked)
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_at_first_is_asked_again() {
    for status in [500, 502, 503, 429] {
        let (wrap, asked) = first(2, status, None);
        let operator = Operator::behind(wrap).await;
        assert_eq!(operator.exchange().deliver(&report(), in_seconds(30)).await, Ok(Delivered::Stored), "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), 3, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_key_are_asked_for_again_too() {
    let (wrap, asked) = first(1, 503, None);
    let operator = Operator::behind(wrap).await;
    assert_eq!(operator.exchange().input("manifest/uploads").await.unwrap(), None);
    operator.exchange().fingerprint_key().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_when_to_come_again() {
    let (wrap, _) = first(1, 503, Some("2"));
    let operator = Operator::behind(wrap).await;
    let begun = Instant::now();
    operator.exchange().deliver(&report(), in_seconds(30)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    // And may not ask for ever: what would be too late is given up at once.
    let (wrap, asked) = first(9, 503, Some("86400"));
    let operator = Operator::behind(wrap).await;
    let error = operator.exchange().deliver(&report(), in_seconds(30)).await.unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("after 1 attempts"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_asked_again() {
    for status in [400, 401, 403, 404, 409, 413, 302] {
        let (wrap, asked) = first(9, status, None);
        let operator = Operator::behind(wrap).await;
        let error = operator.exchange().deliver(&report(), in_seconds(30)).await.unwrap_err().to_string();
        assert_eq!((error, asked.load(Ordering::SeqCst)), (format!("the operator answered {status}"), 1));
        let (wrap, asked) = first(9, status, None);
        let operator = Operator::behind(wrap).await;
        let error = operator.exchange().input("x").await.unwrap_err().to_string();
        assert!(error.contains(&status.to_string()), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_comes_later_gets_the_report() {
    // A port that was free a moment ago, and is again.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut operator = Operator::without_server(address).await;
    let exchange = operator.exchange();
    let delivering = tokio::spawn(async move { exchange.deliver(&report(), in_seconds(60)).await });
    // It has been refused once, at least, when a second connection is.
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let early = operator.exchange().deliver(&report(), Instant::now() + Duration::from_millis(1)).await;
    assert!(early.unwrap_err().to_string().contains("given up"));
    operator.serve(TcpListener::bind(address).await.unwrap(), |ingest| ingest);
    assert_eq!(delivering.await.unwrap(), Ok(Delivered::Stored));
    assert!(operator.run().await.report.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_gets_neither_token_nor_report() {
    let (wrap, asked) = first(0, 500, None);
    let operator = Operator::behind(wrap).await;
    let mut remote = operator.remote(TOKEN);
    remote.ca = Authority::make(&names(), jiff::Timestamp::now()).unwrap().ca().to_owned();
    let error = RemoteExchange::new(remote).unwrap().deliver(&report(), in_seconds(1)).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_came_wrong_are_never_taken() {
    for digest in [Some(memorybank::domain::Digest::of(b"right").to_string()), None] {
        let operator = Operator::behind(move |_| {
            Router::new().fallback(move || async move {
                let answer = Response::builder().status(200);
                digest
                    .iter()
                    .fold(answer, |answer, it| answer.header("memorybank-digest", it))
                    .body(Body::from("wrong"))
                    .unwrap()
            })
        })
        .await;
        let asked = tokio::time::timeout(Duration::from_secs(3), async { operator.exchange().input("x").await }).await;
        // Asked for again and again, or refused; never taken.
        assert!(asked.is_err() || asked.unwrap().is_err());
    }
}
