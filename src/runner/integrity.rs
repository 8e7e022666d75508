use std::sync::Arc;

use jiff::Timestamp;

use super::body::Body;
use super::consistency::{GRACE, share};
use super::copies::{Copied, Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::files::{Depth as TreeDepth, TreeReport, check_tree};
use crate::bank::postgres::check_postgres;
use crate::bank::sqlite::{SqliteCopy, SqliteReport, check, check_history};
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{Bank, Check, FileTree, IntegrityScope, Level, Output, RunSpec, SqlDatabase};
use crate::engine::integrity::files::Manifest;
use crate::engine::integrity::sqlite::schema::SchemaKind;

/// How deep an integrity check looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    pub level: Level,
    pub share_percent: u8,
}

impl<E: Exchange> Runner<E> {
    /// Checks each scope of a bank.
    pub(super) async fn check_integrity(
        &self,
        spec: &RunSpec,
        depth: Depth,
        scopes: &[IntegrityScope],
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let bank = &spec.bank;
        for scope in scopes {
            let first = body.checks.len();
            match scope {
                IntegrityScope::Database => {
                    self.check_server(&spec.namespace, bank, depth.level, meter, body).await?;
                    check_databases(bank, depth.level, copies, meter, body).await?;
                }
                IntegrityScope::Files => {
                    for tree in &bank.files {
                        self.check_files(tree, depth, meter, body).await?;
                    }
                }
                IntegrityScope::VectorStore => {
                    let checked = self.check_vectors(&spec.namespace, bank, depth.level, meter, body);
                    meter.unless_cancelled(checked).await.map_err(|cancelled| cancelled.to_string())??;
                }
                IntegrityScope::Consistency => {
                    let share = share(depth.level, depth.share_percent);
                    self.check_consistency(spec, share, GRACE, copies, meter, body).await?;
                }
                IntegrityScope::Backups => {
                    for tree in &bank.backups {
                        self.judge_sets(tree, meter, body).await?;
                    }
                }
            }
            body.close_scope(scope.name(), first);
        }
        Ok(())
    }

    /// Checks the database of a bank that is on a PostgreSQL server.
    pub(super) async fn check_server(
        &self,
        namespace: &str,
        bank: &Bank,
        level: Level,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let Some(SqlDatabase::Postgres(endpoint)) = &bank.database else { return Ok(()) };
        let secrets = FolderSecrets::new(&self.places.secrets);
        let checked = check_postgres(endpoint, DATABASE, level, (namespace, &secrets), meter).await;
        let report = checked.map_err(|cancelled| cancelled.to_string())?;
        body.checks.extend(report.checks);
        body.corruption.extend(report.corruption);
        body.samples.extend(report.samples);
        Ok(())
    }

    /// Checks one tree against the manifest of earlier runs, and leaves the next one.
    pub(super) async fn check_files(
        &self,
        tree: &FileTree,
        depth: Depth,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let component = format!("files/{}", tree.name);
        let root = match self.places.volume(&tree.root.volume) {
            Ok(root) => root.to_owned(),
            Err(why) => {
                body.checks.push(Check::unknown("files-names", &component, why));
                return Ok(());
            }
        };
        let name = format!("manifest/{}", tree.name);
        let known = self.exchange.input(&name).await.map_err(|error| error.to_string())?;
        let previous = match known.map(|bytes| Manifest::from_json(&bytes)).transpose() {
            Ok(previous) => previous,
            Err(error) => {
                // To begin anew would trust whatever is there now: a person must say so.
                body.checks.push(Check::unknown(
                    "files-names",
                    &component,
                    format!("the manifest of earlier runs: {error}"),
                ));
                return Ok(());
            }
        };
        let (tree, threads, shared) = (tree.clone(), self.threads, Arc::clone(meter));
        let checked = blocking(move || {
            let now = Timestamp::now();
            let depth = TreeDepth { level: depth.level, share_percent: depth.share_percent, threads };
            check_tree(&root, &tree, previous.as_ref(), depth, &shared, now)
        })
        .await?;
        let report: TreeReport = match checked {
            Ok(report) => report,
            Err(error) => {
                meter.check().map_err(|cancelled| cancelled.to_string())?;
                body.checks.push(Check::unknown("files-names", &component, error.to_string()));
                return Ok(());
            }
        };
        if let Some(next) = &report.next {
            let bytes = next.to_json().map_err(|error| error.to_string())?;
            let digest = self.exchange.output(&name, bytes).await.map_err(|error| error.to_string())?;
            body.outputs.push(Output { name, digest });
        }
        let covered = report.coverage_percent;
        body.coverage_percent = Some(body.coverage_percent.map_or(covered, |before| before.min(covered)));
        body.checks.extend(report.checks);
        body.corruption.extend(report.corruption);
        body.omitted += report.omitted;
        Ok(())
    }
}

/// Checks the SQLite files of a bank, each on its copy, and then against each other.
pub(super) async fn check_databases(
    bank: &Bank,
    level: Level,
    copies: &mut Copies<'_>,
    meter: &Arc<Meter>,
    body: &mut Body,
) -> Result<(), String> {
    let database = copies.database(bank, meter).await?;
    let history = copies.history(bank, meter).await?;
    for copied in [&database, &history].into_iter().flatten() {
        body.checks.extend(copied.checks.iter().cloned());
        body.corruption.extend(copied.corruption.iter().cloned());
    }
    let checked = |copied, component, kind| async move {
        match copy_of(copied) {
            Some(copy) => check(&copy.path(), component, kind, level, meter).await.map(Some),
            None => Ok(None),
        }
    };
    // Each check keeps two cores busy only in part; side by side they end sooner.
    let reports = tokio::try_join!(
        checked(database.as_ref(), DATABASE, SchemaKind::OpenMemory),
        checked(history.as_ref(), HISTORY, SchemaKind::Mem0History),
    );
    let (of_database, of_history) = reports.map_err(|error| error.to_string())?;
    for report in [of_database, of_history].into_iter().flatten() {
        take(body, report);
    }
    if level == Level::Quick {
        return Ok(());
    }
    if let (Some(memories), Some(events)) = (copy_of(database.as_ref()), copy_of(history.as_ref())) {
        let compared = check_history(&memories.path(), &events.path(), DATABASE, meter).await;
        take(body, compared.map_err(|error| error.to_string())?);
    }
    Ok(())
}

fn copy_of(copied: Option<&Arc<Copied>>) -> Option<&SqliteCopy> {
    copied?.copy.as_ref()
}

fn take(body: &mut Body, report: SqliteReport) {
    body.checks.extend(report.checks);
    body.corruption.extend(report.corruption);
    body.samples.extend(report.samples);
    body.omitted += report.omitted;
}
