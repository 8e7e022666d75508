use std::fs;
use std::sync::Arc;

use jiff::Timestamp;

use super::backup::{REPOSITORY, collections, within};
use super::body::Body;
use super::copies::{Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::backup::{Database, Fault, Repository, examine, look};
use crate::bank::files::TreeSource;
use crate::bank::postgres::count_rows;
use crate::bank::qdrant::Client;
use crate::bank::sqlite::take_stock;
use crate::bank::vectors::VectorSource;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    BackupVerdict, Bank, Check, CorruptionEvent, CorruptionType, FileTree, LatestSet, Output, Reason, RunSpec,
    Severity, SqlDatabase, VectorStore, VerifiedSet,
};
use crate::engine::backup::{Counts, Missing, SetManifest, SetName, emptiness, judge_legacy, shortfall};
use crate::engine::integrity::vectors::VECTORS;

/// The one check of a set: it agrees in everything, or is refused.
const SET: &str = "backup-set";
/// The check that it holds each part of the bank; it is only told of where one is missing.
const WHOLE: &str = "backup-whole";

/// What came of a set.
enum Came {
    /// It agrees.
    Passed(SetManifest),
    /// What it has agrees, and a part of the bank is not in it.
    Lacks(SetManifest, Missing),
    /// It is refused, for people.
    Refused(Vec<Fault>),
    /// It could not be read whole.
    Unknown(String),
}

fn fault(object: &str, evidence: String) -> Fault {
    Fault { object: object.to_owned(), kind: CorruptionType::FileCorruption, evidence }
}

impl<E: Exchange> Runner<E> {
    /// Reads the newest set back and holds it against what the store knows of it, against its own manifest, and against
    /// the living bank.
    pub(super) async fn verify_backup(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let told = |error: super::ExchangeError| error.to_string();
        let unmeasured = |body: &mut Body, why: String| {
            body.checks.push(Check::unknown(SET, REPOSITORY, &why));
            body.unmeasured = Some((Reason::NotMeasured, why));
        };
        let repository = match self.repository(&spec.namespace, &spec.bank).await {
            Ok(repository) => repository,
            Err(why) => {
                unmeasured(body, why);
                return Ok(());
            }
        };
        let latest = match &copies.made {
            Some(made) => Some(made.clone()),
            None => match self.exchange.input(LatestSet::OUTPUT).await.map_err(told)? {
                Some(bytes) => Some(serde_json::from_slice::<LatestSet>(&bytes).map_err(|error| error.to_string())?),
                None => None,
            },
        };
        let now = Timestamp::now();
        let before = self.verified_sets(copies).await?;
        let mut known = before.clone();
        let mut verdict = BackupVerdict { set: None, time: now, refused: None, lacks: None, verified: None };
        match &latest {
            None => {
                if let Some(why) = strangers(&repository).await? {
                    unmeasured(body, why);
                    return Ok(());
                }
                let why = "no set of this bank was ever made here: ask for a Backup";
                body.checks.push(Check::failed(SET, REPOSITORY, why));
                verdict.refused = Some(why.to_owned());
            }
            Some(latest) => {
                let set = &latest.set;
                verdict.set = Some(set.clone());
                match self.read_back(spec, &repository, latest, copies, meter).await? {
                    Came::Unknown(why) => {
                        unmeasured(body, why);
                        return Ok(());
                    }
                    Came::Passed(manifest) => {
                        let bytes = manifest.stored_bytes();
                        let detail = format!("set {set}: {} files, {bytes} bytes read back", manifest.parts.len());
                        body.checks.push(Check::passed(SET, REPOSITORY, detail));
                        let (set, digest) = (set.clone(), Some(latest.manifest));
                        let started = manifest.started;
                        known.add(VerifiedSet { set, started, time: now, bytes, manifest: digest });
                    }
                    Came::Lacks(manifest, missing) => {
                        let why = format!("set {set} lacks {}: {}", missing.component, missing.why);
                        let files = manifest.parts.len();
                        body.checks.push(Check::passed(SET, REPOSITORY, format!("{files} files read back; {why}")));
                        body.checks.push(Check::unknown(WHOLE, REPOSITORY, &why));
                        body.unmeasured = Some((Reason::NotMeasured, why.clone()));
                        verdict.lacks = Some(why);
                    }
                    Came::Refused(faults) => {
                        let why = faults.first().map(|first| format!("{}: {}", first.object, first.evidence));
                        let why = why.unwrap_or_default();
                        body.checks.push(Check::failed(SET, REPOSITORY, format!("set {set} is refused: {why}")));
                        body.corruption.extend(faults.into_iter().map(|fault| event(set, fault)));
                        known.remove(set);
                        verdict.refused = Some(why);
                    }
                }
            }
        }
        verdict.verified = known.sets.first().cloned();
        if known != before {
            self.leave_verified(known, copies, body).await?;
        }
        let bytes = serde_json::to_vec(&verdict).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(BackupVerdict::OUTPUT, bytes).await.map_err(told)?;
        body.outputs.push(Output { name: BackupVerdict::OUTPUT.to_owned(), digest });
        Ok(())
    }

