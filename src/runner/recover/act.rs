//! The steps themselves, and the way back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::gather::Sources;
use super::sqlite_files;
use crate::bank::Meter;
use crate::bank::qdrant::Client;
use crate::bank::recovery::{
    Kept, Phase, Quarantine, QuarantineError, Temporary, Touched, deleted, leftovers, like, put_file_back, put_files,
    within,
};
use crate::bank::sqlite::{self, CopyError, free, locate, overwrite, put_back, reindex};
use crate::domain::{
    Bank, CorruptionType, Level, PathInVolume, PointId, QdrantEndpoint, RecoveryPlan, RecoveryStep, RepairAction,
    RunSpec, VectorStore, Verdict,
};
use crate::engine::backup::PartKind;
use crate::engine::integrity::vectors::VECTORS;
use crate::engine::recovery::Repair;
use crate::runner::body::Body;
use crate::runner::copies::{DATABASE, blocking};
use crate::runner::{Exchange, Runner};

/// Beside what is kept and written: journals, rounding up to blocks.
const SPARE_ROOM: u64 = 16 << 20;
/// How many points are removed at once.
const BATCH: u32 = 1_000;

/// The steps of a plan, about to be carried out.
pub(super) struct Steps<'a, E> {
    pub runner: &'a Runner<E>,
    pub spec: &'a RunSpec,
    pub sources: &'a Sources,
    pub client: Option<&'a Client>,
    pub meter: &'a Arc<Meter>,
}

