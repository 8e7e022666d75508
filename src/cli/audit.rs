use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::Subcommand;

use super::{CliError, Exit, Format, Global};
use crate::store::{AuditRow, AuditVerdict, Location, Store, StoreError};

/// The largest URL file that makes sense, in bytes.
const MAX_URL: u64 = 4096;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the whole log: was a row edited, removed, moved, added or cut off? Exit code 1 if so
    Verify(Place),
    /// List the newest entries, newest first
    List {
        #[command(flatten)]
        place: Place,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only those of this bank: NAMESPACE/NAME, or NAME in the namespace `default`
        #[arg(long)]
        bank: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The data folder of `memorybank local`, which may be running
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A file with the URL of a PostgreSQL store; a file, because the URL has a password
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    match args.command {
        Command::Verify(place) => verify(&open(place).await?, global.output).await,
        Command::List { place, limit, bank } => list(&open(place).await?, bank.as_deref(), limit, global.output).await,
    }
}

async fn open(place: Place) -> Result<Store, CliError> {
    let location = match (place.data, place.database_url_file) {
        (Some(data_dir), _) => Location::Sqlite(data_dir),
        (None, Some(file)) => {
            let cannot_read = |error| CliError::Config(format!("cannot read {}: {error}", file.display()));
            if fs::metadata(&file).map_err(cannot_read)?.len() > MAX_URL {
                return Err(CliError::Config(format!("{} is too long for a URL", file.display())));
            }
            Location::Postgres(fs::read_to_string(&file).map_err(cannot_read)?.trim().to_owned())
        }
        (None, None) => return Err(CliError::Config("name --data or --database-url-file".to_owned())),
    };
    Store::open_read_only(&location).await.map_err(|error| failed(&error))
}

/// What is not there, or must not be read, is a wrong use; what fails could not be measured.
fn failed(error: &StoreError) -> CliError {
    match error {
        StoreError::Absent { .. }
        | StoreError::Denied { .. }
        | StoreError::NotAFolder { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. } => CliError::Config(error.to_string()),
        StoreError::Internal { .. } | StoreError::TooLarge { .. } => CliError::Internal(error.to_string()),
        _ => CliError::Unmeasured(error.to_string()),
    }
}

async fn verify(store: &Store, format: Format) -> Result<Exit, CliError> {
    let verdict = store.verify_audit().await.map_err(|error| failed(&error))?;
    print(&match format {
        Format::Table | Format::Wide => told(&verdict),
        Format::Json | Format::Yaml => document(&verdict, format)?,
    })?;
    Ok(if verdict.is_intact() { Exit::Good } else { Exit::Findings })
}

fn told(verdict: &AuditVerdict) -> String {
    let trimmed = match verdict.trimmed_through {
        0 => String::new(),
        row => format!(", after row {row} to which retention trimmed it"),
    };
    let (rows, head) = (verdict.rows, verdict.head);
    match &verdict.why {
        None => format!("intact: {rows} rows{trimmed}\nhead:   {head}\n"),
        Some(why) => format!("TAMPERED: {why}\n{rows} rows agree{trimmed}\nhead:     {head} (last row that agrees)\n"),
    }
}

async fn list(store: &Store, bank: Option<&str>, limit: u32, format: Format) -> Result<Exit, CliError> {
    let bank = bank.map(|bank| bank.split_once('/').unwrap_or(("default", bank)));
    let rows = store.audit_log(bank, limit).await.map_err(|error| failed(&error))?;
    print(&match format {
        Format::Table | Format::Wide => table(&rows, format == Format::Wide),
        Format::Json | Format::Yaml => document(&rows, format)?,
    })?;
    Ok(Exit::Good)
}

fn table(rows: &[AuditRow], wide: bool) -> String {
    let line = |row: &str, time: &str, actor: &str, action: &str, bank: &str, hash: &str, detail: &str| {
        let hash = if wide { format!("{hash:<64}  ") } else { String::new() };
        let line = format!("{row:>6}  {time:<20}  {actor:<10}  {action:<20}  {bank:<24}  {hash}{detail}");
        // What people wrote must not steer the reader's terminal.
        line.replace(char::is_control, "\u{fffd}") + "\n"
    };
    let mut text = line("ROW", "TIME", "ACTOR", "ACTION", "BANK", "HASH", "DETAIL");
    for row in rows {
        let bank = if row.bank.is_empty() { "-".to_owned() } else { format!("{}/{}", row.namespace, row.bank) };
        let time = row.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        text += &line(&row.seq.to_string(), &time, &row.actor, &row.action, &bank, &row.hash, &row.detail.to_string());
    }
    text
}

fn document(value: &impl serde::Serialize, format: Format) -> Result<String, CliError> {
    if format == Format::Json {
        serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| CliError::Internal(error.to_string()))
    } else {
        serde_saphyr::to_string(value).map_err(|error| CliError::Internal(error.to_string()))
    }
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), CliError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Internal(error.to_string())),
        _ => Ok(()),
    }
}
