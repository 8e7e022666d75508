use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::{CliError, Exit, Global};
use super::{print, read_spec, read_text, threads, write_report};
use crate::delivery::{GRACE, Summary};
use crate::domain::RunReport;
use crate::runner::{Places, Progress, Remote, RemoteExchange, Runner};

/// Certificates larger than this are none.
const MAX_CA: u64 = 256 << 10;
/// How long a run that is told to stop may take to do so: the kubelet waits 30 seconds.
const LAST_WORDS: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct JobArgs {
    /// Report to the operator at this address, as a Job does; takes the place of --exchange
    #[arg(long, value_name = "URL", conflicts_with = "exchange", requires_all = ["uid", "ingest_ca", "token"])]
    pub ingest: Option<String>,
    /// The uid of the run, under which its report is stored once
    #[arg(long, value_name = "UID", requires = "ingest")]
    uid: Option<String>,
    /// The certificates that the operator is trusted by, as PEM
    #[arg(long, value_name = "FILE", requires = "ingest")]
    ingest_ca: Option<PathBuf>,
    /// The token to report with; read for every request
    #[arg(long, value_name = "FILE", requires = "ingest")]
    token: Option<PathBuf>,
    /// Write how the run ended here, in at most 4 KiB
    #[arg(long, value_name = "FILE", requires = "ingest")]
    termination_log: Option<PathBuf>,
    /// Offer the report for so long after the run's deadline
    #[arg(long, value_name = "SECONDS", requires = "ingest", default_value_t = GRACE.as_secs())]
    delivery_grace: u64,
}

/// What is run.
pub struct Run<'a> {
    pub spec: &'a Path,
    pub places: Places,
    pub report: Option<&'a Path>,
}

/// How a run in a Job ended.
enum End {
    /// The operator has the report.
    Delivered(RunReport),
    /// It has not, and why.
    Undelivered(RunReport, String),
    /// A signal came. Another pod executes the run again.
    Interrupted,
}

/// Executes a run, delivers its report, and leaves a summary whatever happened.
pub async fn run(args: JobArgs, run: Run<'_>, stop: &CancellationToken, global: &Global) -> Result<Exit, CliError> {
    let uid = args.uid.clone().unwrap_or_default();
    let log = args.termination_log.clone();
    let path = run.report;
    let ended = Box::pin(execute(args, run, stop)).await;
    let summary = match &ended {
        Ok(End::Delivered(report)) => Summary::of(report, true),
        Ok(End::Undelivered(report, why)) => Summary::undelivered(report, why),
        Ok(End::Interrupted) => Summary::interrupted(&uid),
        Err(error) => Summary::failed(&uid, &error.to_string()),
    };
    if let Some(log) = log
        && let Err(error) = fs::write(&log, summary.render())
    {
        tracing::error!(path = %log.display(), %error, "the summary could not be left");
    }
    let told = |report: &RunReport| write_report(path, report).and_then(|()| print(report, global));
    match ended? {
        End::Delivered(report) => told(&report).map(|()| Exit::Good),
        End::Undelivered(report, why) => {
            told(&report)?;
            Err(CliError::Unmeasured(format!("the report was not delivered: {why}")))
        }
        End::Interrupted => Ok(Exit::Interrupted),
    }
}

async fn execute(args: JobArgs, run: Run<'_>, stop: &CancellationToken) -> Result<End, CliError> {
    let begun = Instant::now();
    let spec = read_spec(run.spec)?;
    let (Some(ingest), Some(uid), Some(ca), Some(token)) = (args.ingest, args.uid, args.ingest_ca, args.token) else {
        return Err(CliError::Config("--ingest, --uid, --ingest-ca and --token belong together".to_owned()));
    };
    let ca = read_text(&ca, MAX_CA).map_err(|why| CliError::Config(format!("{}: {why}", ca.display())))?;
    let remote = Remote { ingest, ca, token, namespace: spec.namespace.clone(), run: spec.run.clone() };
    let exchange = RemoteExchange::new(remote).map_err(|error| CliError::Config(error.to_string()))?;
    let runner = Runner { exchange, places: run.places, threads: threads() };
    let (progress, _steps) = Progress::new();
    let report = tokio::select! {
        report = runner.execute(&spec, &uid, stop, &progress) => report,
        // What hangs in the kernel, on a share that went away, does not see that it is told to stop.
        () = async { stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return Ok(End::Interrupted),
    };
    let until = begun
        + Duration::from_secs(u64::from(spec.active_deadline_seconds))
        + Duration::from_secs(args.delivery_grace.min(u64::from(u32::MAX)));
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(End::Interrupted),
        delivered = runner.exchange.deliver(&report, until) => Ok(match delivered {
            Ok(how) => {
                tracing::info!(run = report.run, ?how, "report delivered");
                End::Delivered(report)
            }
            Err(error) => End::Undelivered(report, error.to_string()),
        }),
    }
}
