use crate::cli::output::out;
use std::fs;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::output::print_value;
use super::signals::stop_on_signals;
use super::table::Table;
use super::{CliError, Exit, Format, Global};
use crate::domain::{Digest, Outcome, RunReport, RunSpec, Severity};
use crate::runner::{Exchange, ExchangeError, Places, Progress, Runner};

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
    #[arg(long, value_name = "DIR")]
    exchange: PathBuf,
    /// Folder for private copies, on a disk with room for the bank's databases [default: EXCHANGE/scratch]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Folder of secrets, files NAME/KEY
    #[arg(long, value_name = "DIR", default_value = "/etc/memorybank/secrets")]
    secrets: PathBuf,
    /// Write the report, as JSON, here
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn volume(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok((name.to_owned(), folder.into())),
        _ => Err("expected NAME=DIR".to_owned()),
    }
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let spec = read_spec(&args.spec)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let scratch = args.scratch.unwrap_or_else(|| args.exchange.join("scratch"));
    let places = Places { volumes: args.volumes.into_iter().collect(), scratch, secrets: args.secrets };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let runner = Runner { exchange: FolderExchange(args.exchange), places, threads };
    let (progress, _steps) = Progress::new();
    let uid = uuid::Uuid::new_v4().to_string();
    let report = runner.execute(&spec, &uid, &stop, &progress).await;

    if let Some(path) = &args.report {
        let text = serde_json::to_vec_pretty(&report).map_err(|error| CliError::Internal(error.to_string()))?;
        fs::write(path, text)
            .map_err(|error| CliError::Internal(format!("cannot write {}: {error}", path.display())))?;
    }
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

fn read_spec(path: &Path) -> Result<RunSpec, CliError> {
    let refused = |why: String| CliError::Config(format!("{} is no RunSpec: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if size > MAX_SPEC {
        return Err(refused("more than 4 MiB".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))
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

/// Inputs and outputs as files of a folder, for a run without a store.
struct FolderExchange(PathBuf);

impl FolderExchange {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join("outputs").join(format!("{}.json", name.replace('/', "_")))
    }
}

fn failed(what: &str, error: &std::io::Error) -> ExchangeError {
    ExchangeError { what: what.to_owned(), why: error.to_string() }
}

impl Exchange for FolderExchange {
    async fn input(&self, name: &str) -> Result<Option<Vec<u8>>, ExchangeError> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }

    async fn output(&self, name: &str, bytes: Vec<u8>) -> Result<Digest, ExchangeError> {
        let path = self.path(name);
        let digest = Digest::of(&bytes);
        let new = path.with_extension("new");
        fs::create_dir_all(self.0.join("outputs"))
            .and_then(|()| fs::write(&new, &bytes))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| failed(name, &error))?;
        Ok(digest)
    }

    async fn fingerprint_key(&self) -> Result<[u8; 32], ExchangeError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let what = "the bank's fingerprint key";
        let path = self.0.join("fingerprint.key");
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| ExchangeError {
                what: what.to_owned(),
                why: format!("{} does not hold 32 bytes", path.display()),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                fs::create_dir_all(&self.0)
                    .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path))
                    .and_then(|mut file| file.write_all(&key))
                    .map_err(|error| failed(what, &error))?;
                Ok(key)
            }
            Err(error) => Err(failed(what, &error)),
        }
    }
}
