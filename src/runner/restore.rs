use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::backup::{REPOSITORY, collections};
use super::body::Body;
use super::consistency::{Outputs, PLAN};
use super::copies::{Copies, DATABASE, HISTORY, blocking};
use super::verify::components;
use super::{Exchange, Runner};
use crate::bank::backup::{BackupError, Database, Examined, Fault, examine, unseal};
use crate::bank::consistency::{Database as Compared, Settings, Shelf, SqlSide, StoredPoints, compare};
use crate::bank::qdrant::{Client, QdrantError};
use crate::bank::recovery::{Temporary, archived, leftovers};
use crate::bank::sqlite::{SchemaKind, check};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    Bank, Check, CorruptionEvent, CorruptionType, Digest, LatestSet, Level, Output, QdrantEndpoint, Reason,
    RestoreVerdict, RestoredSet, RunSpec, Severity, VectorStore, Verdict,
};
use crate::engine::backup::{Part, PartKind, SetManifest, SetName};
use crate::engine::consistency::RepairPlan;
use crate::engine::consistency::baseline::Share;
use crate::engine::integrity::files::Manifest;
use crate::engine::recovery::{Found, differs, excess};

/// The one check of a restored set: it is a bank again, or is refused.
const RESTORED: &str = "restore-test";

/// What came of a set.
enum Tried {
    /// It is a whole bank; what was looked at, for people.
    Passed(SetManifest, String),
    /// It is not.
    Refused(Vec<Fault>),
    /// It could not be tried.
    Unknown(String),
}

/// Why a set is none, or could not be tried.
enum Stop {
    Refused(Vec<Fault>),
    Unknown(String),
    /// A failure of ours, or the end that was asked for.
    Broken(String),
}

/// The baseline of the living bank, of which nothing is changed.
struct ReadOnly<'a, E>(&'a E);

impl<E: Exchange> Shelf for ReadOnly<'_, E> {
    async fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Outputs(self.0).load(name).await
    }

    async fn keep(&self, name: String, bytes: Vec<u8>) -> Result<Output, String> {
        Ok(Output { name, digest: Digest::of(&bytes) })
    }
}

fn fault(object: &str, kind: CorruptionType, evidence: impl Into<String>) -> Stop {
    Stop::Refused(vec![Fault { object: object.to_owned(), kind, evidence: evidence.into() }])
}

impl<E: Exchange> Runner<E> {
    /// Restores the newest set in a scratch place, and looks whether it is a bank there.
    pub(super) async fn restore_test(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let told = |error: super::ExchangeError| error.to_string();
        let unmeasured = |body: &mut Body, why: String| {
            body.checks.push(Check::unknown(RESTORED, REPOSITORY, &why));
            body.unmeasured = Some((Reason::NotMeasured, why));
        };
        let Some(latest) = self.latest_set(copies).await? else {
            unmeasured(body, "no set of this bank was ever made here: ask for a Backup".to_owned());
            return Ok(());
        };
        let before: Option<RestoreVerdict> = match self.exchange.input(RestoreVerdict::OUTPUT).await.map_err(told)? {
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => None,
        };
        let restored = before.and_then(|verdict| verdict.restored);
        let now = Timestamp::now();
        let set = latest.set.clone();
        let verdict = match self.try_restore(spec, &latest, copies, meter).await? {
            Tried::Unknown(why) => {
                unmeasured(body, why);
                return Ok(());
            }
            Tried::Passed(manifest, detail) => {
                body.checks.push(Check::passed(RESTORED, REPOSITORY, format!("set {set} restored: {detail}")));
                let restored = Some(RestoredSet { set: set.clone(), started: manifest.started, time: now });
                RestoreVerdict { set, time: now, refused: None, restored }
            }
            Tried::Refused(faults) => {
                let why = faults.first().map(|first| format!("{}: {}", first.object, first.evidence));
                let why = why.unwrap_or_default();
                body.checks.push(Check::failed(RESTORED, REPOSITORY, format!("set {set} is no bank: {why}")));
                body.corruption.extend(faults.into_iter().map(|fault| event(&set, fault)));
                let restored = restored.filter(|restored| restored.set != set);
                // What no server makes a bank of is no set to recover from, nor one for which others may go.
                let mut verified = self.verified_sets(copies).await?;
                verified.remove(&set);
                self.leave_verified(verified, copies, body).await?;
                RestoreVerdict { set, time: now, refused: Some(why), restored }
            }
        };
        let bytes = serde_json::to_vec(&verdict).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(RestoreVerdict::OUTPUT, bytes).await.map_err(told)?;
        body.outputs.push(Output { name: RestoreVerdict::OUTPUT.to_owned(), digest });
        Ok(())
    }