    async fn read_back(
        &self,
        spec: &RunSpec,
        repository: &Repository,
        latest: &LatestSet,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Came, String> {
        let name: SetName = latest.set.parse().map_err(|error: crate::engine::backup::NameError| error.to_string())?;
        let (lying, known, scratch) = (repository.set(&name), latest.manifest, self.places.scratch.clone());
        let shared = Arc::clone(meter);
        let identity = self.identity(&spec.namespace, &spec.bank).await;
        let examined = blocking(move || {
            let identity = identity.as_ref().map_err(String::as_str);
            examine(&lying, &name, Some(&known), Some(&scratch), identity, &shared)
        })
        .await?;
        let examined = match examined {
            Ok(examined) => examined,
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                return Ok(Came::Unknown(error.to_string()));
            }
        };
        let mut faults = examined.faults;
        for database in examined.databases {
            faults.extend(open(&database, meter).await?);
            let _ = fs::remove_file(&database.path);
        }
        if let Some(why) = examined.unread.filter(|_| faults.is_empty()) {
            return Ok(Came::Unknown(why));
        }
        let Some(manifest) = examined.manifest.filter(|_| faults.is_empty()) else { return Ok(Came::Refused(faults)) };
        let missing = manifest.without(&components(&spec.bank));
        if let Some(lack) = manifest.damage().or_else(|| manifest.lack().filter(|_| missing.is_none())) {
            return Ok(Came::Refused(vec![fault("manifest.json", lack)]));
        }
        let short = self.beside(spec, &manifest, copies, meter).await?;
        Ok(match missing {
            _ if !short.is_empty() => Came::Refused(short),
            Some(missing) => Came::Lacks(manifest, missing),
            None => Came::Passed(manifest),
        })
    }

    /// What a set holds too little of, beside the living bank. A part of the bank that cannot be read now says nothing
    /// against the set. One that this very run made is held against it in all that it counts; an older one, which the bank
    /// has outgrown since, has what it counts itself, and is too little only where it is empty.
    async fn beside(
        &self,
        spec: &RunSpec,
        manifest: &SetManifest,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Vec<Fault>, String> {
        let bank = &spec.bank;
        let mut live: Vec<(String, Counts)> = Vec::new();
        let databases =
            [(DATABASE, copies.database(bank, meter).await?), (HISTORY, copies.history(bank, meter).await?)];
        for (component, copied) in databases {
            let Some(copy) = copied.as_ref().and_then(|copied| copied.copy.as_ref()) else { continue };
            let stock = take_stock(&copy.path(), meter).await.map_err(|error| error.to_string())?;
            live.push((component.to_owned(), Counts { rows: stock.rows, ..Counts::default() }));
        }
        for tree in &bank.files {
            let Ok(root) = self.places.volume(&tree.root.volume) else { continue };
            let (root, listed, shared) = (root.to_owned(), tree.clone(), Arc::clone(meter));
            let without = within(bank, tree);
            let source = blocking(move || TreeSource::list(&root, &listed, without.as_deref(), &shared)).await?;
            let Ok(files) = source.map(|source| source.files()) else { continue };
            live.push((format!("files/{}", tree.name), Counts { files: Some(files), ..Counts::default() }));
        }
        live.extend(self.on_servers(&spec.namespace, bank, meter).await);
        let just_made = copies.made.is_some();
        let vectors = manifest.counts(VECTORS).map(|(_, counts)| counts.rows).unwrap_or_default();
        let mut short = Vec::new();
        for (component, mut live) in live {
            // Where vectors lie in the same schema, their tables are a part of their own.
            live.rows.retain(|table, _| component != DATABASE || !vectors.contains_key(table));
            // Told as missing.
            if manifest.missing.iter().any(|missing| missing.component == component) {
                continue;
            }
            let held = manifest.counts(&component);
            let there = held.is_some();
            let (path, counts) = held.unwrap_or((&component, Counts::default()));
            let why = match component.as_str() {
                _ if just_made => shortfall(&counts, &live),
                DATABASE | VECTORS if there => emptiness(&counts, &live),
                _ => None,
            };
            short.extend(why.map(|why| fault(path, why)));
        }
        Ok(short)
    }

    /// How much of the bank its servers have now; of one that cannot be asked nothing.
    async fn on_servers(&self, namespace: &str, bank: &Bank, meter: &Meter) -> Vec<(String, Counts)> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let mut live = Vec::new();
        let mut points = |component: &str, points: u64| {
            live.push((component.to_owned(), Counts { points: Some(points), ..Counts::default() }));
        };
        match &bank.vector_store {
            Some(VectorStore::Qdrant(endpoint)) => {
                if let Ok(client) = Client::open(namespace, endpoint, &secrets).await {
                    for (component, collection, _) in collections(endpoint) {
                        let _ = client.count(&collection).await.map(|count| points(component, count));
                    }
                }
            }
            Some(store @ VectorStore::Pgvector(_)) => {
                if let Ok(source) = VectorSource::open(namespace, store, &secrets).await {
                    let _ = source.count().await.map(|count| points(VECTORS, count));
                }
            }
            None => {}
        }
        if let Some(SqlDatabase::Postgres(endpoint)) = &bank.database
            && let Ok(Some(rows)) = count_rows(endpoint, (namespace, &secrets), meter).await
        {
            live.push((DATABASE.to_owned(), Counts { rows, ..Counts::default() }));
        }
        live
    }

