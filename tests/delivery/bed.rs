use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use jiff::Timestamp;
use memorybank::board::Board;
use memorybank::delivery::{Admitted, Authority, Gate, Refusal};
use memorybank::domain::{Phase, RunReport, TaskKind};
use memorybank::runner::{Remote, RemoteExchange};
use memorybank::server::{Ingest, Tls, serve_ingest};
use memorybank::store::{Location, RunRecord, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::reports;

pub const NAMESPACE: &str = "team-a";
pub const RUN: &str = "assistant-quick-1";
pub const UID: &str = "9f0c1a52-0000-4000-8000-000000000001";
pub const BANK: &str = "assistant";
/// The token of the pod of that run.
pub const TOKEN: &str = "token-of-the-run";
/// The token of a pod of a run of another bank.
pub const OTHER_TOKEN: &str = "token-of-another-run";
pub const OTHER_RUN: &str = "other-quick-1";

/// Who a token is of, by a list.
struct Tokens(BTreeMap<&'static str, (&'static str, Admitted)>);

impl Gate for Tokens {
    async fn admit(&self, token: &str, namespace: &str, run: &str) -> Result<Admitted, Refusal> {
        if token == "the-api-server-is-away" {
            return Err(Refusal::Unavailable("connection refused".to_owned()));
        }
        let Some((of, admitted)) = self.0.get(token) else {
            return Err(Refusal::Unauthenticated("no such token".to_owned()));
        };
        match run {
            "gone" => Err(Refusal::UnknownRun("it was deleted".to_owned())),
            _ if (namespace, run) == (NAMESPACE, *of) => Ok(admitted.clone()),
            _ => Err(Refusal::Forbidden("another run".to_owned())),
        }
    }
}

pub fn names() -> Vec<String> {
    vec!["127.0.0.1".to_owned(), "memorybank.operator.svc".to_owned()]
}

/// A report of the run.
pub fn report() -> RunReport {
    RunReport {
        namespace: NAMESPACE.to_owned(),
        run: RUN.to_owned(),
        bank: BANK.to_owned(),
        ..reports::report(UID, reports::at(0), vec![reports::task(TaskKind::IntegrityCheck, "Database")])
    }
}

/// The operator's part: store, certificates, ingest.
pub struct Operator {
    folder: tempfile::TempDir,
    pub store: Arc<Store>,
    pub board: Arc<Board>,
    pub authority: Authority,
    pub tls: Tls,
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<(String, String)>>>,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Operator {
    pub async fn start() -> Self {
        Self::behind(|ingest| ingest).await
    }

    /// With something before the ingest.
    pub async fn behind(wrap: impl FnOnce(Router) -> Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut operator = Self::without_server(listener.local_addr().unwrap()).await;
        operator.serve(listener, wrap);
        operator
    }

    /// A store with the run in it, and nobody who serves.
    pub async fn without_server(address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&Location::Sqlite(folder.path().join("data"))).await.unwrap());
        let run = RunRecord {
            uid: UID.to_owned(),
            namespace: NAMESPACE.to_owned(),
            bank: BANK.to_owned(),
            name: RUN.to_owned(),
            phase: Phase::Running,
            ..reports::record(UID, Timestamp::now())
        };
        store.begin_run(&run).await.unwrap();
        let authority = Authority::make(&names(), Timestamp::now()).unwrap();
        Self {
            folder,
            store,
            board: Arc::new(Board::new().unwrap()),
            tls: Tls::new(&authority).unwrap(),
            authority,
            address,
            told: Arc::default(),
            stop: CancellationToken::new(),
            served: None,
        }
    }

    pub fn serve(&mut self, listener: TcpListener, wrap: impl FnOnce(Router) -> Router) {
        let admitted = |uid: &str, bank: &str| Admitted { uid: uid.to_owned(), bank: bank.to_owned() };
        let gate = Tokens(BTreeMap::from([
            (TOKEN, (RUN, admitted(UID, BANK))),
            (OTHER_TOKEN, (OTHER_RUN, admitted("other-uid", "other"))),
        ]));
        let told = Arc::clone(&self.told);
        let notify = Arc::new(move |namespace: &str, run: &str| {
            told.lock().unwrap().push((namespace.to_owned(), run.to_owned()));
        });
        let ingest = Ingest::new(Arc::clone(&self.store), Arc::clone(&self.board), gate, notify);
        let router = wrap(ingest.router());
        let stop = self.stop.clone().cancelled_owned();
        self.served = Some(tokio::spawn(serve_ingest(listener, self.tls.clone(), router, stop)));
    }

    /// Ends the server, and waits for its end.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.served.take().unwrap().await.unwrap().unwrap();
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A file of this test.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The Job's end, with a token.
    pub fn remote(&self, token: &str) -> Remote {
        Remote {
            ingest: self.url(),
            ca: self.authority.ca().to_owned(),
            token: self.file("token", token),
            namespace: NAMESPACE.to_owned(),
            run: RUN.to_owned(),
        }
    }

    pub fn exchange(&self) -> RemoteExchange {
        RemoteExchange::new(self.remote(TOKEN)).unwrap()
    }

    /// The run as the store has it.
    pub async fn run(&self) -> RunRecord {
        self.store.run(NAMESPACE, RUN).await.unwrap().unwrap()
    }

    /// The runs of which it was told that they reported.
    pub fn told(&self) -> Vec<(String, String)> {
        self.told.lock().unwrap().clone()
    }

    /// How many reports came, by what became of them.
    pub fn counted(&self, result: &str) -> u64 {
        let families = self.board.ingest.families();
        let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let of = metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == result));
        of.map(|metric| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A small count.
            let count = metric.get_counter().get_value() as u64;
            count
        })
        .sum()
    }
}
