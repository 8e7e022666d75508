use crate::cli::output::{out, outln};
use std::fs;
use std::path::PathBuf;

use super::{CliError, Exit, Format, Global};
use crate::resources::{self, CustomResourceDefinition};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file per kind into this folder instead of printing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[allow(clippy::unused_async)] // One signature for every command.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let crds = resources::crds();
    if let Some(folder) = args.out {
        let refused = |error| CliError::Config(format!("cannot write to {}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(refused)?;
        for crd in &crds {
            fs::write(folder.join(format!("{}.yaml", crd.spec.names.plural)), yaml(crd)?).map_err(refused)?;
        }
        return Ok(Exit::Good);
    }
    if global.output == Format::Json {
        let text = serde_json::to_string_pretty(&crds).map_err(|e| CliError::Internal(e.to_string()))?;
        outln!("{text}");
    } else {
        for crd in &crds {
            out!("---\n{}", yaml(crd)?);
        }
    }
    Ok(Exit::Good)
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, CliError> {
    serde_saphyr::to_string(crd).map_err(|e| CliError::Internal(e.to_string()))
}
