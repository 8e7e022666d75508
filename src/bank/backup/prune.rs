//! Removes the sets that no retention keeps.

use jiff::Timestamp;

use super::error::BackupError;
use super::examine::manifest;
use super::lock::Lock;
use super::repository::Repository;
use crate::bank::Meter;
use crate::domain::{Retention, VerifiedSets};
use crate::engine::backup::{SetManifest, SetName, Standing, doomed};

/// What came of the sets of a bank.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Those that were removed, oldest first.
    pub removed: Vec<SetName>,
    /// How many stay.
    pub kept: usize,
    /// How many of them are verified: while none is, none goes.
    pub verified: usize,
    /// When the newest of these was begun.
    pub newest: Option<Timestamp>,
    /// For people, which that were verified lack something by now: they stay, and do not count as verified.
    pub lacks: Vec<String>,
}

/// Removes the sets of a bank that none of the retentions keeps, and what runs left that were killed. A set counts as
/// verified that the store knows to be, and that still has the manifest which was verified; those of `always` stay. Blocks.
pub fn prune(
    repository: &Repository,
    run: &str,
    (known, always): (&VerifiedSets, &[String]),
    retention: &[Retention],
    meter: &Meter,
) -> Result<Pruned, BackupError> {
    if !repository.exists() {
        return Ok(Pruned::default());
    }
    let mut lock = repository.lock(run)?;
    let pruned = locked(repository, &mut lock, (known, always), retention, meter);
    lock.release();
    pruned
}

fn locked(
    repository: &Repository,
    lock: &mut Lock,
    (known, always): (&VerifiedSets, &[String]),
    retention: &[Retention],
    meter: &Meter,
) -> Result<Pruned, BackupError> {
    repository.clean()?;
    let mut sets = Vec::new();
    let (mut lacks, mut torn) = (Vec::new(), Vec::new());
    for name in repository.sets()? {
        meter.check()?;
        let mut found = verified(repository, &name, known)?;
        if let Some(manifest) = &found
            && let Some(lack) = repository.set(&name).lack(&manifest.parts)?
        {
            lacks.push(format!("set {name}, which was verified, {lack}"));
            torn.push(name.clone());
            found = None;
        }
        sets.push(Standing { name, verified: found.is_some() });
    }
    let mut gone = doomed(&sets, retention);
    gone.retain(|name| !always.contains(&name.to_string()) && !torn.contains(name));
    gone.sort();
    let verified = sets.iter().filter(|set| set.verified && !gone.contains(&set.name)).count();
    meter.grow(gone.len() as u64);
    let newest =
        sets.iter().filter(|set| set.verified && !gone.contains(&set.name)).map(|set| set.name.started()).max();
    let mut pruned = Pruned { removed: Vec::new(), kept: sets.len() - gone.len(), verified, newest, lacks };
    for name in gone {
        meter.check()?;
        lock.renew()?;
        lock.prove()?;
        repository.remove(&name)?;
        meter.advance(1);
        pruned.removed.push(name);
    }
    Ok(pruned)
}

/// The manifest of a set that is verified.
fn verified(repository: &Repository, name: &SetName, known: &VerifiedSets) -> Result<Option<SetManifest>, BackupError> {
    let text = name.to_string();
    let Some(known) = known.sets.iter().find(|known| known.set == text) else { return Ok(None) };
    Ok(manifest(&repository.set(name), name, known.manifest.as_ref())?.ok())
}
