use std::sync::Arc;
use std::time::Duration;

use memorybank::bank::FolderSecrets;
use memorybank::domain::{Bank, PartSample, Reach, ReachReason};
use memorybank::sampler::{BankName, Banks, Sampled, Sampler};
use memorybank::store::{BankSample, Location, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::standin::{Mode, StandIn};
use crate::{API, with_api};

/// How long anything may take that is waited for, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_mins(1);

struct Bed {
    store: Arc<Store>,
    banks: watch::Sender<Banks>,
    changed: mpsc::Receiver<BankName>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Bed {
    async fn start(banks: Vec<Sampled>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap());
        let secrets = Arc::new(FolderSecrets::new(folder.path().join("secrets")));
        let sampler = Sampler::new(Arc::clone(&store), secrets).unwrap();
        let (banks, receiver) = watch::channel(Arc::new(banks));
        let (teller, changed) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let running = tokio::spawn(sampler.run(receiver, teller, stop.clone()));
        Self { store, banks, changed, stop, running, _folder: folder }
    }

    async fn told(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.changed.recv()).await.expect("told in time").unwrap().1
    }

    async fn sample(&self, bank: &str) -> PartSample {
        self.store.reach("default", bank).await.unwrap().remove(0)
    }
}

fn sampled(name: &str, url: &str, interval_seconds: u32) -> Sampled {
    let bank = Bank { name: name.to_owned(), ..with_api(url) };
    Sampled { namespace: "default".to_owned(), bank: Arc::new(bank), interval_seconds }
}

#[tokio::test]
async fn banks_are_sampled_while_they_are_declared_and_told_where_something_changes() {
    let server = StandIn::start();
    // Below what a spec may say, so that the test need not wait.
    let mut bed = Bed::start(vec![sampled("a", &server.url(), 1)]).await;
    assert_eq!(bed.told().await, "a");
    let first = bed.sample("a").await;
    assert_eq!((first.part, first.outcome.clone()), (API, Reach::Reached));

    // The same again, kept and not told: what is told next is the change.
    let before = server.requests().len();
    tokio::time::timeout(PATIENCE, async {
        while server.requests().len() < before + 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("sampled every second");
    server.set(Mode::Status(500));
    assert_eq!(bed.told().await, "a");
    let failed = bed.sample("a").await;
    assert_eq!(failed.outcome.reason(), Some(ReachReason::ApiError));
    assert!(failed.since > first.since && failed.time >= failed.since);

    // Another bank in its place: sampled, and the first one no more.
    bed.banks.send_replace(Arc::new(vec![sampled("b", &server.url(), 1)]));
    assert_eq!(bed.told().await, "b");
    assert!(bed.changed.try_recv().is_err());

    bed.stop.cancel();
    tokio::time::timeout(PATIENCE, bed.running).await.expect("it ends when it is to stop").unwrap();
}

#[tokio::test]
async fn once_means_once() {
    let server = StandIn::start();
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap());
    let sampler = Sampler::new(Arc::clone(&store), Arc::new(FolderSecrets::new(folder.path()))).unwrap();
    let banks: Vec<_> = (0..40).map(|n| sampled(&format!("bank-{n}"), &server.url(), 300)).collect();
    sampler.once(&banks).await.unwrap();
    assert_eq!(server.requests().len(), 40);
    assert_eq!(store.sampled_banks("default").await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_sample_goes_on_from_when_its_outcome_began() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap();
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let put = async |time: &str, outcome: Reach| {
        let sample = PartSample { part: API, time: at(time), since: at(time), milliseconds: 3, outcome };
        let sample = BankSample { namespace: "default".to_owned(), bank: "a".to_owned(), sample };
        store.put_reach(std::slice::from_ref(&sample)).await.unwrap();
    };
    let missed = |reason| Reach::Missed { reason, message: "words".to_owned() };
    put("2026-11-22T06:00:00Z", Reach::Reached).await;
    put("2026-11-22T06:05:00Z", missed(ReachReason::ApiUnreachable)).await;
    put("2026-11-22T06:10:00Z", missed(ReachReason::ApiUnreachable)).await;
    let known = store.reach("default", "a").await.unwrap();
    assert_eq!((known[0].time, known[0].since), (at("2026-11-22T06:10:00Z"), at("2026-11-22T06:05:00Z")));
    assert_eq!(store.facts("default", "a").await.unwrap().reach, known);
    assert!(store.known_banks("default").await.unwrap().contains("a"));
    put("2026-11-22T06:15:00Z", Reach::Reached).await;
    let known = store.reach("default", "a").await.unwrap();
    assert_eq!((known[0].since, known[0].outcome.clone()), (at("2026-11-22T06:15:00Z"), Reach::Reached));
    assert_eq!(store.forget_reach("default", "a").await.unwrap(), 1);
    assert!(store.reach("default", "a").await.unwrap().is_empty());
    assert!(store.sampled_banks("default").await.unwrap().is_empty());
}
