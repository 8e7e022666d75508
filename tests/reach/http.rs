use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use memorybank::domain::{Canary, Flavor, Reach, ReachReason, Trust, VectorStore};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::standin::{Mode, StandIn, USER};
use crate::{ask, ask_plainly, closed, key, missed, put_secret, with_api, with_qdrant};

#[tokio::test]
async fn a_working_api_is_reached_by_one_read() {
    let server = StandIn::start();
    let mut bank = with_api(&server.url());
    assert_eq!(ask_plainly(&bank).await, Reach::Reached);
    bank.api.as_mut().unwrap().user_id = None;
    assert_eq!(ask_plainly(&bank).await, Reach::Reached);
    bank.api.as_mut().unwrap().user_id = Some(USER.to_owned());
    bank.flavor = Flavor::Mem0Server;
    assert_eq!(ask_plainly(&bank).await, Reach::Reached);
    let asked =
        ["/api/v1/stats/?user_id=default_user", "/api/v1/apps/?page_size=1", "/memories?user_id=default_user&top_k=1"];
    assert_eq!(server.requests(), asked.map(|path| format!("GET {path}")));
}

#[tokio::test]
async fn every_way_to_fail_has_its_reason_and_says_nothing_of_the_answer() {
    let server = StandIn::start();
    let bank = with_api(&server.url());
    let (error, unreachable) = (ReachReason::ApiError, ReachReason::ApiUnreachable);
    let body = |text: &str| Mode::Body(text.to_owned());
    for (mode, expected) in [
        (Mode::Drop, unreachable),
        (Mode::Half, error),
        (Mode::Status(500), error),
        (Mode::Status(502), error),
        (Mode::Status(401), ReachReason::AuthenticationFailed),
        (Mode::Status(403), ReachReason::AuthenticationFailed),
        (body(r#"{"error":"Failed to initialise: secret detail"}"#), error),
        (body(r#"{"detail":"secret detail"}"#), error),
        (body("null"), error),
        (body("<html>secret detail</html>"), error),
        (body(r#"{"status":"secret detail"}"#), error),
        (body(&format!("\"{}\"", "secret detail".repeat(100_000))), error),
        (Mode::Redirect("http://169.254.169.254/latest/meta-data/".to_owned()), error),
    ] {
        let told = format!("{mode:?}").chars().take(80).collect::<String>();
        server.set(mode);
        let (reason, message) = missed(ask_plainly(&bank).await);
        assert_eq!(reason, expected, "{told}: {message}");
        assert!(!message.contains("secret detail"), "{told}: {message}");
        assert!(message.contains("127.0.0.1:") && message.len() < 300, "{told}: {message}");
        let again = missed(ask_plainly(&bank).await);
        assert_eq!(again, (reason, message), "the same trouble has the same words");
    }
    server.set(Mode::Good);
    assert_eq!(ask_plainly(&bank).await, Reach::Reached);
}

#[tokio::test]
async fn what_does_not_listen_or_has_no_name_is_unreachable() {
    let (reason, message) = missed(ask_plainly(&with_api(&closed())).await);
    assert_eq!(reason, ReachReason::ApiUnreachable);
    assert!(message.contains("refuses connections: start it, or correct spec.api.url"), "{message}");
    let (reason, message) = missed(ask_plainly(&with_api("http://no-such-host.invalid:8765")).await);
    assert_eq!(reason, ReachReason::ApiUnreachable);
    assert!(message.contains("no-such-host.invalid:8765 has a name that cannot be resolved"), "{message}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_ten_seconds() {
    let server = StandIn::start();
    server.set(Mode::Silent);
    let begun = Instant::now();
    let (reason, message) = missed(ask_plainly(&with_api(&server.url())).await);
    assert_eq!(reason, ReachReason::ApiUnreachable);
    assert!(message.contains("does not answer within 10 s"), "{message}");
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_unknown_user_is_told_as_such() {
    let server = StandIn::start();
    let mut bank = with_api(&server.url());
    bank.api.as_mut().unwrap().user_id = Some("nobody".to_owned());
    let (reason, message) = missed(ask_plainly(&bank).await);
    assert_eq!(reason, ReachReason::ApiError);
    assert!(message.contains("does not know the user of spec.api.userId"), "{message}");
}

#[tokio::test]
async fn a_token_is_sent_as_the_flavor_takes_it() {
    let server = StandIn::start();
    let folder = tempfile::tempdir().unwrap();
    let token = key("api", "token");
    let mut bank = with_api(&server.url());
    bank.api.as_mut().unwrap().token = Some(token.clone());
    let (reason, message) = missed(ask(&bank, folder.path()).await.outcome);
    assert_eq!(reason, ReachReason::SecretNotFound);
    assert!(message.starts_with("secret api, key token: there is no file "), "{message}");
    assert!(server.requests().is_empty(), "without its secret nothing is asked");

    put_secret(folder.path(), &token, "t0ken\n");
    server.require("Authorization: Bearer t0ken");
    assert_eq!(ask(&bank, folder.path()).await.outcome, Reach::Reached);
    bank.flavor = Flavor::Mem0Server;
    let (reason, message) = missed(ask(&bank, folder.path()).await.outcome);
    assert_eq!(reason, ReachReason::AuthenticationFailed);
    assert!(!message.contains("t0ken"), "{message}");
    server.require("X-API-Key: t0ken");
    assert_eq!(ask(&bank, folder.path()).await.outcome, Reach::Reached);

    put_secret(folder.path(), &token, "two\nlines");
    assert_eq!(missed(ask(&bank, folder.path()).await.outcome).0, ReachReason::SecretUnreadable);
}

#[tokio::test]
async fn a_disabled_canary_leaves_the_api_alone() {
    let server = StandIn::start();
    let mut bank = with_api(&server.url());
    bank.api.as_mut().unwrap().canary = Canary::Disabled;
    assert!(bank.network_parts().is_empty());
    bank.api.as_mut().unwrap().canary = Canary::Transaction;
    assert_eq!(ask_plainly(&bank).await, Reach::Reached);
    assert!(server.requests().iter().all(|request| request.starts_with("GET ")), "nothing is written");
}

#[tokio::test]
async fn a_collection_is_reached_unless_it_is_red_or_gone() {
    let server = StandIn::start();
    let mut bank = with_qdrant(&server.url());
    for colour in ["green", "yellow", "grey"] {
        server.colour(colour);
        assert_eq!(ask_plainly(&bank).await, Reach::Reached, "{colour}");
    }
    server.colour("red");
    let (reason, message) = missed(ask_plainly(&bank).await);
    assert_eq!(reason, ReachReason::VectorStoreUnreachable);
    assert!(message.contains("red"), "{message}");
    server.colour("green");
    let folder = tempfile::tempdir().unwrap();
    let secret = key("qdrant", "key");
    server.require("api-key: k3y");
    assert_eq!(missed(ask_plainly(&bank).await).0, ReachReason::AuthenticationFailed);
    if let Some(VectorStore::Qdrant(qdrant)) = &mut bank.vector_store {
        qdrant.api_key = Some(secret.clone());
    }
    put_secret(folder.path(), &secret, "k3y");
    assert_eq!(ask(&bank, folder.path()).await.outcome, Reach::Reached);
    if let Some(VectorStore::Qdrant(qdrant)) = &mut bank.vector_store {
        qdrant.collection = "gone".to_owned();
    }
    let (reason, message) = missed(ask(&bank, folder.path()).await.outcome);
    assert_eq!(reason, ReachReason::VectorStoreUnreachable);
    assert!(message.contains("has no collection of that name"), "{message}");
}

/// An API over TLS with a certificate of its own authority; the authority, as PEM.
fn tls_server() -> (std::net::SocketAddr, String, tokio::task::JoinHandle<()>) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let server_key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let apps = get(|| async { r#"{"total":0,"page":1,"page_size":1,"apps":[]}"# });
    let router = Router::new().route("/api/v1/apps/", apps);
    let served = tokio::spawn(async move {
        let (chain, key) = (certificate.pem().into_bytes(), server_key.serialize_pem().into_bytes());
        let config = RustlsConfig::from_pem(chain, key).await.unwrap();
        axum_server::from_tcp_rustls(listener, config).unwrap().serve(router.into_make_service()).await.unwrap();
    });
    (address, authority.pem(), served)
}

#[tokio::test]
async fn certificates_are_verified_unless_the_bank_says_otherwise() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (address, authority, served) = tls_server();
    let mut bank = with_api(&format!("https://localhost:{}", address.port()));
    bank.api.as_mut().unwrap().user_id = None;
    let (reason, message) = missed(ask_plainly(&bank).await);
    assert_eq!(reason, ReachReason::ApiUnreachable);
    assert!(message.contains("unknown authority"), "{message}");

    let folder = tempfile::tempdir().unwrap();
    let ca = key("api-ca", "ca.crt");
    bank.api.as_mut().unwrap().tls = Trust { ca: Some(ca.clone()), insecure_skip_verify: false };
    put_secret(folder.path(), &ca, "no certificate");
    assert_eq!(missed(ask(&bank, folder.path()).await.outcome).0, ReachReason::SecretUnreadable);
    put_secret(folder.path(), &ca, &authority);
    assert_eq!(ask(&bank, folder.path()).await.outcome, Reach::Reached);

    bank.api.as_mut().unwrap().tls = Trust { ca: None, insecure_skip_verify: true };
    assert_eq!(ask(&bank, Path::new("/nonexistent")).await.outcome, Reach::Reached);
    served.abort();
}
