//! Reads a set back, every byte of it.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};
use zstd::stream::read::Decoder;

use super::error::{BackupError, at};
use super::pipe::Counted;
use super::seal::{Closed, Identity, Opened};
use super::set::{Set, Stored};
use super::snapshot;
use crate::bank::Meter;
use crate::bank::sqlite::free;
use crate::domain::{CorruptionType, Digest};
use crate::engine::backup::{MANIFEST, Part, PartKind, SUMS, Sections, SetManifest, SetName};
use crate::engine::integrity::files::TreePath;

/// A manifest larger than this is none.
const MAX_MANIFEST: u64 = 16 << 20;
/// The statements of a few hundred tables are less.
const MAX_SCRIPT: u64 = 16 << 20;
/// Bytes per read.
const BUFFER: usize = 128 << 10;
/// Beside a database in scratch: sorting, rounding up to blocks.
const SPARE_ROOM: u64 = 16 << 20;

/// Something that is wrong with a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file of the set.
    pub object: String,
    /// Changed, or broken.
    pub kind: CorruptionType,
    /// The proof, for people.
    pub evidence: String,
}

/// A database of a set, unpacked into scratch.
#[derive(Debug)]
pub struct Database {
    /// Which part of the manifest it is.
    pub part: Part,
    /// Where it is now.
    pub path: PathBuf,
}

/// What reading a set showed.
#[derive(Debug, Default)]
pub struct Examined {
    /// What it says it holds, where that can be believed.
    pub manifest: Option<SetManifest>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Its databases, to be opened.
    pub databases: Vec<Database>,
    /// What could not be looked at, and why.
    pub unread: Option<String>,
}

/// Reads a set: its manifest, held against the digest that is known of it, then each file to its end,
/// stored and unpacked. Databases go to `scratch`, where one is given. An encrypted set is opened by the identity; where
/// there is none, for people why, only its stored bytes are looked at. Blocks.
pub fn examine(
    set: &Set,
    name: &SetName,
    known: Option<&Digest>,
    scratch: Option<&Path>,
    identity: Result<&Identity, &str>,
    meter: &Meter,
) -> Result<Examined, BackupError> {
    let mut examined = Examined::default();
    let found = match set.files()? {
        Ok(Some(found)) => found,
        Ok(None) => {
            examined.faults.push(missing("."));
            return Ok(examined);
        }
        Err(odd) => {
            examined.faults.push(fault(&odd, CorruptionType::FileCorruption, "a set holds plain files, and few"));
            return Ok(examined);
        }
    };
    let manifest = match manifest(set, name, known)? {
        Ok(manifest) => manifest,
        Err(fault) => {
            examined.faults.push(fault);
            return Ok(examined);
        }
    };
    let named: BTreeSet<&str> = manifest.parts.iter().map(|part| part.path.as_str()).chain([MANIFEST, SUMS]).collect();
    for extra in found.iter().filter(|path| !named.contains(path.as_str())) {
        examined.faults.push(fault(extra, CorruptionType::FileCorruption, "the manifest does not name it"));
    }
    match set.read_all(SUMS, MAX_MANIFEST)? {
        Some(text) if text == manifest.to_sha256sums().as_bytes() => {}
        Some(_) => {
            examined.faults.push(fault(SUMS, CorruptionType::ChecksumMismatch, "it does not say what was written"));
        }
        None => examined.faults.push(missing(SUMS)),
    }
    meter.grow(manifest.stored_bytes());
    for (number, part) in manifest.parts.iter().enumerate() {
        let place = scratch.filter(|_| part.kind == PartKind::Sqlite);
        if let Some(scratch) = place
            && let Some(why) = no_room(scratch, part)?
        {
            examined.unread = Some(why);
            continue;
        }
        let unpacked = place.map(|scratch| scratch.join(format!("set-{number}.db")));
        let identity = (!manifest.recipients.is_empty()).then_some(identity);
        match read_part(set, part, identity, unpacked.as_deref(), meter)? {
            Ok(()) => examined.databases.extend(unpacked.map(|path| Database { part: part.clone(), path })),
            Err(Closed::Broken(why)) => {
                examined.faults.push(fault(&part.path, CorruptionType::FileCorruption, why));
            }
            Err(Closed::Changed(fault)) => examined.faults.push(fault),
            Err(Closed::NoKey(why)) => {
                examined.unread.get_or_insert_with(|| format!("set {name} is encrypted: {why}"));
            }
        }
    }
    examined.manifest = Some(manifest);
    Ok(examined)
}