impl<E: Exchange> Steps<'_, E> {
    /// Keeps all that the steps overwrite; the inner error says why nothing may be changed.
    pub async fn keep(
        &self,
        home: &Path,
        run: &str,
        plan: &RecoveryPlan,
        steps: &[usize],
    ) -> Result<Result<Quarantine, String>, String> {
        let (home, run) = (home.to_owned(), run.to_owned());
        let begun = blocking(move || Quarantine::begin(&home, &run, Timestamp::now())).await?;
        let mut quarantine = match begun {
            Ok(quarantine) => quarantine,
            Err(error) => return Ok(Err(error.to_string())),
        };
        for at in steps {
            let step = &plan.steps[*at];
            let points = Repair::of_step(step).is_some();
            let all = |kept: &Kept| matches!(kept, Kept::Collection { .. } | Kept::Table { .. });
            if points && quarantine.journal.kept.iter().any(all) {
                continue;
            }
            let of_server = self.keep_of_server(step, &quarantine).await;
            let of_files = async || match step.action {
                RepairAction::Reindex | RepairAction::RestoreDatabase | RepairAction::SalvageDatabase => {
                    self.keep_database(&step.target, &quarantine).await
                }
                RepairAction::RestoreFiles => self.keep_files(&step.target, &quarantine),
                RepairAction::RestoreCollection
                | RepairAction::ReEmbed
                | RepairAction::DeleteOrphans
                | RepairAction::SyncText
                | RepairAction::WriteHash => self.keep_collection(&quarantine).await,
            };
            let kept = match of_server {
                Some(kept) => kept,
                None => of_files().await.map(Some),
            };
            let kept = kept.and_then(|kept| {
                quarantine.journal.kept.extend(kept);
                quarantine.enter(Phase::Keeping, 0).map_err(|error| error.to_string())
            });
            if let Err(why) = kept {
                quarantine.abandon().map_err(|error| error.to_string())?;
                self.meter.check().map_err(|cancelled| cancelled.to_string())?;
                return Ok(Err(why));
            }
        }
        Ok(Ok(quarantine))
    }

    /// Carries the steps out, in order, each told before it is begun. For people, why not to the end.
    pub async fn carry_out(
        &self,
        quarantine: &mut Quarantine,
        plan: &RecoveryPlan,
        steps: &[usize],
    ) -> Result<(), String> {
        for (number, at) in steps.iter().enumerate() {
            self.meter.check().map_err(|cancelled| cancelled.to_string())?;
            quarantine.enter(Phase::Working, number + 1).map_err(|error| error.to_string())?;
            let step = &plan.steps[*at];
            let done = self.step(step, quarantine).await;
            done.map_err(|why| format!("{} of {}: {why}", step.action.name(), step.target))?;
        }
        Ok(())
    }

    async fn step(&self, step: &RecoveryStep, quarantine: &Quarantine) -> Result<(), String> {
        if let Some(done) = self.step_on_server(step, quarantine).await {
            return done;
        }
        let target = step.target.as_str();
        if let Some(repair) = Repair::of_step(step) {
            return self.points(repair, step.items, &Touched::of(&quarantine.touched())).await;
        }
        match step.action {
            RepairAction::Reindex => {
                let live = self.live(target)?;
                blocking(move || reindex(&live)).await?.map_err(|error| error.to_string())
            }
            RepairAction::RestoreDatabase => self.replace(target, self.sources.restored.get(target)).await,
            RepairAction::SalvageDatabase => self.replace(target, self.sources.salvaged.get(target)).await,
            RepairAction::RestoreFiles => self.files(target).await,
            _ => self.collection().await,
        }
    }

    fn place(&self, component: &str) -> Result<&PathInVolume, String> {
        let found = sqlite_files(&self.spec.bank).into_iter().find(|(name, _)| *name == component);
        found.map(|(_, place)| place).ok_or_else(|| format!("the bank has no {component} in a file"))
    }

    pub(super) fn live(&self, component: &str) -> Result<PathBuf, String> {
        let place = self.place(component)?;
        locate(self.runner.places.volume(&place.volume)?, &place.path).map_err(|error| error.to_string())
    }

    async fn replace(&self, component: &str, with: Option<&PathBuf>) -> Result<(), String> {
        let live = self.live(component)?;
        let with = with.cloned().ok_or("what was to take its place is gone")?;
        blocking(move || overwrite(&live, &with)).await?.map_err(|error| error.to_string())
    }

    async fn keep_database(&self, component: &str, quarantine: &Quarantine) -> Result<Kept, String> {
        let place = self.place(component)?.clone();
        let root = self.runner.places.volume(&place.volume)?.to_owned();
        let (path, scratch, meter) = (place.path.clone(), self.runner.places.scratch.clone(), Arc::clone(self.meter));
        let copied = blocking(move || sqlite::copy(&root, &path, &scratch, &meter)).await?;
        let mut suffixes = Vec::new();
        match copied {
            Ok(copy) => {
                let live = self.live(component)?;
                // SQLite writes the pages that it overwrites into a journal beside them, and the new ones in their place.
                room(live.parent().unwrap_or(&live), copy.size.saturating_mul(2))?;
                for (suffix, from) in copy.files() {
                    let size = fs::metadata(&from).map_err(|error| error.to_string())?.len();
                    room(quarantine.folder(), size)?;
                    let to = quarantine.database(component, suffix);
                    quarantine.keep(&from, &to).map_err(|error| error.to_string())?;
                    suffixes.push(suffix.to_owned());
                }
            }
            Err(CopyError::Missing { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(Kept::Database { component: component.to_owned(), place, suffixes })
    }

    fn tree(&self, component: &str) -> Result<&PathInVolume, String> {
        let name = component.strip_prefix("files/").unwrap_or(component);
        let found = self.spec.bank.files.iter().find(|tree| tree.name == name);
        found.map(|tree| &tree.root).ok_or_else(|| format!("the bank has no tree {name}"))
    }

    fn keep_files(&self, component: &str, quarantine: &Quarantine) -> Result<Kept, String> {
        let place = self.tree(component)?.clone();
        let root = self.runner.places.volume(&place.volume)?.join(&place.path);
        let folder = format!("files-{}", component.strip_prefix("files/").unwrap_or(component));
        let mut files = Vec::new();
        for (number, path) in self.sources.files.get(component).into_iter().flatten().map(|(path, _)| path).enumerate()
        {
            let from = within(&root, path, false).map_err(|error| error.to_string())?;
            let there = from.symlink_metadata().is_ok_and(|found| found.is_file());
            if there {
                let to = quarantine.file(&folder, number);
                room(quarantine.folder(), from.metadata().map_err(|error| error.to_string())?.len())?;
                let kept = quarantine.keep(&from, &to).and_then(|()| like(&to, &from));
                kept.map_err(|error: QuarantineError| error.to_string())?;
            }
            files.push((path.clone(), there));
        }
        Ok(Kept::Files { place, folder, files })
    }

    async fn files(&self, component: &str) -> Result<(), String> {
        let place = self.tree(component)?;
        let root = self.runner.places.volume(&place.volume)?.join(&place.path);
        let wanted = self.sources.files.get(component).cloned().unwrap_or_default();
        let part = self.sources.part(component, PartKind::Files).ok_or("the set does not have the tree")?;
        let (archive, meter) = (self.sources.folder.join(&part.path), Arc::clone(self.meter));
        let left = blocking(move || put_files(&archive, &root, &wanted, &meter)).await?;
        match left.map_err(|error| error.to_string())?.first() {
            None => Ok(()),
            Some(first) => Err(format!("the archive does not have {first} as it is to be")),
        }
    }

    pub(super) fn qdrant(&self) -> Result<(&Client, &QdrantEndpoint), String> {
        match (self.client, &self.spec.bank.vector_store) {
            (Some(client), Some(VectorStore::Qdrant(endpoint))) => Ok((client, endpoint)),
            _ => Err("the bank declares no Qdrant".to_owned()),
        }
    }

    async fn keep_collection(&self, quarantine: &Quarantine) -> Result<Kept, String> {
        let (client, endpoint) = self.qdrant()?;
        let name = endpoint.collection.clone();
        let told = |error: crate::bank::qdrant::QdrantError| error.to_string();
        let snapshot = match client.create_snapshot(&name).await {
            Err(error) if error.is_missing() => return Ok(Kept::Collection { name, snapshot: None }),
            other => other.map_err(told)?,
        };
        let to = quarantine.snapshot();
        let free = free(quarantine.folder()).map_err(|error| error.to_string())?;
        let limit = free.saturating_sub(SPARE_ROOM);
        let came = client.download_snapshot(&name, &snapshot, &to, limit, self.meter).await;
        let removed = client.delete_snapshot(&name, &snapshot.name).await;
        if let Err(error) = removed {
            tracing::warn!(snapshot = snapshot.name, "a snapshot is left on the server: {error}");
        }
        Ok(Kept::Collection { name, snapshot: Some(came.map_err(told)?.digest) })
    }

    /// Restores the set's snapshot beside the collection, looks at it there, and only then in its place. What was deleted
    /// since the set was made stays deleted.
    async fn collection(&self) -> Result<(), String> {
        let (client, endpoint) = self.qdrant()?;
        let told = |error: crate::bank::qdrant::QdrantError| error.to_string();
        let part = self.sources.part(VECTORS, PartKind::Vectors).ok_or("the set has no snapshot")?;
        let snapshot = self.sources.folder.join(&part.path);
        leftovers(client, &endpoint.collection).await.map_err(told)?;
        let run = Uuid::new_v4().simple().to_string();
        let restoring = Temporary::restore(client, &endpoint.collection, &run, &snapshot, &part.sha256);
        let restored = self.meter.unless_cancelled(restoring).await.map_err(|cancelled| cancelled.to_string())?;
        let temporary = restored.map_err(told)?;
        let looked = self.look_at(client, endpoint, temporary.name(), part.points.unwrap_or_default()).await;
        let left = temporary.remove().await;
        looked?;
        left.map_or(Ok(()), Err)?;
        client.upload_snapshot(&endpoint.collection, &snapshot, &part.sha256).await.map_err(told)?;
        self.delete_deleted(client, &endpoint.collection).await
    }

    async fn look_at(&self, client: &Client, endpoint: &QdrantEndpoint, name: &str, points: u64) -> Result<(), String> {
        let found = client.count(name).await.map_err(|error| error.to_string())?;
        if found < points {
            return Err(format!("restored, it holds {found} points, and {points} were counted when the set was made"));
        }
        let endpoint = QdrantEndpoint { collection: name.to_owned(), ..endpoint.clone() };
        let bank = Bank { vector_store: Some(VectorStore::Qdrant(endpoint)), ..self.spec.bank.clone() };
        let mut body = Body::default();
        let checking = self.runner.check_vectors(&self.spec.namespace, &bank, Level::Full, self.meter, &mut body);
        self.meter.unless_cancelled(checking).await.map_err(|cancelled| cancelled.to_string())??;
        if let Some(event) = body.corruption.iter().find(|e| e.corruption_type == CorruptionType::FileCorruption) {
            return Err(format!("restored, {}: {}", event.object, event.evidence));
        }
        match body.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            Some(check) => Err(format!("restored, {} cannot be measured: {}", check.id, check.detail)),
            None => Ok(()),
        }
    }

    /// Removes the points of memories that SQL says are deleted.
    async fn delete_deleted(&self, client: &Client, collection: &str) -> Result<(), String> {
        if self.spec.bank.on_postgres() {
            return self.delete_deleted_on_server(client, collection).await;
        }
        let Ok(place) = self.place(DATABASE) else { return Ok(()) };
        let root = self.runner.places.volume(&place.volume)?.to_owned();
        let (path, scratch, meter) = (place.path.clone(), self.runner.places.scratch.clone(), Arc::clone(self.meter));
        let copied = blocking(move || -> Result<_, String> {
            let mut copy = sqlite::copy(&root, &path, &scratch, &meter).map_err(|error| error.to_string())?;
            copy.prepare().map_err(|error| error.to_string())?;
            Ok(copy)
        });
        let copy = copied.await??;
        let mut after = String::new();
        loop {
            let (path, from) = (copy.path(), after.clone());
            let ids = blocking(move || deleted(&path, &from, BATCH)).await?.map_err(|error| error.to_string())?;
            let Some(last) = ids.last() else { return Ok(()) };
            after.clone_from(last);
            let points: Vec<_> =
                ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).map(|id| PointId::Uuid(id.as_u128())).collect();
            if !points.is_empty() {
                client.delete_points(collection, &points).await.map_err(|error| error.to_string())?;
            }
        }
    }
}

