use std::io::IsTerminal;

use clap::{Args, ValueEnum};

/// Prints to standard output.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::output::write(format_args!($($argument)*)) };
}

/// Prints a line to standard output.
macro_rules! outln {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($argument)*))) };
}

pub(super) use {out, outln};

/// The exit code of a process whose reader went away, as shells have it for SIGPIPE.
const PIPE_CLOSED: i32 = 141;

/// Writes to standard output. A reader that went away (`| head`) ends the command without a word: nobody
/// is there to take one.
pub(super) fn write(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    if let Err(error) = std::io::stdout().write_fmt(text) {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("error: cannot write to standard output: {error}");
        }
        std::process::exit(PIPE_CLOSED);
    }
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Output format
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Colour of the output
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
    /// Log more; twice for the finest detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// Whether to colour what goes to standard output.
    pub fn colored(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// Prints a value for programs.
pub(super) fn print_value(value: &serde_json::Value, format: Format) -> Result<(), super::CliError> {
    let text = if format == Format::Json {
        serde_json::to_string_pretty(value).map_err(|error| error.to_string())
    } else {
        serde_saphyr::to_string(value).map_err(|error| error.to_string())
    };
    outln!("{}", text.map_err(super::CliError::Internal)?.trim_end());
    Ok(())
}
