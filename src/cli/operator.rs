use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::signals::stop_on_signals;
use super::{CliError, Exit};
use crate::board::Board;
use crate::operator::gate::ClusterGate;
use crate::operator::{CERTIFICATE, JobSettings, Operator, OperatorError, Settings};
use crate::server::{self, Ingest, Notify, Tls, serve_ingest};
use crate::store::{DataLock, Location, Store};

/// Reports of which the leader has not been told yet; it finds those that are too many by itself.
const REPORTS: usize = 1024;
/// A file with a URL is not longer.
const MAX_URL: usize = 4096;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The operator's own namespace
    #[arg(long, value_name = "NS", env = "POD_NAMESPACE")]
    namespace: String,
    /// Its name in the lease and in Events
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: String,
    /// A namespace to look after; all where none is named
    #[arg(long = "watch-namespace", value_name = "NS", env = "MEMORYBANK_WATCH_NAMESPACES", value_delimiter = ',')]
    watched: Vec<String>,
    /// Folder of the SQLite store; for one replica
    #[arg(long, value_name = "DIR", env = "MEMORYBANK_DATA", default_value = "/data")]
    data: PathBuf,
    /// File with the URL of a PostgreSQL store, in place of --data; for any number of replicas
    #[arg(long, value_name = "FILE", env = "MEMORYBANK_POSTGRES_URL_FILE")]
    postgres_url_file: Option<PathBuf>,
    /// Image of the Jobs: the operator's own
    #[arg(long, value_name = "REF", env = "MEMORYBANK_IMAGE")]
    image: String,
    /// When the Jobs' image is pulled
    #[arg(long, value_name = "POLICY", env = "MEMORYBANK_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: String,
    /// Address of /metrics, /livez and /readyz
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address at which Jobs report, over TLS
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9443")]
    ingest_listen: SocketAddr,
    /// How Jobs reach that address
    #[arg(long, value_name = "URL", env = "MEMORYBANK_INGEST_URL")]
    ingest_url: String,
    /// The Secret that keeps its certificate, in the operator's namespace
    #[arg(long, value_name = "NAME", env = "MEMORYBANK_INGEST_SECRET", default_value = "memorybank-ingest")]
    ingest_secret: String,
    /// The Lease by which one replica leads
    #[arg(long, value_name = "NAME", env = "MEMORYBANK_LEASE", default_value = "memorybank-operator")]
    lease: String,
    /// Jobs that may be active at once
    #[arg(long, value_name = "N", env = "MEMORYBANK_MAX_ACTIVE_JOBS", default_value_t = 50,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_active_jobs: u16,
    /// A folder of nodes below which banks may have files; none where none is named
    #[arg(long = "allow-host-path", value_name = "PREFIX", env = "MEMORYBANK_ALLOW_HOST_PATHS", value_delimiter = ',')]
    host_paths: Vec<String>,
    /// A namespace whose Secrets may be read for samples; * for all
    #[arg(long = "secret-namespace", value_name = "NS", env = "MEMORYBANK_SECRET_NAMESPACES", value_delimiter = ',')]
    secret_namespaces: Vec<String>,
}

