use std::sync::Arc;

use jiff::Timestamp;

use super::body::Body;
use super::copies::{Copied, Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::Meter;
use crate::bank::backup::{self, Order, Repository, Source};
use crate::bank::sqlite::{Stock, take_stock};
use crate::domain::{Bank, Check, LatestSet, Output, Reason, RunSpec, Severity};
use crate::engine::backup::Missing;

/// The check that a backup is, and the component of all that is said of a bank's own sets.
const MADE: &str = "backup-made";
pub(super) const REPOSITORY: &str = "repository";

impl<E: Exchange> Runner<E> {
    /// Makes a set of the bank. One that lacks a declared part is kept, for it is better than none, and leaves the
    /// task unknown.
    pub(super) async fn back_up(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let bank = &spec.bank;
        let repository = match self.repository(&spec.namespace, bank) {
            Ok(repository) => repository,
            Err(why) => {
                body.checks.push(Check::unknown(MADE, REPOSITORY, &why));
                body.unmeasured = Some((Reason::NotMeasured, why));
                return Ok(());
            }
        };
        let mut missing = beyond(bank);
        let mut sources = Vec::new();
        let files = [(DATABASE, copies.database(bank, meter).await?), (HISTORY, copies.history(bank, meter).await?)];
        for &(component, ref copied) in &files {
            let Some(copied) = copied else { continue };
            match stock(copied, meter).await? {
                Ok((files, stock)) => sources.push(Source::Sqlite { component, files, stock }),
                Err(why) => missing.push(Missing { component: component.to_owned(), why }),
            }
        }
        for tree in &bank.files {
            match self.places.volume(&tree.root.volume) {
                Ok(root) => {
                    let without = within(bank, tree);
                    sources.push(Source::Tree { tree: tree.clone(), root: root.to_owned(), without });
                }
                Err(why) => missing.push(Missing { component: format!("files/{}", tree.name), why }),
            }
        }
        let order = Order {
            repository,
            namespace: spec.namespace.clone(),
            bank: bank.name.clone(),
            run: copies.uid.clone(),
            started: Timestamp::now(),
            sources,
            config: serde_json::to_vec_pretty(bank).map_err(|error| error.to_string())?,
            missing,
            threads: self.threads,
        };
        let shared = Arc::clone(meter);
        let written = blocking(move || backup::write(order, &shared)).await?.map_err(|error| error.to_string())?;
        let set = written.name.to_string();
        let latest = LatestSet { set: set.clone(), manifest: written.digest };
        let bytes = serde_json::to_vec(&latest).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(LatestSet::OUTPUT, bytes).await.map_err(|error| error.to_string())?;
        body.outputs.push(Output { name: LatestSet::OUTPUT.to_owned(), digest });
        copies.made = Some(latest);
        let manifest = written.manifest;
        let detail = format!("set {set}: {} files, {} bytes", manifest.parts.len(), manifest.stored_bytes());
        match (manifest.missing.first(), manifest.lack()) {
            (None, None) => body.checks.push(Check::passed(MADE, REPOSITORY, detail)),
            // What is damaged is the bank, which its own checks tell; the set is all that there is of it.
            (None, Some(lack)) => body.checks.push(Check::failed(MADE, REPOSITORY, format!("{detail}, but {lack}"))),
            (Some(missing), _) => {
                let why = format!("{} is missing in set {set}: {}", missing.component, missing.why);
                body.checks.push(Check::unknown(MADE, REPOSITORY, &why));
                body.unmeasured = Some((Reason::NotMeasured, why));
            }
        }
        Ok(())
    }

    /// Where the bank's own sets are, or for people why there can be none.
    pub(super) fn repository(&self, namespace: &str, bank: &Bank) -> Result<Repository, String> {
        let Some(repository) = &bank.repository else {
            return Err("the bank declares no repository: add spec.repository.folder".to_owned());
        };
        if repository.encrypted {
            let why = "this version cannot encrypt sets, and writes none in plain where encryption is asked for";
            return Err(why.to_owned());
        }
        let Some(folder) = &repository.folder else {
            return Err("this version keeps no sets in S3: use spec.repository.folder".to_owned());
        };
        let root = self.places.volume(&folder.volume)?;
        Ok(Repository::new(root, &folder.path, namespace, &bank.name))
    }
}

/// What a bank declares that this version cannot back up.
fn beyond(bank: &Bank) -> Vec<Missing> {
    let missing = |component: &str, why: &str| Missing { component: component.to_owned(), why: why.to_owned() };
    let vectors = bank.vector_store.as_ref().map(|_| missing("vectors", "this version does not back up vectors"));
    let postgres = bank.on_postgres().then(|| missing(DATABASE, "this version does not back up PostgreSQL"));
    vectors.into_iter().chain(postgres).collect()
}

/// Where the repository lies within a tree, its path there.
pub(super) fn within(bank: &Bank, tree: &crate::domain::FileTree) -> Option<String> {
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    let folder = bank.repository.as_ref()?.folder.as_ref()?;
    let (repository, root) = (parts(&folder.path), parts(&tree.root.path));
    let inside = folder.volume == tree.root.volume && repository.len() > root.len() && repository.starts_with(&root);
    inside.then(|| repository[root.len()..].join("/"))
}

/// The files of a copy, and what they hold; the inner error says why there is no copy.
type Stocked = Result<(Vec<(&'static str, std::path::PathBuf)>, Stock), String>;

async fn stock(copied: &Arc<Copied>, meter: &Arc<Meter>) -> Result<Stocked, String> {
    let Some(copy) = &copied.copy else {
        let why = copied.checks.first().map_or("it could not be copied", |check| check.detail.as_str());
        return Ok(Err(why.to_owned()));
    };
    let mut stock = take_stock(&copy.path(), meter).await.map_err(|error| error.to_string())?;
    // What only the raw files show: a log that belongs elsewhere, or is torn where it should not be.
    let raw = copied.corruption.iter().find(|event| event.severity >= Severity::Medium);
    if let Some(raw) = raw.filter(|_| stock.damage.is_none()) {
        stock.damage = Some(format!("{}: {}", raw.object, raw.evidence));
    }
    Ok(Ok((copy.files(), stock)))
}