    /// The newest set of the bank that the store knows of, or that this run has made.
    pub(super) async fn latest_set(&self, copies: &Copies<'_>) -> Result<Option<LatestSet>, String> {
        if let Some(made) = &copies.made {
            return Ok(Some(made.clone()));
        }
        let known = self.exchange.input(LatestSet::OUTPUT).await.map_err(|error| error.to_string())?;
        known.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|error| error.to_string())
    }

    /// Reads a set to its end, its databases into scratch; the folder that it is in. Of an encrypted one all the rest that
    /// can be restored is opened into scratch too.
    pub(super) async fn open_set(
        &self,
        spec: &RunSpec,
        latest: &LatestSet,
        meter: &Arc<Meter>,
    ) -> Result<Result<(PathBuf, Examined), String>, String> {
        let repository = match self.repository(&spec.namespace, &spec.bank) {
            Ok(repository) => repository,
            Err(why) => return Ok(Err(why)),
        };
        let name: SetName = latest.set.parse().map_err(|error: crate::engine::backup::NameError| error.to_string())?;
        let identity = self.identity(&spec.namespace, &spec.bank).await;
        let (from, known, scratch) = (repository.set(&name), latest.manifest, self.places.scratch.clone());
        let shared = Arc::clone(meter);
        let opened = blocking(move || {
            let identity = identity.as_ref().map_err(String::as_str);
            let mut examined = examine(&from, &name, Some(&known), Some(&scratch), identity, &shared)?;
            let whole = examined.faults.is_empty() && examined.unread.is_none();
            let folder = match identity {
                Ok(identity) if whole => unseal(&mut examined, from, identity, &scratch, &shared)?,
                _ => from,
            };
            Ok::<_, BackupError>((folder, examined))
        });
        match opened.await? {
            Ok(opened) => Ok(Ok(opened)),
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                Ok(Err(error.to_string()))
            }
        }
    }

    async fn try_restore(
        &self,
        spec: &RunSpec,
        latest: &LatestSet,
        copies: &Copies<'_>,
        meter: &Arc<Meter>,
    ) -> Result<Tried, String> {
        let (folder, examined) = match self.open_set(spec, latest, meter).await? {
            Ok(opened) => opened,
            Err(why) => return Ok(Tried::Unknown(why)),
        };
        let Examined { manifest, faults, databases, unread } = examined;
        if !faults.is_empty() {
            return Ok(Tried::Refused(faults));
        }
        let (Some(manifest), None) = (manifest, &unread) else { return Ok(Tried::Unknown(unread.unwrap_or_default())) };
        if let Some(missing) = manifest.without(&components(&spec.bank)) {
            let why = format!("set {} lacks {}: {}", latest.set, missing.component, missing.why);
            return Ok(Tried::Unknown(why));
        }
        let trial = Trial { runner: self, spec, folder, manifest: &manifest, meter };
        match trial.all(&databases, &copies.uid).await {
            Ok(detail) => Ok(Tried::Passed(manifest, detail)),
            Err(Stop::Refused(faults)) => Ok(Tried::Refused(faults)),
            Err(Stop::Unknown(why)) => Ok(Tried::Unknown(why)),
            Err(Stop::Broken(why)) => Err(why),
        }
    }
}

