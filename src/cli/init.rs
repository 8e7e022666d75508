use crate::cli::output::outln;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::{CliError, Exit, Global};
use crate::discover;

/// The folder of resources that is written, beside the Compose file or in the bank's folder.
const CONFIG: &str = "memorybank";
const OVERRIDE: &str = "compose.memorybank.yaml";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that holds the Compose file or the bank's files
    #[arg(default_value = ".", conflicts_with = "compose")]
    folder: PathBuf,
    /// The Compose file of the stack
    #[arg(long, value_name = "FILE")]
    compose: Option<PathBuf>,
    /// Write over a configuration that is there
    #[arg(long)]
    force: bool,
}

pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    let (stack, folder) = match &args.compose {
        Some(file) => (discover::in_compose(file), file.parent().map_or_else(PathBuf::new, Path::to_owned)),
        None => (discover::in_folder(&args.folder), args.folder.clone()),
    };
    let stack = stack.map_err(|error| CliError::Config(error.to_string()))?;
    let written = discover::render(&stack, CONFIG);

    let config = folder.join(CONFIG);
    fs::create_dir_all(&config)
        .map_err(|error| CliError::Internal(format!("cannot make {}: {error}", config.display())))?;
    let resources = config.join("memorybank.yaml");
    write(&resources, &written.resources, args.force)?;
    outln!("found bank {} ({})", stack.name, stack.flavor);
    outln!("wrote {}", resources.display());
    if let Some(compose) = &written.compose {
        let path = folder.join(OVERRIDE);
        write(&path, compose, args.force)?;
        outln!("wrote {}", path.display());
    }
    for note in &stack.notes {
        outln!("not found or not right: {note}");
    }
    match &args.compose {
        _ if written.compose.is_none() => {
            outln!(
                "next: memorybank local --config {} --data {}",
                config.display(),
                folder.join(".memorybank").display()
            );
        }
        file => {
            let file = file.clone().unwrap_or_else(|| PathBuf::from("compose.yaml"));
            let extra = folder.join(OVERRIDE);
            outln!("next: docker compose -f {} -f {} up -d memorybank", file.display(), extra.display());
        }
    }
    Ok(Exit::Good)
}

/// Writes a new file; one that is there stays, unless it is to be written over.
fn write(path: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(force).create_new(!force).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            CliError::Config(format!("{} is there already; --force writes over it", path.display()))
        }
        _ => CliError::Internal(format!("cannot write {}: {error}", path.display())),
    })
}
