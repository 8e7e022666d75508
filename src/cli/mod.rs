//! The command line: parse arguments, dispatch, print. Decides nothing itself.

mod audit;
mod crd;
mod describe;
mod error;
mod eval;
mod get;
mod init;
mod kind;
mod lint;
mod local;
mod logging;
mod objects;
mod operator;
mod output;
mod progress;
mod recover;
mod run;
mod sample;
mod signals;
mod summary;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;
pub use output::{Color, Format, Global};

/// Guardian of AI-memory stores.
#[derive(Debug, Parser)]
#[command(name = "memorybank", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a folder of resources and run what is due, beside Docker Compose or alone
    Local(local::Args),
    /// Look after the banks of a Kubernetes cluster
    Operator(operator::Args),
    /// Execute one RunSpec: what a Job does
    Run(run::Args),
    /// Find a bank on this machine and write its MemoryBank, a policy and a Compose override
    Init(init::Args),
    /// Write a sample bank, healthy or with planted damage
    Sample(sample::Args),
    /// Check resource files: everything that `local` would refuse, and why
    Lint(lint::Args),
    /// Print the CustomResourceDefinitions
    Crd(crd::Args),
    /// List resources with their state, beside a running `local`
    Get(get::Args),
    /// Show everything about one resource
    Describe(describe::Args),
    /// Mend a bank, or restore it from a verified backup set: its plan first
    Recover(recover::Args),
    /// Look at the audit log
    Audit(audit::Args),
    /// Measure how well something is detected, on labelled data
    Eval(eval::Args),
}

/// How a command ended well: see the table of exit codes in docs/commands.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to tell.
    Good,
    /// Findings or damage at or above the threshold.
    Findings,
    /// Something that was asked for could not be measured.
    Unmeasured,
    /// Ended by a signal before it was done.
    Interrupted,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Findings => 1,
            Self::Unmeasured => 3,
            Self::Interrupted => 130,
        }
    }
}

impl Cli {
    /// Runs the command and prints its error, if any.
    pub async fn execute(self) -> ExitCode {
        let Self { global, command } = self;
        // A command that ends by itself says what it found; its log is for trouble only.
        let quiet = match &command {
            Command::Local(args) => args.once(),
            Command::Operator(_) => false,
            Command::Run(args) => !args.in_job(),
            _ => true,
        };
        logging::start(global.verbose, quiet);
        let result = match command {
            Command::Local(args) => local::run(args, &global).await,
            Command::Operator(args) => operator::run(args).await,
            Command::Run(args) => run::run(args, &global).await,
            Command::Init(args) => init::run(args, &global).await,
            Command::Sample(args) => sample::run(args, &global).await,
            Command::Lint(args) => lint::run(args, &global).await,
            Command::Crd(args) => crd::run(args, &global).await,
            Command::Get(args) => get::run(args, &global).await,
            Command::Describe(args) => describe::run(args, &global).await,
            Command::Recover(args) => recover::run(args, &global).await,
            Command::Audit(args) => audit::run(args, &global).await,
            Command::Eval(args) => eval::run(args, &global).await,
        };
        match result {
            Ok(exit) => ExitCode::from(exit.code()),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(error.code())
            }
        }
    }
}
