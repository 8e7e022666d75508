//! What can be done about the damage of a bank: what its newest verified set has, and what can still be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::points::Sides;
use super::sqlite_files;
use crate::bank::qdrant::Client;
use crate::bank::recovery::{Right, SetTable, archived, is_lost, lacking, salvage, younger};
use crate::bank::sqlite::{SqliteCopy, index_names, reindex_mends};
use crate::bank::vectors::{Reading, VectorSource};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{CorruptionEvent, FileTree, LatestSet, QdrantEndpoint, RunSpec, VectorStore, VerifiedSet};
use crate::engine::backup::{Part, PartKind, SetManifest};
use crate::engine::consistency::Clock;
use crate::engine::integrity::files::{Manifest, Node, TreePath};
use crate::engine::integrity::vectors::VECTORS;
use crate::engine::recovery::{CollectionKnown, DatabaseKnown, Known, Loss, Repair};
use crate::runner::copies::{Copies, blocking};
use crate::runner::{Exchange, Runner};

/// How OpenMemory writes a time.
const SQL_TIME: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// What a plan is made from, and what its steps take.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub known: Known,
    /// The folder of the set.
    pub folder: PathBuf,
    /// Sound databases in scratch, by component: of the set, and of what could be read.
    pub restored: BTreeMap<String, PathBuf>,
    pub salvaged: BTreeMap<String, PathBuf>,
    /// What the files of trees are to be, by component.
    pub files: BTreeMap<String, BTreeMap<TreePath, Right>>,
    pub parts: Vec<Part>,
    /// The points of a table, as the set has them.
    pub table: Option<SetTable>,
    /// Copies of the rows, where single points can be mended.
    pub sides: Option<Sides>,
}

impl Sources {
    pub fn part(&self, component: &str, kind: PartKind) -> Option<&Part> {
        self.parts.iter().find(|part| part.component == component && part.kind == kind)
    }
}

impl<E: Exchange> Runner<E> {
    /// Looks at what there is; the inner error says why nothing can be planned.
    pub(super) async fn gather(
        &self,
        spec: &RunSpec,
        named: Option<&str>,
        events: &[CorruptionEvent],
        copies: &mut Copies<'_>,
        client: Option<&Client>,
        meter: &Arc<Meter>,
    ) -> Result<Result<Sources, String>, String> {
        let mut sources = Sources::default();
        if events.is_empty() {
            return Ok(Ok(sources));
        }
        let verified = match self.verified_set(spec, named, copies).await? {
            Ok(verified) => verified,
            Err(why) => return Ok(Err(why)),
        };
        let mut started = None;
        if let Some((latest, set)) = verified {
            let (folder, examined) = match self.open_set(spec, &latest, meter).await? {
                Ok(opened) => opened,
                Err(why) => return Ok(Err(format!("set {}: {why}", latest.set))),
            };
            if let Some(fault) = examined.faults.first() {
                let why = format!("set {} is refused: {}: {}", latest.set, fault.object, fault.evidence);
                return Ok(Err(why));
            }
            let (Some(SetManifest { parts, .. }), None) = (examined.manifest, examined.unread.clone()) else {
                return Ok(Err(examined.unread.unwrap_or_default()));
            };
            for database in examined.databases {
                if database.part.path.ends_with(".db.zst") && database.part.damage.is_none() {
                    sources.restored.insert(database.part.component, database.path);
                }
            }
            (sources.folder, sources.parts) = (folder, parts);
            sources.known.set = Some(latest.set);
            started = Some(set.started);
        }
        for (component, place) in sqlite_files(&spec.bank) {
            if !events.iter().any(|event| event.component == component) {
                continue;
            }
            let copied = if component == super::super::copies::DATABASE {
                copies.database(&spec.bank, meter).await?
            } else {
                copies.history(&spec.bank, meter).await?
            };
            let copy = copied.as_ref().and_then(|copied| copied.copy.as_ref()).map(SqliteCopy::path);
            let absent = self
                .places
                .volume(&place.volume)
                .is_ok_and(|root| matches!(root.join(&place.path).try_exists(), Ok(false)));
            let facts = self.of_database(component, copy, absent, &mut sources, meter).await?;
            sources.known.databases.insert(component.to_owned(), facts);
        }
        if let (Some(client), Some(VectorStore::Qdrant(endpoint))) = (client, &spec.bank.vector_store)
            && events.iter().any(|event| event.component == VECTORS)
        {
            let restore = sources.part(VECTORS, PartKind::Vectors).map(|part| part.points.unwrap_or_default());
            let copied = copies.database(&spec.bank, meter).await?;
            let rows = copied.as_ref().and_then(|copied| copied.copy.as_ref()).map(SqliteCopy::path);
            let facts = self.of_collection(spec, client, endpoint, restore, started, rows, meter).await?;
            sources.known.collection = facts;
            if facts.is_some_and(|facts| facts.there) {
                self.of_single(spec, events, &mut sources, copies, meter).await?;
            }
        }
        self.of_server(spec, events, &mut sources, copies).await;
        self.of_table(spec, events, &mut sources, copies, meter).await?;
        // Of a table that is gone there are none.
        if matches!(spec.bank.vector_store, Some(VectorStore::Pgvector(_))) && sources.known.points.is_none() {
            self.of_single(spec, events, &mut sources, copies, meter).await?;
        }
        for tree in &spec.bank.files {
            let component = format!("files/{}", tree.name);
            let wanted: BTreeSet<&str> =
                events.iter().filter(|event| event.component == component).map(|event| event.object.as_str()).collect();
            if wanted.is_empty() {
                continue;
            }
            let right = self.of_tree(tree, &component, &wanted, &sources, meter).await?;
            let paths = right.keys().map(ToString::to_string).collect();
            sources.known.trees.insert(component.clone(), paths);
            sources.files.insert(component, right);
        }
        Ok(Ok(sources))
    }

