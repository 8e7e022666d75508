use std::io::IsTerminal;

use clap::{Args, ValueEnum};

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
    println!("{}", text.map_err(super::CliError::Internal)?.trim_end());
    Ok(())
}