    /// Judges a tree of sets that other tools made.
    pub(super) async fn judge_sets(&self, tree: &FileTree, meter: &Arc<Meter>, body: &mut Body) -> Result<(), String> {
        let component = format!("backups/{}", tree.name);
        let folder = match self.places.volume(&tree.root.volume) {
            Ok(root) => root.join(&tree.root.path),
            Err(why) => {
                body.checks.push(Check::unknown("backup-sets", &component, why));
                return Ok(());
            }
        };
        let shared = Arc::clone(meter);
        match blocking(move || look(&folder, &shared)).await? {
            Ok((sets, left)) => {
                let (check, events) = judge_legacy(&component, &sets, left);
                body.checks.push(check);
                body.corruption.extend(events);
            }
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                body.checks.push(Check::unknown("backup-sets", &component, error.to_string()));
            }
        }
        Ok(())
    }
}

/// What a set of a bank must hold to stand for it.
pub(super) fn components(bank: &Bank) -> Vec<String> {
    let declared = [
        (DATABASE, bank.database.is_some()),
        (HISTORY, bank.history.is_some()),
        (VECTORS, bank.vector_store.is_some()),
    ];
    let declared = declared.into_iter().filter(|(_, declared)| *declared).map(|(component, _)| component.to_owned());
    declared.chain(bank.files.iter().map(|tree| format!("files/{}", tree.name))).collect()
}

/// What is said of sets that are there and of which the store knows nothing: their manifests can be held against nothing.
async fn strangers(repository: &Repository) -> Result<Option<String>, String> {
    let repository = repository.clone();
    let sets = blocking(move || repository.sets()).await?.map_err(|error| error.to_string())?;
    Ok(sets.last().map(|newest| {
        format!(
            "{} sets are there that were made with another store, the newest {newest}: ask for a Backup",
            sets.len()
        )
    }))
}

/// Opens a database of a set: it is sound, and holds what the manifest says.
async fn open(database: &Database, meter: &Arc<Meter>) -> Result<Option<Fault>, String> {
    let part = &database.part;
    // What was damaged when it was copied is told by the manifest.
    if part.damage.is_some() || !part.plain_path().ends_with(".db.zst") {
        return Ok(None);
    }
    let stock = take_stock(&database.path, meter).await.map_err(|error| error.to_string())?;
    let why = match stock.damage {
        Some(damage) => Some(format!("the database in it is damaged: {damage}")),
        None if stock.rows != part.rows || stock.orphans != part.orphans => {
            Some("the database in it does not have the rows that the manifest counts".to_owned())
        }
        None => None,
    };
    Ok(why.map(|why| fault(&part.path, why)))
}

fn event(set: &str, fault: Fault) -> CorruptionEvent {
    CorruptionEvent {
        check: SET.to_owned(),
        component: REPOSITORY.to_owned(),
        corruption_type: fault.kind,
        invariant: None,
        severity: Severity::High,
        object: format!("{set}/{}", fault.object),
        count: 1,
        evidence: fault.evidence,
        advice: "Do not restore from this set; make another at once, and find out who or what changed it.".to_owned(),
    }
}