/// A set that is being restored.
struct Trial<'a, E> {
    runner: &'a Runner<E>,
    spec: &'a RunSpec,
    folder: PathBuf,
    manifest: &'a SetManifest,
    meter: &'a Arc<Meter>,
}

impl<E: Exchange> Trial<'_, E> {
    /// Tries every part; what was looked at, for people.
    async fn all(&self, databases: &[Database], run: &str) -> Result<String, Stop> {
        if let Some(lack) = self.manifest.lack() {
            return Err(fault("manifest.json", CorruptionType::FileCorruption, lack));
        }
        let mut told = Vec::new();
        for database in databases {
            told.extend(self.database(database).await?);
        }
        for part in self.manifest.parts.iter().filter(|part| part.kind == PartKind::Files) {
            told.push(self.tree(part).await?);
        }
        let memories = databases.iter().find(|database| is(&database.part, DATABASE));
        told.extend(self.vectors(memories.map(|database| database.path.as_path()), run).await?);
        let postgres = |part: &&Part| matches!(part.kind, PartKind::Ddl | PartKind::Rows);
        if let Some(part) = self.manifest.parts.iter().find(postgres) {
            let why = format!("{} is on PostgreSQL, which this version does not restore for a test", part.component);
            return Err(Stop::Unknown(why));
        }
        Ok(told.join("; "))
    }

    async fn database(&self, database: &Database) -> Result<Option<String>, Stop> {
        let part = &database.part;
        let kind = match part.component.as_str() {
            _ if !part.path.ends_with(".db.zst") => return Ok(None),
            DATABASE => SchemaKind::OpenMemory,
            HISTORY => SchemaKind::Mem0History,
            other => return Err(Stop::Unknown(format!("this version cannot restore {other} for a test"))),
        };
        let report = check(&database.path, &part.component, kind, Level::Full, self.meter).await;
        let report = report.map_err(|error| Stop::Broken(error.to_string()))?;
        let (broken, own): (Vec<_>, Vec<_>) =
            report.corruption.into_iter().partition(|event| event.corruption_type == CorruptionType::FileCorruption);
        if !broken.is_empty() {
            let faults = broken.into_iter().map(|event| Fault {
                object: part.path.clone(),
                kind: event.corruption_type,
                evidence: format!("restored, {}: {}", event.object, event.evidence),
            });
            return Err(Stop::Refused(faults.collect()));
        }
        if let Some(check) = report.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            return Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail)));
        }
        let rows: u64 = part.rows.values().sum();
        let own = match own.len() {
            0 => String::new(),
            kinds => format!(", with {kinds} kinds of inconsistency as the bank had them"),
        };
        Ok(Some(format!("{} of {rows} rows is sound{own}", part.component)))
    }

    /// Holds the files of an archive against what the manifest of the living tree has of them.
    async fn tree(&self, part: &Part) -> Result<String, Stop> {
        let name = part.component.strip_prefix("files/").unwrap_or(&part.component);
        let known = self.runner.exchange.input(&format!("manifest/{name}")).await;
        let known = known.map_err(|error| Stop::Broken(error.to_string()))?;
        let baseline = match known.map(|bytes| Manifest::from_json(&bytes)).transpose() {
            Ok(baseline) => baseline,
            Err(error) => return Err(Stop::Unknown(format!("the manifest of the tree {name}: {error}"))),
        };
        let (archive, meter) = (self.folder.join(&part.path), Arc::clone(self.meter));
        let read = blocking(move || {
            let (mut compared, mut files) = (0_u64, 0_u64);
            // A path that comes twice comes twice in a row; the last one counts.
            let mut bad: Vec<crate::engine::integrity::files::TreePath> = Vec::new();
            let mut last = None;
            let read = archived(
                &archive,
                &meter,
                |_| Ok(None),
                |file| {
                    let again = last.as_ref() == Some(&file.path);
                    files += u64::from(!again);
                    if again && bad.last() == Some(&file.path) {
                        bad.pop();
                    }
                    let found = Found { size: file.size, modified: file.modified, digest: file.digest };
                    if let Some(entry) = baseline.as_ref().and_then(|manifest| manifest.entry(&file.path)) {
                        compared += u64::from(!again);
                        if differs(entry, found) {
                            bad.push(file.path.clone());
                        }
                    }
                    last = Some(file.path);
                },
            );
            read.map(|()| (files, compared, bad))
        });
        let (files, compared, bad) = match read.await.map_err(Stop::Broken)? {
            Ok(read) => read,
            Err(error) => {
                self.meter.check().map_err(|cancelled| Stop::Broken(cancelled.to_string()))?;
                return Err(Stop::Unknown(error.to_string()));
            }
        };
        if let Some(first) = bad.first() {
            let evidence = format!("{} files, such as {first}, are not what the manifest of the tree has", bad.len());
            return Err(fault(&part.path, CorruptionType::ChecksumMismatch, evidence));
        }
        Ok(format!("{}: {files} files, {compared} held against the manifest", part.component))
    }

    /// Restores each snapshot into a collection of its own, which is removed again.
    async fn vectors(&self, memories: Option<&Path>, run: &str) -> Result<Vec<String>, Stop> {
        let parts: Vec<_> = self.manifest.parts.iter().filter(|part| part.kind == PartKind::Vectors).collect();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let Some(VectorStore::Qdrant(endpoint)) = &self.spec.bank.vector_store else {
            return Err(Stop::Unknown("the set has a snapshot of Qdrant, and the bank declares none".to_owned()));
        };
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let client = Client::open(&self.spec.namespace, endpoint, &secrets).await.map_err(away)?;
        let mut told = Vec::new();
        for (component, collection, _) in collections(endpoint) {
            let Some(part) = parts.iter().find(|part| part.component == component) else { continue };
            told.extend(leftovers(&client, &collection).await.map_err(away)?);
            let snapshot = self.folder.join(&part.path);
            let restoring = Temporary::restore(&client, &collection, run, &snapshot, &part.sha256);
            let temporary = self.unless_cancelled(restoring).await?.map_err(|error| refused(part, error))?;
            let endpoint = QdrantEndpoint { collection: temporary.name().to_owned(), ..endpoint.clone() };
            let looked = async {
                let counted = self.counted(&client, part, temporary.name()).await?;
                if !is(part, crate::engine::integrity::vectors::VECTORS) {
                    return Ok(counted);
                }
                let judged = Box::pin(self.judged(part, &endpoint)).await?;
                let compared = self.compared(memories, part, endpoint.clone()).await?;
                Ok(format!("{counted}{judged}{compared}"))
            };
            let looked = looked.await;
            // Also of what was refused.
            told.extend(temporary.remove().await);
            told.push(looked?);
        }
        Ok(told)
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        self.meter.unless_cancelled(work).await.map_err(|cancelled| Stop::Broken(cancelled.to_string()))
    }

    async fn counted(&self, client: &Client, part: &Part, name: &str) -> Result<String, Stop> {
        let (found, put) = (client.count(name).await.map_err(away)?, part.points.unwrap_or_default());
        if found < put {
            let evidence = format!("restored, it holds {found} points, and {put} were counted when it was made");
            return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
        }
        Ok(format!("{}: {found} points", part.component))
    }

    /// Reads every point of the restored collection.
    async fn judged(&self, part: &Part, endpoint: &QdrantEndpoint) -> Result<String, Stop> {
        let bank = Bank { vector_store: Some(VectorStore::Qdrant(endpoint.clone())), ..self.spec.bank.clone() };
        let mut body = Body::default();
        let checking = self.runner.check_vectors(&self.spec.namespace, &bank, Level::Full, self.meter, &mut body);
        Box::pin(self.unless_cancelled(checking)).await?.map_err(Stop::Broken)?;
        // What only a writer can have done is the bank's own state.
        let broken = |event: &&CorruptionEvent| event.corruption_type == CorruptionType::FileCorruption;
        if let Some(event) = body.corruption.iter().find(broken) {
            let evidence = format!("restored, {}: {}", event.object, event.evidence);
            return Err(fault(&part.path, CorruptionType::FileCorruption, evidence));
        }
        match body.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            Some(check) => Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail))),
            None => Ok(", each read".to_owned()),
        }
    }

    /// Holds the restored rows and points against each other, and both against what the living ones are known to be.
    async fn compared(&self, memories: Option<&Path>, part: &Part, endpoint: QdrantEndpoint) -> Result<String, Stop> {
        let Some(memories) = memories else { return Ok(String::new()) };
        let (Some(folder), Some(name)) = (memories.parent(), memories.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(String::new());
        };
        let store = VectorStore::Qdrant(endpoint);
        let secrets = FolderSecrets::new(&self.runner.places.secrets);
        let points = StoredPoints::memories(&self.spec.namespace, &store, &secrets).await.map_err(Stop::Unknown)?;
        let database = SqlSide::Sqlite(Compared {
            copy: memories.to_owned(),
            // What changed while the set was made may be on one side alone.
            copied: self.manifest.started,
            root: folder.to_owned(),
            path: name.to_owned(),
            scratch: self.runner.places.scratch.clone(),
        });
        let settings = Settings { share: Share::All, grace: Duration::ZERO, patience: Duration::ZERO };
        let shelf = ReadOnly(&self.runner.exchange);
        let compared = compare(&database, points, &shelf, settings, self.meter).await;
        let compared = compared.map_err(|cancelled| Stop::Broken(cancelled.to_string()))?;
        if let Some(check) = compared.checks.iter().find(|check| check.verdict == Verdict::Unknown) {
            return Err(Stop::Unknown(format!("{} of {}: {}", check.id, check.component, check.detail)));
        }
        let silent = |event: &&CorruptionEvent| event.corruption_type == CorruptionType::ChecksumMismatch;
        if let Some(event) = compared.corruption.iter().find(silent) {
            let evidence = format!("restored, {}: {}", event.object, event.evidence);
            return Err(fault(&part.path, CorruptionType::ChecksumMismatch, evidence));
        }
        let living = self.runner.exchange.input(PLAN).await.map_err(|error| Stop::Broken(error.to_string()))?;
        let living: Option<RepairPlan> = living.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(why) = excess(&compared.plan, living.as_ref(), part.points.unwrap_or_default()) {
            return Err(fault(&part.path, CorruptionType::DataInconsistency, why));
        }
        Ok(match compared.plan.steps.iter().map(|step| step.count).sum::<u64>() {
            0 => ", as the rows say".to_owned(),
            count => format!(", {count} of them or of the rows without their other side, as in a bank that drifts"),
        })
    }
}

fn is(part: &Part, component: &str) -> bool {
    part.component == component
}

/// A server that cannot be asked says nothing against a set.
#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn away(error: QdrantError) -> Stop {
    Stop::Unknown(error.to_string())
}

/// A snapshot that the server does not restore: a set that is none, but for want of room or of a right.
fn refused(part: &Part, error: QdrantError) -> Stop {
    let full = |told: &str| ["space", "disk", "memory", "quota"].iter().any(|word| told.contains(word));
    match &error {
        QdrantError::Rejected { status: 400 | 500, told, .. } if !full(&told.to_ascii_lowercase()) => {
            fault(&part.path, CorruptionType::FileCorruption, error.to_string())
        }
        _ => away(error),
    }
}

fn event(set: &str, fault: Fault) -> CorruptionEvent {
    CorruptionEvent {
        check: RESTORED.to_owned(),
        component: REPOSITORY.to_owned(),
        corruption_type: fault.kind,
        invariant: None,
        severity: Severity::High,
        object: format!("{set}/{}", fault.object),
        count: 1,
        evidence: fault.evidence,
        advice: "The set cannot bring the bank back as it was: keep it, make another, and look for damage in the bank."
            .to_owned(),
    }
}
