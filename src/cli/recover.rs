use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::objects::objects;
use super::output::{out, outln, print_value};
use super::table::Table;
use super::{CliError, Exit, Format, Global};
use crate::plan::MADE_FOR;
use crate::resources::{Approval, Recovery, RecoveryMode, RecoverySpec, RecoveryStatus, SPEC_DIGEST};

/// How many hex digits of a digest stand for it at least.
const MIN_DIGITS: usize = 12;
const SHA256: &str = "sha256:";

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a Recovery beside the other resources: the running `local` shows its plan, and waits for approval
    Plan(PlanArgs),
    /// Approve the plan that a Recovery shows, by its digest
    Approve(ApproveArgs),
    /// Show plans, and how recoveries went
    Status(StatusArgs),
}

#[derive(Debug, clap::Args)]
struct Folders {
    /// Folder of the resources
    #[arg(long, env = "MEMORYBANK_CONFIG", default_value = ".")]
    config: PathBuf,
    /// Data folder of `memorybank local`
    #[arg(long, env = "MEMORYBANK_DATA", default_value = ".memorybank")]
    data: PathBuf,
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// Name of the MemoryBank
    bank: String,
    /// Name of the Recovery; by default the bank's with the time
    #[arg(long)]
    name: Option<String>,
    /// Id of a damage to mend, as status.events of a check has it; all that is open without it
    #[arg(long = "event")]
    events: Vec<String>,
    /// Name of the backup set to take from; the newest verified one without it
    #[arg(long)]
    set: Option<String>,
    /// Carry out at once what loses nothing
    #[arg(long)]
    auto: bool,
    #[command(flatten)]
    folders: Folders,
}

#[derive(Debug, clap::Args)]
struct ApproveArgs {
    /// Name of the Recovery
    name: String,
    /// Digest of the plan that you have read: as `status` shows it, or its first 12 digits or more
    digest: String,
    /// Who approves it
    #[arg(long, env = "USER", default_value = "local")]
    by: String,
    #[command(flatten)]
    folders: Folders,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Name of the Recovery; all without it
    name: Option<String>,
    /// Data folder of `memorybank local`
    #[arg(long, env = "MEMORYBANK_DATA", default_value = ".memorybank")]
    data: PathBuf,
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    match args.command {
        Command::Plan(args) => plan(args),
        Command::Approve(args) => approve(args).await,
        Command::Status(args) => status(args, global).await,
    }
}

fn plan(args: PlanArgs) -> Result<Exit, CliError> {
    let PlanArgs { bank, name, events, set, auto, folders } = args;
    let name = name.unwrap_or_else(|| {
        let time = Timestamp::now().strftime("%Y%m%dt%H%M%Sz").to_string();
        format!("{}-{time}", bank.chars().take(40).collect::<String>())
    });
    let spec = RecoverySpec {
        bank_name: bank,
        mode: if auto { RecoveryMode::Auto } else { RecoveryMode::OnApproval },
        quiesce: crate::resources::Quiesce::default(),
        events,
        backup_name: set,
        approval: None,
    };
    let text = text_of(&Recovery::new(&name, spec))?;
    let path = path_of(&folders.config, &name)?;
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, &error))?;
    outln!("wrote {}: `memorybank local` makes its plan", path.display());
    outln!("next:  memorybank recover status {name} --data {}", folders.data.display());
    Ok(Exit::Good)
}

async fn approve(args: ApproveArgs) -> Result<Exit, CliError> {
    let ApproveArgs { name, digest, by, folders } = args;
    let (_, status) = one(&folders.data, &name).await?;
    let Some(shown) = status.plan_digest.as_deref().filter(|_| status.phase.as_deref() == Some("AwaitingApproval"))
    else {
        let phase = status.phase.as_deref().unwrap_or("not planned yet");
        return Err(CliError::Config(format!("the Recovery {name} awaits no approval: it is {phase}")));
    };
    let (given, whole) = (bare(&digest), bare(shown));
    if given.len() < MIN_DIGITS || !whole.starts_with(given) {
        let message = format!("the plan of {name} has the digest {shown}, and {digest} was approved: read it again");
        return Err(CliError::Config(message));
    }
    let path = path_of(&folders.config, &name)?;
    let mut recovery: Recovery = match fs::read_to_string(&path) {
        Ok(text) => serde_saphyr::from_str(&text)
            .map_err(|error| CliError::Config(format!("{} is no Recovery: {error}", path.display())))?,
        Err(error) => {
            let absent = error.kind() == ErrorKind::NotFound;
            let made = if absent { made_by_policy(&folders.data, &name).await? } else { None };
            made.ok_or_else(|| failed(&path, &error))?
        }
    };
    recovery.spec.approval = Some(Approval { plan_digest: shown.to_owned(), approved_by: by });
    let new = path.with_extension("new");
    fs::write(&new, text_of(&recovery)?)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|error| failed(&path, &error))?;
    outln!("approved in {}: `memorybank local` carries the plan out", path.display());
    outln!("next:  memorybank recover status {name} --data {}", folders.data.display());
    Ok(Exit::Good)
}

