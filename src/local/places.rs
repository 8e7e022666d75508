use std::path::PathBuf;

use super::Settings;
use crate::resources::{ValidBank, VolumeSource};
use crate::runner::Places;

/// Where a bank's volumes are on this machine: claims where `--claim` says, folders relative to the file
/// that declares them. A claim that nobody named stays out, and what needs it is told as not mounted.
pub(super) fn places(bank: &ValidBank, settings: &Settings, scratch: PathBuf) -> Places {
    let volumes = bank
        .volumes
        .iter()
        .filter_map(|volume| {
            let path = match &volume.source {
                VolumeSource::Claim(claim) => settings.claims.get(claim)?.clone(),
                VolumeSource::Folder { path, .. } => settings.config.join(path),
            };
            Some((volume.name.clone(), path))
        })
        .collect();
    Places { volumes, scratch, secrets: settings.secrets.clone() }
}
