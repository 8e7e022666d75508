//! Writes one set.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, Read, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::{BackupError, at};
use super::lock::Lock;
use super::partial::Partial;
use super::pipe::{Intake, Passed};
use super::postgres::Dump;
use super::repository::Repository;
use super::seal::Recipients;
use crate::bank::Meter;
use crate::bank::files::TreeSource;
use crate::bank::sqlite::Stock;
use crate::domain::{Digest, FileTree};
use crate::engine::backup::{Missing, Part, PartKind, SUMS, SetManifest, SetName, file_tree, sqlite_file};

/// Beside the parts: manifest, digests, rounding up to blocks.
pub(super) const SPARE_ROOM: u64 = 16 << 20;
/// Bytes per read.
pub(super) const BUFFER: usize = 128 << 10;

/// What goes into a set.
#[derive(Debug)]
pub enum Source {
    /// A private copy of a SQLite file.
    Sqlite {
        /// `database` or `history`.
        component: &'static str,
        /// Its files, with what is added to the database's name.
        files: Vec<(&'static str, PathBuf)>,
        /// What it holds.
        stock: Stock,
    },
    /// Tables of a PostgreSQL database.
    Postgres(Box<Dump>),
    /// A file tree, with the folder of its volume, and the path in it that is left out.
    Tree {
        /// Which.
        tree: FileTree,
        /// The folder of its volume.
        root: PathBuf,
        /// What lies within the tree and is no part of it.
        without: Option<String>,
    },
}

/// A set to be written.
#[derive(Debug)]
pub struct Order {
    /// Where.
    pub repository: Repository,
    /// The bank's namespace.
    pub namespace: String,
    /// The bank's name.
    pub bank: String,
    /// The uid of the run.
    pub run: String,
    /// When it is begun.
    pub started: Timestamp,
    /// The parts that the bank declares, as JSON.
    pub config: Vec<u8>,
    /// How many threads may compress.
    pub threads: usize,
    /// For whom its files are encrypted.
    pub recipients: Recipients,
    /// Where a file may be for a while that must not be plain in the repository.
    pub scratch: PathBuf,
}

/// A set that is there.
#[derive(Debug)]
pub struct Written {
    /// Its name.
    pub name: SetName,
    /// What it holds.
    pub manifest: SetManifest,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// A set that is begun in a locked repository. Until it is finished there is no set, and giving it up leaves all older ones
/// as they were.
#[derive(Debug)]
pub struct Begun {
    pub(super) order: Order,
    name: SetName,
    pub(super) partial: Partial,
    pub(super) lock: Lock,
    pub(super) parts: Vec<Part>,
    missing: Vec<Missing>,
}

/// Begins a set. Blocks.
pub fn begin(order: Order) -> Result<Begun, BackupError> {
    let lock = order.repository.lock(&order.run)?;
    let named = || -> Result<_, BackupError> {
        order.repository.clean()?;
        let name = SetName::after(order.repository.sets()?.last(), order.started, &order.run)?;
        let partial = order.repository.begin(&name, &lock)?;
        Ok((name, partial))
    };
    match named() {
        Ok((name, partial)) => Ok(Begun { order, name, partial, lock, parts: Vec::new(), missing: Vec::new() }),
        Err(error) => {
            lock.release();
            Err(error)
        }
    }
}

impl Begun {
    /// Tells that a declared part will not be in the set.
    pub fn miss(&mut self, missing: Missing) {
        self.missing.push(missing);
    }

    /// Writes the sources, and the manifest last, by which it becomes a set. Blocks.
    pub fn finish(self, sources: Vec<Source>, meter: &Meter) -> Result<Written, BackupError> {
        let Self { order, name, partial, lock, parts, missing } = self;
        let (threads, recipients) = (order.threads, order.recipients.clone());
        let mut writer = Writer { partial, lock, meter, threads, recipients, parts, missing };
        let written = writer.write(order, name, sources);
        let Writer { partial, lock, .. } = writer;
        drop(partial);
        lock.release();
        written
    }

