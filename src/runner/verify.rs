use std::fs;
use std::sync::Arc;

use jiff::Timestamp;

use super::backup::{REPOSITORY, collections, within};
use super::body::Body;
use super::copies::{Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::backup::{Database, Fault, Repository, examine, look};
use crate::bank::files::TreeSource;
use crate::bank::qdrant::Client;
use crate::bank::sqlite::take_stock;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    BackupVerdict, Check, CorruptionEvent, CorruptionType, FileTree, LatestSet, Output, QdrantEndpoint, Reason,
    RunSpec, Severity, VectorStore, VerifiedSet,
};
use crate::engine::backup::{Counts, SetManifest, SetName, judge_legacy, shortfall};

/// The one check of a set: it agrees in everything, or is refused.
const SET: &str = "backup-set";

/// What came of a set.
enum Came {
    /// It agrees.
    Passed(SetManifest),
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
        let repository = match self.repository(&spec.namespace, &spec.bank) {
            Ok(repository) => repository,
            Err(why) => {
                unmeasured(body, why);
                return Ok(());
            }
        };
        let before: Option<BackupVerdict> = match self.exchange.input(BackupVerdict::OUTPUT).await.map_err(told)? {
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => None,
        };
        let latest = match &copies.made {
            Some(made) => Some(made.clone()),
            None => match self.exchange.input(LatestSet::OUTPUT).await.map_err(told)? {
                Some(bytes) => Some(serde_json::from_slice::<LatestSet>(&bytes).map_err(|error| error.to_string())?),
                None => None,
            },
        };
        let now = Timestamp::now();
        let verified = before.and_then(|verdict| verdict.verified);
        let verdict = match &latest {
            None => {
                if let Some(why) = strangers(&repository)? {
                    unmeasured(body, why);
                    return Ok(());
                }
                let why = "no set of this bank was ever made here: ask for a Backup";
                body.checks.push(Check::failed(SET, REPOSITORY, why));
                BackupVerdict { set: None, time: now, refused: Some(why.to_owned()), verified }
            }
            Some(latest) => match self.read_back(spec, &repository, latest, copies, meter).await? {
                Came::Unknown(why) => {
                    unmeasured(body, why);
                    return Ok(());
                }
                Came::Passed(manifest) => {
                    let bytes = manifest.stored_bytes();
                    let detail = format!("set {}: {} files, {bytes} bytes read back", latest.set, manifest.parts.len());
                    body.checks.push(Check::passed(SET, REPOSITORY, detail));
                    let set = latest.set.clone();
                    let verified = Some(VerifiedSet {
                        set,
                        started: manifest.started,
                        time: now,
                        bytes,
                        manifest: Some(latest.manifest),
                    });
                    BackupVerdict { set: Some(latest.set.clone()), time: now, refused: None, verified }
                }
                Came::Refused(faults) => {
                    let why = faults.first().map(|first| format!("{}: {}", first.object, first.evidence));
                    let why = why.unwrap_or_default();
                    body.checks.push(Check::failed(SET, REPOSITORY, format!("set {} is refused: {why}", latest.set)));
                    body.corruption.extend(faults.into_iter().map(|fault| event(&latest.set, fault)));
                    let verified = verified.filter(|verified| verified.set != latest.set);
                    BackupVerdict { set: Some(latest.set.clone()), time: now, refused: Some(why), verified }
                }
            },
        };
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
        let (folder, known, scratch) = (repository.set(&name), latest.manifest, self.places.scratch.clone());
        let shared = Arc::clone(meter);
        let examined = blocking(move || examine(&folder, &name, Some(&known), Some(&scratch), &shared)).await?;
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
        if let Some(missing) = manifest.missing.first() {
            return Ok(Came::Unknown(format!("set {} lacks {}: {}", latest.set, missing.component, missing.why)));
        }
        if let Some(lack) = manifest.lack() {
            return Ok(Came::Refused(vec![fault("manifest.json", lack)]));
        }
        let short = self.beside(spec, &manifest, copies, meter).await?;
        Ok(if short.is_empty() { Came::Passed(manifest) } else { Came::Refused(short) })
    }

    /// What a set holds too little of, beside the living bank. A part of the bank that cannot be read now says nothing
    /// against the set.
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
        if let Some(VectorStore::Qdrant(endpoint)) = &bank.vector_store {
            live.extend(self.points(&spec.namespace, endpoint).await);
        }
        let mut short = Vec::new();
        for (component, live) in live {
            let part = manifest.parts.iter().find(|part| part.component == component);
            let counts = part.map(crate::engine::backup::Part::counts).unwrap_or_default();
            let path = part.map_or(component.as_str(), |part| part.path.as_str());
            short.extend(shortfall(&counts, &live).map(|why| fault(path, why)));
        }
        Ok(short)
    }

    /// How many points the bank's collections have now; of a server that cannot be asked nothing.
    async fn points(&self, namespace: &str, endpoint: &QdrantEndpoint) -> Vec<(String, Counts)> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let Ok(client) = Client::open(namespace, endpoint, &secrets).await else { return Vec::new() };
        let mut live = Vec::new();
        for (component, collection, _) in collections(endpoint) {
            let Ok(points) = client.count(&collection).await else { continue };
            live.push((component.to_owned(), Counts { points: Some(points), ..Counts::default() }));
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

/// What is said of sets that are there and of which the store knows nothing: their manifests can be held against nothing.
fn strangers(repository: &Repository) -> Result<Option<String>, String> {
    let sets = repository.sets().map_err(|error| error.to_string())?;
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
    if part.damage.is_some() || !part.path.ends_with(".db.zst") {
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
