use std::path::PathBuf;
use std::sync::Arc;

use super::server::Servers;
use crate::bank::Meter;
use crate::bank::backup::{Database, Fault};
use crate::bank::consistency::{Database as Compared, SqlSide};
use crate::bank::recovery::archived;
use crate::bank::sqlite::{SchemaKind, check};
use crate::domain::{CorruptionType, Level, RunSpec, VectorStore, Verdict};
use crate::engine::backup::{Part, PartKind, SetManifest};
use crate::engine::integrity::files::Manifest;
use crate::engine::recovery::{Found, differs};
use crate::runner::copies::{DATABASE, HISTORY, blocking};
use crate::runner::{Exchange, Runner};

/// Why a set is none, or could not be tried.
pub(super) enum Stop {
    Refused(Vec<Fault>),
    Unknown(String),
    /// A failure of ours, or the end that was asked for.
    Broken(String),
}

/// What is wrong with one file of a set.
pub(super) fn fault(object: &str, kind: CorruptionType, evidence: impl Into<String>) -> Stop {
    Stop::Refused(vec![Fault { object: object.to_owned(), kind, evidence: evidence.into() }])
}

/// A set that is being restored.
pub(super) struct Trial<'a, E> {
    pub runner: &'a Runner<E>,
    pub spec: &'a RunSpec,
    pub folder: PathBuf,
    pub manifest: &'a SetManifest,
    pub meter: &'a Arc<Meter>,
}

impl<E: Exchange> Trial<'_, E> {
    /// Tries every part; what was looked at, for people.
    pub async fn all(&self, databases: &[Database], run: &str) -> Result<String, Stop> {
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
        let mut servers = Servers::default();
        let looked = self.stores(databases, run, &mut servers).await;
        // Also of what was refused.
        told.extend(servers.remove().await);
        told.extend(looked?);
        Ok(told.join("; "))
    }

    /// Tries what was in a server: the tables of the bank, and its vectors, which are held against the rows.
    async fn stores(&self, databases: &[Database], run: &str, servers: &mut Servers) -> Result<Vec<String>, Stop> {
        let (mut told, mut rows) = self.tables(run, servers).await?;
        if rows.is_none() {
            rows =
                databases.iter().find(|database| is(&database.part, DATABASE)).and_then(|database| self.rows(database));
        }
        told.extend(match &self.spec.bank.vector_store {
            Some(VectorStore::Pgvector(endpoint)) => self.points(endpoint, rows.as_ref(), run, servers).await?,
            _ => self.collections(rows.as_ref(), run).await?,
        });
        Ok(told)
    }

    /// The memories of a restored SQLite database.
    fn rows(&self, database: &Database) -> Option<SqlSide> {
        Some(SqlSide::Sqlite(Compared {
            copy: database.path.clone(),
            // What changed while the set was made may be on one side alone.
            copied: self.manifest.started,
            root: database.path.parent()?.to_owned(),
            path: database.path.file_name()?.to_str()?.to_owned(),
            scratch: self.runner.places.scratch.clone(),
        }))
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

    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        self.meter.unless_cancelled(work).await.map_err(|cancelled| Stop::Broken(cancelled.to_string()))
    }
}

/// Whether a file of a set is of this part of the bank.
pub(super) fn is(part: &Part, component: &str) -> bool {
    part.component == component
}