    /// Leaves nothing of it. Blocks.
    pub fn give_up(self) {
        drop(self.partial);
        self.lock.release();
    }
}

/// A source that is ready to be read.
enum Ready {
    Sqlite { component: &'static str, files: Vec<(&'static str, PathBuf)>, stock: Stock },
    Postgres(Box<Dump>),
    Tree { name: String, tree: TreeSource },
}

/// Where the parts of a set are written.
pub(super) struct Writer<'a> {
    pub partial: Partial,
    pub lock: Lock,
    pub meter: &'a Meter,
    threads: usize,
    pub recipients: Recipients,
    pub parts: Vec<Part>,
    pub missing: Vec<Missing>,
}

impl Writer<'_> {
    fn write(&mut self, order: Order, name: SetName, sources: Vec<Source>) -> Result<Written, BackupError> {
        for source in self.list(sources)? {
            self.source(source)?;
        }
        let counts = |part: &Part| {
            !part.rows.is_empty() || part.files.is_some() || part.points.is_some() || part.damage.is_some()
        };
        if !self.parts.iter().any(counts) {
            let why: Vec<_> =
                self.missing.iter().map(|missing| format!("{}: {}", missing.component, missing.why)).collect();
            let why = if why.is_empty() { "it declares nothing that can be".to_owned() } else { why.join("; ") };
            return Err(BackupError::Nothing(why));
        }
        let path = self.recipients.stored("config/bank.json".to_owned());
        let passed = self.small(&path, &order.config)?;
        self.parts.push(part("config", PartKind::Config, path, &passed));
        let manifest = SetManifest {
            tool: concat!("memorybank ", env!("CARGO_PKG_VERSION")).to_owned(),
            namespace: order.namespace,
            bank: order.bank,
            run: order.run,
            started: name.started(),
            parts: std::mem::take(&mut self.parts),
            missing: std::mem::take(&mut self.missing),
            recipients: self.recipients.names(),
        };
        let (text, digest) = manifest.to_json()?;
        self.put(SUMS, manifest.to_sha256sums().as_bytes())?;
        self.meter.check()?;
        self.lock.prove()?;
        self.partial.keep(&text)?;
        Ok(Written { name, manifest, digest })
    }

    /// Lists the trees, and looks whether everything will fit even where it does not shrink: a repository may share its
    /// disk with the bank.
    fn list(&mut self, sources: Vec<Source>) -> Result<Vec<Ready>, BackupError> {
        let mut ready = Vec::with_capacity(sources.len());
        let mut needed = SPARE_ROOM;
        for source in sources {
            match source {
                Source::Sqlite { component, files, stock } => {
                    for (_, path) in &files {
                        needed = needed.saturating_add(fs::metadata(path).map_err(at(path))?.len());
                    }
                    ready.push(Ready::Sqlite { component, files, stock });
                }
                Source::Postgres(dump) => {
                    needed = needed.saturating_add(dump.bytes());
                    ready.push(Ready::Postgres(dump));
                }
                Source::Tree { tree, root, without } => {
                    match TreeSource::list(&root, &tree, without.as_deref(), self.meter) {
                        Ok(source) => {
                            needed = needed.saturating_add(source.bytes());
                            ready.push(Ready::Tree { name: tree.name, tree: source });
                        }
                        Err(error) => {
                            self.meter.check()?;
                            self.miss(format!("files/{}", tree.name), error.to_string());
                        }
                    }
                }
            }
        }
        self.meter.grow(needed - SPARE_ROOM);
        self.partial.room(needed)?;
        Ok(ready)
    }

    fn miss(&mut self, component: String, why: String) {
        self.missing.push(Missing { component, why });
    }

    fn source(&mut self, source: Ready) -> Result<(), BackupError> {
        match source {
            Ready::Sqlite { component, files, stock } => {
                let mut stock = Some(stock);
                for (suffix, from) in files {
                    // The database itself comes first: what is counted is counted there.
                    let Stock { rows, orphans, damage } = stock.take().unwrap_or_default();
                    let path = self.recipients.stored(sqlite_file(component, suffix));
                    let passed = self.pipe(&path, |into| copy(&from, into))?.1;
                    let part = part(component, PartKind::Sqlite, path, &passed);
                    self.parts.push(Part { rows, orphans, damage, ..part });
                }
            }
            Ready::Postgres(dump) => self.tables(*dump)?,
            Ready::Tree { name, tree } => {
                let (path, component) = (self.recipients.stored(file_tree(&name)), format!("files/{name}"));
                let meter = self.meter;
                let (archived, passed) = self.pipe(&path, |into| {
                    let mut into = BufWriter::with_capacity(BUFFER, into);
                    let archived = tree.write(meter, &mut into).map_err(io::Error::other)?;
                    into.into_inner().map_err(IntoInnerError::into_error)?;
                    Ok(archived)
                })?;
                if let Some(first) = archived.first {
                    let why = format!("{} files could not be read, such as {first}", archived.left_out);
                    self.miss(component.clone(), why);
                }
                let part = part(&component, PartKind::Files, path, &passed);
                self.parts.push(Part { files: Some(archived.files), ..part });
            }
        }
        Ok(())
    }

    /// Writes one compressed file; `path` is that of the stored file.
    pub(super) fn pipe<T>(
        &mut self,
        path: &str,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<T>,
    ) -> Result<(T, Passed), BackupError> {
        let (sink, to) = self.partial.create(path, self.meter)?;
        let intake = Intake::new(sink, &self.recipients, self.threads, self.meter, &mut self.lock);
        let written = intake.and_then(|mut intake| {
            let filled = fill(&mut intake)?;
            Ok((filled, Intake::finish(intake)?))
        });
        match written {
            Ok(written) => Ok(written),
            Err(error) => {
                self.meter.check()?;
                self.lock.check()?;
                Err(told(&to, error))
            }
        }
    }

    /// Writes one small file without compression.
    pub(super) fn small(&mut self, path: &str, bytes: &[u8]) -> Result<Passed, BackupError> {
        let mut sealing = self.recipients.seal(Vec::new()).map_err(at(Path::new(path)))?;
        let sealed = sealing.write_all(bytes).and_then(|()| sealing.finish()).map_err(at(Path::new(path)))?;
        self.put(path, &sealed)?;
        let raw = (!self.recipients.is_empty()).then(|| Digest::of(bytes));
        let (bytes, stored_bytes) = (bytes.len() as u64, sealed.len() as u64);
        Ok(Passed { bytes, raw, stored_bytes, stored: Digest::of(&sealed) })
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let (mut sink, to) = self.partial.create(path, self.meter)?;
        sink.write_all(bytes).and_then(|()| sink.finish()).map_err(at(&to))
    }
}

/// What the system said, where a library has wrapped it: a full disk is told as one.
fn told(path: &Path, error: io::Error) -> BackupError {
    let code = system(&error);
    BackupError::of(path, code.map_or(error, io::Error::from_raw_os_error))
}

fn system(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.raw_os_error().or_else(|| system(error.get_ref()?)),
        None => system(error.source()?),
    }
}

pub(super) fn part(component: &str, kind: PartKind, path: String, passed: &Passed) -> Part {
    Part {
        component: component.to_owned(),
        kind,
        path,
        bytes: passed.bytes,
        stored_bytes: passed.stored_bytes,
        sha256: passed.stored,
        raw_sha256: passed.raw,
        rows: BTreeMap::new(),
        orphans: 0,
        files: None,
        points: None,
        damage: None,
    }
}

fn copy(from: &Path, into: &mut dyn io::Write) -> io::Result<()> {
    let mut file = File::open(from)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => into.write_all(&buffer[..read])?,
        }
    }
}