    /// What can be done about single points, where any of the damage is in such.
    async fn of_single(
        &self,
        spec: &RunSpec,
        events: &[CorruptionEvent],
        sources: &mut Sources,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<(), String> {
        if !events.iter().any(|event| event.component == VECTORS && Repair::of(event).is_some()) {
            return Ok(());
        }
        sources.sides = self.copies_of_sides(spec, copies, meter).await?;
        if let Some(sides) = &sources.sides {
            let known = match self.may_write_points(spec).await {
                Ok(()) => self.of_points(spec, sides, meter).await,
                Err(why) => Err(why),
            };
            sources.known.points = Some(known);
            meter.check().map_err(|cancelled| cancelled.to_string())?;
        }
        Ok(())
    }

    /// The newest set that was verified, or the one that is named, with the digest of its manifest; none where there is
    /// none.
    async fn verified_set(
        &self,
        spec: &RunSpec,
        named: Option<&str>,
        copies: &Copies<'_>,
    ) -> Result<Result<Option<(LatestSet, VerifiedSet)>, String>, String> {
        let mut sets = self.verified_sets(copies).await?.sets.into_iter();
        let Some(verified) = sets.find(|verified| named.is_none_or(|named| verified.set == named)) else {
            let why = |set| format!("set {set} is none that passed verification: ask for VerifyBackup, or name none");
            return Ok(named.map_or(Ok(None), |set| Err(why(set))));
        };
        if spec.bank.repository.is_none() {
            return Ok(Ok(None));
        }
        let set = verified.set.clone();
        Ok(Ok(verified.manifest.map(|manifest| (LatestSet { set, manifest }, verified))))
    }

    /// What is known of a database. `copy` was checked, and may be written to no more.
    async fn of_database(
        &self,
        component: &str,
        copy: Option<PathBuf>,
        absent: bool,
        sources: &mut Sources,
        meter: &Arc<Meter>,
    ) -> Result<DatabaseKnown, String> {
        let set = sources.restored.get(component).cloned();
        let Some(copy) = copy else {
            // Of a file that is not there nothing can be lost.
            let restore = (absent && set.is_some()).then(Loss::default);
            return Ok(DatabaseKnown { restore, ..DatabaseKnown::default() });
        };
        let scratch = self.places.scratch.clone();
        let trial = scratch.join(format!("trial-{component}.db"));
        let fresh = scratch.join(format!("salvaged-{component}.db"));
        let (to, meter) = (fresh.clone(), Arc::clone(meter));
        let looked = blocking(move || -> Result<(DatabaseKnown, bool), String> {
            fs::copy(&copy, &trial).map_err(|error| format!("{}: {error}", trial.display()))?;
            let mut facts = DatabaseKnown {
                indexes: index_names(&trial).into_iter().collect(),
                reindex: reindex_mends(&trial),
                ..DatabaseKnown::default()
            };
            let salvaged = salvage(&copy, set.as_deref(), &to, &meter);
            meter.check().map_err(|cancelled| cancelled.to_string())?;
            let found = match &salvaged {
                Ok(salvaged) if salvaged.rows > 0 => Some(*salvaged),
                _ => None,
            };
            if let Some(set) = &set {
                facts.restore = match (&found, &salvaged) {
                    (Some(_), _) => lacking(&to, set).ok(),
                    // What is no database at all has no row that could be read, which a walk of it has shown.
                    (None, Ok(_)) if !is_database(&copy) => Some(Loss::default()),
                    (None, Err(_)) => None,
                    _ => lacking(&trial, set).ok(),
                };
            }
            facts.salvage = found.map(|mut salvaged| {
                salvaged.only_in_set = set.as_deref().and_then(|set| lacking(set, &to).ok()).map(|loss| loss.rows);
                salvaged
            });
            Ok((facts, found.is_some()))
        });
        let (facts, salvaged) = looked.await??;
        if salvaged {
            sources.salvaged.insert(component.to_owned(), fresh);
        }
        Ok(facts)
    }

    #[allow(clippy::too_many_arguments)] // What is known of both sides.
    async fn of_collection(
        &self,
        spec: &RunSpec,
        client: &Client,
        endpoint: &QdrantEndpoint,
        restore: Option<u64>,
        started: Option<Timestamp>,
        rows: Option<PathBuf>,
        meter: &Arc<Meter>,
    ) -> Result<Option<CollectionKnown>, String> {
        let there = match client.collection(&endpoint.collection).await {
            Ok(_) => true,
            Err(error) if error.is_missing() => false,
            Err(_) => return Ok(None),
        };
        let mut facts = CollectionKnown { there, restore, ..CollectionKnown::default() };
        let (Some(started), true) = (started, restore.is_some()) else { return Ok(Some(facts)) };
        let by_rows = match rows {
            Some(rows) => {
                let moment = started.strftime(SQL_TIME).to_string();
                blocking(move || younger(&rows, &moment)).await?
            }
            None => None,
        };
        if there {
            let counting = self.younger_points(spec, endpoint, started);
            facts.younger = meter.unless_cancelled(counting).await.map_err(|cancelled| cancelled.to_string())?;
            if facts.younger.is_none() && by_rows.is_none() {
                // What would be lost is not known.
                return Ok(None);
            }
        }
        facts.younger_rows = by_rows.unwrap_or_default();
        Ok(Some(facts))
    }

    /// How many points are not proven to be older than a moment; none where not all can be read.
    async fn younger_points(&self, spec: &RunSpec, endpoint: &QdrantEndpoint, started: Timestamp) -> Option<u64> {
        let now = Timestamp::now().as_microsecond();
        let clock = Clock { read: now, grace: now.saturating_sub(started.as_microsecond()) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let store = VectorStore::Qdrant(endpoint.clone());
        let source = VectorSource::open(&spec.namespace, &store, &secrets).await.ok()?;
        let collection = source.collection().await.ok()?;
        let mut walk = source.walk(&collection, Reading { payload: true, vector: false, from: None }).await.ok()?;
        let mut younger = 0;
        while let Some(page) = walk.next().await.ok()? {
            younger += page.iter().filter(|point| !clock.is_old(&point.payload)).count() as u64;
        }
        Some(younger)
    }

    /// What damaged files of a tree are to be, as far as the set has them just so, and nothing newer can be lost.
    async fn of_tree(
        &self,
        tree: &FileTree,
        component: &str,
        wanted: &BTreeSet<&str>,
        sources: &Sources,
        meter: &Arc<Meter>,
    ) -> Result<BTreeMap<TreePath, Right>, String> {
        let known = self.exchange.input(&format!("manifest/{}", tree.name)).await.map_err(|error| error.to_string())?;
        let manifest = known.and_then(|bytes| Manifest::from_json(&bytes).ok());
        let (Some(manifest), Some(part), Ok(root)) =
            (manifest, sources.part(component, PartKind::Files), self.places.volume(&tree.root.volume))
        else {
            return Ok(BTreeMap::new());
        };
        let root = root.join(&tree.root.path);
        let mut right: BTreeMap<TreePath, Right> = BTreeMap::new();
        for path in wanted.iter().filter_map(|path| path.parse::<TreePath>().ok()) {
            if let Some(entry) = manifest.entry(&path)
                && let (Node::File { modified, .. }, Some(sums)) = (&entry.node, &entry.sums)
                && is_lost(&root, &path, *modified)
            {
                right.insert(path, Right { digest: sums.sha256(), modified: *modified });
            }
        }
        let (archive, shared) = (sources.folder.join(&part.path), Arc::clone(meter));
        let read = blocking(move || {
            let mut has: BTreeMap<TreePath, bool> = BTreeMap::new();
            let read = archived(
                &archive,
                &shared,
                |_| Ok(None),
                |file| {
                    if let Some(right) = right.get(&file.path) {
                        has.insert(file.path, right.digest == file.digest);
                    }
                },
            );
            read.map(|()| {
                right.retain(|path, _| has.get(path) == Some(&true));
                right
            })
        });
        read.await?.map_err(|error| error.to_string())
    }
}

fn is_database(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 16];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && &head == b"SQLite format 3\0"
}