async fn status(args: StatusArgs, global: &Global) -> Result<Exit, CliError> {
    let found = match &args.name {
        Some(name) => vec![one(&args.data, name).await?],
        None => all(&args.data).await?.into_iter().collect(),
    };
    if matches!(global.output, Format::Json | Format::Yaml) {
        let statuses: BTreeMap<_, _> = found.iter().map(|(name, status)| (name, status)).collect();
        let value = match &args.name {
            Some(_) => serde_json::to_value(found.first().map(|(_, status)| status)),
            None => serde_json::to_value(statuses),
        };
        print_value(&value.map_err(|error| CliError::Internal(error.to_string()))?, global.output)?;
    } else if found.is_empty() {
        outln!("No recoveries found in {}.", args.data.display());
    } else {
        for (name, status) in &found {
            print(name, status);
        }
    }
    let any = |phases: &[&str]| {
        found.iter().any(|(_, status)| status.phase.as_deref().is_some_and(|phase| phases.contains(&phase)))
    };
    Ok(match () {
        () if any(&["RolledBack", "Failed"]) => Exit::Findings,
        () if any(&["Unknown"]) => Exit::Unmeasured,
        () => Exit::Good,
    })
}

fn print(name: &str, status: &RecoveryStatus) {
    outln!("{name}: {}", status.phase.as_deref().unwrap_or("not planned yet"));
    if let Some(condition) = status.conditions.first() {
        outln!("  {}: {}", condition.reason, condition.message);
    }
    let line = |what: &str, text: Option<&str>| {
        if let Some(text) = text {
            outln!("  {what:<11} {text}");
        }
    };
    line("before:", status.verified_before.as_deref());
    line("after:", status.verified_after.as_deref());
    line("kept:", status.quarantine.as_deref());
    line("plan:", status.plan_digest.as_deref());
    if status.plan.is_empty() {
        return;
    }
    let mut table = Table::new(&["  STEP", "ACTION", "TARGET", "ITEMS", "LOSSLESS", "DETAIL"]);
    for step in &status.plan {
        let number = |number: Option<u64>| number.map_or_else(|| "<none>".to_owned(), |number| number.to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.row(vec![
            format!("  {}", number(step.step)),
            text(&step.action),
            text(&step.target),
            number(step.items),
            step.lossless.map_or_else(|| "<none>".to_owned(), |lossless| lossless.to_string()),
            text(&step.detail),
        ]);
    }
    out!("{}", table.render());
}

fn bare(digest: &str) -> &str {
    digest.strip_prefix(SHA256).unwrap_or(digest)
}

/// A Recovery that a policy made, and that stands in no file yet: its document. An error where one declares it by now.
async fn made_by_policy(data: &Path, name: &str) -> Result<Option<Recovery>, CliError> {
    let of_name = |object: &Value| object.pointer("/metadata/name").is_some_and(|known| known == name);
    let object = objects(data, "Recovery").await?.into_iter().find(of_name);
    let known: Option<Recovery> = object.and_then(|object| serde_json::from_value(object).ok());
    let declared = |known: &Recovery| known.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(SPEC_DIGEST));
    if known.as_ref().is_some_and(declared) {
        return Err(CliError::Config(format!(
            "the Recovery {name} is declared in another file than recovery-{name}.yaml: name that file so, or its folder with \
             --config"
        )));
    }
    Ok(known.and_then(|known| {
        let made_for = known.metadata.annotations?.remove_entry(MADE_FOR)?;
        let mut recovery = Recovery::new(name, known.spec);
        recovery.metadata.annotations = Some([made_for].into());
        Some(recovery)
    }))
}

/// The file of a Recovery that `plan` wrote, or that an approval writes.
fn path_of(config: &Path, name: &str) -> Result<PathBuf, CliError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(CliError::Config(format!("{name:?} is no name: expected a-z, 0-9 and -")));
    }
    Ok(config.join(format!("recovery-{name}.yaml")))
}

fn text_of(recovery: &Recovery) -> Result<String, CliError> {
    serde_saphyr::to_string(recovery).map_err(|error| CliError::Internal(error.to_string()))
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => ": name another Recovery with --name",
        ErrorKind::NotFound => ": name the folder of the resources with --config",
        _ => "",
    };
    CliError::Config(format!("{}: {error}{hint}", path.display()))
}

async fn all(data: &Path) -> Result<BTreeMap<String, RecoveryStatus>, CliError> {
    let named = |object: Value| {
        let name = object.pointer("/metadata/name")?.as_str()?.to_owned();
        let status = object.get("status").cloned().unwrap_or(Value::Null);
        Some((name, serde_json::from_value(status).unwrap_or_default()))
    };
    Ok(objects(data, "Recovery").await?.into_iter().filter_map(named).collect())
}

async fn one(data: &Path, name: &str) -> Result<(String, RecoveryStatus), CliError> {
    let found = all(data).await?.remove_entry(name);
    found.ok_or_else(|| {
        let place = data.display();
        CliError::Config(format!("no Recovery {name} in {place}: is `memorybank local` running on its folder?"))
    })
}
