use thiserror::Error;

/// Why a command did not do its work; each kind has its own exit code.
#[derive(Debug, Error)]
pub enum CliError {
    /// Wrong arguments or a configuration that is refused. Exit code 2.
    #[error("{0}")]
    Config(String),
    /// The command could not measure what it was asked for. Exit code 3.
    #[error("{0}")]
    Unmeasured(String),
    /// The command failed. Exit code 4.
    #[error("{0}")]
    Internal(String),
}

impl CliError {
    /// The exit code of this kind.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Unmeasured(_) => 3,
            Self::Internal(_) => 4,
        }
    }
}
