use crate::cli::output::outln;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::{CliError, Exit, Global};
use crate::discover::{self, Stack, Volume, VolumeSource};

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

#[allow(clippy::unused_async)] // One signature for every command.
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
        outln!("note: {note}");
    }
    let volume = stack.volumes.first().map_or("VOLUME", |volume| &volume.name);
    outln!(
        "note: files: none declared; `files: [{{name: NAME, volume: {volume}, path: FOLDER, mutable: Append}}]` in the MemoryBank puts a folder under a manifest"
    );
    print_next(&stack, &folder, &config);
    Ok(Exit::Good)
}

/// Says how the guardian is started: beside the stack, and alone where every volume is a folder of this machine.
fn print_next(stack: &Stack, folder: &Path, config: &Path) {
    let local = format!("memorybank local --config {} --data {}", config.display(), data(folder).display());
    let Some(file) = &stack.compose else {
        outln!("next: {local}");
        return;
    };
    let extra = folder.join(OVERRIDE);
    outln!("next, once: docker build -t memorybank .   (in memorybank's repository: the image is published nowhere)");
    outln!("next: docker compose -f {} -f {} up -d memorybank", file.display(), extra.display());
    let claim = |volume: &Volume| match &volume.source {
        VolumeSource::Folder(path) if !path.starts_with('~') => {
            let path = folder.join(path.strip_prefix("./").unwrap_or(path));
            Ok(format!(" --claim {}={}", volume.name, path.display()))
        }
        VolumeSource::Folder(path) => Ok(format!(" --claim {}={path}", volume.name)),
        VolumeSource::Named(name) => Err(name.clone()),
    };
    match stack.volumes.iter().map(claim).collect::<Result<String, _>>() {
        Ok(claims) => outln!("or without Docker: {local}{claims}"),
        Err(name) => outln!("without Docker it needs a folder for each volume, and {name} is one that Docker keeps"),
    }
}

/// A data folder beside the bank's: within it, every leak scan would read the guardian's own records.
fn data(folder: &Path) -> PathBuf {
    let plain = folder.as_os_str().is_empty() || folder == Path::new(".");
    let name = if plain { Path::new(".") } else { folder }.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name).map_or_else(|| "bank".into(), |name| name.to_string_lossy());
    let above = if plain { PathBuf::from("..") } else { folder.join("..") };
    above.join(format!("{name}.memorybank"))
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
