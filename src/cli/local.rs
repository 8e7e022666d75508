use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::progress::follower;
use super::signals::stop_on_signals;
use super::summary::print_summary;
use super::{CliError, Exit, Global};
use crate::bank::files::sha_backend;
use crate::board::Board;
use crate::local::{Guardian, LocalError, Settings};
use crate::server;
use crate::store::{DataLock, Location, Store};

/// Where metrics and probes are served unless told otherwise: on this machine alone.
const LISTEN: &str = "127.0.0.1:9464";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of resources: *.yaml and *.yml
    #[arg(long, value_name = "DIR", env = "MEMORYBANK_CONFIG")]
    config: PathBuf,
    /// Data folder: records, manifests, status; held by one process
    #[arg(long, value_name = "DIR", env = "MEMORYBANK_DATA", default_value = ".memorybank")]
    data: PathBuf,
    /// Run what is due, print what was found, and exit
    #[arg(long)]
    once: bool,
    /// Run everything now, whatever its schedule says
    #[arg(long)]
    now: bool,
    /// Address of /metrics, /livez and /readyz; with --once nothing is served unless this is given
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder of secrets, files NAME/KEY [default: CONFIG/secrets]
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// The folder that stands for a PersistentVolumeClaim; may be given several times
    #[arg(long = "claim", value_name = "NAME=DIR", value_parser = claim)]
    claims: Vec<(String, PathBuf)>,
    /// Runs that are executed at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
}

impl Args {
    /// Whether it ends by itself.
    pub const fn once(&self) -> bool {
        self.once
    }
}

fn claim(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok((name.to_owned(), folder.into())),
        _ => Err("expected NAME=DIR".to_owned()),
    }
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let board = Arc::new(Board::new().map_err(|error| CliError::Internal(error.to_string()))?);
    for part in ["config", "store"] {
        board.readiness.pending(part, "starting");
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let lock = DataLock::acquire(&args.data)?;
    let served = serve(&args, &board, &stop).await?;

    let store = Store::open(&Location::Sqlite(args.data.clone())).await?;
    board.readiness.ready("store", "");
    tracing::info!(sha256 = sha_backend(), data = %args.data.display(), "started");
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let settings = Settings {
        secrets: args.secrets.clone().unwrap_or_else(|| args.config.join("secrets")),
        config: args.config,
        data: args.data,
        claims: args.claims.into_iter().collect::<BTreeMap<_, _>>(),
        once: args.once,
        now: args.now,
        parallel: usize::from(args.parallel),
        threads,
        follow: follower(),
    };
    let store = Arc::new(store);
    let once = settings.once;
    let guardian = Guardian::start(settings, Arc::clone(&store), board, &stop).await.map_err(failed)?;
    let summary = guardian.watch().await.map_err(failed)?;
    let interrupted = stop.is_cancelled();
    store.close().await;
    drop(lock);
    if let Some(served) = served {
        stop.cancel();
        let _ = served.await;
    }
    if !once {
        return Ok(Exit::Good);
    }
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    print_summary(&summary, global)?;
    Ok(if summary.broken {
        Exit::Findings
    } else if summary.unmeasured.is_empty() {
        Exit::Good
    } else {
        Exit::Unmeasured
    })
}

/// Serves metrics and probes, if that is asked for.
async fn serve(
    args: &Args,
    board: &Arc<Board>,
    stop: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, CliError> {
    let address = match (args.listen, args.once) {
        (Some(address), _) => address,
        (None, true) => return Ok(None),
        (None, false) => LISTEN.parse().map_err(|error| CliError::Internal(format!("{LISTEN}: {error}")))?,
    };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        CliError::Config(format!("cannot listen on {address}: {error}; choose another with --listen"))
    })?;
    let bound = listener.local_addr().map_or(address, |bound| bound);
    tracing::info!(%bound, "serving /metrics, /livez and /readyz");
    let (board, stop) = (Arc::clone(board), stop.clone());
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = server::serve(listener, board, stop.cancelled_owned()).await {
            tracing::error!(%error, "the server ended");
        }
    })))
}

fn failed(error: LocalError) -> CliError {
    match error {
        LocalError::Folder(_) | LocalError::Config(_) | LocalError::NoBank(_) => CliError::Config(error.to_string()),
        LocalError::Store(error) => error.into(),
        LocalError::Reach(error) => CliError::Internal(error.to_string()),
    }
}