impl<E: Exchange> Runner<E> {
    /// Puts back what a recovery kept, the last first; for people, why not all of it. What cannot be put back keeps nothing
    /// else from it.
    pub(super) async fn roll_back(
        &self,
        spec: &RunSpec,
        quarantine: &mut Quarantine,
        client: Option<&Client>,
    ) -> Result<(), String> {
        let begun = quarantine.journal.begun;
        let (mut left, mut stuck) = (Vec::new(), Vec::new());
        for kept in quarantine.journal.kept.clone().into_iter().rev() {
            if let Err(why) = self.put_back(spec, &kept, quarantine, client).await {
                left.insert(0, kept);
                stuck.push(why);
            }
        }
        if !stuck.is_empty() {
            // What was put back is not put back once more, over what the bank wrote since.
            quarantine.journal.kept = left;
            stuck.extend(quarantine.enter(Phase::Working, begun).err().map(|error| error.to_string()));
            return Err(stuck.join("; "));
        }
        quarantine.enter(Phase::RolledBack, begun).map_err(|error| error.to_string())
    }

    async fn put_back(
        &self,
        spec: &RunSpec,
        kept: &Kept,
        quarantine: &Quarantine,
        client: Option<&Client>,
    ) -> Result<(), String> {
        match kept {
            Kept::Database { component, place, suffixes } => {
                let live = locate(self.places.volume(&place.volume)?, &place.path);
                let live = live.map_err(|error| error.to_string())?;
                let files: Vec<_> = suffixes
                    .iter()
                    .map(|suffix| {
                        let from = quarantine.database(component, suffix);
                        (suffix.clone(), from)
                    })
                    .collect();
                let scratch = self.places.scratch.clone();
                let put = blocking(move || {
                    let files: Vec<_> = files.iter().map(|(suffix, from)| (suffix.as_str(), from.clone())).collect();
                    put_back(&live, &files, &scratch)
                });
                put.await?.map_err(|error| error.to_string())?;
            }
            Kept::Files { place, folder, files } => {
                let root = self.places.volume(&place.volume)?.join(&place.path);
                let mut stuck = Vec::new();
                for (number, (path, there)) in files.iter().enumerate() {
                    let from = there.then(|| quarantine.file(folder, number));
                    stuck.extend(put_file_back(&root, path, from.as_deref()).err().map(|error| error.to_string()));
                }
                if !stuck.is_empty() {
                    return Err(stuck.join("; "));
                }
            }
            Kept::Collection { name, snapshot } => {
                let client = client.ok_or("the bank no longer declares its Qdrant")?;
                let put = match snapshot {
                    Some(digest) => client.upload_snapshot(name, &quarantine.snapshot(), digest).await.map(|_| ()),
                    None => match client.delete_collection(name).await {
                        Err(error) if !error.is_missing() => Err(error),
                        _ => Ok(()),
                    },
                };
                put.map_err(|error| error.to_string())?;
                leftovers(client, name).await.map_err(|error| error.to_string())?;
            }
            Kept::Table { .. } | Kept::NoTable | Kept::Beside { .. } => {
                self.roll_server_back(spec, kept, quarantine).await?;
            }
        }
        Ok(())
    }
}

/// Whether so much more can be written to a folder.
fn room(folder: &Path, size: u64) -> Result<(), String> {
    let (free, needed) = (free(folder).map_err(|error| error.to_string())?, size.saturating_add(SPARE_ROOM));
    if free < needed {
        return Err(format!("{} has {free} bytes free, and {needed} are needed: make room", folder.display()));
    }
    Ok(())
}