fn fault(object: &str, kind: CorruptionType, evidence: impl Into<String>) -> Fault {
    Fault { object: object.to_owned(), kind, evidence: evidence.into() }
}

fn missing(object: &str) -> Fault {
    fault(object, CorruptionType::FileCorruption, "it is missing")
}

fn no_room(scratch: &Path, part: &Part) -> Result<Option<String>, BackupError> {
    let (free, needed) = (free(scratch).map_err(at(scratch))?, part.bytes.saturating_add(SPARE_ROOM));
    let told = || format!("{} needs {needed} bytes of scratch to be opened, and {free} are free", part.component);
    Ok((free < needed).then(told))
}

/// The manifest, where it is the one that is known.
pub(super) fn manifest(
    set: &Set,
    name: &SetName,
    known: Option<&Digest>,
) -> Result<Result<SetManifest, Fault>, BackupError> {
    let Some(text) = set.read_all(MANIFEST, MAX_MANIFEST)? else { return Ok(Err(missing(MANIFEST))) };
    let wrong = |evidence: String| Ok(Err(fault(MANIFEST, CorruptionType::ChecksumMismatch, evidence)));
    let (manifest, digest) = match SetManifest::from_json(&text) {
        Ok(read) => read,
        Err(error) => return wrong(error.to_string()),
    };
    if let Some(known) = known.filter(|known| **known != digest) {
        return wrong(format!("it has the digest {digest}, and the set was made with {known}: it was rewritten since"));
    }
    if manifest.run != name.run() || manifest.started != name.started() {
        return wrong(format!("it is of another set, that of run {} at {}", manifest.run, manifest.started));
    }
    Ok(Ok(manifest))
}

/// Reads one file of a set to its end, as it is stored and what is in it; `identity` where it is encrypted. The inner
/// error says what is wrong with it.
fn read_part(
    set: &Set,
    part: &Part,
    identity: Option<Result<&Identity, &str>>,
    unpacked: Option<&Path>,
    meter: &Meter,
) -> Result<Result<(), Closed>, BackupError> {
    let path = Path::new(&part.path);
    let changed =
        |evidence: String| Ok(Err(Closed::Changed(fault(&part.path, CorruptionType::ChecksumMismatch, evidence))));
    let Some((file, size)) = set.open(&part.path, meter)? else {
        return Ok(Err(Closed::Changed(missing(&part.path))));
    };
    if size != part.stored_bytes {
        return changed(format!("it has {size} bytes, and was written with {}", part.stored_bytes));
    }
    let mut stored = Counted::new(Watched { file, meter });
    let opened = match identity {
        None => Ok(Opened::Plain(&mut stored)),
        Some(Ok(identity)) => identity.open(&mut stored),
        Some(Err(why)) => Err(Closed::NoKey(why.to_owned())),
    };
    let read = match opened {
        Ok(mut opened) => content(&mut opened, part, unpacked)?.map_err(Closed::Broken),
        Err(closed) => Err(closed),
    };
    meter.check()?;
    // What is left where unpacking broke off: only the digest of all tells that a byte was changed.
    io::copy(&mut stored, &mut io::sink()).map_err(at(path))?;
    if stored.digest() != part.sha256 {
        return changed(format!("it has the digest {}, and was written with {}", stored.digest(), part.sha256));
    }
    Ok(read)
}

