use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the names of a RunSpec are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The folder at which each volume is mounted.
    pub volumes: BTreeMap<String, PathBuf>,
    /// A private folder of this run for copies; made, wiped and removed by the runner.
    pub scratch: PathBuf,
    /// The folder of secrets, files `NAME/KEY`; it need not exist.
    pub secrets: PathBuf,
}

impl Places {
    /// The folder of a volume, or for people why there is none.
    pub fn volume(&self, name: &str) -> Result<&Path, String> {
        let path = self.volumes.get(name).ok_or_else(|| format!("volume {name} is not mounted here"))?;
        if path.is_dir() { Ok(path) } else { Err(format!("volume {name}: there is no folder {}", path.display())) }
    }
}
