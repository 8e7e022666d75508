use thiserror::Error;

use crate::store::StoreError;

/// Why a command did not do its work; each kind has its own exit code.
#[derive(Debug, Error)]
pub enum CliError {
    /// Wrong arguments, a configuration that is refused, or a data folder that cannot be used as it is. Exit code 2.
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

impl From<StoreError> for CliError {
    /// A store that is not there, held by another process, or closed to this user is a matter of how the command was
    /// called; everything else failed.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Absent { .. }
            | StoreError::Locked { .. }
            | StoreError::Denied { .. }
            | StoreError::NotAFolder { .. } => Self::Config(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_used_as_it_is_was_wrongly_asked_for_and_others_failed() {
        let (place, detail) = (|| "memorybank.db".to_owned(), String::new);
        for (error, code) in [
            (StoreError::Absent { place: place(), detail: detail() }, 2),
            (StoreError::Locked { place: place(), detail: detail() }, 2),
            (StoreError::Denied { place: place(), detail: detail() }, 2),
            (StoreError::Damaged { place: place(), detail: detail() }, 4),
            (StoreError::Newer { place: place(), found: 9, known: 2 }, 4),
        ] {
            assert_eq!(CliError::from(error).code(), code);
        }
    }
}
