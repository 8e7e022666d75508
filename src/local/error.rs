use std::path::PathBuf;

use thiserror::Error;

use super::folder::FolderError;
use crate::bank::reach::ReachError;
use crate::resources::Problem;
use crate::store::StoreError;

/// Why a local guardian cannot go on.
#[derive(Debug, Error)]
pub enum LocalError {
    /// The folder of resources cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The resources are refused; nothing runs half-configured.
    #[error("the configuration is refused:{}", lines(.0))]
    Config(Vec<Problem>),
    /// There is nothing to look after.
    #[error("{} holds no MemoryBank: `memorybank init` writes one, examples/quickstart.yaml shows one", .0.display())]
    NoBank(PathBuf),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What answers over the network cannot be asked.
    #[error(transparent)]
    Reach(#[from] ReachError),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().flat_map(|problem| ["\n  ".to_owned(), problem.to_string()]).collect()
}
