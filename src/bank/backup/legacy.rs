//! The sets that other tools made: what is in their folders and archives.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::Archive as Tar;
use zstd::stream::read::Decoder;

use super::error::{BackupError, at};
use super::examine::examine;
use super::set::Set;
use crate::bank::Meter;
use crate::engine::backup::{Archive, LegacyFile, LegacySet, MANIFEST, SetName};

/// The most sets that are looked at, the newest by name.
const MAX_SETS: usize = 64;
/// The most files of one set, and how deep they lie.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 6;
/// What a SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Looks at the newest sets in a folder, and counts those that are left. Archives are read to their ends. Blocks.
pub fn look(folder: &Path, meter: &Meter) -> Result<(Vec<LegacySet>, usize), BackupError> {
    let mut names = Vec::new();
    if !fs::symlink_metadata(folder).map_err(at(folder))?.is_dir() {
        // A link could lead out of the volume.
        return Err(BackupError::of(folder, io::ErrorKind::NotADirectory.into()));
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let kind = entry.file_type().map_err(at(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A loose file is a set where it can hold one: not a log, not a lock.
        if kind.is_dir() || (kind.is_file() && (packing(&name).is_some() || begins_as_database(&entry.path()))) {
            names.push(name);
        }
    }
    names.sort();
    let left = names.len().saturating_sub(MAX_SETS);
    let sets = names.into_iter().skip(left).map(|name| set(folder, name, meter)).collect::<Result<_, _>>()?;
    Ok((sets, left))
}

fn set(folder: &Path, name: String, meter: &Meter) -> Result<LegacySet, BackupError> {
    let path = folder.join(&name);
    let own = name.parse::<SetName>().ok().filter(|_| path.join(MANIFEST).is_file());
    let mut set = LegacySet { name, ..LegacySet::default() };
    if let Some(own) = own {
        let examined = examine(&Set::Folder(path), &own, None, None, Err("it is not opened here"), meter)?;
        let fault = examined.faults.first().map(|fault| format!("{}: {}", fault.object, fault.evidence));
        set.unread = examined.unread.filter(|_| fault.is_none());
        set.own = Some(fault.or_else(|| examined.manifest.and_then(|manifest| manifest.lack())));
        return Ok(set);
    }
    let mut pending = vec![(path, String::new(), 0)];
    while let Some((path, within, depth)) = pending.pop() {
        meter.check()?;
        if path.is_dir() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) => {
                    set.unread.get_or_insert_with(|| format!("{}: {error}", path.display()));
                    continue;
                }
            };
            for entry in entries {
                let entry = entry.map_err(at(&path))?;
                let kind = entry.file_type().map_err(at(&path))?;
                if !kind.is_dir() && !kind.is_file() {
                    continue;
                }
                if depth >= MAX_DEPTH || set.files.len() + pending.len() >= MAX_FILES {
                    set.unread.get_or_insert_with(|| "it has too many files, or too deep folders".to_owned());
                    break;
                }
                let name = entry.file_name().to_string_lossy().into_owned();
                let within = if within.is_empty() { name } else { format!("{within}/{name}") };
                pending.push((entry.path(), within, depth + 1));
            }
        } else {
            match file(&path, within, meter) {
                Ok(file) => set.files.push(file),
                Err(error) => {
                    meter.check()?;
                    set.unread.get_or_insert_with(|| format!("{}: {error}", path.display()));
                }
            }
        }
    }
    set.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(set)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Tar,
    Gzip,
    Zstd,
    Zip,
}

/// How archives are packed, by the ends of their names.
const PACKINGS: [(&str, Packing); 5] = [
    (".tar", Packing::Tar),
    (".gz", Packing::Gzip),
    (".tgz", Packing::Gzip),
    (".zst", Packing::Zstd),
    (".zip", Packing::Zip),
];
/// Ends of the names of those that hold files.
const TARS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.zst"];

fn packing(name: &str) -> Option<Packing> {
    let name = name.to_ascii_lowercase();
    PACKINGS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, packing)| *packing)
}

fn begins_as_database(path: &Path) -> bool {
    let mut head = [0; SQLITE.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == SQLITE
}

fn file(path: &Path, within: String, meter: &Meter) -> io::Result<LegacyFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = fs::symlink_metadata(path)?.len();
    let database = begins_as_database(path);
    let archive = match packing(&name) {
        None => None,
        Some(Packing::Zip) => return Err(io::Error::other("this version does not read zip archives")),
        Some(packing) => Some(read(path, packing, &name, meter)?),
    };
    Ok(LegacyFile { path: within, bytes, archive, database })
}

/// Reads an archive to its end; what is wrong with it stands in the result.
fn read(path: &Path, packing: Packing, name: &str, meter: &Meter) -> io::Result<Archive> {
    let file = Watched { file: BufReader::with_capacity(128 << 10, File::open(path)?), meter };
    let raw: Box<dyn Read + '_> = match packing {
        Packing::Tar | Packing::Zip => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(Decoder::new(file)?),
    };
    let name = name.to_ascii_lowercase();
    let tar = TARS.iter().any(|end| name.ends_with(end));
    let mut archive = Archive::default();
    let read = if tar { walk(raw, &mut archive) } else { drain(raw, &mut archive) };
    meter.check().map_err(io::Error::other)?;
    archive.trouble = read.err().map(|error| error.to_string());
    Ok(archive)
}

fn walk(raw: Box<dyn Read + '_>, archive: &mut Archive) -> io::Result<()> {
    let mut tar = Tar::new(raw);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let bytes = io::copy(&mut entry, &mut io::sink())?;
        if bytes > 0 {
            archive.files += 1;
            archive.bytes += bytes;
        }
    }
    // To the end of the packing, where its own checksum stands.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map(drop)
}

fn drain(mut raw: Box<dyn Read + '_>, archive: &mut Archive) -> io::Result<()> {
    archive.bytes = io::copy(&mut raw, &mut io::sink())?;
    archive.files = u64::from(archive.bytes > 0);
    Ok(())
}

/// A file that is read while nobody wishes to stop.
struct Watched<'a> {
    file: BufReader<File>,
    meter: &'a Meter,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check().map_err(io::Error::other)?;
        self.file.read(buffer)
    }
}
