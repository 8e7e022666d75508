use std::sync::Arc;

use jiff::Timestamp;

use super::body::Body;
use super::copies::{Copied, Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::backup::{self, Begun, Bucket, Dump, Identity, Order, Recipients, Repository, Source, Vectors};
use crate::bank::qdrant::Client;
use crate::bank::sqlite::{Stock, take_stock};
use crate::bank::vectors::ENTITIES;
use crate::bank::{FolderSecrets, Meter};
use crate::domain::{
    Bank, Check, LatestSet, Output, QdrantEndpoint, Reason, RunSpec, Severity, SqlDatabase, VectorStore,
};
use crate::engine::backup::Missing;
use crate::engine::integrity::vectors::VECTORS;

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
        let place = self.repository(&spec.namespace, bank).await;
        let (repository, recipients) = match place.and_then(|place| Ok((place, recipients(bank)?))) {
            Ok(places) => places,
            Err(why) => {
                body.checks.push(Check::unknown(MADE, REPOSITORY, &why));
                body.unmeasured = Some((Reason::NotMeasured, why));
                return Ok(());
            }
        };
        let order = Order {
            repository,
            namespace: spec.namespace.clone(),
            bank: bank.name.clone(),
            run: copies.uid.clone(),
            started: Timestamp::now(),
            config: serde_json::to_vec_pretty(bank).map_err(|error| error.to_string())?,
            threads: self.threads,
            recipients,
            scratch: self.places.scratch.clone(),
        };
        let begun = blocking(move || backup::begin(order)).await?;
        let mut begun = begun.map_err(|error| error.to_string())?;
        let collected = self.collect(spec, copies, &mut begun, meter).await;
        let (sources, left) = match collected {
            Ok(collected) => collected,
            Err(why) => {
                blocking(move || begun.give_up()).await?;
                return Err(why);
            }
        };
        let shared = Arc::clone(meter);
        let written = blocking(move || begun.finish(sources, &shared)).await?.map_err(|error| error.to_string())?;
        let set = written.name.to_string();
        let latest = LatestSet { set: set.clone(), manifest: written.digest };
        let bytes = serde_json::to_vec(&latest).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(LatestSet::OUTPUT, bytes).await.map_err(|error| error.to_string())?;
        body.outputs.push(Output { name: LatestSet::OUTPUT.to_owned(), digest });
        copies.made = Some(latest);
        let manifest = written.manifest;
        let (files, bytes) = (manifest.parts.len(), manifest.stored_bytes());
        let detail = [vec![format!("set {set}: {files} files, {bytes} bytes")], left.clone()].concat().join("; ");
        match (manifest.missing.first(), manifest.lack()) {
            (None, None) => body.checks.push(Check::passed(MADE, REPOSITORY, detail)),
            // What is damaged is the bank, which its own checks tell; the set is all that there is of it.
            (None, Some(lack)) => body.checks.push(Check::failed(MADE, REPOSITORY, format!("{detail}, but {lack}"))),
            (Some(missing), _) => {
                let why = format!("{} is missing in set {set}: {}", missing.component, missing.why);
                let why = [vec![why], left].concat().join("; ");
                body.checks.push(Check::unknown(MADE, REPOSITORY, &why));
                body.unmeasured = Some((Reason::NotMeasured, why));
            }
        }
        Ok(())
    }

    /// Takes the vectors into a set, then opens all that goes in after them. For people what was left on the vector server.
    async fn collect(
        &self,
        spec: &RunSpec,
        copies: &mut Copies<'_>,
        begun: &mut Begun,
        meter: &Arc<Meter>,
    ) -> Result<(Vec<Source>, Vec<String>), String> {
        let bank = &spec.bank;
        let mut left = Vec::new();
        if let Some(VectorStore::Qdrant(endpoint)) = &bank.vector_store {
            left = self.take_vectors(&spec.namespace, endpoint, begun, meter).await?;
        }
        let dumps = self.dumps(&spec.namespace, bank, begun).await;
        if bank.vector_store.is_some() {
            // SQL that is older than the points would lack the rows of some.
            copies.renew();
        }
        let mut sources: Vec<_> = dumps.into_iter().map(|dump| Source::Postgres(Box::new(dump))).collect();
        let files = [(DATABASE, copies.database(bank, meter).await?), (HISTORY, copies.history(bank, meter).await?)];
        for &(component, ref copied) in &files {
            let Some(copied) = copied else { continue };
            match stock(copied, meter).await? {
                Ok((files, stock)) => sources.push(Source::Sqlite { component, files, stock }),
                Err(why) => begun.miss(Missing { component: component.to_owned(), why }),
            }
        }
        for tree in &bank.files {
            match self.places.volume(&tree.root.volume) {
                Ok(root) => {
                    let without = within(bank, tree);
                    sources.push(Source::Tree { tree: tree.clone(), root: root.to_owned(), without });
                }
                Err(why) => begun.miss(Missing { component: format!("files/{}", tree.name), why }),
            }
        }
        Ok((sources, left))
    }

    /// The tables of the bank on PostgreSQL servers, as of moments of which that of its vectors is first. What cannot be had
    /// is missing in the set.
    async fn dumps(&self, namespace: &str, bank: &Bank, begun: &mut Begun) -> Vec<Dump> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let held = (namespace, &secrets);
        let mut dumps = Vec::new();
        let mut take = |component: &str, dump: Result<Dump, String>, dumps: &mut Vec<Dump>| match dump {
            Ok(dump) => dumps.push(dump),
            Err(why) => begun.miss(Missing { component: component.to_owned(), why }),
        };
        if let Some(VectorStore::Pgvector(endpoint)) = &bank.vector_store {
            take(VECTORS, Dump::vectors(endpoint, VECTORS, held).await, &mut dumps);
        }
        if let Some(SqlDatabase::Postgres(endpoint)) = &bank.database {
            let dump = Dump::database(endpoint, DATABASE, held, &dumps).await;
            take(DATABASE, dump, &mut dumps);
        }
        dumps
    }

    /// Has snapshots of the bank's collections made and takes them into a set; what could not be had is missing in it.
    /// For people what was left on the server.
    async fn take_vectors(
        &self,
        namespace: &str,
        endpoint: &QdrantEndpoint,
        begun: &mut Begun,
        meter: &Arc<Meter>,
    ) -> Result<Vec<String>, String> {
        let secrets = FolderSecrets::new(&self.places.secrets);
        let client = match Client::open(namespace, endpoint, &secrets).await {
            Ok(client) => client,
            Err(error) => {
                begun.miss(Missing { component: VECTORS.to_owned(), why: error.to_string() });
                return Ok(Vec::new());
            }
        };
        let mut left = Vec::new();
        for (component, collection, optional) in collections(endpoint) {
            let vectors = Vectors { client: client.clone(), collection, component, optional };
            left.extend(begun.take(vectors, meter).await.map_err(|error| error.to_string())?);
        }
        Ok(left)
    }

    /// What opens the bank's own sets where they are encrypted, or for people why nothing does.
    pub(super) async fn identity(&self, namespace: &str, bank: &Bank) -> Result<Identity, String> {
        let encryption = bank.repository.as_ref().and_then(|repository| repository.encryption.as_ref());
        let Some(key) = encryption.and_then(|encryption| encryption.identity.as_ref()) else {
            return Err("the bank names no spec.repository.encryption.identitySecretRef".to_owned());
        };
        Identity::read(key, (namespace, &FolderSecrets::new(&self.places.secrets))).await
    }

    /// Where the bank's own sets are, or for people why there can be none.
    pub(super) async fn repository(&self, namespace: &str, bank: &Bank) -> Result<Repository, String> {
        let repository = bank.repository.as_ref();
        if let Some(folder) = repository.and_then(|repository| repository.folder.as_ref()) {
            let root = self.places.volume(&folder.volume)?;
            return Ok(Repository::folder(root, &folder.path, namespace, &bank.name));
        }
        let Some(endpoint) = repository.and_then(|repository| repository.s3.as_ref()) else {
            return Err("the bank declares no repository: add spec.repository.folder or spec.repository.s3".to_owned());
        };
        let secrets = FolderSecrets::new(&self.places.secrets);
        Bucket::open(endpoint, (namespace, &bank.name), &secrets).await.map(Repository::Bucket)
    }
}

/// For whom the sets of a bank are encrypted; for people why they cannot be: none is written in plain in their place.
fn recipients(bank: &Bank) -> Result<Recipients, String> {
    match bank.repository.as_ref().and_then(|repository| repository.encryption.as_ref()) {
        None => Ok(Recipients::default()),
        Some(encryption) if encryption.recipients.is_empty() => {
            Err("spec.repository.encryption names no recipients".to_owned())
        }
        Some(encryption) => Recipients::parse(&encryption.recipients),
    }
}

/// The collections of a bank: what each is of it, its name, and whether a bank may be without it.
pub(super) fn collections(endpoint: &QdrantEndpoint) -> [(&'static str, String, bool); 2] {
    let memories = endpoint.collection.clone();
    let entities = format!("{memories}{ENTITIES}");
    [(VECTORS, memories, false), ("vectors/entities", entities, true)]
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