/// Looks at the content of a file; the inner error says what is wrong with it.
fn content(stored: &mut impl Read, part: &Part, unpacked: Option<&Path>) -> Result<Result<(), String>, BackupError> {
    let look: fn(&mut dyn Read, &Part) -> Result<(), String> = match part.kind {
        PartKind::Sqlite | PartKind::Files | PartKind::Rows => return unpack(stored, part, unpacked),
        PartKind::Vectors => |raw, part| snapshot::walk(raw, part.points.unwrap_or_default()),
        PartKind::Ddl => |raw, _| script(raw),
        PartKind::Config => |_, _| Ok(()),
    };
    let Some(expected) = part.raw_sha256 else { return Ok(look(stored, part)) };
    let mut raw = Counted::new(stored);
    let looked = look(&mut raw, part);
    if let Err(error) = io::copy(&mut raw, &mut io::sink()) {
        return Ok(Err(format!("it cannot be decrypted to its end: {error}")));
    }
    if raw.digest() != expected {
        return Ok(Err(format!("its content has {} bytes and the digest {}", raw.bytes, raw.digest())));
    }
    Ok(looked)
}

/// A file that is read while nobody wishes to stop.
struct Watched<'a> {
    file: Stored,
    meter: &'a Meter,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check().map_err(io::Error::other)?;
        let read = self.file.read(buffer)?;
        self.meter.advance(read as u64);
        Ok(read)
    }
}

/// Unpacks a file; the inner error says what is wrong with its content.
fn unpack(stored: &mut impl Read, part: &Part, unpacked: Option<&Path>) -> Result<Result<(), String>, BackupError> {
    let decoder = match Decoder::new(&mut *stored) {
        Ok(decoder) => decoder,
        Err(error) => return Ok(Err(error.to_string())),
    };
    // Not a byte more than was written, whatever it claims to hold.
    let mut raw = Counted::new(decoder.take(part.bytes.saturating_add(1)));
    let walked = match part.kind {
        PartKind::Files => walk(&mut raw, part.files.unwrap_or_default()),
        PartKind::Sqlite | PartKind::Vectors | PartKind::Config | PartKind::Ddl | PartKind::Rows => Ok(()),
    };
    let mut lines = 0;
    let mut to: Box<dyn Write> = match unpacked {
        Some(path) => {
            let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            Box::new(new.map_err(at(path))?)
        }
        None => Box::new(io::sink()),
    };
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match raw.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Ok(Err(format!("it cannot be unpacked to its end: {error}"))),
        };
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        to.write_all(&buffer[..read]).map_err(at(unpacked.unwrap_or(Path::new(&part.path))))?;
    }
    if raw.bytes != part.bytes || Some(raw.digest()) != part.raw_sha256 {
        return Ok(Err(format!("its content has {} bytes and the digest {}", raw.bytes, raw.digest())));
    }
    let rows: u64 = part.rows.values().sum();
    if part.kind == PartKind::Rows && lines != rows {
        return Ok(Err(format!("it holds {lines} rows, and {rows} were put in")));
    }
    Ok(walked)
}

/// Reads the statements that make tables anew: they say where the rows come in.
fn script(stored: &mut dyn Read) -> Result<(), String> {
    let mut text = String::new();
    stored.take(MAX_SCRIPT).read_to_string(&mut text).map_err(|error| format!("it cannot be read: {error}"))?;
    Sections::parse(&text).map(drop).ok_or_else(|| "it does not say where the rows of tables come in".to_owned())
}

/// Walks an archive: every path stays within, and there are as many files as were put in.
fn walk(raw: &mut impl Read, expected: u64) -> Result<(), String> {
    let told = |error: io::Error| format!("the archive cannot be walked: {error}");
    let mut archive = Archive::new(raw);
    let (mut files, mut last) = (0, None);
    for entry in archive.entries().map_err(told)? {
        let entry = entry.map_err(told)?;
        let path = TreePath::new(&entry.path_bytes()).map_err(|error| error.to_string())?;
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Symlink) {
            return Err(format!("{path} is no file and no link"));
        }
        // A file that changed while it was archived follows itself.
        if last.as_ref() != Some(&path) {
            files += 1;
        }
        last = Some(path);
    }
    if files == expected { Ok(()) } else { Err(format!("it holds {files} files, and {expected} were put in")) }
}
