//! Both ends together, over TLS.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use memorybank::delivery::{Authority, Change, Parts};
use memorybank::domain::{Digest, Outcome, Output, Phase, TaskKind};
use memorybank::runner::{Delivered, Exchange as _, RemoteExchange};

use crate::bed::{BANK, NAMESPACE, OTHER_RUN, OTHER_TOKEN, Operator, RUN, names, report};
use crate::reports;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_stored_once_and_told() {
    let operator = Operator::start().await;
    let exchange = operator.exchange();
    assert_eq!(exchange.deliver(&report(), soon()).await, Ok(Delivered::Stored));
    let run = operator.run().await;
    assert_eq!(run.phase, Phase::Succeeded);
    let kept = operator.store.get_blob(&run.report.unwrap()).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<memorybank::domain::RunReport>(&kept).unwrap(), report());
    assert_eq!(operator.told(), [(NAMESPACE.to_owned(), RUN.to_owned())]);

    // A second pod that executed the run again: the first report stays.
    let mut second = report();
    second.tasks[0].outcome = Outcome::Failed;
    assert_eq!(exchange.deliver(&second, soon()).await, Ok(Delivered::Duplicate));
    assert_eq!(operator.run().await.report, run.report);
    assert_eq!(["stored", "duplicate", "refused", "failed"].map(|of| operator.counted(of)), [1, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_counted_in_the_metrics_from_zero_on() {
    let operator = Operator::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(memorybank::server::serve(listener, operator.board.clone(), std::future::pending()));
    let metrics = || tokio::task::block_in_place(|| crate::guardian::page(address, "/metrics").unwrap().1);
    let shows = |text: &str, result: &str, count: u32| {
        let line = format!("memorybank_ingest_reports_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in {text}");
    };
    let before = metrics();
    for result in ["stored", "duplicate", "refused", "failed"] {
        shows(&before, result, 0);
    }
    operator.exchange().deliver(&report(), soon()).await.unwrap();
    shows(&metrics(), "stored", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_leaves_the_next_one_of_the_bank_finds_once_its_report_is_stored() {
    let operator = Operator::start().await;
    let exchange = operator.exchange();
    let name = "manifest/up loads";
    // Larger than any buffer on the way, and not to be compressed away.
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    assert_eq!(exchange.input(name).await.unwrap(), None);
    let digest = exchange.output(name, content.clone()).await.unwrap();
    assert_eq!(digest, Digest::of(&content));
    assert_eq!(exchange.input(name).await.unwrap(), None, "its report is not stored yet");

    let mut task = reports::task(TaskKind::IntegrityCheck, "Files");
    task.outputs = vec![Output { name: name.to_owned(), digest }];
    let mut whole = report();
    whole.tasks = vec![task];
    exchange.deliver(&whole, soon()).await.unwrap();
    assert_eq!(exchange.input(name).await.unwrap().as_ref(), Some(&content));

    let mut other = operator.remote(OTHER_TOKEN);
    other.run = OTHER_RUN.to_owned();
    let other = RemoteExchange::new(other).unwrap();
    assert_eq!(other.input(name).await.unwrap(), None, "it is of another bank");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_output_is_an_output() {
    let operator = Operator::start().await;
    let exchange = operator.exchange();
    let digest = exchange.output("empty", Vec::new()).await.unwrap();
    let mut whole = report();
    whole.tasks[0].outputs = vec![Output { name: "empty".to_owned(), digest }];
    exchange.deliver(&whole, soon()).await.unwrap();
    assert_eq!(exchange.input("empty").await.unwrap(), Some(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_the_banks_own() {
    let operator = Operator::start().await;
    let key = operator.exchange().fingerprint_key().await.unwrap();
    assert_eq!(key, operator.store.fingerprint_key(NAMESPACE, BANK).await.unwrap());
    assert_ne!(key, operator.store.fingerprint_key(NAMESPACE, "other").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_is_read_anew() {
    let operator = Operator::start().await;
    let exchange = RemoteExchange::new(operator.remote("stale")).unwrap();
    let refused = exchange.deliver(&report(), soon()).await.unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
    operator.file("token", &format!("{}\n", crate::bed::TOKEN));
    assert_eq!(exchange.deliver(&report(), soon()).await, Ok(Delivered::Stored));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let operator = Operator::start().await;
    let before = operator.exchange();
    before.fingerprint_key().await.unwrap();

    let parts = operator.authority.parts();
    let data = |at: usize| parts[at].1.as_bytes();
    let parts = Parts { ca_crt: data(0), ca_key: data(1), tls_crt: b"", tls_key: b"" };
    let (renewed, change) = Authority::settle(parts, &names(), Timestamp::now()).unwrap();
    assert_eq!(change, Change::Renewed);
    operator.tls.show(&renewed).unwrap();
    before.fingerprint_key().await.unwrap();

    // With another authority whoever trusts the old one is refused, and whoever trusts the new one is served.
    let other = Authority::make(&names(), Timestamp::now()).unwrap();
    operator.tls.show(&other).unwrap();
    let short = Instant::now() + Duration::from_millis(300);
    let refused = before.deliver(&report(), short).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    let mut remote = operator.remote(crate::bed::TOKEN);
    remote.ca = other.ca().to_owned();
    RemoteExchange::new(remote).unwrap().fingerprint_key().await.unwrap();
    assert_eq!(operator.run().await.report, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_ends() {
    let mut operator = Operator::start().await;
    operator.exchange().fingerprint_key().await.unwrap();
    // Somebody who says nothing must not keep it.
    let silent = tokio::net::TcpStream::connect(operator.address).await.unwrap();
    let begun = Instant::now();
    operator.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    drop(silent);
    assert!(tokio::net::TcpStream::connect(operator.address).await.is_err());
}
