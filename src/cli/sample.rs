use crate::cli::output::outln;
use std::path::PathBuf;

use super::{CliError, Exit, Global};
use crate::sample::{self, Damage, Generation, Recipe, SampleError};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to: empty, absent, or an earlier sample, which is written again
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Number of memories [default: as the sample in DIR, or 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    memories: Option<u32>,
    /// Where chance begins: the same seed gives the same bytes [default: as the sample in DIR, or 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Damage to plant: none, all, or names with commas between them
    #[arg(long, value_name = "LIST", default_value = "none")]
    damage: String,
    /// Which code made the tables [default: as the sample in DIR, or current]
    #[arg(long, value_enum)]
    generation: Option<Generation>,
    /// Print the names of the damages and what they are
    #[arg(long, conflicts_with_all = ["out", "memories", "seed", "generation"])]
    list: bool,
}

pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    let Some(out) = args.out.filter(|_| !args.list) else {
        for damage in Damage::ALL {
            outln!("{:<24} {}", damage.name(), damage.what());
        }
        return Ok(Exit::Good);
    };
    let damages = Damage::parse_list(&args.damage)?;
    let before = sample::recipe(&out)?.unwrap_or_default();
    let recipe = Recipe {
        memories: args.memories.map_or(before.memories, |count| count as usize),
        seed: args.seed.unwrap_or(before.seed),
        generation: args.generation.unwrap_or(before.generation),
    };
    let planted = sample::write(&out, &recipe, &damages).await?;
    let Recipe { memories, seed, .. } = recipe;
    outln!("{}: {memories} memories, seed {seed}, {} damages planted", out.display(), planted.len());
    for one in planted {
        outln!("  {:<24} {}", one.damage, one.what);
    }
    Ok(Exit::Good)
}

impl From<SampleError> for CliError {
    fn from(error: SampleError) -> Self {
        match error {
            SampleError::Io { .. } | SampleError::Sqlite { .. } | SampleError::Unsound(_) => {
                Self::Internal(error.to_string())
            }
            _ => Self::Config(error.to_string()),
        }
    }
}
