mod folder;
mod job;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::output::{out, print_value};
use super::signals::stop_on_signals;
use super::table::Table;
use super::{CliError, Exit, Format, Global};
use crate::domain::{Outcome, RunReport, RunSpec, Severity};
use crate::runner::{Places, Progress, Runner};
use folder::FolderExchange;

/// A RunSpec larger than this is none.
const MAX_SPEC: u64 = 4 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The RunSpec, as JSON or YAML
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// The folder at which a volume is mounted; may be given several times
    #[arg(long = "volume", value_name = "NAME=DIR", value_parser = volume)]
    volumes: Vec<(String, PathBuf)>,
    /// Folder of inputs and outputs of runs: manifests and the fingerprint key
    #[arg(long, value_name = "DIR", required_unless_present = "ingest")]
    exchange: Option<PathBuf>,
    /// Folder for private copies, on a disk with room for the bank's databases [default: EXCHANGE/scratch]
    #[arg(long, value_name = "DIR", required_unless_present = "exchange")]
    scratch: Option<PathBuf>,
    /// Folder of secrets, files NAME/KEY
    #[arg(long, value_name = "DIR", default_value = "/etc/memorybank/secrets")]
    secrets: PathBuf,
    /// Write the report, as JSON, here
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    job: job::JobArgs,
}

impl Args {
    /// Whether a Job's pod runs it, and a log is all that is seen of it.
    pub const fn in_job(&self) -> bool {
        self.job.ingest.is_some()
    }
}

fn volume(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok((name.to_owned(), folder.into())),
        _ => Err("expected NAME=DIR".to_owned()),
    }
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let scratch = match (args.scratch, &args.exchange) {
        (Some(scratch), _) => scratch,
        (None, Some(exchange)) => exchange.join("scratch"),
        (None, None) => return Err(CliError::Config("--scratch is needed without --exchange".to_owned())),
    };
    let places = Places { volumes: args.volumes.into_iter().collect(), scratch, secrets: args.secrets };
    let Some(exchange) = args.exchange else {
        let run = job::Run { spec: &args.spec, places, report: args.report.as_deref() };
        return Box::pin(job::run(args.job, run, &stop, global)).await;
    };
    let spec = read_spec(&args.spec)?;
    let runner = Runner { exchange: FolderExchange(exchange), places, threads: threads() };
    let (progress, _steps) = Progress::new();
    let uid = uuid::Uuid::new_v4().to_string();
    let report = runner.execute(&spec, &uid, &stop, &progress).await;

    write_report(args.report.as_deref(), &report)?;
    print(&report, global)?;
    if stop.is_cancelled() {
        return Ok(Exit::Interrupted);
    }
    let damaged = report.tasks.iter().flat_map(|task| &task.corruption).any(|event| event.severity >= Severity::Medium);
    let found = report.tasks.iter().flat_map(|task| &task.findings).any(|finding| finding.severity >= Severity::High);
    Ok(if damaged || found {
        Exit::Findings
    } else if report.outcome().0 == Outcome::Succeeded {
        Exit::Good
    } else {
        Exit::Unmeasured
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

fn read_spec(path: &Path) -> Result<RunSpec, CliError> {
    let refused = |why: String| CliError::Config(format!("{} is no RunSpec: {why}", path.display()));
    let text = read_text(path, MAX_SPEC).map_err(&refused)?;
    serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))
}

/// Reads a text file that is not too large.
fn read_text(path: &Path, most: u64) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > most {
        return Err(format!("more than {} KiB", most >> 10));
    }
    Ok(text)
}

fn write_report(path: Option<&Path>, report: &RunReport) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_vec_pretty(report).map_err(|error| CliError::Internal(error.to_string()))?;
    fs::write(path, text).map_err(|error| CliError::Internal(format!("cannot write {}: {error}", path.display())))
}

fn print(report: &RunReport, global: &Global) -> Result<(), CliError> {
    if matches!(global.output, Format::Json | Format::Yaml) {
        let value = serde_json::to_value(report).map_err(|error| CliError::Internal(error.to_string()))?;
        return print_value(&value, global.output);
    }
    let mut table = Table::new(&["TASK", "OUTCOME", "REASON", "DAMAGES", "FINDINGS", "MESSAGE"]);
    for task in &report.tasks {
        table.row(vec![
            task.name.clone(),
            task.outcome.name().to_owned(),
            task.reason.name().to_owned(),
            task.corruption.len().to_string(),
            task.findings.len().to_string(),
            task.message.clone(),
        ]);
    }
    out!("{}", table.render());
    Ok(())
}
