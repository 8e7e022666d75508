//! The binary: installs logging, parses arguments, dispatches.

use std::process::ExitCode;

use clap::Parser as _;
use memorybank::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().execute().await
}