pub async fn run(args: Args) -> Result<Exit, CliError> {
    let board = Arc::new(Board::new().map_err(|error| CliError::Internal(error.to_string()))?);
    // The last that gets ready: until then every other part has said what it waits for.
    for part in ["store", CERTIFICATE] {
        board.readiness.pending(part, "starting");
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let names = vec![host(&args.ingest_url)?];
    let http = bind(args.listen, "--listen").await?;
    let probes = tokio::spawn(server::serve(http, Arc::clone(&board), stop.clone().cancelled_owned()));

    let (location, lock) = match &args.postgres_url_file {
        Some(file) => (Location::Postgres(read_url(file)?), None),
        None => (Location::Sqlite(args.data.clone()), Some(DataLock::acquire(&args.data)?)),
    };
    let store = Arc::new(Store::open(&location).await?);
    board.readiness.ready("store", "");
    let config = kube::Config::infer()
        .await
        .map_err(|error| CliError::Config(format!("no way to the API server, in a pod or by KUBECONFIG: {error}")))?;
    let settings = Settings {
        namespace: args.namespace,
        identity: args.identity,
        watched: named(args.watched),
        jobs: JobSettings { image: args.image, image_pull_policy: args.image_pull_policy, ingest_url: args.ingest_url },
        ingest_names: names,
        ingest_secret: args.ingest_secret,
        lease: args.lease,
        max_active_jobs: usize::from(args.max_active_jobs),
        host_paths: named(args.host_paths),
        secret_namespaces: named(args.secret_namespaces),
    };
    let operator =
        Operator::new(settings, config, Arc::clone(&store), Arc::clone(&board)).map_err(|error| failed(&error))?;
    let (reported, reports) = mpsc::channel(REPORTS);
    let notify: Notify = Arc::new(move |namespace: &str, run: &str| {
        // Where there is no room, the end of the Job tells the leader.
        let _ = reported.try_send((namespace.to_owned(), run.to_owned()));
    });
    let gate = ClusterGate::new(operator.reader());
    let router = Ingest::new(Arc::clone(&store), Arc::clone(&board), gate, notify).router();
    let ingest = bind(args.ingest_listen, "--ingest-listen").await?;
    let ingesting = tokio::spawn(serve_reports(ingest, router, operator.authority(), stop.clone()));
    let outcome = operator.run(reports, stop.clone()).await;
    stop.cancel();
    let _ = ingesting.await;
    let _ = probes.await;
    store.close().await;
    drop(lock);
    outcome.map(|()| Exit::Good).map_err(|error| failed(&error))
}

/// Serves reports from when there is a certificate, always with the one in force.
async fn serve_reports(
    listener: TcpListener,
    router: axum::Router,
    mut authority: tokio::sync::watch::Receiver<Option<Arc<crate::delivery::Authority>>>,
    stop: CancellationToken,
) {
    let first = tokio::select! {
        () = stop.cancelled() => return,
        first = authority.wait_for(Option::is_some) => first.ok().and_then(|first| first.clone()),
    };
    let Some(first) = first else { return };
    let tls = match Tls::new(&first) {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(%error, "no reports are taken");
            return;
        }
    };
    let shown = tls.clone();
    let renewing = tokio::spawn(async move {
        while authority.changed().await.is_ok() {
            let fresh = authority.borrow_and_update().clone();
            if let Some(Err(error)) = fresh.map(|fresh| shown.show(&fresh)) {
                tracing::error!(%error, "the certificate of before stays in force");
            }
        }
    });
    if let Err(error) = serve_ingest(listener, tls, router, stop.cancelled_owned()).await {
        tracing::error!(%error, "no reports are taken any more");
    }
    renewing.abort();
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| CliError::Config(format!("cannot listen on {address}: {error}; choose another with {flag}")))
}

/// The host that the certificate is for.
fn host(url: &str) -> Result<String, CliError> {
    let refused = || CliError::Config(format!("--ingest-url: expected https://HOST:PORT, found {url:?}"));
    let parsed = reqwest::Url::parse(url).map_err(|_| refused())?;
    match parsed.host_str() {
        Some(host) if parsed.scheme() == "https" => Ok(host.trim_matches(['[', ']']).to_owned()),
        _ => Err(refused()),
    }
}

/// Lists from the environment may be empty, which is one empty name.
fn named(list: Vec<String>) -> Vec<String> {
    list.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn read_url(file: &std::path::Path) -> Result<String, CliError> {
    let refused = |why: String| CliError::Config(format!("--postgres-url-file {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    let url = text.trim();
    if url.is_empty() || url.len() > MAX_URL {
        return Err(refused("expected one URL".to_owned()));
    }
    Ok(url.to_owned())
}

fn failed(error: &OperatorError) -> CliError {
    match error {
        OperatorError::Client(_) => CliError::Config(error.to_string()),
        OperatorError::Lease(_) | OperatorError::Authority(_) | OperatorError::Task(_) => {
            CliError::Internal(error.to_string())
        }
    }
}
