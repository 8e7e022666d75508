//! Measures how well something is detected, on labelled data.

mod leaks;
mod sample;
mod sqlite;

use std::path::PathBuf;

use super::{CliError, Exit, Global};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Compare what `local` found in a sample bank with what was planted there
    Sample {
        /// The sample, as `memorybank sample --out` wrote it
        #[arg(long, value_name = "DIR")]
        bank: PathBuf,
        /// The data folder of the `local` that looked at it
        #[arg(long)]
        data: PathBuf,
    },
    /// Damage SQLite banks at random and count what the checks detect, and their alarms on healthy ones
    Sqlite(sqlite::Args),
    /// Scan labelled texts for leaks and count what is found, missed and invented
    Leaks {
        /// JSON lines of labelled texts
        file: PathBuf,
    },
}

pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    match args.what {
        What::Sample { bank, data } => sample::run(&bank, &data, global).await,
        What::Sqlite(args) => sqlite::run(&args, global).await,
        What::Leaks { file } => leaks::run(&file, global).await,
    }
}
