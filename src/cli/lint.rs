use super::{CliError, Exit, Global};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Internal("not built yet".to_owned()))
}
